from flows.demo.samples import Answer, match_answers, read_answers, sample_paths
from flows.settings import parse_settings, template
from voxdata.segment import Segment
from voxdata.utterance import Utterance


def utterance(start_ms: int, end_ms: int, recording_id: str = "r1") -> Utterance:
    return Utterance(
        recording_id=recording_id,
        channel=0,
        speaker="S0",
        segment=Segment(start_ms=start_ms, end_ms=end_ms),
        text="x",
        language="en",
    )


KEY = [
    Answer(
        file="a.wav",
        segment=Segment(start_ms=0, end_ms=1000),
        labels={"intent": "question"},
    ),
    Answer(
        file="a.wav",
        segment=Segment(start_ms=1000, end_ms=2000),
        labels={"intent": "answer"},
    ),
]


def test_sample_paths_exist() -> None:
    assert all(path.stat().st_size > 10_000 for path in sample_paths())


def test_answers_use_only_labels_of_the_demo_schemes() -> None:
    schemes = {
        s.name: s.scheme
        for s in parse_settings(template("demo/voxdata.toml"), origin="demo").schemes
    }
    for answer in read_answers():
        for scheme, label in answer.labels.items():
            assert schemes[scheme].require(label) == label


def test_answers_name_only_samples() -> None:
    files = {answer.file for answer in read_answers()}
    assert files == {path.name for path in sample_paths()}


def test_match_answers_takes_the_largest_overlap() -> None:
    u = utterance(800, 1900)
    matched = match_answers([u], KEY, names={"r1": "a.wav"})
    assert matched == {u.utterance_id: {"intent": "answer"}}


def test_match_answers_leaves_out_what_no_answer_overlaps() -> None:
    matched = match_answers(
        [utterance(2000, 2500), utterance(0, 500, "r2")],
        KEY,
        names={"r1": "a.wav", "r2": "b.wav"},
    )
    assert matched == {}
