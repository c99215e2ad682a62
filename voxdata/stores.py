"""What stores of files say when something is wrong, in one error tree."""

from __future__ import annotations

from voxdata.errors import ConfigError, MachineError, TransientError, VoxdataError
from voxdata.machine import find_fault

_REFUSED = ("NoCredentialsError", "PartialCredentialsError", "InvalidURL")


def explain_store(uri: str, error: Exception) -> VoxdataError:
    """A store's exception in our words: ours to retry, the operator's to mend, or this machine's
    fault.
    """
    fault = find_fault(error, place=uri) if isinstance(error, OSError | MachineError) else None
    if fault is not None:
        return fault
    kinds = {kind.__name__ for kind in type(error).__mro__}
    status = getattr(error, "status", None)
    if isinstance(error, PermissionError) or status in (401, 403) or kinds & set(_REFUSED):
        return ConfigError(f"{uri}: access is refused ({error}); check the credentials")
    if isinstance(error, ImportError | ValueError) and not isinstance(error, OSError):
        return ConfigError(f"{uri}: cannot be opened ({error})")
    return TransientError(f"{uri}: cannot be reached ({type(error).__name__}: {error}); try again")
