"""The documents are true: every command, option and setting is in them, and every command they show
exists.
"""

import itertools
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import get_args

import click
import pytest
import typer.main
from pydantic import BaseModel

from flows.cli.exchange import Source
from flows.cli.main import app
from flows.settings import BackendSettings, Settings, parse_settings, template
from warehouse.exchange.formats import BUILT_IN, TABLES

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
GROUP_OPTIONS = {"--dir", "-C"}
NUMBER_WORDS = ("six", "seven", "eight", "nine", "ten", "eleven", "twelve")


def shown_commands() -> list[tuple[str, str]]:
    """(page, command line) for every `voxdata ...` line inside a code block."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        blocks = re.findall(r"```(?:bash|sh)?\n(.*?)```", text, re.DOTALL) + re.findall(
            r"(?:^    .*\n)+", text, re.MULTILINE
        )
        for line in "\n".join(blocks).splitlines():
            if line.strip().startswith("voxdata "):
                found.append((page.name, line.split("#")[0].strip()))
    return found


def commands_with_rows() -> dict[str, click.Command]:
    """Every command that does something, as it is typed: `release`, `voices`, `voices merge`."""
    typed = {}
    for name, command in COMMANDS.items():
        below = getattr(command, "commands", {})
        if not below or getattr(command, "invoke_without_command", False):
            typed[name] = command
        typed |= {f"{name} {word}": part for word, part in below.items()}
    return typed


def rows_of(name: str) -> list[str]:
    """A command's row in the table of commands, and the rows of its options below it."""
    lines = (ROOT / "docs/cli.md").read_text(encoding="utf-8").splitlines()
    start = next(
        (n for n, line in enumerate(lines) if re.match(rf"\| `voxdata {name}[ `]", line)),
        None,
    )
    if start is None:
        return []
    below = itertools.takewhile(lambda line: line.startswith("| `--"), lines[start + 1 :])
    return [lines[start], *below]


@pytest.mark.parametrize("name", sorted(commands_with_rows()))
def test_cli_page_lists_every_command(name: str) -> None:
    assert rows_of(name)


@pytest.mark.parametrize("name", sorted(commands_with_rows()))
def test_cli_page_lists_every_option(name: str) -> None:
    parameters = commands_with_rows()[name].params
    options = set()
    for p in parameters:
        for o in p.opts:
            if o.startswith("--") and o not in {"--json", "--help"}:
                options.add(o)
    shown = set(re.findall(r"--[a-z-]+", " ".join(row.split(" | ")[0] for row in rows_of(name))))
    assert options - shown == set()
    assert shown - options == set()


def test_pages_show_commands() -> None:
    assert len(shown_commands()) > 10


@pytest.mark.parametrize(("page", "line"), shown_commands())
def test_every_command_shown_exists(page: str, line: str) -> None:
    words = shlex.split(line)[1:]
    while words and words[0] in GROUP_OPTIONS:
        words = words[2:]
    assert words, f"{page}: {line}"
    assert words[0] in COMMANDS, f"{page}: {line}"
    command = COMMANDS[words.pop(0)]
    if words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    options = set(itertools.chain.from_iterable(parameter.opts for parameter in command.params))
    assert [w for w in words if w.startswith("--") and w not in options] == [], f"{page}: {line}"


def setting_keys(model: type[BaseModel], prefix: str) -> list[str]:
    return [f"{prefix}.{name}" for name in model.model_fields]


def all_setting_keys() -> list[str]:
    keys: list[str] = []
    for name, field in Settings.model_fields.items():
        if name == "schemes" or not isinstance(field.annotation, type):
            continue
        if field.annotation is BackendSettings:
            keys.append(f"{name}.backend")
        else:
            keys += setting_keys(field.annotation, name)
    return keys


@pytest.mark.parametrize("key", all_setting_keys())
def test_settings_page_lists_every_setting(key: str) -> None:
    assert f"`{key}`" in (ROOT / "docs/settings.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["voxdata.toml", "demo/voxdata.toml"])
def test_shipped_settings_are_valid(name: str) -> None:
    assert parse_settings(template(name), origin=name).schemes


def quoted(text: str) -> list[str]:
    """What stands between backticks, options left out."""
    words = re.findall(r"`([^`]+)`", text)
    return [word for word in words if not word.startswith("--")]


def first_cells(page: str, heading: str) -> list[str]:
    """What the first column of a table names between backticks."""
    _, _, table = (ROOT / page).read_text(encoding="utf-8").partition(f"{heading}\n")
    rows = itertools.takewhile(lambda line: line.startswith("|"), table.splitlines())
    cells: list[str] = []
    for row in rows:
        cells += quoted(row.split("|")[1])
    return cells


def test_pages_name_every_export_format_and_no_other() -> None:
    formats = [*TABLES, *BUILT_IN]
    (row,) = [row for row in rows_of("export") if "`--format FORMAT`" in row]
    assert quoted(row.split("|")[2]) == formats
    assert first_cells("docs/exchange.md", "| format | is read by | clips |") == formats
    number = NUMBER_WORDS[len(formats) - 6]
    assert f"[{number} formats](docs/exchange.md)" in (ROOT / "README.md").read_text("utf-8")


def test_pages_name_every_format_that_is_imported() -> None:
    formats = [name for name in get_args(Source) if name != "auto"]
    assert first_cells("docs/exchange.md", "| `--format` | reads |") == formats


def test_every_link_between_pages_leads_somewhere() -> None:
    broken = []
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            if not (page.parent / target).exists():
                broken.append((page.name, target))
    assert broken == []


def test_first_screen_of_readme_has_the_two_commands() -> None:
    block = re.search(
        r"(?:^    .*\n)+",
        (ROOT / "README.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    assert block is not None
    assert [line.split("#")[0].strip() for line in block.group().strip().splitlines()] == [
        "make demo",
        "make test",
    ]


def test_no_page_repeats_a_paragraph_of_another() -> None:
    seen: dict[str, str] = {}
    repeated = []
    for page in PAGES:
        for paragraph in re.split(r"\n\s*\n", page.read_text(encoding="utf-8")):
            text = " ".join(paragraph.split())
            if len(text) > 120 and text in seen:
                repeated.append((page.name, seen[text], text[:60]))
            seen.setdefault(text, page.name)
    assert repeated == []


def test_examples_in_docstrings_of_every_package_are_tests() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    settings = tomllib.loads(text)
    packages = settings["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    options = settings["tool"]["pytest"]["ini_options"]
    assert "--doctest-modules" in options["addopts"].split()
    assert set(packages) <= set(options["testpaths"])


def test_pytest_runs_the_examples_of_a_module() -> None:
    words = [
        sys.executable,
        "-m",
        "pytest",
        "-v",
        "-p",
        "no:cacheprovider",
        "voxdata/fingerprint.py",
    ]
    done = subprocess.run(
        words,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "voxdata.fingerprint.longest_match PASSED" in done.stdout
