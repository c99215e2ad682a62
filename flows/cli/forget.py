"""The command that makes the workspace forget."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.console import Json, open_here, show_json, show_result, show_rows, tell
from flows.cli.receipts import NOBODY, tell_receipt
from voxdata.counted import counted
from voxdata.errors import ConfigError

if TYPE_CHECKING:
    from flows.forget.flow import Forgotten
    from flows.forget.found import Left
    from flows.forget.preview import Preview
    from flows.workspace import Workspace
    from warehouse.erase import Kind, Receipt

NAMED = 20
"""So many places that stay for one reason are named one by one."""


RecordingOption = Annotated[
    str,
    typer.Option("--recording", metavar="ID", help="A recording; the start of its id is enough."),
]
VoiceOption = Annotated[
    str,
    typer.Option(
        "--voice", metavar="ID", help="A voice: every recording in which it was heard, whole."
    ),
]
SourceOption = Annotated[
    str, typer.Option("--source", metavar="PATH", help="A file or URL, or a folder of them.")
]
ReasonOption = Annotated[
    str, typer.Option("--reason", help="Why; it stays on record, so keep names out of it.")
]
DeleteSourcesOption = Annotated[
    bool,
    typer.Option(
        "--delete-sources",
        help=(
            "Delete the local files they came from, too, where these still are what was ingested."
        ),
    ),
]
RenewOption = Annotated[
    str,
    typer.Option(
        "--renew", metavar="RECEIPT", help="Consent was given again: let its recordings in."
    ),
]
FinishOption = Annotated[
    bool, typer.Option("--finish", help="Finish what was begun and is not proven.")
]
ShowReceiptsOption = Annotated[bool, typer.Option("--list", help="List receipts; erase nothing.")]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="List what would go, to the last file; erase nothing.")
]


def forget(
    ctx: typer.Context,
    recording: RecordingOption = "",
    voice: VoiceOption = "",
    source: SourceOption = "",
    reason: ReasonOption = "asked to be forgotten",
    delete_sources: DeleteSourcesOption = False,
    renew: RenewOption = "",
    finish: FinishOption = False,
    show_receipts: ShowReceiptsOption = False,
    dry_run: DryRunOption = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Erase recordings from everything, prove it by searching every file, and keep them out.
    Dataset versions stay verifiable.

    What a process that died had begun is finished first.
    """
    workspace = open_here(ctx)
    asked: list[tuple[Kind, str]] = [("recording", recording), ("voice", voice), ("source", source)]
    chosen = [(kind, ref) for kind, ref in asked if ref]
    _check_choice(
        len(chosen) + bool(renew) + show_receipts + finish,
        names_somebody=bool(chosen),
        needs_somebody=dry_run or delete_sources,
    )
    if show_receipts:
        _list_receipts(workspace, as_json=as_json)
        return
    if renew:
        _renew(workspace, renew, reason=reason)
        return
    from flows.forget.flow import finish_forgetting
    from flows.forget.flow import forget as erase

    if finish:
        done = finish_forgetting(workspace, say=tell)
        if not done:
            tell("forget: nothing is unfinished")
    else:
        kind, ref = chosen[0]
        if dry_run or not yes:
            _preview(workspace, kind, ref, sources=delete_sources, dry_run=dry_run, as_json=as_json)
        else:
            _begun(workspace, kind, ref)
        if dry_run:
            return
        if not yes:
            _confirm()
        done = [erase(workspace, kind, ref, reason=reason, say=tell, delete_sources=delete_sources)]
    if as_json:
        rows = [_result_row(forgotten) for forgotten in done]
        show_json(rows if finish else rows[0])
    else:
        for forgotten in done:
            _show_result(forgotten)
    _tell_outcome(workspace, done)


def _check_choice(num_chosen: int, *, names_somebody: bool, needs_somebody: bool) -> None:
    """See that one thing is asked for, and that its options go with it."""
    if num_chosen != 1:
        raise ConfigError(
            "give one of --recording, --voice, --source, --renew, --finish and --list"
        )
    if needs_somebody and not names_somebody:
        raise ConfigError(
            "--dry-run and --delete-sources go with --recording, --voice or --source, "
            "and with nothing else"
        )


def _list_receipts(workspace: Workspace, *, as_json: bool) -> None:
    from warehouse.erase import list_receipts

    with workspace.warehouse(read_only=True) as con:
        rows = [_receipt_row(receipt) for receipt in list_receipts(con)]
    show_result("receipts", rows, as_json=as_json, then=NOBODY)


def _renew(workspace: Workspace, receipt: str, *, reason: str) -> None:
    from warehouse.erase import renew_consent

    with workspace.warehouse() as con:
        count = renew_consent(con, receipt, reason=reason, run_id=workspace.run_id)
    tell(f"forget: {counted(count, 'recording')} of receipt {receipt} may come in again")


def _preview(
    workspace: Workspace,
    kind: Kind,
    ref: str,
    *,
    sources: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Show what would go, to whoever asks for it or is about to be asked.

    Args:
        sources: The local files that the recordings came from would go, too.
    """
    from flows.forget.flow import plan_forgetting
    from flows.forget.preview import preview_forgetting

    begun = _begun(workspace, kind, ref)
    if dry_run and begun:
        raise ConfigError(
            "there is nothing to preview, since this was begun before; "
            "`voxdata forget --finish` goes on with it"
        )
    if begun:
        return
    plan = plan_forgetting(workspace, kind, ref)
    preview = preview_forgetting(workspace, plan, delete_sources=sources)
    if dry_run and as_json:
        show_json(_preview_row(preview))
    else:
        _show_preview(preview, whole=dry_run)


def _confirm() -> None:
    """Ask; a no ends the command as every such no does: nothing was used wrongly, so not by 2."""
    if not typer.confirm("Erase all of this permanently?", err=True):
        tell("forget: nothing was forgotten")
        raise typer.Exit(1)


def _tell_outcome(workspace: Workspace, done: Sequence[Forgotten]) -> None:
    """Say what stays, then what each receipt proves; what is not gone is an error."""
    from flows.forget.flow import require_finished, require_gone
    from flows.forget.receipt import issue_receipt

    for forgotten in done:
        _tell_left(forgotten.left_sources)
        _tell_left(forgotten.left_files)
        for link in forgotten.links:
            tell(f"forget: {link} leads out of the workspace; what lies there was not searched")
    for forgotten in done:
        require_gone(forgotten)
        tell_receipt(issue_receipt(workspace, forgotten.receipt_id))
    require_finished(workspace)


def _begun(workspace: Workspace, kind: Kind, ref: str) -> bool:
    """Whether this very thing was begun, and is only to be finished; says so."""
    from flows.forget.work import list_work, subject_digest

    is_begun = any(
        (work.kind, work.subject) == (kind, subject_digest(ref))
        for work in list_work(workspace.state_dir)
    )
    if is_begun:
        tell("forget: this was begun before and is not proven yet; to go on is to finish it")
    return is_begun


def _result_row(found: Forgotten) -> dict[str, object]:
    return {
        "receipt": found.receipt_id,
        "erased": found.counts,
        "versions": dict(found.plan.versions),
        "models": dict(found.plan.models),
        "searched": found.searched,
        "proven": found.proven,
        "hits": [
            {"file": str(hit.path), "offset": hit.offset, "where": hit.where} for hit in found.hits
        ],
        "not searched": [{"file": str(one.path), "why": one.why} for one in found.unread],
        "links": [str(link) for link in found.links],
        "left": _left_rows(found.left_sources),
        "left_files": _left_rows(found.left_files),
    }


def _show_result(found: Forgotten) -> None:
    show_rows(
        "erased",
        [{"what": name, "how many": count} for name, count in sorted(found.counts.items())],
    )
    show_rows(
        "versions that lost examples; they still verify",
        [{"version": v, "examples": n} for v, n in found.plan.versions.items()],
        then="no version held any",
    )
    show_rows(
        "models that heard them; train them again",
        [{"run": run[:12], "in use": on} for run, on in found.plan.models.items()],
        then="no model needs to be trained again",
    )
    outcome = (
        "proven"
        if found.proven
        else f"{len(found.hits)} found, {counted(len(found.unread), 'file')} not searched"
    )
    tell(
        f"forget: receipt {found.receipt_id[:12]}: {counted(found.searched, 'string')} searched "
        f"for in every file: {outcome}"
    )


def _preview_row(preview: Preview) -> dict[str, object]:
    plan = preview.plan
    return {
        "recordings": list(plan.recording_ids),
        "utterances": len(plan.utterance_ids),
        "rows": dict(plan.counts),
        "files": [{"file": str(doomed.path), "kind": doomed.kind} for doomed in preview.files],
        "clips": list(preview.clips),
        "sources": [str(path) for path in preview.sources],
        "left": _left_rows(preview.left_sources),
        "left_files": _left_rows(preview.left_files),
        "versions": dict(plan.versions),
        "models": dict(plan.models),
    }


def _show_preview(preview: Preview, *, whole: bool) -> None:
    plan = preview.plan
    rows: list[dict[str, object]] = [
        {"what": "recording", "which": key, "how many": ""} for key in plan.recording_ids
    ]
    rows += [
        {"what": "rows", "which": table, "how many": count} for table, count in plan.counts.items()
    ]
    rows += [
        {"what": "examples", "which": version, "how many": count}
        for version, count in plan.versions.items()
    ]
    rows += [
        {"what": "model to train again", "which": run[:12], "how many": ""} for run in plan.models
    ]
    kinds = Counter(doomed.kind for doomed in preview.files)
    rows += [
        {"what": "files", "which": kind, "how many": count} for kind, count in sorted(kinds.items())
    ]
    rows += (
        [{"what": "clips in Label Studio", "which": "", "how many": len(preview.clips)}]
        if preview.clips
        else []
    )
    rows += (
        [{"what": "sources", "which": "", "how many": len(preview.sources)}]
        if preview.sources
        else []
    )
    show_rows("would go", rows, then="nothing of it is here")
    if whole:
        files = [(doomed.kind, str(doomed.path)) for doomed in preview.files] + [
            ("source", str(path)) for path in preview.sources
        ]
        files += [("clip in Label Studio", key) for key in preview.clips]
        show_rows("one by one", [{"what": kind, "which": place} for kind, place in files])
    _tell_left(preview.left_sources, would="would stay: ")
    _tell_left(preview.left_files, would="would stay: ")


def _left_rows(left: Sequence[Left]) -> list[dict[str, str]]:
    return [{"place": one.place, "why": one.why} for one in left]


def _tell_left(left: Sequence[Left], *, would: str = "") -> None:
    """Name what stays; of the same kind so many that a person still reads them, and how to see the
    others.
    """
    for why, places in _by_why(left).items():
        for place in places[:NAMED]:
            tell(f"forget: {would}{place} {why}")
        if len(places) > NAMED:
            tell(f"forget: {would}{len(places) - NAMED} more like it; --dry-run --json lists all")


def _by_why(left: Sequence[Left]) -> dict[str, list[str]]:
    places: defaultdict[str, list[str]] = defaultdict(list)
    for one in left:
        places[one.why].append(one.place)
    return places


def _receipt_row(receipt: Receipt) -> dict[str, object]:
    return {
        "receipt": receipt.receipt_id[:12],
        "at": receipt.created_at.isoformat(timespec="seconds"),
        "asked by": receipt.kind,
        "reason": receipt.reason,
        "rows": sum(receipt.counts.values()),
        "versions": " ".join(receipt.versions),
        "models": " ".join(run[:12] for run in receipt.models),
        "renewed": "yes" if receipt.renewed else "",
        "proven": receipt.proven_at.isoformat(timespec="seconds") if receipt.proven_at else "no",
    }
