from collections import Counter
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from flows.release import build_examples, corrected_texts
from voxdata.dataset import Split
from voxdata.label import Annotation, Gold
from voxdata.segment import Segment
from voxdata.utterance import Utterance

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


def gold(utterances: list[Utterance], label: str = "question") -> dict[str, dict[str, Gold]]:
    found = {
        u.utterance_id: Gold(utterance_id=u.utterance_id, scheme="intent", label=label, distribution={label: 1.0}, num_votes=1)
        for u in utterances
    }
    return {"intent": found}


def build(utterances: list[Utterance], fixed: dict[str, Split] | None = None, texts: dict[str, str] | None = None, **more):
    files = {u.recording_id: f"{u.recording_id}.flac" for u in utterances}
    return build_examples(
        utterances, gold(utterances), texts=texts or {}, audio_files=files, fixed=fixed or {}, ratios=RATIOS, seed=0, **more
    )


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 2)), min_size=1, max_size=40, unique=True))
def test_build_examples_never_divides_a_voice_or_a_recording(pairs: list[tuple[int, int]]) -> None:
    utterances = [utterance(f"r{recording}", f"S{speaker}", i) for i, (recording, speaker) in enumerate(pairs)]
    draft = build(utterances)
    assert draft.conflicts == ()
    examples = draft.examples
    assert len(examples) == len(utterances)
    for key in ("voice", "recording_id", "group"):
        splits = Counter(getattr(e, key) for e in {(getattr(e, key), e.split): e for e in examples}.values())
        assert max(splits.values()) == 1


def test_build_examples_leaves_out_what_nobody_labelled() -> None:
    labelled, unlabelled = utterance("r1", "S0", 0), utterance("r1", "S0", 1)
    examples = build_examples(
        [labelled, unlabelled], gold([labelled]), texts={}, audio_files={"r1": "a"}, fixed={}, ratios=RATIOS, seed=0
    ).examples
    assert [e.utterance_id for e in examples] == [labelled.utterance_id]


def test_build_examples_keeps_an_earlier_split() -> None:
    utterances = [utterance(f"r{i}", "S0", i) for i in range(5)]
    examples = build(utterances, fixed={"r0/S0": Split.TEST}).examples
    assert {e.split for e in examples if e.recording_id == "r0"} == {Split.TEST}


def test_build_examples_leaves_out_a_group_whose_voices_were_split_before() -> None:
    utterances = [utterance("r0", "S0", 0), utterance("r0", "S1", 1), utterance("r1", "S0", 2)]
    draft = build(utterances, fixed={"r0/S0": Split.TEST, "r0/S1": Split.TRAIN})
    assert draft.conflicts == ("r0/S0", "r0/S1")
    assert {e.recording_id for e in draft.examples} == {"r1"}


def test_build_examples_keeps_a_voice_a_call_and_copies_on_one_side() -> None:
    utterances = [utterance(f"r{i}", "S0", i) for i in range(12)]
    voices = {("r0", 0, "S0"): "v", ("r1", 0, "S0"): "v", ("r2", 0, "S0"): "w"}
    kin = {"r2": ["call 7"], "r3": ["call 7"], "r4": ["duplicates r4"], "r5": ["duplicates r4", "call 7"]}
    examples = {e.recording_id: e for e in build(utterances, voices=voices, kin=kin).examples}
    assert examples["r0"].voice == examples["r1"].voice == "v"
    assert examples["r0"].split == examples["r1"].split
    assert len({examples[f"r{i}"].split for i in (2, 3, 4, 5)}) == 1
    assert len({e.group for e in examples.values()}) == 12 - 1 - 3
    assert {e.split for e in examples.values()} == set(Split)


def test_build_examples_keeps_a_speaker_where_it_was_when_it_gets_a_voice() -> None:
    utterances = [utterance(f"r{i}", "S0", i) for i in range(6)]
    first = build(utterances)
    voices = {(f"r{i}", 0, "S0"): f"v{i}" for i in range(6)}
    again = build(utterances, fixed=dict(first.places), voices=voices)
    assert {e.recording_id: e.split for e in again.examples} == {e.recording_id: e.split for e in first.examples}
    assert again.conflicts == ()


def test_build_examples_leaves_out_a_voice_that_turns_out_to_be_on_both_sides() -> None:
    utterances = [utterance(f"r{i}", "S0", i) for i in range(3)]
    fixed = {"r0/S0": Split.TEST, "r1/S0": Split.TRAIN}
    draft = build(utterances, fixed=fixed, voices={("r0", 0, "S0"): "v", ("r1", 0, "S0"): "v"})
    assert draft.conflicts == ("v",)
    assert {e.recording_id for e in draft.examples} == {"r2"}


def test_build_examples_prefers_a_corrected_text() -> None:
    u = utterance("r0", "S0", 0)
    examples = build([u], texts={u.utterance_id: "您好"}).examples
    assert examples[0].text == "您好"


def test_corrected_texts_takes_the_newest_and_ignores_skips() -> None:
    def annotation(number: int, text: str | None, *, skipped: bool = False) -> Annotation:
        at = NOON + timedelta(minutes=number)
        return Annotation(
            annotation_id=number, project_id=1, utterance_id="u", annotator="a", labels={}, text=text, skipped=skipped, updated_at=at
        )

    found = corrected_texts([annotation(2, "second"), annotation(1, "first"), annotation(3, None), annotation(4, "no", skipped=True)])
    assert found == {"u": "second"}
