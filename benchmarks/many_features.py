"""Memory that a fit on a million cached clips takes: python -m benchmarks.many_features.

The shards are synthetic and as those of an encoder with few, narrow layers (--layers, --dim; 7 and
512 are whisper-base, of which a million clips are 14 GB on the disk). Held in memory in single
precision, as before, the features alone would take what the last column says.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
from pathlib import Path
from time import monotonic

import numpy as np

from training.config import FitConfig, TrainingConfig
from training.encoder import load_encoder
from training.feature_files import feature_name
from training.feature_store import CLIPS_PER_SHARD, FeatureStore, StoredRows
from training.loop import fit_head

TARGET_GB = 2.0
NUM_LABELS = 4


def write_shards(store: FeatureStore, *, num_clips: int, num_layers: int, dim: int) -> list[str]:
    """Names of the clips, whose features are noise."""
    generator = np.random.default_rng(0)
    names = [feature_name(str(number)) for number in range(num_clips)]
    for start in range(0, num_clips, CLIPS_PER_SHARD):
        part = names[start : start + CLIPS_PER_SHARD]
        noise = generator.standard_normal((len(part), num_layers, 2 * dim), dtype=np.float32)
        store.write(dict(zip(part, noise, strict=True)))
    return names


def peak_gb() -> float:
    """The most memory that this process has had, mapped pages of files included."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> int:
    """Print the peak after each step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=1_000_000)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--dim", type=int, default=32)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = FeatureStore(Path(folder), load_encoder("tiny-random"), pooling="mean+deviation")
        names = write_shards(
            store, num_clips=chosen.clips, num_layers=chosen.layers, dim=chosen.dim
        )
        print(f"{len(names)} clips, {chosen.layers} layers of {chosen.dim}; GB at most so far:")
        print(f"  written    {peak_gb():5.2f}")
        began = monotonic()
        places = store.find()
        rows = StoredRows([places[name] for name in names])
        del places
        print(f"  found      {peak_gb():5.2f}   {monotonic() - began:.0f} s")
        began = monotonic()
        targets = np.eye(NUM_LABELS)[np.arange(len(names)) % NUM_LABELS]
        fit = FitConfig(fixed_epochs=1, batch_size=2048)
        none = np.zeros((0, *rows.shape[1:]), np.float32)
        fit_head(
            rows,
            targets,
            validation_features=none,
            validation_targets=targets[:0],
            config=TrainingConfig(scheme="intent", fit=fit),
        )
        dense_gb = 4 * np.prod(rows.shape) / 2**30
        print(f"  one epoch  {peak_gb():5.2f}   {monotonic() - began:.0f} s   was {dense_gb:.2f}")
    return 0 if peak_gb() < TARGET_GB else 1


if __name__ == "__main__":
    sys.exit(main())
