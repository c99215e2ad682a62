"""Predicted opinion scores by DNSMOS P.835 (its overall score).

The network is the ONNX file that the speechmos package ships.

Source: C. Reddy et al., DNSMOS P.835, ICASSP 2022. It knows wide-band speech: telephone audio
scores lower for its bandwidth alone, and clipping it hardly hears. So it is one measure beside
level, SNR, clipping and true bandwidth, and no threshold of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from voxdata.backends.weights import locate, revision
from voxdata.errors import BackendError
from voxdata.identity import ModelRef
from voxdata.segment import Segment
from voxdata.sound import MODEL_RATE_HZ, Samples, Sound, duration_ms

WINDOW = 144_160
"""Samples the network takes, 9.01 s."""

EVERY_MS = 30_000
"""One window is scored in so much of a channel: 0.012 CPU seconds a second."""


class DnsMos:
    """The MosPredictor port on DNSMOS.

    Raises:
        BackendError: The package that ships the network is missing or was changed.
    """

    def __init__(self) -> None:
        self._session: Any = None

    @property
    def model(self) -> ModelRef:
        """What is running."""
        return ModelRef(
            name="dnsmos-p835",
            revision=revision("dnsmos"),
            params={"every_ms": EVERY_MS},
        )

    def predict(
        self,
        sound: Sound,
        *,
        speech: Sequence[Segment],
    ) -> list[tuple[Segment, float]]:
        """See `MosPredictor.predict`.

        One window in each EVERY_MS that holds speech, from the first speech in it.
        """
        scores: list[tuple[Segment, float]] = []
        end_ms = duration_ms(sound)
        for start_ms in range(0, end_ms, EVERY_MS):
            stop_ms = min(start_ms + EVERY_MS, end_ms)
            inside = (s for s in speech if s.end_ms > start_ms and s.start_ms < stop_ms)
            first = next(inside, None)
            if first is None:
                continue
            at = max(first.start_ms, start_ms) * MODEL_RATE_HZ // 1000
            samples = sound.read(at, min(at + WINDOW, sound.num_samples))
            stretch = Segment(start_ms=start_ms, end_ms=stop_ms)
            scores.append((stretch, self._score(samples)))
        return scores

    def _score(self, samples: Samples) -> float:
        if self._session is None:
            self._session = _load()
        if not len(samples):
            return 1.0
        whole = np.resize(samples, WINDOW)  # a shorter stretch is repeated, as DNSMOS itself does
        input_name = self._session.get_inputs()[0].name
        outputs = self._session.run(None, {input_name: whole[None]})
        _, _, overall = map(float, outputs[0][0])
        # The published polynomial from the network's scale to opinion scores.
        mos = -0.06766283 * overall**2 + 1.11546468 * overall + 0.04602535
        return round(min(max(mos, 1.0), 5.0), 3)


def _load() -> Any:
    import onnxruntime as ort  # type: ignore[import-untyped]

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        return ort.InferenceSession(
            str(locate("dnsmos")), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime raises classes of its own that share no parent
        raise BackendError(
            f"DNSMOS cannot be loaded ({error}); reinstall speechmos at the version of "
            "requirements.lock"
        ) from error
