"""From votes to a promoted model that labels next, on real parts; only the voices are synthetic
tones.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from flows.cli.main import app
from flows.models import build_labelers
from flows.place import FILE_NAME
from flows.prelabel.flow import prelabel_pending
from flows.release.flow import release, release_version
from flows.retrain.finetune import train_version
from flows.workspace import Workspace, open_workspace
from tests.flows.conftest import ingest, quiet
from tests.flows.conftest import run as run_command
from training.labeler import TrainedLabeler
from voxdata.dataset import Split
from voxdata.label import Annotation
from voxdata.ports import Diarization, Sound, SpeakerSegment, SpeechRequest
from voxdata.segment import Segment
from voxdata.sound import duration_ms
from voxdata.testing.backends import FakeDiarizer, FakeTranscriber
from voxdata.utterance import Transcript
from warehouse.annotations import add_annotations
from warehouse.labels import list_predictions
from warehouse.outbox import list_outbox
from warehouse.promotions import promoted_run
from warehouse.runs import list_training_runs
from warehouse.utterances import list_utterances
from warehouse.versions import list_versions, load_examples

pytestmark = pytest.mark.slow


def by_second(seconds: int) -> tuple[SpeakerSegment, ...]:
    """A speaker for each second."""
    return tuple(
        SpeakerSegment(
            speaker=f"S{i}",
            segment=Segment(start_ms=i * 1000, end_ms=(i + 1) * 1000),
        )
        for i in range(seconds)
    )


class SecondsDiarizer(FakeDiarizer):
    """Hears somebody else in every second, so that each becomes an utterance."""

    def diarize(
        self, sounds: Sequence[Sound], *, max_speakers: int | None = None
    ) -> list[Diarization]:
        return [
            Diarization(segments=by_second(duration_ms(sound) // 1000), embeddings={})
            for sound in sounds
        ]


class WordlessTranscriber(FakeTranscriber):
    """Understands nothing."""

    def transcribe(self, requests: Sequence[SpeechRequest]) -> list[Transcript]:
        return [Transcript(passages=(), words=(), model=self.model) for _ in requests]


SETTINGS = f"""
[diarizer]
backend = "{__name__}:SecondsDiarizer"
[transcriber]
backend = "{__name__}:WordlessTranscriber"
[privacy]
scanner = ""
mask = false
[quality]
mos = ""
[[schemes]]
name = "intent"
version = 1
cold_start = "similarity"
labels = [{{name = "low", examples = ["low"]}}, {{name = "high", examples = ["high"]}}]
[training]
schemes = ["intent"]
recipe = {{ encoder = "whisper-tiny.en", max_epochs = 20 }}
[release]
ratios = {{ train = 0.25, validation = 0.1, test = 0.65 }}
"""
TONES = {"low": 200.0, "high": 900.0}
CLIPS = 10
RECORDINGS = 12


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Twelve recordings of ten clips each; a clip's label is its pitch, which its (empty) text does
    not tell.
    """
    root = tmp_path_factory.mktemp("promotion")
    (root / FILE_NAME).write_text(SETTINGS, encoding="utf-8")
    generator = np.random.default_rng(0)
    for number in range(RECORDINGS):
        parts = [
            (
                np.sin(2 * np.pi * hz * (1 + number / 50) * np.arange(16_000) / 16_000) * 8000
                + generator.normal(0, 200, 16_000)
            ).astype(np.int16)
            for hz in [TONES["low"], TONES["high"]] * (CLIPS // 2)
        ]
        soundfile.write(
            root / f"{number}.wav",
            np.concatenate(parts),
            16_000,
            subtype="PCM_16",
        )
    opened = open_workspace(root)
    ingest(opened, root / "*.wav")
    prelabel_pending(opened, say=quiet)
    with opened.warehouse() as con:
        add_annotations(
            con,
            [
                Annotation(
                    annotation_id=int(u.utterance_id[:12], 16),
                    project_id=1,
                    utterance_id=u.utterance_id,
                    annotator="a",
                    labels={"intent": (("low", "high")[u.segment.start_ms // 1000 % 2],)},
                    updated_at=datetime(2026, 1, 1, tzinfo=UTC),
                )
                for u in list_utterances(con)
            ],
            run_id="test",
        )
    return opened


def test_release_makes_one_version_and_one_event_however_often_it_runs(
    workspace: Workspace,
) -> None:
    first = release_version(workspace, "tones", say=quiet)
    again = release_version(workspace, "tones", say=quiet)
    assert first.created is True
    assert again.created is False
    assert first.version == again.version
    with workspace.warehouse() as con:
        assert len(list_versions(con)) == 1
        assert len(list_outbox(con)) == 1
        examples = load_examples(con, first.version.version_id)
    assert {e.split for e in examples} == set(Split)


def test_train_promotes_a_better_model_once_and_it_labels_next(workspace: Workspace) -> None:
    release_version(workspace, "tones", say=quiet)
    (run,) = train_version(workspace, ["intent"], "tones", say=quiet)
    assert run.promoted, run.reason
    assert run.result["after"]["uar"] > run.result["before"]["uar"]
    (again,) = train_version(workspace, ["intent"], "tones", say=quiet)
    assert again.training_id == run.training_id
    with workspace.warehouse() as con:
        assert len(list_training_runs(con)) == 1
        assert promoted_run(con, "label:intent") == again
        utterances = list_utterances(con)
    labelers = build_labelers(workspace)
    assert isinstance(labelers["intent"], TrainedLabeler)
    summary = prelabel_pending(workspace, say=quiet)
    assert summary.predictions == len(utterances)
    assert prelabel_pending(workspace, say=quiet).predictions == 0
    with workspace.warehouse() as con:
        predictions = list_predictions(con, scheme="intent", model_key=run.model_key)
    right = [
        predictions[u.utterance_id].label == ("low", "high")[u.segment.start_ms // 1000 % 2]
        for u in utterances
    ]
    assert sum(right) / len(right) > 0.9


def test_demote_and_promote_change_what_labels_next(workspace: Workspace) -> None:
    release_version(workspace, "tones", say=quiet)
    (run,) = train_version(workspace, ["intent"], "tones", say=quiet)
    demoted = run_command(workspace, "demote", "intent", "--reason", "hears noise as high")
    assert demoted.exit_code == 0, demoted.output
    assert not isinstance(build_labelers(workspace)["intent"], TrainedLabeler)
    promoted = run_command(workspace, "promote", run.training_id[:12], "--reason", "mended")
    assert promoted.exit_code == 0, promoted.output
    assert isinstance(build_labelers(workspace)["intent"], TrainedLabeler)
    history = json.loads(run_command(workspace, "models", "--promotions", "--json").stdout)
    assert [(row["by"], row["why"]) for row in history[1:]] == [
        ("person", "hears noise as high"),
        ("person", "mended"),
    ]
    assert history[0]["by"] == "rule"
    (row,) = json.loads(run_command(workspace, "models", "--json").stdout)
    assert row["in use"] == "yes"
    assert row["put to use by"] == "person"


def test_training_result_carries_what_the_report_shows(workspace: Workspace) -> None:
    release_version(workspace, "tones", say=quiet)
    (run,) = train_version(workspace, ["intent"], "tones", say=quiet)
    result = json.loads(
        (workspace.root / run.checkpoint_dir)
        .parent.joinpath("result.json")
        .read_text(encoding="utf-8")
    )
    assert {"before", "after", "curves", "labels", "decision", "warning"} <= set(result)
    assert result["before"]["confusion"] != result["after"]["confusion"]


def test_release_keeps_its_event_for_later_when_prefect_is_not_up(workspace: Workspace) -> None:
    version_id = release.fn(str(workspace.root), "tones")
    with workspace.warehouse() as con:
        waiting = [event for event in list_outbox(con) if event.sent_at is None]
    version_ids = [event.payload["version_id"] for event in waiting]
    assert version_ids == [version_id]


def test_train_signs_the_model_whose_folder_verify_walks_back_from(workspace: Workspace) -> None:
    release_version(workspace, "tones", say=quiet)
    (run,) = train_version(workspace, ["intent"], "tones", say=quiet)
    folder = workspace.root / run.checkpoint_dir
    done = CliRunner().invoke(
        app,
        ["--dir", str(workspace.root), "verify", str(folder.parent), "--json"],
    )
    assert done.exit_code == 0, done.output
    (model,) = json.loads(done.stdout)["models"]
    assert model["run"] == run.training_id
    assert model["version"] == "tones@1"
    assert model["heard"] == {}
    assert model["statement"] == model["root"] != "unsigned"
