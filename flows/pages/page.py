"""Pages: one environment, one base template, one style sheet. No scripts, nothing to fetch."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup


def render_page(name: str, **values: Any) -> str:
    """A page of `templates/<name>.html.j2`; every text in it is escaped, but for pictures."""
    return _environment().get_template(f"{name}.html.j2").render(**values)


def picture(svg: str) -> Markup:
    """A picture of `plots` for a template, which escapes all else; matplotlib escaped its texts."""
    return Markup(svg)  # noqa: S704


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("flows.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
