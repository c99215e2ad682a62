"""Fine-tune: train a model on a dataset version, judge it against the one before, promote it only if better."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic

from prefect import flow

from flows.models import build_labelers
from flows.quiet_exit import quiet_child
from flows.retrain.late import MEANWHILE, forgotten_meanwhile, throw_away, throw_away_if_forgotten
from flows.retrain.lineage_events import emit_training
from flows.say import tell
from flows.signing.sign import sign_model, try_signing
from flows.steps import call, show_table, step
from flows.stored_audio import find_bad, note_bad, open_guard
from flows.workspace import Say, Workspace, open_workspace
from training.config import TrainingConfig, load_recipe, write_config
from training.enough import find_shortage
from training.launcher import LocalLauncher
from voxdata.audio_digest import AudioGuard
from voxdata.canonical import open_canonical
from voxdata.counted import counted
from voxdata.dataset import Example, Split
from voxdata.durable import write_file
from voxdata.errors import AudioError, TrainingError
from voxdata.identity import digest
from voxdata.ports import Labeler, TrainingJob
from voxdata.prelabel import make_clips
from voxdata.scheme import find_scheme
from voxdata.utterance import Utterance
from warehouse.exchange.table import write_version_manifest
from warehouse.runs import TrainingRun, add_training_run, list_training_runs
from warehouse.versions import DatasetVersion, find_version, load_examples


def answer_examples(
    workspace: Workspace, labeler: Labeler, examples: Sequence[Example], guard: AudioGuard
) -> dict[str, dict[str, float]]:
    """What a labeler says about examples, a recording at a time.

    Args:
        guard: Lets a recording be read when its file is what was stored.

    Returns:
        Utterance id -> label -> probability.
    """
    answers: dict[str, dict[str, float]] = {}
    for recording_id, audio_file in sorted(
        {(example.recording_id, example.audio_file) for example in examples}
    ):
        utterances = [
            _utterance(example) for example in examples if example.recording_id == recording_id
        ]
        path = workspace.audio_dir / audio_file
        clips = make_clips(
            utterances, open_canonical(path, expected=guard.admit(path, recording_id))
        )
        for clip, distribution in zip(clips, labeler.label(clips), strict=True):
            answers[clip.utterance_id] = dict(distribution)
    return answers


def _utterance(example: Example) -> Utterance:
    return Utterance(
        recording_id=example.recording_id,
        channel=example.channel,
        speaker=example.voice.rpartition("/")[2],
        segment=example.segment,
        text=example.text,
        language=example.language,
    )


def training_config(workspace: Workspace, scheme: str) -> TrainingConfig:
    """The recipe of a scheme with the overrides of voxdata.toml."""
    settings = workspace.settings.training
    return load_recipe(scheme, overrides={**settings.recipe, "min_gain": settings.min_gain})


@step("train")
def train_scheme(
    workspace: Workspace, scheme: str, version: DatasetVersion, *, force: bool, say: Say
) -> TrainingRun:
    """Train one scheme on one version and record the run; a run that was done before is returned as it is.

    A version that has too little to learn from is not trained: that is recorded, and is no failure.

    Raises:
        TrainingError: The version cannot be trained on, or somebody in it was forgotten meanwhile; the failed run is recorded too.
    """
    config = training_config(workspace, scheme)
    config_key = config.key
    with workspace.warehouse() as con:
        done = [
            r
            for r in list_training_runs(con, scheme)
            if (r.version_id, r.config_key, r.state) == (version.version_id, config_key, "done")
        ]
        examples = [e for e in load_examples(con, version.version_id) if scheme in e.gold]
    if done and not force:
        say(f"train: {scheme} on {version.ref} was trained before: run {done[-1].training_id[:8]}")
        return done[-1]
    settings = workspace.settings.training
    shortage = find_shortage(
        examples,
        scheme=scheme,
        min_examples=settings.min_examples,
        min_voices=settings.min_voices,
    )
    if shortage:
        return _skip(workspace, scheme, version, config_key, shortage=shortage, say=say)
    incumbent = build_labelers(workspace)[scheme]
    training_id = digest(
        scheme,
        version.version_id,
        config_key,
        incumbent.model.key,
        *([workspace.run_id] if force else []),
    )
    run = TrainingRun(
        training_id=training_id,
        scheme=scheme,
        version_id=version.version_id,
        config_key=config_key,
        state="failed",
        model_key="",
        model_name="",
        checkpoint_dir="",
        result={},
        promoted=False,
        reason="",
        seconds=0.0,
    )
    guard = open_guard(workspace, {example.recording_id for example in examples})
    bad = find_bad(
        workspace, {example.recording_id: example.audio_file for example in examples}, guard
    )
    if bad:
        note_bad(workspace, bad, stage="train")
        raise _fail(
            workspace,
            run,
            version,
            TrainingError("\n".join(str(error) for _, error in sorted(bad.items()))),
        )
    output = workspace.models_dir / f"{scheme}-{training_id[:12]}"
    say(
        f"train: {scheme} on {version.ref}, {counted(len(examples), 'example')}, against {incumbent.model.name}"
    )
    began = monotonic()
    try:
        result = _launch(
            workspace, version, config, incumbent, examples, guard, output=output, say=say
        )
        checkpoint = (output / "checkpoint").relative_to(workspace.root)
        run = finished_run(
            run, result, checkpoint=checkpoint, incumbent=incumbent, seconds=monotonic() - began
        )
    except TrainingError as error:
        run = replace(run, reason=str(error), seconds=monotonic() - began)
    except AudioError as error:
        if not throw_away_if_forgotten(workspace, output, examples):
            if error.recording_id:
                note_bad(workspace, {error.recording_id: error}, stage="train")
            raise _fail(workspace, run, version, TrainingError(str(error))) from error
    except BaseException:
        throw_away_if_forgotten(workspace, output, examples)
        raise
    with workspace.warehouse() as con:
        gone = forgotten_meanwhile(con, examples)
        if gone:
            run = replace(
                run,
                state="failed",
                model_key="",
                model_name="",
                checkpoint_dir="",
                result={},
                promoted=False,
                reason=MEANWHILE,
            )
        add_training_run(con, run, run_id=workspace.run_id)
    if gone:
        throw_away(workspace, output, gone)
    if run.state == "done":
        try_signing(
            f"model {training_id[:12]}", lambda: sign_model(workspace, run, version), say=say
        )
    emit_training(workspace, run, version)
    if run.state == "failed":
        raise TrainingError(run.reason)
    say(f"train: {scheme} {'PROMOTED' if run.promoted else 'not promoted'}: {run.reason}")
    return run


def _launch(
    workspace: Workspace,
    version: DatasetVersion,
    config: TrainingConfig,
    incumbent: Labeler,
    examples: Sequence[Example],
    guard: AudioGuard,
    *,
    output: Path,
    say: Say,
) -> dict[str, object]:
    """Write what a training run reads, and have it run.

    Raises:
        TrainingError: It failed.
        AudioError: A test example cannot be heard.
    """
    output.mkdir(parents=True, exist_ok=True)
    manifest = output / "manifest.jsonl"
    with workspace.warehouse() as con:
        write_version_manifest(
            con,
            version.version_id,
            audio_root=workspace.audio_dir,
            schemes={s.name: s.label_names for s in workspace.schemes},
            path=manifest,
        )
    answers = answer_examples(
        workspace, incumbent, [e for e in examples if e.split is Split.TEST], guard
    )
    rows = [
        json.dumps({"utterance_id": key, "distribution": value}, ensure_ascii=False)
        for key, value in sorted(answers.items())
    ]
    write_file(output / "incumbent.jsonl", "".join(row + "\n" for row in rows).encode())
    write_config(output / "config.toml", config)
    job = TrainingJob(
        config=output / "config.toml",
        manifest=manifest,
        incumbent=output / "incumbent.jsonl",
        output=output,
    )
    return dict(LocalLauncher(cache_dir=workspace.models_dir, progress=say).launch(job))


def _fail(
    workspace: Workspace, run: TrainingRun, version: DatasetVersion, error: TrainingError
) -> TrainingError:
    """Record that a version could not be trained on.

    Returns:
        The error.
    """
    failed = replace(run, reason=str(error))
    with workspace.warehouse() as con:
        add_training_run(con, failed, run_id=workspace.run_id)
    emit_training(workspace, failed, version)
    return error


def _skip(
    workspace: Workspace,
    scheme: str,
    version: DatasetVersion,
    config_key: str,
    *,
    shortage: str,
    say: Say,
) -> TrainingRun:
    """Record that a version has too little to learn from."""
    reason = f"too little to learn from: {shortage}"
    run = TrainingRun(
        training_id=digest("skipped", scheme, version.version_id, config_key, reason),
        scheme=scheme,
        version_id=version.version_id,
        config_key=config_key,
        state="skipped",
        model_key="",
        model_name="",
        checkpoint_dir="",
        result={},
        promoted=False,
        reason=reason,
        seconds=0.0,
    )
    with workspace.warehouse() as con:
        add_training_run(con, run, run_id=workspace.run_id)
    say(
        f"train: {scheme} is not trained on {version.ref}: {reason}; label more, or lower it in [training]"
    )
    return run


def leaves_out(version: DatasetVersion, scheme: str) -> bool:
    """Whether the recipe of a version leaves a scheme out; one that names none takes all."""
    taken = version.recipe.get("schemes")
    return isinstance(taken, (dict, list, tuple)) and bool(taken) and scheme not in taken


def finished_run(
    run: TrainingRun,
    result: dict[str, object],
    *,
    checkpoint: Path,
    incumbent: Labeler,
    seconds: float,
) -> TrainingRun:
    """Fill in a run from the trainer's result."""
    model, decision = result["model"], result["decision"]
    if not isinstance(model, dict) or not isinstance(decision, dict):
        raise TrainingError(f"run {run.training_id}: result.json has no model or decision")
    return replace(
        run,
        state="done",
        model_key=str(model["key"]),
        model_name=str(model["name"]),
        checkpoint_dir=str(checkpoint),
        result={
            **result,
            "incumbent": {
                "name": incumbent.model.name,
                "key": incumbent.model.key,
                "weak": incumbent.model.weak,
            },
        },
        promoted=bool(decision["promote"]),
        reason=str(decision["reason"]),
        seconds=seconds,
    )


def train_version(
    workspace: Workspace, schemes: Sequence[str], ref: str, *, force: bool = False, say: Say
) -> list[TrainingRun]:
    """Train the schemes one after the other on the version `ref`.

    Raises:
        TrainingError: A scheme could not be trained; the others were tried first.
        NotFoundError, SchemeError: There is no such version or scheme.
    """
    with workspace.warehouse() as con:
        version = find_version(con, ref)
    runs, failures = [], []
    for name in schemes:
        scheme = find_scheme(workspace.schemes, name).name
        if leaves_out(version, scheme):
            say(f"train: {scheme} is not trained on {version.ref}: its recipe leaves {scheme} out")
            continue
        try:
            runs.append(call(train_scheme, workspace, scheme, version, force=force, say=say))
        except TrainingError as error:
            say(f"train: {scheme} failed: {error}")
            failures.append(f"{scheme}: {error}")
    rows: list[dict[str, object]] = [
        {"scheme": r.scheme, "model": r.model_name, "promoted": r.promoted, "reason": r.reason}
        for r in runs
    ]
    show_table("finetune", rows, description=f"Models trained on {version.ref}")
    if failures:
        raise TrainingError("\n".join(failures))
    return runs


@flow(
    name="finetune",
    flow_run_name="finetune-{version_id}",
    validate_parameters=False,
    log_prints=True,
)
def finetune(root: str, version_id: str) -> list[str]:
    """Train every scheme of [training] on a version of the workspace at `root`."""
    quiet_child()
    workspace = open_workspace(Path(root))
    return [
        run.training_id
        for run in train_version(
            workspace, workspace.settings.training.schemes, version_id, say=tell
        )
    ]
