"""The command that makes the workspace forget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from flows.console import Json, open_here, show_json, show_rows, tell
from voxdata.errors import ConfigError

if TYPE_CHECKING:
    from warehouse.erase import ErasurePlan, Kind, Receipt


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(forget)


def forget(
    ctx: typer.Context,
    recording: Annotated[str, typer.Option("--recording", metavar="ID", help="A recording; the start of its id is enough.")] = "",
    voice: Annotated[str, typer.Option("--voice", metavar="ID", help="A voice: every recording in which it was heard, whole.")] = "",
    source: Annotated[str, typer.Option("--source", metavar="PATH", help="A file or URL, or a folder of them.")] = "",
    reason: Annotated[str, typer.Option("--reason", help="Why; it stays on record, so keep names out of it.")] = "asked to be forgotten",
    delete_sources: Annotated[bool, typer.Option("--delete-sources", help="Delete the local files they came from, too.")] = False,
    renew: Annotated[str, typer.Option("--renew", metavar="RECEIPT", help="Consent was given again: let its recordings in.")] = "",
    show_receipts: Annotated[bool, typer.Option("--list", help="List receipts; erase nothing.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would go; erase nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Erase recordings from everything, prove it by searching the bytes, and keep them out. Dataset versions stay verifiable."""
    workspace = open_here(ctx)
    asked: list[tuple[Kind, str]] = [("recording", recording), ("voice", voice), ("source", source)]
    chosen = [(kind, ref) for kind, ref in asked if ref]
    if len(chosen) + bool(renew) + show_receipts != 1:
        raise ConfigError("say one thing: --recording, --voice, --source, --renew or --list")
    if show_receipts:
        from warehouse.erase import list_receipts

        with workspace.warehouse(read_only=True) as con:
            rows = [_receipt_row(receipt) for receipt in list_receipts(con)]
        show_json(rows) if as_json else show_rows("receipts", rows)
        return
    if renew:
        from warehouse.erase import renew_consent

        with workspace.warehouse() as con:
            count = renew_consent(con, renew, reason=reason, run_id=workspace.run_id)
        tell(f"forget: {count} recordings of receipt {renew} may come in again")
        return
    from flows.forget.flow import forget as erase
    from flows.forget.flow import plan_forgetting, require_gone
    from flows.forget.receipt import issue_receipt
    from flows.receipts_cli import tell_receipt

    kind, ref = chosen[0]
    if dry_run or not yes:
        plan = plan_forgetting(workspace, kind, ref)
        show_json(_plan_row(plan)) if as_json and dry_run else show_rows("would go", _plan_rows(plan))
        if dry_run:
            return
        if not typer.confirm("Erase all of this for ever?", err=True):
            raise ConfigError("nothing was erased")
    found = erase(workspace, kind, ref, reason=reason, say=tell, delete_sources=delete_sources)
    result = {
        "receipt": found.receipt_id, "erased": found.counts, "versions": dict(found.plan.versions), "models": dict(found.plan.models),
        "searched": found.searched, "hits": [{"file": str(hit.path), "offset": hit.offset} for hit in found.hits],
        "left": list(found.left_sources),
    }  # fmt: skip
    if as_json:
        show_json(result)
    else:
        show_rows("erased", [{"what": name, "how many": count} for name, count in sorted(found.counts.items())])
        show_rows("versions that lost examples; they still verify", [{"version": v, "examples": n} for v, n in found.plan.versions.items()])
        show_rows("models that heard them; train anew", [{"run": run[:12], "promoted": on} for run, on in found.plan.models.items()])
        tell(f"forget: receipt {found.receipt_id[:12]}: {found.searched} strings searched for in every file, {len(found.hits)} found")
    for uri in found.left_sources:
        tell(f"forget: {uri} still holds a recording; delete it (--delete-sources does)")
    require_gone(found)
    tell_receipt(issue_receipt(workspace, found.receipt_id))


def _plan_row(plan: ErasurePlan) -> dict[str, object]:
    return {
        "recordings": list(plan.recording_ids), "utterances": len(plan.utterance_ids), "files": list(plan.uris), "rows": dict(plan.counts),
        "versions": dict(plan.versions), "models": dict(plan.models),
    }  # fmt: skip


def _plan_rows(plan: ErasurePlan) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = [{"what": "recording", "which": uri, "how many": ""} for uri in plan.uris]
    rows += [{"what": "rows", "which": table, "how many": count} for table, count in plan.counts.items()]
    rows += [{"what": "examples", "which": version, "how many": count} for version, count in plan.versions.items()]
    rows += [{"what": "model to train anew", "which": run[:12], "how many": ""} for run in plan.models]
    return rows


def _receipt_row(receipt: Receipt) -> dict[str, object]:
    return {
        "receipt": receipt.receipt_id[:12], "at": receipt.created_at.isoformat(timespec="seconds"), "asked by": receipt.kind,
        "reason": receipt.reason, "rows": sum(receipt.counts.values()), "versions": " ".join(receipt.versions),
        "models": " ".join(run[:12] for run in receipt.models), "renewed": "yes" if receipt.renewed else "",
    }  # fmt: skip
