"""Model backends, plugged in by name: built-ins and a stranger's backend use the same door."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from inspect import signature
from typing import Any

from voxdata.errors import BackendError

BUILT_IN = {
    ("diarizer", "pyannote"): "voxdata.backends.diarization.pyannote:PyannoteDiarizer",
    ("transcriber", "whisper"): "voxdata.backends.transcription.whisper:WhisperTranscriber",
    ("transcriber", "openai"): "voxdata.backends.transcription.openai:OpenAITranscriber",
    ("labeler", "similarity"): "voxdata.backends.labelling.similarity:SimilarityLabeler",
    ("labeler", "affect"): "voxdata.backends.labelling.affect:AffectLabeler",
    ("privacy_scanner", "spoken"): "voxdata.backends.privacy.spoken_scanner:SpokenScanner",
    (
        "fingerprinter",
        "chromaprint",
    ): "voxdata.backends.chromaprint_fingerprint:ChromaprintFingerprinter",
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
    target = BUILT_IN.get((port, name)) or next(
        (e.value for e in entry_points(group=f"voxdata.{port}") if e.name == name), None
    )
    if target is None and ":" in name:
        target = name
    if target is None:
        known = ", ".join(sorted(n for p, n in BUILT_IN if p == port))
        raise BackendError(
            f'no {port} backend is called {name!r}; built in: {known}, or give "module:Class"'
        )
    module, _, attribute = target.partition(":")
    try:
        factory = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, OSError) as error:
        raise BackendError(
            f"{port} backend {name!r} cannot be imported from {target} ({error}); run `voxdata doctor`"
        ) from error
    try:
        wanted = {
            name: value
            for name, value in (offers or {}).items()
            if name in signature(factory).parameters
        }
        return factory(**{**wanted, **options})
    except TypeError as error:
        raise BackendError(
            f"{port} backend {name!r}: {error}; check its table in voxdata.toml"
        ) from error
