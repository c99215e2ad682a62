"""Recipes of releases: [release] in voxdata.toml, or a file of the same keys."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import ValidationError

from flows.settings import ReleaseSettings, wrong_values
from flows.workspace import Workspace
from voxdata.errors import ConfigError, SchemeError
from voxdata.recipe import Recipe
from voxdata.scheme import find_scheme


def choose_recipe(workspace: Workspace, *, path: Path | None = None, where: str = "") -> Recipe:
    """The recipe of a release.

    Args:
        path: A TOML file whose keys override those of [release]; without one [release] is the
            recipe.
        where: An SQL condition that overrides the recipe's own.

    Raises:
        ConfigError: The file is missing, no TOML, has an unknown key or a wrong value, or names a
            scheme that is not there.
    """
    settings = (
        workspace.settings.release if path is None else _read(path, workspace.settings.release)
    )
    recipe = settings.recipe if not where else settings.model_copy(update={"where": where}).recipe
    for name in (*recipe.schemes, *recipe.phrases):
        try:
            find_scheme(workspace.schemes, name)
        except SchemeError as error:
            raise ConfigError(
                f"{path or 'voxdata.toml'}: the recipe names a scheme that is not there: {error}"
            ) from error
    return recipe


def _read(path: Path, base: ReleaseSettings) -> ReleaseSettings:
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path}: cannot be read ({error}); --recipe names a TOML file"
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    try:
        return ReleaseSettings.model_validate({**base.model_dump(exclude_unset=True), **given})
    except ValidationError as error:
        raise wrong_values(error, origin=str(path)) from error
