from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyannote.database.util import load_rttm

from voxdata.rttm import decode_rttm, encode_rttm
from voxdata.segment import Segment
from voxdata.turn import Turn, sort_turns

TURNS = st.lists(
    st.builds(
        lambda speaker, channel, start, length: Turn(
            recording_id="r",
            channel=channel,
            speaker=speaker,
            segment=Segment(start_ms=start, end_ms=start + length),
        ),
        st.sampled_from(["S0", "S1", "C0"]),
        st.integers(0, 3),
        st.integers(0, 10**7),
        st.integers(1, 10**5),
    ),
    max_size=20,
)


@given(TURNS)
def test_decode_rttm_gives_back_what_was_encoded(turns: list[Turn]) -> None:
    assert decode_rttm(encode_rttm(turns, uri="call 1"), recording_id="r") == sort_turns(turns)


def test_encode_rttm_is_read_by_pyannote(tmp_path: Path) -> None:
    turns = [
        Turn(
            recording_id="r",
            channel=0,
            speaker="S0",
            segment=Segment(start_ms=1500, end_ms=2750),
        )
    ]
    path = tmp_path / "x.rttm"
    path.write_text(encode_rttm(turns, uri="my call"), encoding="utf-8")
    annotation = load_rttm(path)["my_call"]
    ((segment, _, speaker),) = annotation.itertracks(yield_label=True)
    assert segment.start == 1.5
    assert segment.end == 2.75
    assert speaker == "S0"


@pytest.mark.parametrize(
    "fields",
    ["1 zero 1", "1 inf 1", "1 2 0", "1 -1 2", "-1 0 1", "1"],
)
def test_decode_rttm_names_the_malformed_line(fields: str) -> None:
    with pytest.raises(ValueError, match="line 2"):
        decode_rttm(f";; comment\nSPEAKER x {fields} <NA> <NA> S0 <NA> <NA>\n", recording_id="r")


def test_decode_rttm_reads_files_of_other_tools() -> None:
    (turn,) = decode_rttm("\ufeffSPEAKER x 0 1.5 0.25 <NA> <NA> S0 <NA> <NA>\r\n", recording_id="r")
    assert turn.channel == 0
    assert turn.speaker == "S0"
    assert turn.segment == Segment(start_ms=1500, end_ms=1750)


def test_decode_rttm_keeps_channels_apart_when_they_count_from_0() -> None:
    lines = [
        f"SPEAKER x {channel} {channel} 1 <NA> <NA> S{channel} <NA> <NA>" for channel in (0, 1)
    ]
    turns = [(t.channel, t.speaker) for t in decode_rttm("\n".join(lines), recording_id="r")]
    assert turns == [
        (0, "S0"),
        (1, "S1"),
    ]


def test_encode_rttm_keeps_a_speaker_with_a_space_in_one_field() -> None:
    turn = Turn(
        recording_id="r",
        channel=0,
        speaker="客服 1",
        segment=Segment(start_ms=0, end_ms=10),
    )
    (back,) = decode_rttm(encode_rttm([turn], uri=""), recording_id="r")
    assert back.speaker == "客服_1"


@pytest.mark.parametrize("inside", ["\u2028", "\x0b", "\x85", "\xa0"])
def test_decode_rttm_keeps_other_blanks_inside_a_name(inside: str) -> None:
    line = f"SPEAKER call 1 0.000 1.000 <NA> <NA> An{inside}na <NA> <NA>\r\n"
    speakers = [turn.speaker for turn in decode_rttm(line, recording_id="r")]
    assert speakers == [f"An{inside}na"]
