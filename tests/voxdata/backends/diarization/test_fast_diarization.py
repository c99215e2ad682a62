"""The engine with nets that hear numbers: voice k speaks where samples are k/10, so every answer is
known.
"""

from __future__ import annotations

import numpy as np
import pytest

from voxdata.backends.diarization.engine import DIMENSION, diarize_sounds, unit_vector, voice_masks
from voxdata.backends.diarization.nets import NUM_FEATURES, NUM_SLOTS
from voxdata.backends.diarization.speech_windows import NUM_FRAMES, WINDOW_SAMPLES
from voxdata.backends.filterbank import NUM_BANDS
from voxdata.ports import Diarization, Samples, Sound
from voxdata.sound import ArraySound

STEP = 40_000
AT = np.minimum(np.arange(NUM_FRAMES) * 270 + 495, WINDOW_SAMPLES - 1)


class NumberNets:
    """Gives voices their slots by first appearance in the window, as the real net does; all of them
    sound alike.
    """

    speech_batch = 4
    voice_batch = 2

    def __init__(self) -> None:
        self.heard: list[int] = []

    def speech(self, windows: np.ndarray) -> np.ndarray:
        self.heard.append(len(windows))
        found = np.zeros((len(windows), NUM_FRAMES, NUM_SLOTS), np.uint8)
        for window, mask in zip(windows, found, strict=True):
            numbers = np.rint(window[AT] * 10).astype(int)
            names = [n for n in dict.fromkeys(numbers.tolist()) if n > 0]
            for slot, name in enumerate(names[:NUM_SLOTS]):
                mask[numbers == name, slot] = 1
        return found

    def hear(self, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Negative numbers are people who may or may not speak."""
        return self.speech(windows), np.rint(windows[:, AT] * 10) < 0

    def voices(
        self,
        features: np.ndarray,
        masks: np.ndarray,
    ) -> np.ndarray:
        assert features.shape[1:] == (NUM_FEATURES, NUM_BANDS)
        assert masks.shape[1:] == (NUM_SLOTS, NUM_FRAMES)
        found = np.zeros((len(features), NUM_SLOTS, DIMENSION), np.float32)
        found[:, :, 0] = masks.any(axis=2)
        return found


def speech(*parts: tuple[int, float]) -> Samples:
    """(voice, seconds), voice 0 being silence."""
    return np.concatenate(
        [np.full(round(seconds * 16_000), voice / 10, np.float32) for voice, seconds in parts]
    )


def diarize(
    *sounds: Sound, nets: NumberNets | None = None, max_speakers: int | None = None
) -> list[Diarization]:
    return diarize_sounds(
        sounds,
        nets or NumberNets(),
        threshold=0.5,
        min_cluster_size=1,
        step_samples=STEP,
        max_speakers=max_speakers,
    )


def test_diarize_sounds_finds_a_lone_voice_within_a_frame() -> None:
    (diarization,) = diarize(
        ArraySound(
            speech(
                (0, 3),
                (2, 4),
                (0, 5),
            )
        )
    )
    (segment,) = diarization.segments
    assert segment.speaker == "S0"
    assert abs(segment.segment.start_ms - 3000) <= 34
    assert abs(segment.segment.end_ms - 7000) <= 34
    assert set(diarization.embeddings) == {"S0"}


def test_diarize_sounds_skips_silence() -> None:
    nets = NumberNets()
    (diarization,) = diarize(ArraySound(speech((0, 300))), nets=nets)
    assert diarization == Diarization(segments=(), embeddings={})
    assert nets.heard == []


def test_diarize_sounds_shares_batches_among_sounds() -> None:
    nets = NumberNets()
    sounds = [ArraySound(speech((1, 4))) for _ in range(5)]
    diarization = diarize(*sounds, nets=nets)
    assert nets.heard == [4, 1]
    assert diarization == diarize(sounds[0]) * 5


def test_diarize_sounds_of_nothing_gives_nothing() -> None:
    assert diarize() == []
    assert (
        diarize(ArraySound(np.zeros(0, np.float32)), ArraySound(speech((1, 2))))[0].segments == ()
    )


class CountingSound:
    def __init__(self, samples: Samples) -> None:
        self._samples = samples
        self.longest = 0

    @property
    def num_samples(self) -> int:
        return len(self._samples)

    def read(
        self,
        start: int = 0,
        stop: int | None = None,
    ) -> Samples:
        samples = self._samples[start:stop]
        self.longest = max(self.longest, len(samples))
        return samples


def test_diarize_sounds_reads_in_stretches() -> None:
    sound = CountingSound(speech(*[(1, 20.0), (0, 20.0)] * 10))
    (diarization,) = diarize(sound)
    assert len(diarization.segments) == 10
    assert sound.longest < 100 * 16_000


def test_diarize_sounds_with_one_speaker_detects_speech_and_its_voice() -> None:
    (diarization,) = diarize(
        ArraySound(
            speech(
                (1, 4),
                (2, 4),
                (0, 2),
                (2, 3),
            )
        ),
        max_speakers=1,
    )
    speakers = [s.speaker for s in diarization.segments]
    assert speakers == ["S0", "S0"]
    assert abs(diarization.segments[0].segment.end_ms - 8000) <= 34
    assert abs(np.linalg.norm(diarization.embeddings["S0"]) - 1) < 1e-6


def test_voice_masks_leaves_overlap_out_where_enough_is_left() -> None:
    mask = np.zeros((NUM_FRAMES, NUM_SLOTS), np.uint8)
    mask[:100, 0] = 1
    mask[90:110, 1] = 1
    mask[50:52, 2] = 1
    masks = voice_masks(mask)
    first, second, third = (np.nonzero(mask)[0].tolist() for mask in masks[:3])
    assert first == [*range(50), *range(52, 90)]
    assert second == list(range(100, 110))
    assert third == [50, 51]


def test_unit_vector_refuses_zero_and_nan() -> None:
    assert unit_vector(np.zeros(3)) == ()
    unit = unit_vector(np.array([1.0, np.nan]))
    assert unit == ()
    unit = unit_vector(np.array([3.0, 4.0]))
    assert unit == (0.6, 0.8)


def test_diarize_sounds_says_how_long_somebody_may_speak_when_no_turn_is_found() -> None:
    doubtful = np.zeros(30 * 16_000, np.float32)
    doubtful[16_000 * 12 : 16_000 * 14] = -0.1
    sounds = [ArraySound(doubtful), ArraySound(np.full(160_000, 1e-3, np.float32))]
    diarization, silent = diarize(*sounds)
    assert diarization.segments == ()
    assert diarization.doubtful_ms == pytest.approx(2_000, abs=40)
    assert silent.doubtful_ms == 0
