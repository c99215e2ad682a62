"""Features of a labelled corpus, computed once: pooled hidden states of the packaged Whisper
encoder, kept in one file.

python -m benchmarks.cached_features [--features DIR] [--encoder NAME] computes those of RAVDESS and
FSDD.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.speech_corpus import OUT, find_corpus, load_corpus

ENCODER = "whisper-base"
CORPORA = {"ravdess": "emotion", "fsdd": "intent"}
"""Corpus -> the scheme its labels belong to."""

FEATURES = OUT / "cached-features"


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedFeatures:
    """A corpus as a classifier sees it.

    Attributes:
        values: (num_clips, num_layers * 2 * dim) float32: mean and deviation over time of every
            layer.
        targets: (num_clips,) indices into `labels`.
        voices: (num_clips,) speaker names.
        ids: (num_clips,) utterance ids.
    """

    name: str
    scheme: str
    labels: tuple[str, ...]
    values: npt.NDArray[np.float32]
    targets: npt.NDArray[np.int64]
    voices: npt.NDArray[np.str_]
    ids: tuple[str, ...]


def cached_features(
    corpus: str, *, folder: Path = FEATURES, encoder: str = ENCODER
) -> CachedFeatures | None:
    """Read the features, computing and keeping them first where needed.

    Returns:
        None when they are not in `folder` and the corpus is not at hand, after saying so.
    """
    path = folder / f"feat_{encoder}_{corpus}.npz"
    if not path.is_file() and not _compute(corpus, path=path, encoder=encoder):
        return None
    with np.load(path, allow_pickle=False) as stored:
        pooled = stored["X"]
        names = stored["y"].astype(str)
        voices = stored["g"].astype(str)
        ids = (
            stored["id"].astype(str).tolist()
            if "id" in stored
            else [f"{corpus}{i:05}" for i in range(len(names))]
        )
    labels, targets = np.unique(names, return_inverse=True)
    return CachedFeatures(
        name=corpus,
        scheme=CORPORA[corpus],
        labels=tuple(labels.tolist()),
        values=pooled.reshape(len(pooled), -1),
        targets=targets.astype(np.int64),
        voices=voices,
        ids=tuple(ids),
    )


def _compute(corpus: str, *, path: Path, encoder: str) -> bool:
    source = find_corpus(corpus)
    if source is None:
        print(f"  ({path} would have done too)")
        return False
    from training.encoder import load_encoder
    from training.features import load_features
    from voxdata.audio_digest import AudioGuard

    examples = load_corpus(source, scheme=CORPORA[corpus])
    features = load_features(
        load_encoder(encoder),
        examples,
        audio_root=OUT / corpus / "audio",
        cache_dir=OUT / "features",
        guard=AudioGuard({}),
        progress=lambda line: print(f"{corpus} {line}", file=sys.stderr, flush=True),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        path,
        X=features.values,
        y=[e.gold[CORPORA[corpus]].label for e in examples],
        g=[e.voice for e in examples],
        id=[e.utterance_id for e in examples],
    )
    return True


def main() -> int:
    """Compute what is missing and say what is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--features", type=Path, default=FEATURES)
    parser.add_argument("--encoder", default=ENCODER)
    options = parser.parse_args()
    for corpus in CORPORA:
        features = cached_features(
            corpus,
            folder=options.features,
            encoder=options.encoder,
        )
        if features is not None:
            print(
                f"{corpus}: {features.values.shape[0]} clips, {features.values.shape[1]} features, "
                f"{len(features.labels)} labels"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
