"""The errors of file stores, told in our own error tree."""

from __future__ import annotations

from voxdata.errors import ConfigError, MachineError, StalledError, TransientError, VoxdataError
from voxdata.machine import find_fault

_STALLS = ("TimeoutError", "ReadTimeoutError", "ConnectTimeoutError")
"""What stores raise when nothing comes; botocore's are no `TimeoutError`."""

_REFUSED = ("NoCredentialsError", "PartialCredentialsError", "InvalidURL")


def explain_store(uri: str, error: Exception) -> VoxdataError:
    """A store's exception as one of ours.

    It is ours to retry, the operator's to fix, or this machine's fault.
    """
    if isinstance(error, OSError | MachineError):
        fault = find_fault(error, place=uri)
        if fault is not None:
            return fault

    if _is_named(error, _STALLS):
        return StalledError(
            f"{uri}: nothing came of it for as long as [sources] fetch_stall_seconds allows; "
            "it waits for another run"
        )
    if _is_refused(error):
        return ConfigError(f"{uri}: access is refused ({error}); check the credentials")
    if isinstance(error, ImportError | ValueError) and not isinstance(error, OSError):
        return ConfigError(f"{uri}: cannot be opened ({error})")
    kind = type(error).__name__
    return TransientError(f"{uri}: cannot be reached ({kind}: {error}); try again")


def _is_refused(error: Exception) -> bool:
    if isinstance(error, PermissionError):
        return True
    if getattr(error, "status", None) in (401, 403):
        return True
    return _is_named(error, _REFUSED)


def _is_named(error: Exception, names: tuple[str, ...]) -> bool:
    """Whether an error is of a class with one of these names: its library need not be installed."""
    return any(kind.__name__ in names for kind in type(error).__mro__)
