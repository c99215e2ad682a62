"""Whole recordings in memory, for tests and benchmarks; the product reads them in stretches."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from voxdata.canonical import open_canonical
from voxdata.canonicalise import canonicalise
from voxdata.recording import Recording


def read_recording(path: Path) -> tuple[Recording, npt.NDArray[np.float32]]:
    """Ingest a file and read its canonical audio back.

    Returns:
        The recording, and (num_samples, canonical_channels) float32 at 16 kHz.

    Raises:
        AudioError: As `canonicalise`.
    """
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "canonical.flac"
        canonical = canonicalise(path, lambda _: target)
        channels = [sound.read() for sound in open_canonical(target)]
        return canonical.recording, np.stack(channels, axis=1)
