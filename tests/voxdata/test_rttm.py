from io import StringIO
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
            recording_id="r", channel=channel, speaker=speaker, segment=Segment(start_ms=start, end_ms=start + length)
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
    turns = [Turn(recording_id="r", channel=0, speaker="S0", segment=Segment(start_ms=1500, end_ms=2750))]
    path = tmp_path / "x.rttm"
    path.write_text(encode_rttm(turns, uri="my call"), encoding="utf-8")
    annotation = load_rttm(path)["my_call"]
    ((segment, _, speaker),) = annotation.itertracks(yield_label=True)
    assert (segment.start, segment.end, speaker) == (1.5, 2.75, "S0")


def test_decode_rttm_names_the_malformed_line() -> None:
    with pytest.raises(ValueError, match="line 2"):
        decode_rttm(StringIO(";; comment\nSPEAKER x 1 zero 1 <NA> <NA> S0 <NA> <NA>\n").read(), recording_id="r")
