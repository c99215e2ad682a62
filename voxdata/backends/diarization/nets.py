"""The two networks of diarization: speech activity and voices.

Each is a function on a batch of windows.

On a CPU they run in ONNX Runtime on one thread, exported from the packaged weights at first use; on
a GPU in torch, at half precision. Batches always have the same shape: a window's answer depends
neither on its neighbours nor on how many there are.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from voxdata.backends.diarization.speech_windows import NUM_FRAMES, WINDOW_SAMPLES
from voxdata.backends.filterbank import FRAME_SAMPLES, HOP_SAMPLES, NUM_BANDS
from voxdata.backends.weights import revision
from voxdata.durable import write_file
from voxdata.errors import BackendError, MachineError

Floats = npt.NDArray[np.float32]
Bits = npt.NDArray[np.uint8]
"""0 and 1."""

Flags = npt.NDArray[np.bool_]

NUM_SLOTS = 3
NUM_FEATURES = 1 + (WINDOW_SAMPLES - FRAME_SAMPLES) // HOP_SAMPLES
POWERSET = np.array(
    [
        [0, 0, 0],
        [1, 0, 0],
        [0, 1, 0],
        [0, 0, 1],
        [1, 1, 0],
        [1, 0, 1],
        [0, 1, 1],
    ],
    np.uint8,
)
"""Class of segmentation-3.0 -> which of three slots speak."""

DOUBT_FROM = 0.3
"""From this probability of speech on somebody may speak; white noise stays under 0.15."""

EXPORT_VERSION = 1
"""Raise it when the exported graphs change though the weights do not."""


class DiarizationNets(Protocol):
    """What `fast_diarization` computes with."""

    speech_batch: int
    voice_batch: int

    def speech(self, windows: Floats) -> Bits:
        """Who speaks when, in at most `speech_batch` windows.

        (n, WINDOW_SAMPLES) float32 -> (n, NUM_FRAMES, 3) of 0 and 1.
        """

    def hear(self, windows: Floats) -> tuple[Bits, Flags]:
        """As `speech`, and (n, NUM_FRAMES): where somebody may speak."""

    def voices(self, features: Floats, masks: Bits) -> Floats:
        """Who they are, in at most `voice_batch` windows.

        (n, NUM_FEATURES, 80) centred, (n, 3, NUM_FRAMES) -> (n, 3, 192).
        """


class OnnxNets:
    """`DiarizationNets` on one CPU thread.

    Args:
        cache_dir: Where the exported graphs are kept; None exports them again in every process,
            which takes 4 s.
    """

    # On one core: speech costs 35, 31, 56 ms per window in batches of 1, 8, 32; the trunk is
    # fastest while one window fits the cache.
    speech_batch = 8
    voice_batch = 1

    def __init__(self, cache_dir: Path | None = None) -> None:
        self._speech = _open_graph("segmentation-3.0", cache_dir)
        self._voices = _open_graph("cam++", cache_dir)

    def speech(self, windows: Floats) -> Bits:
        """See `DiarizationNets.speech`."""
        return self.hear(windows)[0]

    def hear(self, windows: Floats) -> tuple[Bits, Flags]:
        """See `DiarizationNets.hear`."""
        filled = _fill(windows, self.speech_batch)
        (scores,) = self._speech.run(None, {"windows": filled[:, None]})
        return _read_scores(scores[: len(windows)])

    def voices(self, features: Floats, masks: Bits) -> Floats:
        """See `DiarizationNets.voices`."""
        inputs = {
            "features": _fill(features, self.voice_batch),
            "masks": _fill(masks.astype(np.float32), self.voice_batch),
        }
        (outputs,) = self._voices.run(None, inputs)
        embeddings: Floats = outputs[: len(features)]
        return embeddings


class TorchNets:
    """`DiarizationNets` in torch, for a GPU.

    Args:
        device: Such as "cuda"; half precision is used on CUDA only.
    """

    speech_batch = 64
    voice_batch = 64

    def __init__(self, device: str) -> None:
        import torch

        self._device = torch.device(device)
        self._speech = _load_module("segmentation-3.0").to(self._device)
        self._voices = _load_module("cam++").to(self._device)

    def speech(self, windows: Floats) -> Bits:
        """See `DiarizationNets.speech`."""
        return self.hear(windows)[0]

    def hear(self, windows: Floats) -> tuple[Bits, Flags]:
        """See `DiarizationNets.hear`."""
        filled = _fill(windows, self.speech_batch)
        scores = self._run(self._speech, filled[:, None])
        return _read_scores(scores[: len(windows)])

    def voices(self, features: Floats, masks: Bits) -> Floats:
        """See `DiarizationNets.voices`."""
        embeddings = self._run(
            self._voices,
            _fill(features, self.voice_batch),
            _fill(masks, self.voice_batch),
        )
        return embeddings[: len(features)]

    def _run(self, module: Any, *inputs: npt.NDArray[Any]) -> Floats:
        import torch

        tensors = [torch.from_numpy(x).to(self._device) for x in inputs]
        half = self._device.type == "cuda"
        try:
            with (
                torch.inference_mode(),
                torch.autocast(self._device.type, torch.float16, enabled=half),
            ):
                outputs: Floats = module(*tensors).float().cpu().numpy()
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise BackendError(
                f"diarization failed on {self._device} ({reason}); "
                'free its memory, or set device = "cpu"'
            ) from error
        return outputs


def has_cuda() -> bool:
    """Whether torch can use a GPU here.

    Asks the driver first: importing torch costs seconds and 200 MB that a CPU run does not need.
    """
    if not any(Path(f"/dev/{name}").exists() for name in ("nvidiactl", "dxg", "kfd")):
        return False
    import torch

    return torch.cuda.is_available()


def _read_scores(scores: Floats) -> tuple[Bits, Flags]:
    """Masks of the likeliest class, and where silence is not all but certain.

    Args:
        scores: (n, NUM_FRAMES, 7) logarithms of probabilities; the first class is silence.
    """
    likeliest = scores.argmax(axis=-1)
    masks = np.asarray(POWERSET[likeliest])
    silence = scores[..., 0]
    doubtful = np.asarray(silence <= np.log(1 - DOUBT_FROM))
    return masks, doubtful


def _fill(rows: npt.NDArray[Any], count: int) -> npt.NDArray[Any]:
    """(count, ...): the rows, and zeros after them."""
    if len(rows) == count:
        return np.ascontiguousarray(rows)
    filled = np.zeros((count, *rows.shape[1:]), rows.dtype)
    filled[: len(rows)] = rows
    return filled


def _load_module(name: str) -> Any:
    """A network in torch, in evaluation mode, on the CPU."""
    from voxdata.backends.diarization.telemetry import import_pyannote
    from voxdata.backends.weights import locate

    if name == "cam++":
        from voxdata.backends.diarization.campplus import MaskedCamPlusPlus

        return MaskedCamPlusPlus().eval()
    import_pyannote()
    from pyannote.audio import Model

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # The file's hash was checked: it is a pickle, and only this one is ever loaded.
        model: Any = Model.from_pretrained(locate(name))
    return model.eval()


def _open_graph(name: str, cache_dir: Path | None) -> Any:
    """An ONNX Runtime session on one thread."""
    if cache_dir is None:
        return _open_session(_export(name), name)
    version = revision(name, *(["cam++.code"] if name == "cam++" else []))
    path = cache_dir / f"{name}-{version}-{EXPORT_VERSION}.onnx"
    try:
        return _open_session(path.read_bytes(), name)
    except (FileNotFoundError, BackendError):
        graph = _export(name)
        _write_cache(path, graph)
        return _open_session(graph, name)


def _open_session(graph: bytes, name: str) -> Any:
    import onnxruntime  # type: ignore[import-untyped]

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise BackendError(
            f"the exported graph of {name!r} cannot be opened ({reason}); delete it"
        ) from error


def _export(name: str) -> bytes:
    import torch

    module = _load_module(name)
    examples: tuple[Any, ...]
    names: Sequence[str]
    if name == "cam++":
        count = OnnxNets.voice_batch
        examples, names = (
            (torch.randn(count, NUM_FEATURES, NUM_BANDS), torch.ones(count, NUM_SLOTS, NUM_FRAMES)),
            ["features", "masks"],
        )
    else:
        examples, names = (torch.randn(OnnxNets.speech_batch, 1, WINDOW_SAMPLES),), ["windows"]
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        path = Path(folder) / "graph.onnx"
        torch.onnx.export(
            module,
            examples,
            path,
            input_names=names,
            output_names=["found"],
            opset_version=17,
            dynamo=False,
        )
        return path.read_bytes()


def _write_cache(path: Path, content: bytes) -> None:
    """Several workers may write at once; each file is whole.

    A cache that cannot be written is no error.
    """
    with suppress(MachineError):
        write_file(path, content)
