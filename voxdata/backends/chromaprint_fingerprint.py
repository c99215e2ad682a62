"""Acoustic fingerprints by Chromaprint, the library behind AcoustID."""

from __future__ import annotations

from typing import Any

import numpy as np

from voxdata.errors import BackendError
from voxdata.fingerprint import Codes
from voxdata.identity import ModelRef
from voxdata.sound import MODEL_RATE_HZ, Sound

ALGORITHM = 1
READ_SAMPLES = 60 * MODEL_RATE_HZ
MAX_SAMPLES = 600 * MODEL_RATE_HZ
"""What is fingerprinted of a longer recording: its first ten minutes."""

CODE_HOP = 1365
CODE_WINDOW = 4096 + 15 * CODE_HOP
"""Samples, at Chromaprint's own 11025 Hz, from one code to the next, and of what one code hears: 16
frames of its spectrogram.
"""


class ChromaprintFingerprinter:
    """The Fingerprinter port.

    Raises:
        BackendError: The native library is not installed.
    """

    code_ms = CODE_HOP * 1000 / 11025
    window_ms = CODE_WINDOW * 1000 / 11025

    def __init__(self) -> None:
        self._library: Any = _load()

    @property
    def model(self) -> ModelRef:
        """What is running."""
        revision = self._library._libchromaprint.chromaprint_get_version().decode()
        return ModelRef(
            name="chromaprint",
            revision=revision,
            params={"algorithm": ALGORITHM, "max_s": MAX_SAMPLES // MODEL_RATE_HZ},
        )

    def fingerprint(self, sound: Sound) -> Codes:
        """See `Fingerprinter.fingerprint`; the first ten minutes count."""
        end = min(sound.num_samples, MAX_SAMPLES)
        running = self._library.Fingerprinter(ALGORITHM)
        running.start(MODEL_RATE_HZ, 1)
        for start in range(0, end, READ_SAMPLES):
            samples = sound.read(start, min(start + READ_SAMPLES, end))
            running.feed(np.clip(np.rint(samples * 32767), -32768, 32767).astype("<i2").tobytes())
        codes, _ = self._library.decode_fingerprint(running.finish())
        return np.array(codes, dtype=np.int64).astype(np.uint32)


def _load() -> Any:
    try:
        import chromaprint  # type: ignore[import-untyped]
    except ImportError as error:
        remedy = "on Debian install libchromaprint1, on macOS `brew install chromaprint`"
        raise BackendError(f"Chromaprint cannot be loaded ({error}); {remedy}") from error
    return chromaprint
