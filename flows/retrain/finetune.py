"""Fine-tune: train a model on a dataset version, and promote it only if it surely beats
the one before.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Literal

from duckdb import DuckDBPyConnection
from prefect import flow

from flows.models import build_cold_start, build_labelers
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
from training.judge.answers import Answers, read_opponents
from training.judge.folds import wants_folds
from training.launcher import LocalLauncher
from training.result import Incumbent, TrainingResult, decode_result, encode_result
from training.text.heard import MachineTexts, machine_text, read_machine_texts
from voxdata.audio_digest import AudioGuard
from voxdata.canonical import open_canonical
from voxdata.counted import counted
from voxdata.dataset import Example, Split
from voxdata.durable import write_file
from voxdata.errors import AudioError, TrainingError
from voxdata.identity import digest
from voxdata.ports import Labeler, TrainingJob
from voxdata.prelabel import make_clips
from voxdata.progress import Progress
from voxdata.role import label_role
from voxdata.scheme import find_scheme
from voxdata.utterance import Utterance
from warehouse.exchange.handoff import write_handoff
from warehouse.promotions import add_judged_run, promoted_run
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
    by_recording: defaultdict[tuple[str, str], list[Example]] = defaultdict(list)
    for example in examples:
        by_recording[example.recording_id, example.audio_file].append(example)

    answers: dict[str, dict[str, float]] = {}
    for (recording_id, audio_file), spoken in sorted(by_recording.items()):
        path = workspace.audio_dir / audio_file
        sound = open_canonical(path, expected=guard.admit(path, recording_id))
        clips = make_clips([_utterance(example) for example in spoken], sound)
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
    rules = {
        "min_gain": settings.min_gain,
        "max_group_loss": settings.max_group_loss,
        "max_ece_rise": settings.max_ece_rise,
    }
    in_recipe = settings.recipe.get("gate", {})
    gate = {**rules, **in_recipe} if isinstance(in_recipe, Mapping) else in_recipe
    overrides = {**settings.recipe, "gate": gate}
    return load_recipe(scheme, overrides=overrides)


@step("train")
def train_scheme(
    workspace: Workspace, scheme: str, version: DatasetVersion, *, force: bool, say: Say
) -> TrainingRun:
    """Train one scheme on one version and record the run; one that was done before is returned.

    A version that has too little to learn from is not trained: that is recorded, and is no failure.

    Raises:
        TrainingError: The version cannot be trained on, or somebody in it was forgotten meanwhile;
            the failed run is recorded too.
    """
    config = training_config(workspace, scheme)
    with workspace.warehouse() as con:
        done = _find_done(con, scheme, version, config.key)
        examples = [e for e in load_examples(con, version.version_id) if scheme in e.gold]
    if done is not None and not force:
        say(f"train: {scheme} on {version.ref} was trained before: run {done.training_id[:8]}")
        return done

    settings = workspace.settings.training
    shortage = find_shortage(
        examples,
        scheme=scheme,
        min_examples=settings.min_examples,
        min_voices=settings.min_voices,
        num_folds=config.gate.folds,
    )
    if shortage:
        return _skip(workspace, scheme, version, config.key, shortage=shortage, say=say)
    lesson = _Lesson(
        version=version,
        config=config,
        examples=examples,
        incumbent=build_labelers(workspace)[scheme],
    )
    return _train(workspace, lesson, force=force, say=say)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lesson:
    """A version to train on, by which recipe, and the model to beat."""

    version: DatasetVersion
    config: TrainingConfig
    examples: Sequence[Example]
    incumbent: Labeler


def _find_done(
    con: DuckDBPyConnection, scheme: str, version: DatasetVersion, config_key: str
) -> TrainingRun | None:
    """The newest finished run of a recipe on a version."""
    wanted = (version.version_id, config_key, "done")
    runs = list_training_runs(con, scheme)
    done = [run for run in runs if (run.version_id, run.config_key, run.state) == wanted]
    return done[-1] if done else None


def _train(workspace: Workspace, lesson: _Lesson, *, force: bool, say: Say) -> TrainingRun:
    """Run the training and record what came of it.

    Raises:
        TrainingError: See `train_scheme`.
    """
    version, examples = lesson.version, lesson.examples
    scheme = lesson.config.scheme
    run = _begin(workspace, lesson, force=force)
    guard = _check_audio(workspace, lesson, run)
    output = workspace.models_dir / f"{scheme}-{run.training_id[:12]}"
    line = (
        f"train: {scheme} on {version.ref}, {counted(len(examples), 'example')}, "
        f"against {lesson.incumbent.model.name}"
    )
    say(Progress(line))
    run = _launch_and_judge(workspace, lesson, run, guard, output=output, say=say)
    run = _record(workspace, lesson, run, output)
    if run.state == "done":
        try_signing(
            f"model {run.training_id[:12]}", lambda: sign_model(workspace, run, version), say=say
        )
    emit_training(workspace, run, version)
    if run.state == "failed":
        raise TrainingError(run.reason)
    say(f"train: {scheme} {'PROMOTED' if run.promoted else 'not promoted'}: {run.reason}")
    return run


def _begin(workspace: Workspace, lesson: _Lesson, *, force: bool) -> TrainingRun:
    """A run that has failed until it is done."""
    scheme, version_id, config_key = (
        lesson.config.scheme,
        lesson.version.version_id,
        lesson.config.key,
    )
    parts = [scheme, version_id, config_key, lesson.incumbent.model.key]
    if force:
        parts.append(workspace.run_id)
    return _run_without_model(
        digest(*parts), scheme, version_id, config_key, state="failed", reason=""
    )


def _run_without_model(
    training_id: str,
    scheme: str,
    version_id: str,
    config_key: str,
    *,
    state: Literal["failed", "skipped"],
    reason: str,
) -> TrainingRun:
    return TrainingRun(
        training_id=training_id,
        scheme=scheme,
        role=label_role(scheme),
        version_id=version_id,
        config_key=config_key,
        state=state,
        model_key="",
        model_name="",
        checkpoint_dir="",
        result={},
        promoted=False,
        reason=reason,
        seconds=0.0,
    )


def _check_audio(workspace: Workspace, lesson: _Lesson, run: TrainingRun) -> AudioGuard:
    """A guard over the audio of the examples, all of which is as it was stored.

    Raises:
        TrainingError: Some is not; the failed run is recorded.
    """
    files = {example.recording_id: example.audio_file for example in lesson.examples}
    guard = open_guard(workspace, set(files))
    bad = find_bad(workspace, files, guard)
    if bad:
        note_bad(workspace, bad, stage="train")
        errors = "\n".join(str(error) for _, error in sorted(bad.items()))
        raise _fail(workspace, run, lesson.version, TrainingError(errors))
    return guard


def _launch_and_judge(
    workspace: Workspace,
    lesson: _Lesson,
    run: TrainingRun,
    guard: AudioGuard,
    *,
    output: Path,
    say: Say,
) -> TrainingRun:
    """The run with its result, or with the reason why it has none.

    Raises:
        TrainingError: A test example cannot be heard; the failed run is recorded.
    """
    began = monotonic()
    try:
        result = _launch(workspace, lesson, guard, output=output, say=say)
        return finished_run(
            run,
            result,
            checkpoint=(output / "checkpoint").relative_to(workspace.root),
            incumbent=lesson.incumbent,
            seconds=monotonic() - began,
        )
    except TrainingError as error:
        return replace(run, reason=str(error), seconds=monotonic() - began)
    except AudioError as error:
        if not throw_away_if_forgotten(workspace, output, lesson.examples):
            if error.recording_id:
                note_bad(workspace, {error.recording_id: error}, stage="train")
            raise _fail(workspace, run, lesson.version, TrainingError(str(error))) from error
        return run
    except BaseException:
        throw_away_if_forgotten(workspace, output, lesson.examples)
        raise


def _record(workspace: Workspace, lesson: _Lesson, run: TrainingRun, output: Path) -> TrainingRun:
    """Add a run to the warehouse; it has failed if somebody in it was forgotten meanwhile."""
    with workspace.warehouse() as con:
        model = lesson.incumbent.model
        run = withhold_if_beaten(con, run, beaten_key="" if model.weak else model.key)
        gone = forgotten_meanwhile(con, lesson.examples)
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
        add_judged_run(con, run, run_id=workspace.run_id)
    if gone:
        throw_away(workspace, output, gone)
    return run


def withhold_if_beaten(
    con: DuckDBPyConnection, run: TrainingRun, *, beaten_key: str
) -> TrainingRun:
    """A run, not promoted when another model came into use while it was judged.

    Args:
        beaten_key: Of the model that it was judged against; "" for the cold start.
    """
    current = promoted_run(con, run.role)
    in_use = "" if current is None else current.model_key
    if not run.promoted or in_use == beaten_key:
        return run
    reason = f"{run.reason}; but another model came into use meanwhile: train again with --force"
    return replace(run, promoted=False, reason=reason)


def _launch(
    workspace: Workspace, lesson: _Lesson, guard: AudioGuard, *, output: Path, say: Say
) -> TrainingResult:
    """Write what a training run reads, and have it run.

    Raises:
        TrainingError: It failed.
        AudioError: A test example cannot be heard.
    """
    output.mkdir(parents=True, exist_ok=True)
    with workspace.warehouse() as con:
        manifest = write_handoff(
            con,
            lesson.version.version_id,
            audio_root=workspace.audio_dir,
            histories=workspace.histories,
            folder=output,
            today=datetime.now(UTC).date(),
            run_id=workspace.run_id,
            seconds=workspace.settings.warehouse.query_seconds,
        )
    job = TrainingJob(
        config=output / "config.toml",
        manifest=manifest,
        incumbent=output / "incumbent.jsonl",
        output=output,
    )
    judged, recalled = choose_judged(workspace, lesson.examples, lesson.config)
    texts = read_machine_texts(manifest, version_id=lesson.version.version_id)
    judged = _as_heard(judged, texts)
    asked = [example for example in judged if example.utterance_id not in recalled]
    answers = {**recalled, **answer_examples(workspace, lesson.incumbent, asked, guard)}
    cold_start: Answers = answers
    if not lesson.incumbent.model.weak:
        starter = build_cold_start(workspace, lesson.config.scheme)
        cold_start = answer_examples(workspace, starter, judged, guard)
    _write_answers(job.incumbent, answers, cold_start)
    write_config(job.config, lesson.config)
    settings = workspace.settings.training
    launcher = LocalLauncher(
        cache_dir=workspace.models_dir,
        progress=say,
        compute=settings.compute,
        timeout_minutes=settings.timeout_minutes,
    )
    return decode_result(launcher.launch(job), origin=str(output / "result.json"))


def _as_heard(examples: Sequence[Example], texts: MachineTexts | None) -> list[Example]:
    """Examples with the text that a model would have in use: the machine's."""
    heard: list[Example] = []
    for example in examples:
        heard.append(replace(example, text=machine_text(example, texts)))
    return heard


def choose_judged(
    workspace: Workspace, examples: Sequence[Example], config: TrainingConfig
) -> tuple[Sequence[Example], Answers]:
    """The examples that a model may be judged on.

    They are those of the test split. Where it is too small they are all, for folds over voices, if
    the model to beat has an honest answer to each: to a clip that it has learnt from, that is the
    one it gave before, when it was judged in folds itself.

    Returns:
        The examples, and the answers of the model to beat to those that it has learnt from.
    """
    tested = [example for example in examples if example.split is Split.TEST]
    if not wants_folds(examples, num_folds=config.gate.folds):
        return tested, {}
    learnt, given = _recall_incumbent(workspace, config.scheme)
    needed = learnt & {example.utterance_id for example in examples}
    if needed - given.keys():
        return tested, {}
    return examples, {utterance_id: given[utterance_id] for utterance_id in needed}


def _recall_incumbent(workspace: Workspace, scheme: str) -> tuple[set[str], Answers]:
    """What the model to beat has learnt from, and what it answered when it was judged."""
    with workspace.warehouse() as con:
        run = promoted_run(con, label_role(scheme))
        if run is None:
            return set(), {}
        examples = list(load_examples(con, run.version_id))
    learnt = {example.utterance_id for example in examples if example.split is not Split.TEST}
    answered = (workspace.root / run.checkpoint_dir).with_name("predictions.jsonl")
    if not answered.is_file():
        return learnt, {}
    return learnt, read_opponents(answered).incumbent


def _write_answers(
    path: Path,
    answers: Mapping[str, Mapping[str, float]],
    cold_start: Mapping[str, Mapping[str, float]],
) -> None:
    """Write the answers of the model to beat, and of the cold start, as `python -m training` reads
    them.
    """
    lines: list[str] = []
    for utterance_id, distribution in sorted(answers.items()):
        row = {
            "utterance_id": utterance_id,
            "distribution": distribution,
            "cold_start": cold_start[utterance_id],
        }
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    write_file(path, "".join(lines).encode())


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
    training_id = digest("skipped", scheme, version.version_id, config_key, reason)
    run = _run_without_model(
        training_id, scheme, version.version_id, config_key, state="skipped", reason=reason
    )
    with workspace.warehouse() as con:
        add_training_run(con, run, run_id=workspace.run_id)
    say(
        f"train: {scheme} is not trained on {version.ref}: {reason}; "
        "label more, or lower it in [training]"
    )
    return run


def leaves_out(version: DatasetVersion, scheme: str) -> bool:
    """Whether the recipe of a version leaves a scheme out; one that names none takes all."""
    taken = version.recipe.get("schemes")
    return isinstance(taken, (dict, list, tuple)) and bool(taken) and scheme not in taken


def finished_run(
    run: TrainingRun,
    result: TrainingResult,
    *,
    checkpoint: Path,
    incumbent: Labeler,
    seconds: float,
) -> TrainingRun:
    """Fill in a run from the trainer's result.

    Raises:
        TrainingError: The result names no model.
    """
    if result.model is None:
        raise TrainingError(f"run {run.training_id}: result.json has no model or decision")
    beaten = Incumbent(
        name=incumbent.model.name,
        key=incumbent.model.key,
        weak=incumbent.model.weak,
    )
    decision = result.verdict.decision
    return replace(
        run,
        state="done",
        model_key=result.model.key,
        model_name=result.model.name,
        checkpoint_dir=str(checkpoint),
        result=encode_result(replace(result, incumbent=beaten)),
        promoted=decision.promote,
        reason=decision.reason,
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
