"""Model backends, plugged in by name: built-ins and a stranger's backend use the same door."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from inspect import signature
from typing import Any

from voxdata.errors import BackendError
from voxdata.outside import outside_parts

_CHROMAPRINT = "voxdata.backends.chromaprint_fingerprint"

BUILT_IN = {
    ("diarizer", "pyannote"): "voxdata.backends.diarization.pyannote:PyannoteDiarizer",
    ("transcriber", "whisper"): "voxdata.backends.transcription.whisper:WhisperTranscriber",
    ("transcriber", "openai"): "voxdata.backends.transcription.openai:OpenAITranscriber",
    ("labeler", "similarity"): "voxdata.backends.labelling.similarity:SimilarityLabeler",
    ("labeler", "affect"): "voxdata.backends.labelling.affect:AffectLabeler",
    ("privacy_scanner", "spoken"): "voxdata.backends.privacy.spoken_scanner:SpokenScanner",
    ("fingerprinter", "chromaprint"): f"{_CHROMAPRINT}:ChromaprintFingerprinter",
    ("mos_predictor", "dnsmos"): "voxdata.backends.dnsmos:DnsMos",
}
"""(port, name) -> "module:Class"."""


def load_backend(
    port: str, name: str, *, offers: Mapping[str, Any] | None = None, **options: Any
) -> Any:
    """Build the backend called `name` for a port.

    Args:
        port: "diarizer", "transcriber", "labeler", "privacy_scanner" or "mos_predictor".
        name: A built-in, an entry point of group "voxdata.<port>", or "their_module:TheirClass"
            from the operator's own settings. Never take it from a downloaded file.
        offers: What there is for whoever wants it, such as a cache folder or a key: an argument of
            the class that is called so gets it, unless an option says otherwise.
        options: Passed to the class.

    Raises:
        BackendError: Unknown name, import failure or unknown option; the message says which and
            what there is.
    """
    target = _find_target(port, name)
    module, _, attribute = target.partition(":")
    try:
        factory = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, OSError) as error:
        raise BackendError(
            f"{port} backend {name!r} cannot be imported from {target} ({error}); "
            "run `voxdata doctor`"
        ) from error
    try:
        arguments: dict[str, Any] = {}
        for argument, value in (offers or {}).items():
            if argument in signature(factory).parameters:
                arguments[argument] = value
        arguments |= options
        return factory(**arguments)
    except TypeError as error:
        raise BackendError(
            f"{port} backend {name!r}: {error}; check its table in voxdata.toml"
        ) from error


def _find_target(port: str, name: str) -> str:
    """The "module:Class" of a backend."""
    built_in = BUILT_IN.get((port, name))
    if built_in is not None:
        return built_in
    outside = outside_parts(f"voxdata.{port}").get(name)
    if outside is not None:
        return outside
    if ":" in name:
        return name
    names = ", ".join(sorted(known for kind, known in BUILT_IN if kind == port))
    raise BackendError(
        f'no {port} backend is called {name!r}; built in: {names}, or give "module:Class"'
    )
