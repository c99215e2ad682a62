"""Intents that only the text tells, from `python -m training` to the labeler of a workspace."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from flows.models import LabelerSpec, build_labeler
from tests.flows.conftest import workspace_with
from training.__main__ import main
from training.checkpoint import PARTS_FORMAT, load_checkpoint
from training.config import AudioConfig, FitConfig, TextConfig, TrainingConfig, write_config
from training.labeler import TrainedLabeler
from voxdata.context import CONTEXT_FILE, write_context
from voxdata.context_row import ContextRow, TextSource
from voxdata.dataset import Example, Split
from voxdata.errors import TrainingError
from voxdata.manifest import Manifest, select, write_manifest
from voxdata.ports import Clip
from voxdata.root import fingerprint
from voxdata.sound import ArraySound
from voxdata.testing.factories import make_example
from voxdata.testing.synthetic import tone

LABELS = ("delivery", "refund")
SAID = {
    "delivery": ("when will it arrive", "where is my parcel", "什么时候送到", "has it been sent"),
    "refund": ("I want my money back", "please refund me", "我想退款", "give me a refund"),
}
SPLITS = (Split.TRAIN, Split.TRAIN, Split.TRAIN, Split.VALIDATION, Split.TEST)
SOUND = (np.round(tone(400, frequency_hz=300) * 32_768) / 32_768).astype(np.float32)
"""Every clip sounds alike, in steps of 16 bits, so that a file gives back the same."""

CONFIG = TrainingConfig(
    scheme="intent",
    encoder="tiny-random",
    text=TextConfig(enabled=True, num_columns=4_096, sentence_model=False),
    fit=FitConfig(max_epochs=2, fixed_epochs=2),
)
TEXT_ALONE = replace(CONFIG, audio=AudioConfig(enabled=False))


SETTINGS = """
[training]
schemes = ["intent"]
[[schemes]]
name = "intent"
version = 1
cold_start = "similarity"
labels = [
    { name = "delivery", examples = ["when will it arrive"] },
    { name = "refund", examples = ["I want my money back"] },
]
"""


def _make_manifest(folder: Path) -> Manifest:
    """Four voices in each split, each of which says every sentence."""
    soundfile.write(folder / "alike.flac", SOUND, 16_000)
    examples: list[Example] = []
    for split in sorted(set(SPLITS)):
        for label in LABELS:
            for number, text in enumerate(SAID[label]):
                voice = f"{split}-{number}"
                made = make_example(
                    len(examples),
                    intent=label,
                    emotion=None,
                    text=text,
                    language="zh" if ord(text[0]) > 127 else "en",
                    audio_file="alike.flac",
                    split=split,
                    voice=voice,
                    group=voice,
                )
                examples.append(made)
    examples.sort(key=lambda example: example.utterance_id)
    return Manifest(
        version_id=fingerprint(examples),
        name="said",
        audio_root=folder,
        schemes={"intent": LABELS},
        examples=tuple(examples),
    )


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return _make_manifest(tmp_path)


def _train(folder: Path, config: TrainingConfig, manifest: Manifest) -> int:
    """Run `python -m training` in this process; the output is in `folder`/out."""
    write_config(folder / "config.toml", config)
    write_manifest(folder / "manifest.jsonl", manifest)
    rows: list[str] = []
    for example in select(manifest, Split.TEST, scheme="intent"):
        row = {"utterance_id": example.utterance_id, "distribution": {"refund": 1.0}}
        rows.append(json.dumps(row) + "\n")
    (folder / "incumbent.jsonl").write_text("".join(rows))
    words = ["--config", str(folder / "config.toml"), "--manifest", str(folder / "manifest.jsonl")]
    words += ["--incumbent", str(folder / "incumbent.jsonl"), "--output", str(folder / "out")]
    return main(words)


def _read_result(folder: Path) -> dict[str, object]:
    result: dict[str, object] = json.loads((folder / "out" / "result.json").read_text())
    return result


def _clips(*texts: str, language: str = "en") -> list[Clip]:
    clips: list[Clip] = []
    for number, text in enumerate(texts):
        clip = Clip(
            utterance_id=str(number),
            speaker="s",
            sound=ArraySound(SOUND),
            text=text,
            language=language,
        )
        clips.append(clip)
    return clips


def _best(answers: Sequence[object]) -> list[str]:
    return [max(answer, key=answer.get) for answer in answers]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("config", "name"),
    [(CONFIG, "intent-head/tiny-random+text"), (TEXT_ALONE, "intent-head/text")],
)
def test_main_learns_what_only_the_text_tells(
    tmp_path: Path, manifest: Manifest, config: TrainingConfig, name: str
) -> None:
    assert _train(tmp_path, config, manifest) == 0
    result = _read_result(tmp_path)
    assert result["after"]["uar"] == 1.0  # type: ignore[index]
    assert result["model"]["name"] == name  # type: ignore[index]
    assert "people may have corrected" in str(result["note"])
    checkpoint = tmp_path / "out" / "checkpoint"
    assert json.loads((checkpoint / "model.json").read_text())["format"] == PARTS_FORMAT

    workspace = workspace_with(tmp_path / "workspace", SETTINGS)
    labeler = build_labeler(workspace, LabelerSpec(scheme="intent", checkpoint=str(checkpoint)))
    assert labeler.model.name == name
    assert not labeler.model.weak
    asked = _clips("I would like a REFUND!", "where is it", "我要退款", "几点送到？")
    assert _best(labeler.label(asked)) == ["refund", "delivery", "refund", "delivery"]
    predicted = (tmp_path / "out" / "predictions.jsonl").read_text().splitlines()
    shares = {row["utterance_id"]: row["distribution"] for row in map(json.loads, predicted)}
    for example in select(manifest, Split.TEST, scheme="intent"):
        (answer,) = labeler.label(_clips(example.text, language=example.language))
        assert dict(answer) == shares[example.utterance_id]


def test_label_without_a_word_abstains_or_listens(tmp_path: Path, manifest: Manifest) -> None:
    (tmp_path / "both").mkdir()
    (tmp_path / "text").mkdir()
    assert _train(tmp_path / "both", CONFIG, manifest) == 0
    assert _train(tmp_path / "text", TEXT_ALONE, manifest) == 0
    both = TrainedLabeler(tmp_path / "both" / "out" / "checkpoint")
    text = TrainedLabeler(tmp_path / "text" / "out" / "checkpoint")
    assert text.label(_clips("", "...")) == [{"delivery": 0.5, "refund": 0.5}] * 2
    (by_sound,) = both.label(_clips(""))
    assert sum(by_sound.values()) == pytest.approx(1)
    (again,) = both.label(_clips("?!"))
    assert again == by_sound


def test_main_reads_what_the_machine_heard_and_not_what_a_person_wrote(
    tmp_path: Path, manifest: Manifest
) -> None:
    rows: list[ContextRow] = []
    for example in manifest.examples:
        heard = {"delivery": "parsel", "refund": "ree fund"}[example.gold["intent"].label]
        row = ContextRow(
            utterance_id=example.utterance_id,
            recording_id=example.recording_id,
            channel=0,
            segment=example.segment,
            voice=example.voice,
            group=example.group,
            audio_file=example.audio_file,
            split=example.split,
            is_labelled=True,
            language=example.language,
            text_source=TextSource.PERSON,
            machine_text=heard,
        )
        rows.append(row)
    write_context(tmp_path / CONTEXT_FILE, rows, version_id=manifest.version_id, left_out={})
    assert _train(tmp_path, TEXT_ALONE, manifest) == 0
    assert _read_result(tmp_path)["note"] == ""
    labeler = TrainedLabeler(tmp_path / "out" / "checkpoint")
    heard, written = labeler.label(_clips("ree fund", "zzz"))
    assert heard["refund"] > 0.9
    assert written["refund"] < 0.9


def test_main_without_a_transcript_listens_or_says_what_to_do(
    tmp_path: Path, manifest: Manifest, capsys: pytest.CaptureFixture[str]
) -> None:
    silent = [replace(example, text="") for example in manifest.examples]
    bare = replace(manifest, examples=tuple(silent), version_id=fingerprint(silent))
    assert _train(tmp_path, CONFIG, bare) == 0
    assert "the model listens and does not read" in str(_read_result(tmp_path)["note"])
    labeler = TrainedLabeler(tmp_path / "out" / "checkpoint")
    assert labeler.model.name == "intent-head/tiny-random"
    assert len(labeler.label(_clips("a refund"))) == 1

    assert _train(tmp_path, TEXT_ALONE, bare) == 1
    assert "transcribe the recordings, or set audio.enabled = true" in capsys.readouterr().err


def test_trained_labeler_refuses_another_text_policy(
    tmp_path: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _train(tmp_path, TEXT_ALONE, manifest) == 0
    checkpoint, model = load_checkpoint(tmp_path / "out" / "checkpoint")
    assert checkpoint.audio is None
    assert model.params["text_policy"] == "nfkc-casefold-words-1"
    monkeypatch.setattr("training.labeler.TEXT_POLICY", "another")
    with pytest.raises(TrainingError, match=r"text policy nfkc-casefold-words-1.*train again"):
        TrainedLabeler(tmp_path / "out" / "checkpoint")


def test_checkpoint_holds_no_word_that_somebody_said(tmp_path: Path, manifest: Manifest) -> None:
    assert _train(tmp_path, CONFIG, manifest) == 0
    for path in (tmp_path / "out" / "checkpoint").iterdir():
        content = path.read_bytes()
        assert b"parcel" not in content
        assert "退款".encode() not in content


SERVE = """
import sys
import numpy as np
from pathlib import Path
from training.labeler import TrainedLabeler
from voxdata.ports import Clip
from voxdata.sound import ArraySound

sound = ArraySound(np.zeros(1_600, np.float32))
clip = Clip(utterance_id="u", speaker="s", sound=sound, text="refund", language="en")
(answer,) = TrainedLabeler(Path(sys.argv[1])).label([clip])
assert answer["refund"] > 0.5, answer
print(*sorted({"torch", "transformers"} & set(sys.modules)))
"""


@pytest.mark.slow
def test_trained_labeler_that_only_reads_imports_no_model_framework(
    tmp_path: Path, manifest: Manifest
) -> None:
    assert _train(tmp_path, TEXT_ALONE, manifest) == 0
    done = subprocess.run(
        [sys.executable, "-c", SERVE, str(tmp_path / "out" / "checkpoint")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == ""
