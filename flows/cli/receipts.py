"""Commands about receipts of erasures, and the keys that sign them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.console import Json, open_here, show_json, show_line, show_result, tell
from voxdata.counted import counted
from voxdata.errors import ConfigError

if TYPE_CHECKING:
    from flows.forget.receipt import IssuedReceipt
    from flows.signing.keys import Keys

receipts_app = typer.Typer(
    rich_markup_mode=None,
    help=(
        "List receipts of erasures; show writes one for outsiders, "
        "the others are about the keys that sign."
    ),
)
NOBODY = "nobody was forgotten; `voxdata forget --dry-run` shows what would go"
Files = Annotated[list[Path], typer.Argument(metavar="FILE...", help="Statements or receipts.")]
KeyFile = Annotated[
    Path,
    typer.Option(
        "--key", metavar="PATH", help="The private key; only its owner may be able to read it."
    ),
]


@receipts_app.callback(invoke_without_command=True)
def receipts(ctx: typer.Context, as_json: Json = False) -> None:
    """List receipts of erasures; show writes one for outsiders, the others are about the keys that
    sign.
    """
    if ctx.invoked_subcommand is not None:
        return
    from flows.forget.receipt import read_issued
    from flows.signing.keys import read_keys
    from warehouse.proofs import whole_receipts

    workspace = open_here(ctx)
    with workspace.warehouse(read_only=True) as con:
        all_receipts = whole_receipts(con)
    keys = read_keys(workspace)
    rows: list[dict[str, object]] = []
    for receipt in all_receipts:
        issued = read_issued(workspace, receipt, keys)
        rows.append(
            {
                "receipt": receipt.receipt_id[:12],
                "at": receipt.created_at.isoformat(timespec="seconds"),
                "asked for": receipt.kind,
                "versions": " ".join(receipt.versions),
                "signed": _signed_words(issued),
                "still in": _waiting(issued),
            }
        )
    show_result("receipts", rows, as_json=as_json, then=NOBODY)


@receipts_app.command()
def show(
    ctx: typer.Context,
    receipt: Annotated[str, typer.Argument(help="A receipt; the start of its id is enough.")],
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Write a copy there.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the signed receipt of an erasure as things are now, with its proofs. Prints the
    path.
    """
    from flows.forget.receipt import issue_receipt

    issued = issue_receipt(open_here(ctx), receipt)
    path = issued.path
    if output is not None:
        path = output.absolute()
        path.write_bytes(issued.path.read_bytes())
    tell_receipt(issued)
    if as_json:
        show_json({"path": str(path), "signed by": issued.signer, **issued.predicate})
    else:
        show_line(path)


@receipts_app.command()
def sign(files: Files, key: KeyFile) -> None:
    """Sign statements and receipts that lack the signature of a key; needs no workspace, so the key
    may stay on another machine.
    """
    from flows.signing.keys import read_key_file
    from flows.signing.outside import sign_file

    private = read_key_file(key)
    for path in files:
        for line in sign_file(path, private):
            tell(f"sign: {path.name}: {line}")


@receipts_app.command("new-key")
def new_key(
    path: Annotated[
        Path, typer.Argument(help="Of the private key; the public one is written beside it.")
    ],
) -> None:
    """Make a key; needs no workspace. Prints its id."""
    from flows.signing.keys import write_key_pair
    from voxdata.signature import key_id

    public = write_key_pair(path)
    tell(
        f"new-key: {path} signs, and stays where it is; {path.name}.pub goes to the workspace: "
        f"`voxdata receipts trust {path.name}.pub`"
    )
    show_line(key_id(public))


@receipts_app.command()
def trust(
    ctx: typer.Context,
    path: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="A public key in PEM, whose private key is kept elsewhere."
        ),
    ],
) -> None:
    """Have this workspace believe a key that is kept elsewhere, and sign nothing itself."""
    from flows.signing.keys import read_public_file, rotation_path, trust_public_key
    from voxdata.signature import key_id

    workspace = open_here(ctx)
    keys = trust_public_key(workspace, path)
    public = read_public_file(path)
    if public == keys.current:
        tell(f"trust: {key_id(public)[:16]} signs for this workspace, elsewhere")
    else:
        tell(
            f"trust: {key_id(public)[:16]} follows once {rotation_path(workspace, public)} is "
            "signed by it and by the key before it"
        )


@receipts_app.command()
def rotate(ctx: typer.Context) -> None:
    """Make a new key that both the old and the new one vouch for; what the old one signed stays
    good.
    """
    from flows.signing.keys import rotate_key
    from voxdata.signature import key_id

    keys = rotate_key(open_here(ctx))
    tell(
        f"rotate: {key_id(keys.current)[:16]} signs from now on, "
        f"and follows {key_id(keys.chain[-2])[:16]}"
    )


@receipts_app.command("keys")
def list_keys(
    ctx: typer.Context,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="Write the public key in use there, in PEM."),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the public keys of this workspace, the one in use last; an outsider should get it from
    you, not from a receipt.
    """
    from flows.signing.keys import read_keys
    from voxdata.signature import public_pem

    keys = read_keys(open_here(ctx))
    if keys is None:
        raise ConfigError(
            "nothing was signed here yet; a release, a training run or `voxdata receipts show` "
            "makes the first key"
        )
    if output is not None:
        output.write_text(public_pem(keys.current), encoding="utf-8")
    rows = _key_rows(keys)
    show_result("keys", rows, as_json=as_json)


def tell_receipt(issued: IssuedReceipt) -> None:
    """Say in a line or two what a receipt proves by now."""
    predicate = issued.predicate
    signed = (
        f"signed by {issued.signer[:16]}"
        if issued.signer
        else f"unsigned: run `voxdata receipts sign {issued.path} --key PATH`"
    )
    leaves, versions = (
        counted(predicate["num_leaves"], "leaf", "leaves"),
        counted(len(predicate["versions"]), "version"),
    )
    tell(f"receipt: {predicate['receipt_id'][:12]}: {leaves} in {versions}; {signed}")
    for row in predicate["now"]:
        tell(f"receipt: {row['newest']}, the newest of {row['dataset']}: {row['status']}")
    if predicate["num_unnamed"]:
        tell(
            f"receipt: an earlier release erased {counted(predicate['num_unnamed'], 'row')}, "
            "and it is not known which leaves were left"
        )
    for model in predicate["models"]:
        since = model["retrained"]
        tell(
            f"receipt: model {model['training_id'][:12]} "
            f"({model['scheme']}{', in use' if model['in_use'] else ''}): "
            + (f"trained again on {since['version']}" if since else "not trained again yet")
        )


def _signed_words(issued: IssuedReceipt | None) -> str:
    if issued is None:
        return "not written"
    return issued.signer[:16] or "unsigned"


def _waiting(issued: IssuedReceipt | None) -> str:
    return "" if issued is None else " ".join(issued.waiting)


def _key_rows(keys: Keys) -> list[dict[str, object]]:
    from voxdata.signature import key_id

    where = "here" if keys.private is not None else "elsewhere"
    in_use = {keys.current: f"yes, {where}"}
    return [
        {"key": key_id(public), "public": public, "in use": in_use.get(public, "")}
        for public in keys.chain
    ]
