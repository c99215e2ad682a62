"""Read CTranslate2 Whisper weights as a Hugging Face encoder state dict, without CTranslate2."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from voxdata.errors import TrainingError

Array = npt.NDArray[Any]

_TYPES: dict[int, type[np.generic]] = {
    0: np.float32,
    1: np.int8,
    2: np.int16,
    3: np.int32,
    4: np.float16,
}
_LAYER = {
    "self_attention/layer_norm": "self_attn_layer_norm",
    "self_attention/linear_1": "self_attn.out_proj",
    "ffn/layer_norm": "final_layer_norm",
    "ffn/linear_0": "fc1",
    "ffn/linear_1": "fc2",
}
_PART = {"weight": "weight", "bias": "bias", "gamma": "weight", "beta": "bias"}


class _Cursor:
    """A place in a file of little-endian numbers, texts and arrays; it moves as they are read."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def number(self, code: str) -> int:
        """A whole number, by its code of `struct`."""
        (value,) = struct.unpack_from("<" + code, self._content, self._at)
        self._at += struct.calcsize("<" + code)
        return int(value)

    def text(self) -> str:
        """A text behind its length; it ends with a zero."""
        length = self.number("H")
        end = self._at + length
        text = self._content[self._at : end - 1]
        self._at = end
        return text.decode()

    def array(self) -> Array:
        """An array behind its rank, shape, type and size in bytes."""
        rank = self.number("B")
        shape = tuple(self.number("I") for _ in range(rank))
        dtype = np.dtype(_TYPES[self.number("B")])
        num_bytes = self.number("I")
        count = num_bytes // dtype.itemsize
        values = np.frombuffer(
            self._content,
            dtype,
            count=count,
            offset=self._at,
        )
        self._at += num_bytes
        return values.reshape(shape)


def read_ct2(content: bytes) -> dict[str, Array]:
    """The variables of a CTranslate2 `model.bin`, format 6.

    Raises:
        TrainingError: Another format, or cut short.
    """
    cursor = _Cursor(content)
    variables: dict[str, Array] = {}
    try:
        version = cursor.number("I")
        if version != 6:
            raise TrainingError(
                f"the packaged encoder is CTranslate2 format {version}; this release reads 6: "
                "install the locked packages"
            )
        cursor.text()
        cursor.number("I")
        num_variables = cursor.number("I")
        for _ in range(num_variables):
            name = cursor.text()
            variables[name] = cursor.array()
    except (struct.error, ValueError, KeyError, UnicodeDecodeError) as error:
        raise TrainingError(
            f"the packaged encoder is damaged ({error!r}); install its package again"
        ) from error
    return variables


def whisper_encoder_state(variables: dict[str, Array]) -> dict[str, torch.Tensor]:
    """The state of transformers' WhisperEncoder, float32; fused matrices are taken apart."""
    state: dict[str, torch.Tensor] = {}
    for name, array in variables.items():
        if not name.startswith("encoder/") or name == "encoder/num_heads":
            continue
        tensor = torch.from_numpy(array.astype(np.float32))
        path, part = name.removeprefix("encoder/").rsplit("/", 1)
        if path == "position_encodings":
            state["embed_positions.weight"] = tensor
        elif not path.startswith("layer_") or path == "layer_norm":
            state[f"{path}.{_PART[part]}"] = tensor
        else:
            layer, inner = path.removeprefix("layer_").split("/", 1)
            state |= _layer_state(f"layers.{layer}", inner, part, tensor)
    return state


def _layer_state(
    prefix: str, inner: str, part: str, tensor: torch.Tensor
) -> dict[str, torch.Tensor]:
    """What one variable of a layer is in transformers: itself, or queries, keys and values."""
    if inner != "self_attention/linear_0":
        return {f"{prefix}.{_LAYER[inner]}.{_PART[part]}": tensor}
    state: dict[str, torch.Tensor] = {}
    for letter, piece in zip("qkv", tensor.chunk(3), strict=True):
        # Keys have no bias in transformers.
        if (letter, part) != ("k", "bias"):
            state[f"{prefix}.self_attn.{letter}_proj.{part}"] = piece.clone()
    return state
