"""What the machine heard, from the context beside a manifest."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.text.heard import MachineTexts, hear, note_source, read_machine_texts
from voxdata.context import CONTEXT_FILE, write_context
from voxdata.context_row import ContextRow, TextSource
from voxdata.dataset import Example
from voxdata.errors import ManifestError
from voxdata.testing.factories import make_example


def _row(example: Example, machine_text: str | None, *, is_labelled: bool = True) -> ContextRow:
    return ContextRow(
        utterance_id=example.utterance_id,
        recording_id=example.recording_id,
        channel=0,
        segment=example.segment,
        voice=example.voice,
        group=example.group,
        audio_file=example.audio_file,
        split=example.split,
        is_labelled=is_labelled,
        language="en",
        text_source=TextSource.PERSON,
        machine_text=machine_text,
    )


def test_read_machine_texts_takes_the_transcripts_of_examples(tmp_path: Path) -> None:
    corrected, imported, unlabelled = (make_example(i, text=f"person {i}") for i in range(3))
    rows = [
        _row(corrected, "machine 0"),
        _row(imported, None),
        _row(unlabelled, "machine 2", is_labelled=False),
    ]
    rows.sort(key=lambda row: row.utterance_id)
    write_context(tmp_path / CONTEXT_FILE, rows, version_id="v", left_out={})
    on_record = read_machine_texts(tmp_path / "manifest.jsonl", version_id="v")
    assert on_record == MachineTexts(texts={corrected.utterance_id: "machine 0"})
    assert hear([corrected, imported], on_record).texts == ["machine 0", "person 1"]
    assert "of 1 example it is not on record" in note_source([corrected, imported], on_record)
    assert note_source([corrected], on_record) == ""


def test_read_machine_texts_finds_none_beside_a_manifest_of_an_earlier_release(
    tmp_path: Path,
) -> None:
    example = make_example(0, text="as it stands")
    on_record = read_machine_texts(tmp_path / "manifest.jsonl", version_id="v")
    assert on_record is None
    assert hear([example], on_record).texts == ["as it stands"]
    assert "people may have corrected" in note_source([example], on_record)


def test_read_machine_texts_names_a_damaged_context(tmp_path: Path) -> None:
    (tmp_path / CONTEXT_FILE).write_text("{}\n")
    with pytest.raises(ManifestError, match=r"context\.jsonl"):
        read_machine_texts(tmp_path / "manifest.jsonl", version_id="v")


def test_read_machine_texts_refuses_the_context_of_another_version(tmp_path: Path) -> None:
    write_context(tmp_path / CONTEXT_FILE, [], version_id="v", left_out={})
    with pytest.raises(ManifestError, match="describes version v, and the manifest is of w"):
        read_machine_texts(tmp_path / "manifest.jsonl", version_id="w")
