"""voxdata: the open data loop for voice models.

This package is the pure core: values, interval algebra, audio access, ports and model backends. It
also hands out what scripts and notebooks need, as the installed application has it:

    import voxdata

    workspace = voxdata.open_workspace("calls")
    table = voxdata.load_version(workspace, "calls")
"""

from importlib import import_module as _import_module

__version__ = "0.1.0"

__all__ = [
    "RATE_HZ",
    "Audit",
    "Example",
    "Workspace",
    "audit_table",
    "iter_examples",
    "load_version",
    "open_workspace",
]


def __getattr__(name: str) -> object:
    # By name, when asked for: the core itself knows nothing of what is built on it.
    if name in __all__:
        return getattr(_import_module("flows.public"), name)
    raise AttributeError(f"module 'voxdata' has no attribute {name!r}")
