"""Read CTranslate2 Whisper weights as a Hugging Face encoder state dict, without CTranslate2."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from voxdata.errors import TrainingError

Array = npt.NDArray[Any]

_TYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}
_LAYER = {
    "self_attention/layer_norm": "self_attn_layer_norm",
    "self_attention/linear_1": "self_attn.out_proj",
    "ffn/layer_norm": "final_layer_norm",
    "ffn/linear_0": "fc1",
    "ffn/linear_1": "fc2",
}
_PART = {"weight": "weight", "bias": "bias", "gamma": "weight", "beta": "bias"}


def read_ct2(content: bytes) -> dict[str, Array]:
    """The variables of a CTranslate2 `model.bin`, format 6.

    Raises:
        TrainingError: Another format, or cut short.
    """
    at = 0

    def number(code: str) -> int:
        nonlocal at
        value = struct.unpack_from("<" + code, content, at)[0]
        at += struct.calcsize("<" + code)
        return int(value)

    def text() -> str:
        nonlocal at
        length = number("H")
        value = content[at : at + length - 1].decode()
        at += length
        return value

    variables: dict[str, Array] = {}
    try:
        version = number("I")
        if version != 6:
            raise TrainingError(
                f"the packaged encoder is CTranslate2 format {version}; this release reads 6: install the locked packages"
            )
        text(), number("I")
        for _ in range(number("I")):
            name = text()
            shape = tuple(number("I") for _ in range(number("B")))
            dtype, size = np.dtype(_TYPES[number("B")]), number("I")
            variables[name] = np.frombuffer(
                content, dtype, count=size // dtype.itemsize, offset=at
            ).reshape(shape)
            at += size
    except (struct.error, ValueError, KeyError, UnicodeDecodeError) as error:
        raise TrainingError(
            f"the packaged encoder is damaged ({error!r}); install its package again"
        ) from error
    return variables


def whisper_encoder_state(variables: dict[str, Array]) -> dict[str, torch.Tensor]:
    """The state dict of transformers' WhisperEncoder, float32; fused query/key/value matrices are taken apart."""
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
            layer, inner = path.split("/", 1)
            prefix = f"layers.{layer.removeprefix('layer_')}"
            if inner == "self_attention/linear_0":
                for key, piece in zip("qkv", tensor.chunk(3), strict=True):
                    if (key, part) != ("k", "bias"):
                        state[f"{prefix}.self_attn.{key}_proj.{part}"] = piece.clone()
            else:
                state[f"{prefix}.{_LAYER[inner]}.{_PART[part]}"] = tensor
    return state
