import re

from voxdata.segment import Segment
from voxdata.srt import encode_srt
from voxdata.utterance import Utterance


def utterance(start_ms: int, text: str, speaker: str = "S0") -> Utterance:
    segment = Segment(start_ms=start_ms, end_ms=start_ms + 1500)
    return Utterance(
        recording_id="r",
        channel=0,
        speaker=speaker,
        segment=segment,
        text=text,
        language="zh",
    )


def test_encode_srt_numbers_cues_in_order_of_time() -> None:
    assert encode_srt([utterance(3_661_001, "二"), utterance(0, "one", "S1")]) == (
        "1\n00:00:00,000 --> 00:00:01,500\nS1: one\n\n2\n01:01:01,001 --> 01:01:02,501\nS0: 二\n"
    )


def test_encode_srt_leaves_out_wordless_utterances_and_line_breaks() -> None:
    text = encode_srt([utterance(0, " "), utterance(2000, "a\n\n--> b")])
    assert re.findall(r"^\d+$", text, re.MULTILINE) == ["1"]
    assert "S0: a --> b\n" in text


def test_encode_srt_of_nothing_is_empty() -> None:
    assert encode_srt([]) == ""
