"""Commands about dataset versions: cut, list, compare, name, verify, go back."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.console import (
    Json,
    Row,
    field_rows,
    open_here,
    run_named,
    show_json,
    show_result,
    show_rows,
    show_tables,
    tell,
)
from voxdata.errors import ConfigError

if TYPE_CHECKING:
    from flows.retrain.model_check import ModelCheck
    from flows.stored_audio import AudioReport
    from flows.workspace import Workspace
    from voxdata.recipe import Recipe

Version = Annotated[
    str,
    typer.Argument(
        metavar="VERSION", help="A version: name, name@2, a tag or the start of its id."
    ),
]


RecipeOption = Annotated[
    Path | None,
    typer.Option(
        "--recipe",
        metavar="FILE",
        help="A TOML file with the keys of [release], which it overrides.",
    ),
]
WhereOption = Annotated[
    str,
    typer.Option(
        "--where",
        metavar="SQL",
        help="Take only utterances for which this SQL condition holds.",
    ),
]
DryRunOption = Annotated[
    bool,
    typer.Option("--dry-run", help="Show counts, minutes and class balance; write nothing."),
]
AcceptLossesOption = Annotated[
    bool,
    typer.Option(
        "--accept-losses",
        help="Go on when a split loses all it held in the version before, or all of a label.",
    ),
]
NewOption = Annotated[
    bool,
    typer.Option(
        "--new", help="Start a dataset although its name is nearly that of an existing one."
    ),
]


def release(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="The dataset, such as calls.")],
    recipe: RecipeOption = None,
    where: WhereOption = "",
    dry_run: DryRunOption = False,
    accept_losses: AcceptLossesOption = False,
    new: NewOption = False,
    as_json: Json = False,
) -> None:
    """Cut an immutable dataset version from the votes there are; training starts by itself when
    `voxdata up` runs.
    """
    from flows.pages.views import version_row
    from flows.release.recipes import choose_recipe
    from warehouse.versions import find_version

    workspace = open_here(ctx)
    chosen = choose_recipe(workspace, path=recipe, where=where)
    if dry_run:
        _preview_release(workspace, name, chosen, new=new, as_json=as_json)
        return
    run_named(
        workspace,
        "release",
        name,
        "" if recipe is None else str(recipe.absolute()),
        where,
        accept_losses,
        new,
    )
    with workspace.warehouse(read_only=True) as con:
        row = version_row(find_version(con, name))
    show_result("release", row, as_json=as_json)


def _preview_release(
    workspace: Workspace, name: str, recipe: Recipe, *, new: bool, as_json: bool
) -> None:
    from flows.release.flow import check_dataset_name, preview_version

    with workspace.warehouse(read_only=True) as con:
        remark = check_dataset_name(con, name, project=workspace.settings.project.name, new=new)
    if remark:
        tell(f"release: {remark}")
    preview = preview_version(workspace, name, recipe)
    if as_json:
        show_json(preview)
    else:
        _show_preview(preview)


def versions(ctx: typer.Context, as_json: Json = False) -> None:
    """List dataset versions with their tags."""
    from flows.pages.views import version_row
    from warehouse.tags import list_tags
    from warehouse.versions import list_versions

    with open_here(ctx).warehouse(read_only=True) as con:
        tags = list_tags(con)
        rows = [
            {**version_row(version), "tags": " ".join(tags.get(version.ref, ()))}
            for version in list_versions(con)
        ]
    show_result(
        "versions", rows, as_json=as_json, then="`voxdata release NAME` cuts one from the votes"
    )


def show(ctx: typer.Context, version: Version, as_json: Json = False) -> None:
    """Show what a version holds: its recipe, how much of each label in each split, its models and
    leaks known today.
    """
    from flows.pages.version_view import describe_version
    from warehouse.versions import find_version

    with open_here(ctx).warehouse(read_only=True) as con:
        description = describe_version(con, find_version(con, version))
    plain = {
        name: value for name, value in description.items() if not isinstance(value, (dict, list))
    }
    tables = {str(description["version"]): field_rows(plain)}
    for name, value in description.items():
        if isinstance(value, dict) and value:
            tables[name] = field_rows(value)
        elif isinstance(value, list) and value:
            tables[name] = value
    show_tables(tables, exact=description, as_json=as_json)


def diff(
    ctx: typer.Context,
    a: Annotated[
        str,
        typer.Argument(metavar="A", help="A version: name, name@2, a tag or the start of its id."),
    ],
    b: Annotated[str, typer.Argument(metavar="B", help="The version to compare with.")],
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write a page with a picture of it, too."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare two dataset versions: added, removed, relabelled and moved examples, by label and by
    minute.
    """
    from flows.locks import copying
    from flows.pages.diff_page import write_diff_page
    from flows.pages.version_view import diff_tables, example_tables
    from warehouse.diffs import diff_versions
    from warehouse.versions import find_version

    workspace = open_here(ctx)
    with copying(workspace, say=tell):
        with workspace.warehouse(read_only=True) as con:
            before, after = find_version(con, a), find_version(con, b)
            difference = diff_versions(con, before.version_id, after.version_id)
            examples = example_tables(con, before, after, difference) if html is not None else {}
        if html is not None:
            write_diff_page(
                html, before, after, difference, examples=examples, register=workspace.written
            )
            tell(f"diff: {html}")
    tables = diff_tables(difference)
    titled = {f"{before.ref} -> {after.ref}: {name}": rows for name, rows in tables.items() if rows}
    show_tables(titled, exact=tables, as_json=as_json)
    if not titled and not as_json:
        tell(f"diff: {before.ref} and {after.ref} hold the same examples and labels")


def tag(
    ctx: typer.Context,
    version: Version,
    name: Annotated[
        str, typer.Argument(metavar="TAG", help="Its second name, given once and permanently.")
    ],
) -> None:
    """Give a version a second name."""
    from warehouse.tags import add_tag
    from warehouse.versions import find_version

    workspace = open_here(ctx)
    with workspace.warehouse() as con:
        tagged = find_version(con, version)
        new = add_tag(con, name, tagged, run_id=workspace.run_id)
    tell(
        f"tag: {name} {'now names' if new else 'already names'} {tagged.ref} "
        f"({tagged.version_id[:12]})"
    )


def rollback(ctx: typer.Context, version: Version, as_json: Json = False) -> None:
    """Make an earlier version's content the next version; nothing is undone."""
    from flows.pages.views import version_row
    from flows.signing.sign import sign_version, try_signing
    from warehouse.rollback import roll_back
    from warehouse.versions import find_version

    workspace = open_here(ctx)
    with workspace.warehouse() as con:
        target = find_version(con, version)
        restored, new = roll_back(con, target, run_id=workspace.run_id)
    if new:
        try_signing(restored.ref, lambda: sign_version(workspace, restored), say=tell)
    holds = "holds" if new else "already holds"
    tell(f"rollback: {restored.ref} {holds} what {target.ref} held")
    show_result("rollback", version_row(restored), as_json=as_json)


VersionsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="VERSION_OR_MODEL...",
        help="Versions or folders of models; without any, all versions.",
    ),
]
AudioOption = Annotated[
    bool,
    typer.Option("--audio", help="Read the canonical audio, too, and compare its digests."),
]
PartOption = Annotated[
    str,
    typer.Option(
        "--part",
        metavar="N/OF",
        help="With --audio: only this part of the recordings, such as 3/7 on Wednesdays.",
    ),
]


def verify(
    ctx: typer.Context,
    versions: VersionsArgument = None,
    audio: AudioOption = False,
    part: PartOption = "",
    as_json: Json = False,
) -> None:
    """Compute every leaf and root again, check signatures and the annotations' chain, and report
    leaks across versions.

    Of a model's folder: its files, its version, and who was forgotten since. Exit code 1: something
    is wrong.
    """
    from flows.pages.version_view import leak_row, verification_row
    from flows.retrain.model_check import check_model, find_checkpoint
    from flows.signing.sign import version_standing
    from warehouse.chain import check_chain
    from warehouse.guards import require_triggers
    from warehouse.leaks import find_leaks
    from warehouse.verify import verify_all, verify_version
    from warehouse.versions import find_version

    if part and not audio:
        raise ConfigError("--part names the part of the audio to read; give --audio, too")
    if audio:
        from flows.stored_audio import parse_part, recordings_of, verify_audio

        chosen = parse_part(part) if part else (1, 1)
    workspace = open_here(ctx)
    checkpoints = {ref: find_checkpoint(Path(ref)) for ref in versions or ()}
    folders = {ref: folder for ref, folder in checkpoints.items() if folder is not None}
    refs = [ref for ref in versions or () if ref not in folders]
    with workspace.warehouse(read_only=True) as con:
        require_triggers(con)
        verified = (
            [verify_version(con, find_version(con, ref)) for ref in refs]
            if versions
            else verify_all(con)
        )
        models = [check_model(workspace, con, folder) for folder in folders.values()]
        chain, leaks = check_chain(con), [leak_row(leak) for leak in find_leaks(con)]
    standings = [version_standing(workspace, one.version) for one in verified]
    rows: list[Row] = []
    for one, (_, words) in zip(verified, standings, strict=True):
        rows.append({**verification_row(one), "root is": words})
    heard = None
    if audio:
        only = recordings_of(workspace, refs) if versions else None
        heard = verify_audio(workspace, part=chosen, only=only, say=tell)
    if as_json:
        show_json(_verified_row(rows, models, chain=chain, leaks=leaks, heard=heard))
    else:
        if not versions:
            _tell_if_none(rows)
        _show_verified(rows, models, chain=chain, leaks=leaks, heard=heard)
    is_wrong = any(not one.ok for one in verified) or any(model.problems for model in models)
    is_unheard = heard is not None and bool(heard.bad)
    is_forged = any(standing == "wrong" for standing, _ in standings)
    if chain or is_wrong or is_unheard or is_forged:
        raise typer.Exit(1)


def _verified_row(
    rows: list[Row],
    models: list[ModelCheck],
    *,
    chain: list[str],
    leaks: list[Row],
    heard: AudioReport | None,
) -> Row:
    """What was verified, for programs."""
    answer: Row = {
        "versions": rows,
        "models": [asdict(model) for model in models],
        "annotations": chain,
        "leaks": leaks,
    }
    if heard is not None:
        answer["audio"] = heard.as_row()
    return answer


def _tell_if_none(rows: list[Row]) -> None:
    if not rows:
        tell(
            "verify: there is no version yet; `voxdata release NAME` cuts the first from the "
            "votes there are"
        )


def _show_verified(
    rows: list[Row],
    models: list[ModelCheck],
    *,
    chain: list[str],
    leaks: list[Row],
    heard: AudioReport | None,
) -> None:
    """What was verified, for people."""
    from flows.pages.version_view import model_rows

    if rows:
        show_rows("versions", rows)
    for model in models:
        show_rows(str(model.folder), model_rows(model))
    for line in chain:
        tell(f"verify: {line}")
    if leaks:
        show_rows("one person on two sides of a split, as is known today", leaks)
    if heard is not None:
        for error in heard.bad.values():
            tell(f"verify: {error}")
        tell(f"verify: {heard.summary}")


def why(
    ctx: typer.Context,
    ref: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="An utterance, a recording or a training run; the start of its id is enough.",
        ),
    ],
    as_json: Json = False,
) -> None:
    """Show where a label comes from and what became of it: audio, models, every annotation,
    versions, training runs, promotions.
    """
    from warehouse.lineage import explain

    with open_here(ctx).warehouse(read_only=True) as con:
        story = explain(con, ref)
    tables = {heading: rows for heading, rows in story.items() if rows}
    show_tables(tables, exact=story, as_json=as_json)


def _show_preview(found: dict[str, object]) -> None:
    plain = {name: value for name, value in found.items() if not isinstance(value, (dict, list))}
    show_rows("dry run: nothing is written", field_rows(plain))
    for name in ("splits", "languages", "labels"):
        table = found[name]
        if not isinstance(table, dict):
            raise ConfigError(f"{name} is no table")
        show_rows(name, [{name: key, **row} for key, row in table.items()])
    warnings = found["warnings"]
    for warning in warnings if isinstance(warnings, list) else ():
        tell(f"release: warning: {warning}")
    lost = found["lost"]
    if isinstance(lost, list) and lost:
        show_rows("lost: release refuses without --accept-losses", lost)
    for name in ("left out", "conflicts"):
        value = found[name]
        if isinstance(value, dict) and value:
            show_rows(name, [{"reason": key, "how many": count} for key, count in value.items()])
        elif isinstance(value, list) and value:
            show_rows(name, [{"voice": voice} for voice in value])
