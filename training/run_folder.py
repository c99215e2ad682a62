"""What lies in the folder of a run; to look for the files needs no model framework."""

from __future__ import annotations

from pathlib import Path


def state_file(output: Path) -> Path:
    """Where a run under way keeps how far it has come; a run that is done has none."""
    return output / "state" / "fit.pt"
