import os.path
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxdata.confine import find_link, leads_out, why_outside
from voxdata.dataset import Example, Split
from voxdata.errors import AudioError, DropReason
from voxdata.recording import canonical_file
from voxdata.segment import Segment

PIECES = st.lists(
    st.sampled_from(["..", ".", "/", "//", "a", "a.flac", "...", "~", "C:", "\\", "\0", " "]),
    max_size=8,
)


@given(PIECES)
def test_why_outside_accepts_only_names_that_stay_in_their_folder(pieces: list[str]) -> None:
    name = "".join(pieces)
    if why_outside(name) == "":
        assert os.path.normpath(f"/folder/{name}").startswith("/folder")
        assert not Path(name).is_absolute()


@pytest.mark.parametrize(
    "name",
    ["", "..", "../x", "a/../../x", "/x", "\\x", "a\\..\\..\\x", "C:x", "~/x", "x\0"],
)
def test_why_outside_names_what_is_wrong(name: str) -> None:
    assert why_outside(name)


@pytest.mark.parametrize(
    "name",
    ["x", "a/b.flac", "...", "a..b/c", "句子.wav"],
)
def test_why_outside_lets_plain_names_pass(name: str) -> None:
    assert why_outside(name) == ""


def test_find_link_finds_links_and_pipes_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("x")
    assert find_link(tmp_path) is None
    (tmp_path / "a" / "y").symlink_to("x")
    assert find_link(tmp_path) == tmp_path / "a" / "y"


def test_leads_out_follows_links(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    loop = tmp_path / "in" / "same"
    loop.symlink_to(tmp_path / "in")
    (tmp_path / "in" / "up").symlink_to(tmp_path)
    assert not leads_out(tmp_path / "in" / "same" / "x", tmp_path / "in")
    assert leads_out(tmp_path / "in" / "up" / "x", tmp_path / "in")


@pytest.mark.parametrize(
    "recording_id",
    ["", "rec0", "../" + "0" * 29, "0" * 33, "A" * 32, "0" * 32 + "\n"],
)
def test_canonical_file_refuses_what_is_no_id(recording_id: str) -> None:
    with pytest.raises(AudioError, match="32 hexadecimal digits") as caught:
        canonical_file(recording_id)
    assert caught.value.reason is DropReason.OUTSIDE


@pytest.mark.parametrize("audio_file", ["../x.flac", "/x.flac", "a/../../x.flac"])
def test_example_has_no_audio_file_outside_the_audio_folder(audio_file: str) -> None:
    with pytest.raises(ValueError, match="audio folder"):
        Example(
            utterance_id="u",
            recording_id="r",
            channel=0,
            segment=Segment(start_ms=0, end_ms=1),
            voice="v",
            group="g",
            audio_file=audio_file,
            text="",
            language="",
            gold={},
            split=Split.TRAIN,
        )
