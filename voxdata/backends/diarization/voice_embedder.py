"""A voice as a vector, for clips that nobody diarizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from voxdata.sound import MODEL_RATE_HZ, Samples

MAX_EMBEDDED_S = 10


def load_embedder() -> Callable[[Samples], Any]:
    """A function from samples at 16 kHz to a voice of unit length.

    None for less than half a second of sound.
    """
    import torch

    from voxdata.backends.diarization.campplus import load_network
    from voxdata.backends.filterbank import filterbank

    network = load_network()

    def embed(samples: Samples) -> npt.NDArray[np.float32] | None:
        speech = _trim(samples)[: MAX_EMBEDDED_S * MODEL_RATE_HZ]
        if speech.size < MODEL_RATE_HZ // 2:
            return None
        bands = filterbank(speech)
        centred = torch.from_numpy(bands - bands.mean(axis=0))
        with torch.inference_mode():
            embeddings: torch.Tensor = network(centred[None])
        vector = embeddings[0].numpy().astype(np.float32)
        length = max(float(np.linalg.norm(vector)), 1e-9)
        return np.asarray(vector / length, dtype=np.float32)

    return embed


def _trim(samples: Samples) -> Samples:
    """The sound without the silence at its edges: 10 ms frames 35 dB below the loudest."""
    hop = MODEL_RATE_HZ // 100
    num_frames = samples.size // hop
    squares = np.square(samples[: num_frames * hop])
    power = squares.reshape(-1, hop).mean(axis=1)
    if not power.size or power.max() <= 0:
        return samples[:0]
    loud = np.flatnonzero(power > power.max() * 10**-3.5)
    start = loud[0] * hop
    stop = (loud[-1] + 1) * hop
    return samples[start:stop]
