import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path

import polars as pl
import pytest
from click.testing import Result
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from flows.cli.main import app
from flows.pages.diff_page import render_diff
from flows.pages.report import write_report
from flows.place import FILE_NAME
from flows.prelabel.link_voices import link_voices
from flows.release.flow import ReleaseSummary, preview_version, release, release_version
from flows.settings import template
from flows.workspace import Workspace, open_workspace
from voxdata.dataset import Example, Split
from voxdata.draft import Draft, build_examples, corrected_texts, gold_columns
from voxdata.errors import ConfigError, DropReason, SplitLossError
from voxdata.fingerprint import NearDuplicate
from voxdata.label import Annotation, Gold
from voxdata.losses import find_losses
from voxdata.manifest import decode_example
from voxdata.segment import Segment
from voxdata.testing import make_recording
from voxdata.utterance import Utterance
from warehouse.annotations import add_annotations, current_annotations
from warehouse.diffs import diff_versions
from warehouse.duplicates import store_near_duplicates
from warehouse.leaks import find_leaks
from warehouse.ledger import list_drops
from warehouse.metadata import CALL, store_metadata
from warehouse.recordings import add_recording
from warehouse.stages import record_stage
from warehouse.utterances import store_utterances
from warehouse.versions import list_versions, load_examples
from warehouse.voices import current_voices, merge_voices, split_voice, store_speaker_embeddings

RATIOS = {Split.TRAIN: 0.6, Split.VALIDATION: 0.2, Split.TEST: 0.2}
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def utterance(recording: str, speaker: str, number: int) -> Utterance:
    return Utterance(
        recording_id=recording,
        channel=0,
        speaker=speaker,
        segment=Segment(start_ms=number * 1000, end_ms=number * 1000 + 900),
        text=f"words {number}",
        language="en",
    )


def build(
    utterances: list[Utterance],
    fixed: dict[str, Split] | None = None,
    texts: dict[str, str] | None = None,
    voices: dict[tuple[str, int, str], str] | None = None,
    kin: dict[str, list[str]] | None = None,
    labelled: list[Utterance] | None = None,
) -> Draft:
    """A draft of utterances that are all questions."""
    golds = {
        u.utterance_id: Gold(
            utterance_id=u.utterance_id,
            scheme="intent",
            label="question",
            distribution={"question": 1.0},
            num_votes=1,
        )
        for u in (utterances if labelled is None else labelled)
    }
    rows = [
        {
            "utterance_id": u.utterance_id,
            "recording_id": u.recording_id,
            "channel": u.channel,
            "speaker": u.speaker,
            "start_ms": u.segment.start_ms,
            "end_ms": u.segment.end_ms,
            "text": (texts or {}).get(u.utterance_id, u.text),
            "language": u.language,
            "audio_file": f"{u.recording_id}.flac",
            "voice": (voices or {}).get((u.recording_id, u.channel, u.speaker)),
        }
        for u in utterances
    ]
    frame = pl.DataFrame(rows, schema_overrides={"voice": pl.String})
    ties = [(name, tie) for name, shared in (kin or {}).items() for tie in shared]
    places = [(name, split.value) for name, split in (fixed or {}).items()]
    return build_examples(
        frame.join(
            gold_columns(golds, "intent"), on="utterance_id", how="left", maintain_order="left"
        ),
        fixed=pl.DataFrame(places, schema={"name": pl.String, "split": pl.String}, orient="row"),
        ratios=RATIOS,
        seed=0,
        kin=pl.DataFrame(
            ties, schema={"recording_id": pl.String, "shared": pl.String}, orient="row"
        ),
    )


def examples_of(draft: Draft) -> list[Example]:
    """The examples of a draft as values."""
    rows = chain.from_iterable(frame.to_dicts() for frame in draft.stored())
    return [decode_example({**row, "gold": json.loads(row["gold"]), "salt": ""}) for row in rows]


def places_of(draft: Draft) -> dict[str, Split]:
    """Where the speakers of a draft stay."""
    return {name: Split(split) for name, split in draft.places.iter_rows()}


@given(
    st.lists(
        st.tuples(st.integers(0, 12), st.integers(0, 2)),
        min_size=1,
        max_size=40,
        unique=True,
    )
)
def test_build_examples_never_divides_a_voice_or_a_recording(pairs: list[tuple[int, int]]) -> None:
    utterances = [
        utterance(f"r{recording}", f"S{speaker}", i) for i, (recording, speaker) in enumerate(pairs)
    ]
    draft = build(utterances)
    assert draft.conflicts == ()
    examples = examples_of(draft)
    assert len(examples) == len(utterances)
    for key in ("voice", "recording_id", "group"):
        sides = {(getattr(e, key), e.split) for e in examples}
        splits = Counter(held for held, _ in sides)
        assert max(splits.values()) == 1


def test_build_examples_leaves_out_what_nobody_labelled() -> None:
    labelled, unlabelled = utterance("r1", "S0", 0), utterance("r1", "S0", 1)
    examples = examples_of(build([labelled, unlabelled], labelled=[labelled]))
    assert [e.utterance_id for e in examples] == [labelled.utterance_id]


def test_build_examples_keeps_an_earlier_split() -> None:
    utterances = [utterance(f"r{i}", "S0", i) for i in range(5)]
    examples = examples_of(build(utterances, fixed={"r0/S0": Split.TEST}))
    assert {e.split for e in examples if e.recording_id == "r0"} == {Split.TEST}


def test_build_examples_leaves_out_a_group_whose_voices_were_split_before() -> None:
    utterances = [
        utterance("r0", "S0", 0),
        utterance("r0", "S1", 1),
        utterance("r1", "S0", 2),
    ]
    draft = build(utterances, fixed={"r0/S0": Split.TEST, "r0/S1": Split.TRAIN})
    assert draft.conflicts == ("r0/S0", "r0/S1")
    assert {e.recording_id for e in examples_of(draft)} == {"r1"}


def test_build_examples_keeps_a_voice_a_call_and_copies_on_one_side() -> None:
    utterances = [utterance(f"r{i}", "S0", i) for i in range(12)]
    voices = {
        ("r0", 0, "S0"): "v",
        ("r1", 0, "S0"): "v",
        ("r2", 0, "S0"): "w",
    }
    kin = {
        "r2": ["call 7"],
        "r3": ["call 7"],
        "r4": ["duplicates r4"],
        "r5": ["duplicates r4", "call 7"],
    }
    examples = {e.recording_id: e for e in examples_of(build(utterances, voices=voices, kin=kin))}
    assert examples["r0"].voice == examples["r1"].voice == "v"
    assert examples["r0"].split == examples["r1"].split
    assert len({examples[f"r{i}"].split for i in (2, 3, 4, 5)}) == 1
    groups = {e.group for e in examples.values()}
    assert len(groups) == 12 - 1 - 3
    splits = {e.split for e in examples.values()}
    assert splits == set(Split)


def test_build_examples_keeps_a_speaker_where_it_was_when_it_gets_a_voice() -> None:
    utterances = [utterance(f"r{i}", "S0", i) for i in range(6)]
    first = build(utterances)
    voices = {(f"r{i}", 0, "S0"): f"v{i}" for i in range(6)}
    again = build(utterances, fixed=places_of(first), voices=voices)
    assert {e.recording_id: e.split for e in examples_of(again)} == {
        e.recording_id: e.split for e in examples_of(first)
    }
    assert again.conflicts == ()


def test_build_examples_leaves_out_a_voice_that_turns_out_to_be_on_both_sides() -> None:
    utterances = [utterance(f"r{i}", "S0", i) for i in range(3)]
    fixed = {"r0/S0": Split.TEST, "r1/S0": Split.TRAIN}
    draft = build(
        utterances,
        fixed=fixed,
        voices={("r0", 0, "S0"): "v", ("r1", 0, "S0"): "v"},
    )
    assert draft.conflicts == ("v",)
    assert {e.recording_id for e in examples_of(draft)} == {"r2"}


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.integers(0, 1)),
        min_size=1,
        max_size=20,
        unique=True,
    ),
    st.dictionaries(
        st.tuples(st.integers(0, 9), st.integers(0, 1)),
        st.sampled_from("vwx"),
        max_size=6,
    ),
    st.dictionaries(
        st.integers(0, 9),
        st.lists(st.sampled_from(["call 1", "call 2", "duplicates 1"]), max_size=2),
        max_size=5,
    ),
    st.integers(0, 20),
)
def test_build_examples_moves_nothing_and_divides_nothing_as_data_and_voices_come(
    pairs: list[tuple[int, int]],
    named: dict[tuple[int, int], str],
    shared: dict[int, list[str]],
    half: int,
) -> None:
    utterances = [
        utterance(f"r{recording}", f"S{speaker}", i) for i, (recording, speaker) in enumerate(pairs)
    ]
    voices = {
        (f"r{recording}", 0, f"S{speaker}"): voice for (recording, speaker), voice in named.items()
    }
    kin = {f"r{recording}": ties for recording, ties in shared.items()}
    first = build(utterances[:half], kin=kin) if utterances[:half] else None
    fixed = places_of(first) if first else {}
    second = build(
        utterances,
        fixed=fixed,
        voices=voices,
        kin=kin,
    )
    sides: dict[str, set[Split]] = {}
    for e in examples_of(second):
        for name in (e.voice, e.recording_id, e.group, *kin.get(e.recording_id, ())):
            sides.setdefault(name, set()).add(e.split)
    assert all(len(found) == 1 for found in sides.values())
    before = {e.utterance_id: e.split for e in examples_of(first)} if first else {}
    assert all(before.get(e.utterance_id, e.split) is e.split for e in examples_of(second))
    out = set(second.conflicts)
    assert {e.utterance_id for e in examples_of(second)} == {
        u.utterance_id
        for u in utterances
        if voices.get((u.recording_id, 0, u.speaker), f"{u.recording_id}/{u.speaker}") not in out
    }
    again = build(
        utterances,
        fixed=fixed | places_of(second) | {e.voice: e.split for e in examples_of(second)},
        voices=voices,
        kin=kin,
    )
    assert again.rows.equals(second.rows)
    assert (places_of(again), again.conflicts) == (places_of(second), second.conflicts)


def test_build_examples_keeps_a_speaker_where_it_was_when_it_is_split_from_its_voice() -> None:
    utterances = [utterance(f"r{i}", "S0", i) for i in range(6)]
    together = {("r0", 0, "S0"): "v", ("r1", 0, "S0"): "v"}
    first = build(utterances, voices=together)
    fixed = {e.voice: e.split for e in examples_of(first)} | places_of(first)
    second = build(
        utterances,
        fixed=fixed,
        voices={**together, ("r1", 0, "S0"): "w"},
    )
    assert second.conflicts == ()
    assert {e.recording_id: e.split for e in examples_of(second)} == {
        e.recording_id: e.split for e in examples_of(first)
    }
    assert len({e.group for e in examples_of(second)}) == 6


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Ten recordings of one speaker each, answered by one person; nobody is recognised yet."""
    (tmp_path / FILE_NAME).write_text(template())
    workspace = open_workspace(tmp_path)
    with workspace.warehouse() as con:
        for i in range(10):
            recording = make_recording(i)
            said = utterance(make_recording(i).recording_id, "S0", i)
            add_recording(con, recording, audio_file=f"{i}.flac", run_id="t")
            store_utterances(con, [said], key="c", run_id="t")
            store_speaker_embeddings(
                con,
                recording.recording_id,
                0,
                key="d",
                embeddings={"S0": [float(i == j) for j in range(10)]},
                speech_ms={"S0": 20_000},
                model_key="m",
                run_id="t",
            )
            for stage, key in (("diarize", "d"), ("cut", "c")):
                record_stage(
                    con,
                    recording_id=recording.recording_id,
                    stage=stage,
                    key=key,
                    model_key=None,
                    num_rows=1,
                    audio_ms=1,
                    seconds=1.0,
                    run_id="t",
                )
            vote = Annotation(
                annotation_id=i,
                project_id=1,
                utterance_id=said.utterance_id,
                annotator="a",
                updated_at=NOON,
                labels={"intent": ("question",)},
            )
            add_annotations(con, [vote], run_id="t")
    return workspace


def places(workspace: Workspace, summary: ReleaseSummary) -> dict[str, Split]:
    with workspace.warehouse() as con:
        return {e.recording_id: e.split for e in load_examples(con, summary.version.version_id)}


def released(workspace: Workspace) -> ReleaseSummary:
    return release_version(workspace, "calls", say=lambda line: None)


def test_release_makes_no_new_version_of_the_same_data(workspace: Workspace) -> None:
    link_voices(workspace, say=lambda line: None)
    assert released(workspace).created
    assert link_voices(workspace, say=lambda line: None) == 0
    assert not released(workspace).created


def test_release_moves_nobody_when_speakers_get_voices(workspace: Workspace) -> None:
    first = places(workspace, released(workspace))
    link_voices(workspace, say=lambda line: None)
    second = released(workspace)
    assert second.conflicts == ()
    assert places(workspace, second) == first


def test_release_keeps_calls_copies_and_merged_voices_on_one_side(workspace: Workspace) -> None:
    ids = [make_recording(i).recording_id for i in range(10)]
    link_voices(workspace, say=lambda line: None)
    with workspace.warehouse() as con:
        for recording_id in ids[:2]:
            store_metadata(
                con,
                recording_id,
                {CALL: "c1"},
                manifest="m.csv",
                run_id="t",
            )
        copies = NearDuplicate(
            recording_id=ids[2],
            other_id=ids[1],
            score=0.99,
            shared_ms=10_000,
        )
        store_near_duplicates(con, [copies], key="f", run_id="t")
        voices = current_voices(con)
        merge_voices(
            con,
            voices[ids[3], 0, "S0"],
            into=voices[ids[2], 0, "S0"],
            reason="",
            run_id="t",
        )
    places_of = places(workspace, released(workspace))
    assert len({places_of[recording_id] for recording_id in ids[:4]}) == 1
    assert set(places_of.values()) == set(Split)


@pytest.mark.parametrize("taken_out", [Split.TRAIN, Split.TEST])
def test_release_leaves_out_and_names_voices_that_are_merged_across_a_split(
    workspace: Workspace, taken_out: Split
) -> None:
    link_voices(workspace, say=lambda line: None)
    first = places(workspace, released(workspace))
    train = next(r for r, split in sorted(first.items()) if split is Split.TRAIN)
    test = next(r for r, split in sorted(first.items()) if split is Split.TEST)
    with workspace.warehouse() as con:
        voices = current_voices(con)
        kept = voices[test, 0, "S0"]
        merge_voices(
            con,
            voices[train, 0, "S0"],
            into=kept,
            reason="",
            run_id="t",
        )
    lines: list[str] = []
    summary = release_version(workspace, "calls", say=lines.append, accept_losses=True)
    assert summary.conflicts == (kept,)
    assert any(kept in line for line in lines)
    assert places(workspace, summary) == {
        r: split for r, split in first.items() if r not in (train, test)
    }
    with workspace.warehouse() as con:
        (leak,) = find_leaks(con)
        assert leak.voice == kept
        assert dict(leak.versions) == {Split.TRAIN: ("calls@1",), Split.TEST: ("calls@1",)}
        assert dict(leak.num_examples) == {Split.TRAIN: 1, Split.TEST: 1}
        assert leak.trained == ()
        subjects = [
            row.subject for row in list_drops(con) if row.reason is DropReason.SPLIT_CONFLICT
        ]
        assert subjects == [f"voice {kept}"]
        split_voice(
            con,
            f"{train if taken_out is Split.TRAIN else test}:0:S0",
            reason="they are two",
            run_id="t",
        )
    undone = released(workspace)
    assert undone.conflicts == ()
    assert places(workspace, undone) == first


def merge_everybody_into_training(workspace: Workspace, found: dict[str, Split]) -> None:
    train = next(r for r, split in sorted(found.items()) if split is Split.TRAIN)
    with workspace.warehouse() as con:
        for recording_id, split in sorted(found.items()):
            if split is not Split.TRAIN:
                voices = current_voices(con)
                merge_voices(
                    con,
                    voices[recording_id, 0, "S0"],
                    into=voices[train, 0, "S0"],
                    reason="",
                    run_id="t",
                )


def test_release_refuses_a_version_whose_splits_lose_everything_and_writes_nothing(
    workspace: Workspace,
) -> None:
    link_voices(workspace, say=lambda line: None)
    merge_everybody_into_training(workspace, places(workspace, released(workspace)))
    with pytest.raises(
        SplitLossError,
        match=(
            r"against calls@1, validation loses everything .*, test loses everything "
            r".*--accept-losses"
        ),
    ):
        released(workspace)
    with workspace.warehouse() as con:
        refs = [version.ref for version in list_versions(con)]
        assert refs == ["calls@1"]


def test_release_goes_on_with_a_warning_when_losses_are_accepted(workspace: Workspace) -> None:
    link_voices(workspace, say=lambda line: None)
    merge_everybody_into_training(workspace, places(workspace, released(workspace)))
    summary = release_version(workspace, "calls", say=lambda line: None, accept_losses=True)
    assert summary.version.ref == "calls@2"
    assert "test loses everything" in summary.warnings[0]
    assert released(workspace).created is False


def test_preview_and_diff_and_report_name_what_splits_lose(workspace: Workspace) -> None:
    link_voices(workspace, say=lambda line: None)
    merge_everybody_into_training(workspace, places(workspace, released(workspace)))
    preview = preview_version(workspace, "calls", workspace.settings.release.recipe)
    losses = [(row["split"], row["lost"]) for row in preview["lost"]]
    assert losses == [
        ("validation", "everything"),
        ("test", "everything"),
    ]
    release_version(workspace, "calls", say=lambda line: None, accept_losses=True)
    with workspace.warehouse() as con:
        first, second = list_versions(con)
        diff = diff_versions(con, first.version_id, second.version_id)
    losses = [(loss.split, loss.what) for loss in diff.lost]
    assert losses == [
        (Split.VALIDATION, "everything"),
        (Split.TEST, "everything"),
    ]
    assert "<h2>Lost</h2>" in render_diff(first, second, diff, examples={})
    assert "test loses everything" in write_report(workspace).read_text(encoding="utf-8")


def test_release_command_ends_with_an_error_until_losses_are_accepted(workspace: Workspace) -> None:
    link_voices(workspace, say=lambda line: None)
    merge_everybody_into_training(workspace, places(workspace, released(workspace)))

    def run(*more: str) -> Result:
        return CliRunner().invoke(app, ["--dir", str(workspace.root), "release", "calls", *more])

    dry = run("--dry-run")
    assert dry.exit_code == 0
    assert "everything" in dry.stdout
    refused = run()
    assert refused.exit_code == 1
    assert type(refused.exception) is SplitLossError
    assert run("--accept-losses").exit_code == 0


def test_release_refuses_to_lose_all_of_a_label_in_a_split(workspace: Workspace) -> None:
    with workspace.warehouse() as con:
        rare = replace(
            current_annotations(con)[0],
            labels={"intent": ("request",)},
            updated_at=NOON + timedelta(days=1),
        )
        add_annotations(con, [rare], run_id="t")
    split = places(workspace, released(workspace))[make_recording(0).recording_id]
    with workspace.warehouse() as con:
        back = replace(
            rare,
            labels={"intent": ("question",)},
            updated_at=NOON + timedelta(days=2),
        )
        add_annotations(con, [back], run_id="t")
    with pytest.raises(SplitLossError, match=rf"{split.value} loses intent=request \(1 example\)"):
        released(workspace)


def test_find_losses_takes_a_label_that_the_scheme_no_longer_has_for_none() -> None:
    before = {
        (Split.TEST, "", ""): 3,
        (Split.TEST, "intent", "old"): 1,
        (Split.TEST, "intent", "ask"): 2,
    }
    after = {
        (Split.TEST, "", ""): 3,
        (Split.TEST, "intent", "new"): 3,
    }
    lost_things = [
        loss.what for loss in find_losses(before, after, labels={"intent": ("ask", "new")})
    ]
    assert lost_things == ["intent=ask"]
    lost_things = [loss.what for loss in find_losses(before, after)]
    assert lost_things == ["intent=ask", "intent=old"]


def test_build_examples_prefers_a_corrected_text() -> None:
    u = utterance("r0", "S0", 0)
    examples = examples_of(build([u], texts={u.utterance_id: "您好"}))
    assert examples[0].text == "您好"


def test_corrected_texts_takes_the_newest_and_ignores_skips() -> None:
    def annotation(
        number: int,
        text: str | None,
        *,
        skipped: bool = False,
    ) -> Annotation:
        at = NOON + timedelta(minutes=number)
        return Annotation(
            annotation_id=number,
            project_id=1,
            utterance_id="u",
            annotator="a",
            labels={},
            text=text,
            skipped=skipped,
            updated_at=at,
        )

    texts = corrected_texts(
        [
            annotation(2, "second"),
            annotation(1, "first"),
            annotation(3, None),
            annotation(4, "no", skipped=True),
        ]
    )
    assert texts == {"u": "second"}


def release_by_command(workspace: Workspace, *words: str) -> Result:
    return CliRunner().invoke(app, ["--dir", str(workspace.root), "release", *words])


@pytest.mark.parametrize(
    "name",
    ["cals", "callls", "Calls", "clals", "ca-lls"],
)
@pytest.mark.parametrize("words", [[], ["--dry-run"]])
def test_release_command_begins_no_dataset_for_a_mistyped_name(
    workspace: Workspace, name: str, words: list[str]
) -> None:
    released(workspace)
    done = release_by_command(workspace, name, *words)
    assert isinstance(done.exception, ConfigError)
    assert "write calls, or add --new" in str(done.exception)
    with workspace.warehouse(read_only=True) as con:
        refs = [version.ref for version in list_versions(con)]
        assert refs == ["calls@1"]


def test_release_command_begins_a_dataset_of_nearly_the_same_name_when_told_to(
    workspace: Workspace,
) -> None:
    released(workspace)
    done = release_by_command(workspace, "cals", "--new")
    assert done.exit_code == 0
    assert "'cals' is a new dataset; there are calls" in done.stderr


def test_release_says_once_that_it_begins_a_dataset(workspace: Workspace) -> None:
    lines: list[str] = []
    release_version(workspace, "calls", say=lines.append)
    assert not [line for line in lines if "new dataset" in line]
    for name in ("meetings", "meetings", "calls"):
        release_version(workspace, name, say=lines.append)
    assert [line for line in lines if "new dataset" in line] == [
        "release: 'meetings' is a new dataset; there are calls"
    ]


def test_release_on_schedule_takes_the_project_by_its_name(workspace: Workspace) -> None:
    name = workspace.settings.project.name
    release_version(workspace, f"{name}s", say=lambda line: None)
    assert release.fn(str(workspace.root), name, scheduled=True)
