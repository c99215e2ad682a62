"""The demo: the whole loop on the sample recordings, with real servers and scripted annotators."""

from __future__ import annotations

from pathlib import Path
from time import monotonic, sleep

from annotation.scripted import ScriptedAnnotator
from flows.demo.samples import match_answers, read_answers, sample_paths
from flows.folders.private_files import make_private_folder
from flows.place import FILE_NAME
from flows.run import run_flow
from flows.say import tell
from flows.services.prefect_env import LOGIN_FILE
from flows.services.start import start_services, stop_services
from flows.services.supervisor import read_services
from flows.settings import template
from flows.workspace import Workspace, open_workspace
from voxdata.durable import copy_file, write_file
from voxdata.errors import TrainingError
from warehouse.recordings import list_recordings
from warehouse.runs import TrainingRun, list_training_runs
from warehouse.utterances import list_utterances
from warehouse.versions import find_version

ANNOTATORS = (
    ScriptedAnnotator(email="annotator-1@voxdata.local", error_rate=0.05, seed=1),
    ScriptedAnnotator(email="annotator-2@voxdata.local", error_rate=0.10, seed=2),
    ScriptedAnnotator(email="annotator-3@voxdata.local", error_rate=0.15, seed=3),
)
"""Simulated people. Each answers from the key, and names another label at the stated rate."""

TRAINING_WAIT_S = 900.0


def prepare_workspace(directory: Path) -> Workspace:
    """Make the demo's workspace, or open the one of an earlier run."""
    inbox = directory / "inbox"
    make_private_folder(directory, say=tell)
    inbox.mkdir(parents=True, exist_ok=True)
    if not (directory / FILE_NAME).exists():
        write_file(directory / FILE_NAME, template("demo/voxdata.toml").encode())
    for path in sample_paths():
        if not (inbox / path.name).exists():
            copy_file(path, inbox / path.name)
    return open_workspace(directory)


def run_demo(directory: Path, *, annotate: bool, stop: bool) -> Path:
    """Turn the loop once and write the report.

    Args:
        directory: The demo's workspace; a second run goes on where the first ended, so it doubles
            nothing.
        annotate: Wait for a person in Label Studio instead of scripting the annotators.
        stop: Stop the servers at the end.

    Returns:
        The HTML report.

    Raises:
        TrainingError: The trigger fired and a training failed, or none ended in time.
    """
    began = monotonic()
    workspace = prepare_workspace(directory)
    tell(f"demo: workspace {workspace.root}")
    start_services(workspace, say=tell)
    try:
        report = _turn_the_loop(workspace, annotate=annotate)
    finally:
        if stop:
            stop_services(workspace, say=tell)
    tell(f"demo: the loop turned in {monotonic() - began:.0f} s")
    tell(f"  report         {report}")
    if not stop:
        from flows.labelling.queues import build_queue

        state_dir = workspace.state_dir
        tell(
            f"  Label Studio   {build_queue(workspace).page()}  (login: "
            f"{state_dir / 'label-studio.json'})"
        )
        prefect = read_services(state_dir).get("prefect-server")
        if prefect is not None:
            tell(f"  Prefect        {prefect.url}  (password: {state_dir / LOGIN_FILE})")
        tell(f"  look around    voxdata --dir {directory} status | versions | models | ledger")
        tell(f"  stop servers   voxdata --dir {directory} down")
    return report


def _turn_the_loop(workspace: Workspace, *, annotate: bool) -> Path:
    run_flow(workspace, "ingest", say=tell)
    run_flow(workspace, "prelabel", say=tell)
    run_flow(workspace, "push", say=tell)
    if annotate:
        _wait_for_person()
    else:
        answer_clips(workspace)
    run_flow(workspace, "pull", say=tell)
    version_id = run_flow(workspace, "release", workspace.settings.project.name, say=tell)
    _wait_for_training(workspace, version_id)
    run_flow(workspace, "prelabel", say=tell)
    run_flow(workspace, "push", say=tell)
    from flows.pages.report import write_report

    return write_report(workspace)


def answer_clips(workspace: Workspace) -> None:
    """Let the scripted annotators answer every clip that is in Label Studio."""
    from flows.labelling.queues import build_queue
    from flows.services.start import label_studio_credentials

    queue = build_queue(workspace)
    with workspace.warehouse() as con:
        names = {r.recording.recording_id: Path(r.uri).name for r in list_recordings(con)}
        utterances = list_utterances(con)
    key = match_answers(utterances, read_answers(), names=names)
    for annotator in ANNOTATORS:
        counts = annotator.answer(
            queue,
            key,
            [u.utterance_id for u in utterances],
            schemes=workspace.schemes,
            password=label_studio_credentials(workspace).password_for(annotator.email),
        )
        tell(f"annotate: {annotator.email} (scripted, {annotator.error_rate:.0%} errors): {counts}")


def _wait_for_person() -> None:
    tell("demo: label the clips in Label Studio now; press Enter here when you are done")
    input()


def _wait_for_training(workspace: Workspace, version_id: str) -> list[TrainingRun]:
    """Wait until the deployment that the release triggered has trained every scheme."""
    wanted = set(workspace.settings.training.schemes)
    began = told = monotonic()
    while True:
        with workspace.warehouse() as con:
            runs = [run for run in list_training_runs(con) if run.version_id == version_id]
            ref = find_version(con, version_id).ref
        if wanted <= {run.scheme for run in runs}:
            break
        if monotonic() - began > TRAINING_WAIT_S:
            missing = ", ".join(sorted(wanted - {run.scheme for run in runs}))
            raise TrainingError(
                f"no training of {missing} on {ref} ended within {TRAINING_WAIT_S:.0f} s; "
                f"see {workspace.state_dir / 'logs'}, "
                f"or train by hand: voxdata --dir {workspace.root} train {missing.split(', ')[0]} "
                f"--version {ref}"
            )
        if monotonic() - told > 15:
            told = monotonic()
            tell(
                f"demo: {ref} was released; the training deployment is at work ({told - began:.0f} "
                "s)"
            )
        sleep(2)
    failed = [run for run in runs if run.state == "failed"]
    if failed and len({run.scheme for run in runs if run.state == "done"}) < len(wanted):
        raise TrainingError("\n".join(f"{run.scheme}: {run.reason}" for run in failed))
    for run in runs:
        tell(f"train: {run.scheme}: {'promoted' if run.promoted else 'not promoted'}: {run.reason}")
    if not any(run.promoted for run in runs):
        tell(
            "train: no model was shown to be better on voices it had never heard, "
            "so none is promoted: a minute of labels is too little"
        )
    return runs
