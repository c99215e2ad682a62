"""Chinese in one script, by OpenCC."""

from __future__ import annotations

from importlib.metadata import version

from voxdata.errors import BackendError
from voxdata.script import Script

CONFIGURATIONS = {"simplified": "t2s", "traditional": "s2t"}
"""Characters are exchanged, words are not: what was said stays what was said."""


def load_script(name: str) -> Script:
    """The script of that name.

    Args:
        name: "simplified" or "traditional".

    Raises:
        BackendError: OpenCC cannot be loaded.
    """
    try:
        from opencc import OpenCC

        converter = OpenCC(CONFIGURATIONS[name])
    except (ImportError, OSError, RuntimeError) as error:
        raise BackendError(
            f"OpenCC does not load ({error}); install from requirements.lock, "
            "or set [transcriber] chinese = 'as heard'"
        ) from error
    return Script(
        name=name,
        revision=f"opencc {version('opencc')}",
        convert=converter.convert,
    )
