from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from flows.demo.samples import sample_paths
from voxdata.backends.diarization.nets import NUM_FEATURES, OnnxNets, TorchNets
from voxdata.backends.diarization.speech_windows import NUM_FRAMES, WINDOW_SAMPLES
from voxdata.backends.filterbank import filterbank

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("graphs")


@pytest.fixture(scope="module")
def nets(cache: Path) -> OnnxNets:
    return OnnxNets(cache)


@pytest.fixture(scope="module")
def windows() -> np.ndarray:
    """(8, WINDOW_SAMPLES): windows of the sample conversation."""
    samples, _ = soundfile.read(sample_paths()[0], dtype="float32")
    return np.stack(
        [samples[start : start + WINDOW_SAMPLES] for start in range(0, 8 * 40_000, 40_000)]
    )


def centred(windows: np.ndarray) -> np.ndarray:
    rows = [filterbank(window) for window in windows]
    return np.stack([row - row.mean(axis=0) for row in rows])


def test_speech_does_not_depend_on_the_batch(nets: OnnxNets, windows: np.ndarray) -> None:
    together = nets.speech(windows)
    assert together.shape == (8, NUM_FRAMES, 3)
    assert np.array_equal(nets.speech(windows[::-1])[::-1], together)
    for i in range(8):
        alone = nets.speech(windows[i : i + 1])
        assert np.array_equal(alone[0], together[i])


def test_speech_hears_nobody_in_silence(nets: OnnxNets) -> None:
    assert not nets.speech(np.zeros((1, WINDOW_SAMPLES), np.float32)).any()


def test_voices_pools_each_mask_by_itself(nets: OnnxNets, windows: np.ndarray) -> None:
    features = centred(windows[4:5])
    masks = np.zeros((1, 3, NUM_FRAMES), np.uint8)
    masks[0, 0, :300] = masks[0, 1, 300:] = 1
    both = nets.voices(features, masks)
    masks[0, 1] = 0
    assert np.array_equal(nets.voices(features, masks)[0, 0], both[0, 0])
    assert features.shape[1] == NUM_FEATURES
    assert not np.allclose(both[0, 0], both[0, 1])


def test_torch_and_onnx_agree(nets: OnnxNets, windows: np.ndarray) -> None:
    torch_nets = TorchNets("cpu")
    torch_nets.speech_batch = torch_nets.voice_batch = 2
    masks = nets.speech(windows[:2])
    assert (torch_nets.speech(windows[:2]) == masks).mean() > 0.999
    features = centred(windows[:2])
    ours = np.stack(
        [nets.voices(features[i : i + 1], masks[i : i + 1].transpose(0, 2, 1))[0] for i in range(2)]
    )
    theirs = torch_nets.voices(features, masks.transpose(0, 2, 1))
    assert np.abs(theirs - ours).max() < 1e-3


def test_graphs_are_exported_once_and_made_anew_when_damaged(
    nets: OnnxNets, cache: Path, windows: np.ndarray
) -> None:
    files = sorted(cache.iterdir())
    assert [path.suffix for path in files] == [".onnx", ".onnx"]
    whole = [path.read_bytes() for path in files]
    files[1].write_bytes(whole[1][:1000])
    again = OnnxNets(cache)
    assert np.array_equal(again.speech(windows), nets.speech(windows))
    contents = [path.read_bytes() for path in sorted(cache.iterdir())]
    assert contents == whole
