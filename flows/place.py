"""Place: the folder that holds a voxdata.toml, found as a person would expect it."""

from __future__ import annotations

from pathlib import Path

from voxdata.errors import ConfigError

FILE_NAME = "voxdata.toml"


DEMO_DIR = "voxdata-demo"


def find_workspace(start: Path, *, explicit: Path | None = None) -> Path:
    """The folder whose voxdata.toml applies.

    Args:
        start: Where the user is; it and its parents are searched, then the demo's folder below it.
        explicit: A folder given by the user (--dir or VOXDATA_DIR); nothing else is searched then.

    Raises:
        ConfigError: There is none.
    """
    if explicit is not None:
        if (explicit / FILE_NAME).is_file():
            return explicit.resolve()
        raise ConfigError(
            f"{explicit} holds no {FILE_NAME}; make one with `voxdata init {explicit}`"
        )
    for folder in (start, *start.parents):
        if (folder / FILE_NAME).is_file():
            return folder.resolve()
    if (start / DEMO_DIR / FILE_NAME).is_file():
        return (start / DEMO_DIR).resolve()
    raise ConfigError(
        f"no {FILE_NAME} here or above; make one with `voxdata init`, name a folder with --dir, "
        "or try `voxdata demo`"
    )
