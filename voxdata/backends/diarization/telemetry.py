"""pyannote.audio without its telemetry."""

from __future__ import annotations

import os
import warnings


def import_pyannote() -> None:
    """Import pyannote.audio with its telemetry off.

    It reads the switch from the environment while it is imported, and sends unless told otherwise:
    hence the one exception to the rule that this package leaves the environment alone
    (docs/decisions/0004-env-in-backends.md).
    """
    os.environ["PYANNOTE_METRICS_ENABLED"] = "0"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pyannote.audio  # noqa: F401
