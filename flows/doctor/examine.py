"""The doctor: what works on this machine, and how to fix what does not."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.doctor.service_checks import RESTART, UP, Check, service_checks
from flows.folders.private_files import is_open
from flows.folders.storage_folders import require_separate
from flows.forget.work import FINISH, list_work
from flows.place import FILE_NAME, find_workspace
from flows.services.schedules import read_schedules
from flows.services.server_log import find_scheduler_errors, read_server_log
from flows.services.supervisor import read_services
from flows.settings import Secrets, parse_settings, read_environment
from flows.stored_audio import sample_audio
from flows.workspace import open_workspace
from voxdata.backends.weights import weights_status
from voxdata.counted import counted
from voxdata.errors import BackendError, LockedError, VoxdataError
from voxdata.visible import visible
from warehouse.chain import check_chain
from warehouse.connection import open_warehouse

PINS = {
    "torch": "2.11.0",
    "torchaudio": "2.11.0",
    "torchcodec": "0.11.1",
    "pyannote.audio": "4.0.7",
}
"""The set whose binaries fit together."""

REINSTALL = "reinstall the pinned packages: `make clean && make test`"
MIN_FREE_GB = 5.0

PATIENCE_S = 2.0
"""How long to wait for who has the warehouse open."""


def run_checks(*, workspace: Path | None, secrets: Secrets, expected: bool = False) -> list[Check]:
    """Look at everything; takes a few seconds, most of it importing torch and pyannote.

    Args:
        workspace: The folder of a voxdata.toml; None when there is none here.
        secrets: Secrets from the environment.
        expected: A missing workspace is a failure, since the user named it.
    """
    with ThreadPoolExecutor(max_workers=4) as pool:
        reached = [pool.submit(check) for check in service_checks(workspace, secrets)]
        return [
            check_python(sys.version_info[:2]),
            check_pins(),
            check_torchcodec(),
            check_pyannote(),
            check_program(
                "ffmpeg",
                ("ffmpeg",),
                remedy="apt-get install ffmpeg (or brew install ffmpeg)",
                required=False,
            ),
            check_gpu(),
            *check_weights(),
            check_chromaprint(),
            check_token(secrets.hf_token),
            *[future.result() for future in reached],
            check_program(
                "browser",
                ("chromium", "google-chrome"),
                remedy="apt-get install chromium (UI tests only)",
                required=False,
            ),
            check_disk(workspace or Path.cwd()),
            check_workspace(workspace, expected=expected),
            *check_rights(workspace),
            *check_audio(workspace),
            *check_storage(workspace),
            check_books(workspace),
            check_scheduler(workspace),
            check_schedules(workspace),
            check_forgetting(workspace),
        ]


def run_workspace_checks(directory: Path, *, explicit: bool) -> list[Check]:
    """Run every check for the workspace at or above `directory`.

    Args:
        directory: Where the user is, or the folder named.
        explicit: The user named it, so it must hold a voxdata.toml.
    """
    secrets = read_environment()
    try:
        root: Path | None = find_workspace(directory, explicit=directory if explicit else None)
    except VoxdataError:
        root = directory if explicit else None
    return run_checks(workspace=root, secrets=secrets, expected=explicit)


def render_checks(checks: list[Check], *, console: Console | None = None) -> None:
    """Print the checks as a table, and each remedy below what it fixes."""
    table = Table(title="voxdata doctor", title_justify="left", show_edge=False)
    for heading in ("", "what", "found"):
        table.add_column(heading, overflow="fold")
    signs = {True: "[green]ok[/]", False: "[red]fails[/]", None: "[yellow]absent[/]"}
    for check in checks:
        # As text: a path may look like markup.
        table.add_row(signs[check.ok], check.name, Text(visible(check.detail)))
        if check.ok is not True and check.remedy:
            table.add_row("", "", Text(f"-> {visible(check.remedy)}", style="bold"))
    failed = sum(check.ok is False for check in checks)
    console = console or Console()
    console.print(table)
    console.print(f"{failed} of {len(checks)} checks fail" if failed else "everything needed works")


def check_python(found: tuple[int, int]) -> Check:
    """Python itself."""
    ok = (3, 11) <= found <= (3, 13)
    remedy = "" if ok else "use Python 3.11 to 3.13: `make clean && make PYTHON=python3.12 test`"
    return Check(
        name="Python", ok=ok, detail=f"{found[0]}.{found[1]} at {sys.executable}", remedy=remedy
    )


def check_pins(find_version: Callable[[str], str] = version) -> Check:
    """The versions of torch, torchaudio, torchcodec and pyannote.audio that fit together."""
    installed: dict[str, str] = {}
    for name in PINS:
        try:
            installed[name] = find_version(name).partition("+")[0]
        except PackageNotFoundError:
            installed[name] = "missing"
    detail = ", ".join(f"{name} {text}" for name, text in installed.items())
    return Check(
        name="model packages",
        ok=installed == PINS,
        detail=detail,
        remedy="" if installed == PINS else REINSTALL,
    )


def check_torchcodec() -> Check:
    """Whether torchcodec finds the ffmpeg libraries.

    Without them pyannote still takes decoded waveforms, as voxdata gives it.
    """
    try:
        import_module("torchcodec.decoders")
    except (ImportError, OSError, RuntimeError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        return Check(
            name="torchcodec and ffmpeg libraries",
            ok=False,
            detail=first,
            remedy="apt-get install ffmpeg (or brew install ffmpeg)",
        )
    return Check(name="torchcodec and ffmpeg libraries", ok=True, detail="loaded")


def check_pyannote() -> Check:
    """Whether pyannote.audio can be imported."""
    try:
        import_module("pyannote.audio")
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        return Check(name="pyannote.audio", ok=False, detail=str(error)[:200], remedy=REINSTALL)
    return Check(name="pyannote.audio", ok=True, detail="imports")


def check_gpu() -> Check:
    """A CUDA device or Apple's GPU."""
    try:
        torch = import_module("torch")
        if torch.cuda.is_available():
            return Check(name="GPU", ok=True, detail=str(torch.cuda.get_device_name(0)))
        if torch.backends.mps.is_available():
            return Check(name="GPU", ok=True, detail="Apple MPS")
    except (ImportError, OSError, RuntimeError) as error:
        return Check(name="GPU", ok=None, detail=f"torch does not load: {error}", remedy=REINSTALL)
    return Check(name="GPU", ok=None, detail="none; everything runs on the CPU")


def check_weights() -> list[Check]:
    """Each backend: whether it imports and its weights are here."""
    from voxdata.backends import BUILT_IN

    checks = []
    for (port, name), target in BUILT_IN.items():
        try:
            import_module(target.partition(":")[0])
        except (ImportError, OSError) as error:
            checks.append(
                Check(
                    name=f"{port} {name}",
                    ok=False,
                    detail=f"cannot be imported: {error}",
                    remedy=REINSTALL,
                )
            )
        else:
            checks.append(Check(name=f"{port} {name}", ok=True, detail="imports"))
    remedy = {True: "", False: REINSTALL}
    return checks + [
        Check(name=f"weights {w.name}", ok=w.present, detail=w.detail, remedy=remedy[w.present])
        for w in weights_status()
    ]


def check_chromaprint() -> Check:
    """Whether near-duplicates can be searched; without the library everything else works."""
    from voxdata.backends import load_backend

    try:
        load_backend("fingerprinter", "chromaprint")
    except BackendError as error:
        remedy = "apt-get install libchromaprint1 (or brew install chromaprint)"
        return Check(name="near-duplicates", ok=None, detail=str(error), remedy=remedy)
    return Check(name="near-duplicates", ok=True, detail="Chromaprint loads")


def check_token(token: str | None) -> Check:
    """A token of the Hugging Face hub, for larger models."""
    if token:
        return Check(name="hub token", ok=True, detail="HF_TOKEN is set")
    return Check(
        name="hub token",
        ok=None,
        detail="not set; packaged weights are used",
        remedy="set HF_TOKEN to use models of the hub",
    )


def check_program(name: str, programs: tuple[str, ...], *, remedy: str, required: bool) -> Check:
    """Whether one of the programs is on the path."""
    paths = (shutil.which(program) for program in programs)
    first = next((path for path in paths if path), None)
    if first is None:
        return Check(
            name=name,
            ok=False if required else None,
            detail=f"no {' or '.join(programs)} on the path",
            remedy=remedy,
        )
    return Check(name=name, ok=True, detail=first)


def check_disk(folder: Path, *, min_free_gb: float = MIN_FREE_GB) -> Check:
    """Free space where the workspace lies."""
    nearest = next(
        path for path in (folder.absolute(), *folder.absolute().parents) if path.exists()
    )
    free_gb = shutil.disk_usage(nearest).free / 1e9
    ok = free_gb >= min_free_gb
    remedy = (
        "" if ok else f"free {min_free_gb - free_gb:.1f} GB, or put the workspace on another disk"
    )
    return Check(name="disk", ok=ok, detail=f"{free_gb:.1f} GB free at {nearest}", remedy=remedy)


def check_workspace(root: Path | None, *, expected: bool = False) -> Check:
    """Whether voxdata.toml is there and right."""
    if root is None or not (root / FILE_NAME).is_file():
        where = "here" if root is None else f"in {root}"
        return Check(
            name="workspace",
            ok=False if expected else None,
            detail=f"no {FILE_NAME} {where}",
            remedy="`voxdata init` makes one",
        )
    path = root / FILE_NAME
    try:
        require_separate(
            root.resolve(),
            parse_settings(path.read_text(encoding="utf-8"), origin=str(path)).storage,
        )
    except (VoxdataError, UnicodeDecodeError, OSError) as error:
        return Check(
            name="workspace",
            ok=False,
            detail=" ".join(str(error).split()),
            remedy=f"correct {path}; docs/settings.md lists every key",
        )
    return Check(name="workspace", ok=True, detail=str(path))


def check_rights(root: Path | None) -> list[Check]:
    """Whether other accounts of this machine can look into the workspace: its folder, and those
    that the settings put elsewhere.
    """
    if root is None or not (root / FILE_NAME).is_file():
        return []
    try:
        storage = parse_settings(
            (root / FILE_NAME).read_text(encoding="utf-8"), origin=FILE_NAME
        ).storage
    except (VoxdataError, UnicodeDecodeError, OSError):
        return []  # `check_workspace` says so.
    places = [root, *(root / place for place in storage.model_dump().values())]
    outside = [
        place
        for place in places[1:]
        if place.exists() and not place.resolve().is_relative_to(root.resolve())
    ]
    opened = [str(place) for place in (root, *outside) if is_open(place)]
    if not opened:
        return [Check(name="rights", ok=True, detail="the workspace is closed to other accounts")]
    detail = f"other accounts of this machine can look into {', '.join(opened)}"
    remedy = f"chmod -R go-rwx {' '.join(map(shlex.quote, opened))}"
    return [Check(name="rights", ok=False, detail=detail, remedy=remedy)]


def check_books(root: Path | None) -> Check:
    """Whether the sealed books of the warehouse, annotations and who must stay out, are as they
    were written.
    """
    name = "sealed books"
    if root is None or not (root / FILE_NAME).is_file():
        return Check(name=name, ok=None, detail="no workspace here")
    remedy = (
        "restore the warehouse and the files beside it from a backup; "
        "`voxdata repair` reports what a snapshot has"
    )
    try:
        path = open_workspace(root).warehouse_path
        if not path.exists():
            return Check(name=name, ok=None, detail="no warehouse yet")
        with open_warehouse(path, read_only=True, wait_s=PATIENCE_S, say=lambda line: None) as con:
            wrong = check_chain(con)
    except LockedError as error:
        return Check(name=name, ok=None, detail=f"not read: {error}")
    except (VoxdataError, UnicodeDecodeError, OSError) as error:
        return Check(name=name, ok=False, detail=" ".join(str(error).split()), remedy=remedy)
    if wrong:
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        return Check(
            name=name,
            ok=False,
            detail=f"{wrong[0]}{more}; `voxdata verify` lists all",
            remedy=remedy,
        )
    return Check(
        name=name, ok=True, detail="annotations, and who must stay out, are as they were written"
    )


def check_audio(root: Path | None) -> list[Check]:
    """Whether a few recordings, other ones each time, have the canonical audio that was stored."""
    if root is None or not (root / FILE_NAME).is_file():
        return []
    try:
        workspace = open_workspace(root)
        if not workspace.warehouse_path.exists():
            return []
        sample = sample_audio(workspace)
    except (VoxdataError, UnicodeDecodeError, OSError) as error:
        return [Check(name="audio", ok=None, detail=" ".join(str(error).split()))]
    if sample.bad:
        detail = "; ".join(str(error) for error in sample.bad.values())
        return [
            Check(
                name="audio",
                ok=False,
                detail=detail,
                remedy="`voxdata verify --audio` finds all such recordings",
            )
        ]
    lacking = counted(sample.undigested, "recording has", "recordings have")
    remedy = (
        f"{lacking} no digest yet: `voxdata verify --audio` makes what is missing"
        if sample.undigested
        else ""
    )
    ok = None if sample.undigested else True
    return [
        Check(
            name="audio",
            ok=ok,
            detail=f"{sample.files} of {sample.stored} recordings are as they were stored",
            remedy=remedy,
        )
    ]


def check_storage(root: Path | None) -> list[Check]:
    """Whether the warehouse and the storage folders of a workspace are there, and are the ones that
    they were.
    """
    try:
        workspace = open_workspace(root) if root is not None else None
    except (VoxdataError, UnicodeDecodeError, OSError):
        workspace = None  # `check_workspace` says so.
    if workspace is None:
        return []
    try:
        expected = workspace.known_warehouse()
        if expected is None and not workspace.warehouse_path.exists():
            return [
                Check(
                    name="storage",
                    ok=None,
                    detail="no warehouse yet",
                    remedy="`voxdata ingest` makes it",
                )
            ]
        workspace.require_folders()
        with open_warehouse(
            workspace.warehouse_path,
            read_only=True,
            wait_s=2,
            known=expected,
            say=lambda line: None,
        ):
            pass
    except LockedError as error:
        return [
            Check(
                name="storage",
                ok=True,
                detail=f"every folder is there; the warehouse was not looked into ({error})",
            )
        ]
    except (VoxdataError, OSError) as error:
        return [Check(name="storage", ok=False, detail=" ".join(str(error).split()))]
    return [
        Check(
            name="storage",
            ok=True,
            detail="the warehouse and every folder are those that they were",
        )
    ]


def check_scheduler(root: Path | None) -> Check:
    """Whether Prefect's scheduler wrote errors since the server was started."""
    server = read_services(root / ".voxdata").get("prefect-server") if root else None
    if server is None:
        return Check(name="scheduler", ok=None, detail="not started", remedy=UP)
    try:
        errors = find_scheduler_errors(read_server_log(server))
    except OSError as error:
        return Check(name="scheduler", ok=False, detail=str(error), remedy=RESTART)
    if errors.count:
        detail = f"{errors.count} errors in {server.log}; the newest: {errors.newest}"
        return Check(name="scheduler", ok=False, detail=detail, remedy=f"{REINSTALL}; {RESTART}")
    return Check(name="scheduler", ok=True, detail=f"no error in {server.log}")


def check_schedules(root: Path | None) -> Check:
    """Whether every schedule runs when it should."""
    if root is None or not read_services(root / ".voxdata"):
        return Check(name="schedules", ok=None, detail="not started", remedy=UP)
    try:
        standings = read_schedules(open_workspace(root))
    except (VoxdataError, UnicodeDecodeError, OSError) as error:
        return Check(name="schedules", ok=False, detail=" ".join(str(error).split()))
    problems = [f"{row.name}: {row.problem}" for row in standings if row.problem]
    if problems:
        return Check(name="schedules", ok=False, detail="; ".join(problems), remedy=RESTART)
    names = ", ".join(row.name for row in standings)
    return Check(name="schedules", ok=True, detail=f"{names or 'none'}: on time")


def check_forgetting(root: Path | None) -> Check:
    """Whether everybody who was to be forgotten is, and it is proven."""
    try:
        left = list_work(root / ".voxdata") if root else []
    except (VoxdataError, OSError) as error:
        return Check(name="forgetting", ok=False, detail=str(error))
    if not left:
        return Check(name="forgetting", ok=True, detail="nothing unfinished")
    begun = ", ".join(work.run_id for work in left)
    detail = f"{len(left)} begun and not proven ({begun}): texts of theirs may still lie here"
    return Check(name="forgetting", ok=False, detail=detail, remedy=f"run `{FINISH}`")
