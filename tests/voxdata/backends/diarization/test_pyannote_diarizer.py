from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from flows.demo.samples import sample_paths
from voxdata.backends.diarization.pyannote import PyannoteDiarizer, encode_annotation
from voxdata.errors import BackendError
from voxdata.ports import Samples
from voxdata.sound import ArraySound


def read(path: Path) -> Samples:
    samples, _ = soundfile.read(path, dtype="float32")
    return np.asarray(samples)


@pytest.fixture(scope="module")
def conversation() -> Samples:
    return read(Path(sample_paths()[0]))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def diarizer(cache: Path) -> PyannoteDiarizer:
    return PyannoteDiarizer(cache_dir=str(cache), device="cpu")


def test_pyannote_diarizer_refuses_a_step_beyond_the_window() -> None:
    with pytest.raises(BackendError, match="segmentation_step"):
        PyannoteDiarizer(segmentation_step=1.5)


def test_model_changes_with_every_parameter() -> None:
    keys = {
        PyannoteDiarizer(**options).model.key
        for options in ({}, {"threshold": 0.2}, {"min_cluster_size": 2}, {"pipeline": "a/b@c"})
    }
    assert len(keys) == 4


def test_voice_model_does_not_change_with_the_clustering() -> None:
    assert PyannoteDiarizer(threshold=0.2).voice_model == PyannoteDiarizer().voice_model
    assert PyannoteDiarizer(pipeline="a/b@c").voice_model != PyannoteDiarizer().voice_model


def test_diarize_leaves_the_models_alone_without_sound() -> None:
    diarizer = PyannoteDiarizer(cache_dir="/nonexistent")
    (diarization,) = diarizer.diarize([ArraySound(np.ones(100, np.float32))])
    assert diarization.segments == ()


@pytest.mark.slow
def test_diarize_does_not_depend_on_neighbours(
    diarizer: PyannoteDiarizer, conversation: Samples
) -> None:
    parts = [
        ArraySound(conversation[start : start + length])
        for start, length in ((280_000, 200_000), (90_000, 200_000), (200_000, 170_001))
    ]
    together = diarizer.diarize(parts)
    assert together == [diarizer.diarize([part])[0] for part in parts]
    assert diarizer.diarize(parts[::-1]) == together[::-1]


@pytest.mark.slow
def test_diarize_gives_the_same_voice_alone_and_among_others(
    diarizer: PyannoteDiarizer, conversation: Samples
) -> None:
    (both,) = diarizer.diarize([ArraySound(conversation)])
    alone = np.zeros_like(conversation)
    for found in both.segments:
        if found.speaker == "S0":
            bounds = slice(found.segment.start_ms * 16, found.segment.end_ms * 16)
            alone[bounds] = conversation[bounds]
    (lone,) = diarizer.diarize([ArraySound(alone)], max_speakers=1)
    near, far = (
        float(np.dot(lone.embeddings["S0"], both.embeddings[name])) for name in ("S0", "S1")
    )
    assert near > 0.8
    assert near > far + 0.1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options", "max_speakers"),
    [
        ("sample", {}, None),
        ("sample", {"threshold": 0.1, "min_cluster_size": 1, "segmentation_step": 0.5}, 2),
        ("ami/audio/dev00.flac", {}, None),
        ("ami/audio/trn08.flac", {"threshold": 0.2}, None),
    ],
)
def test_diarize_gives_the_turns_of_the_stock_pipeline(
    name: str,
    options: dict[str, float],
    max_speakers: int | None,
    cache: Path,
    request: pytest.FixtureRequest,
) -> None:
    from benchmarks.prelabel_diarization import FRAME_MS, boundary_difference_ms
    from benchmarks.stock_diarization import build_stock, diarize_stock

    samples = (
        read(Path(sample_paths()[0]))
        if name == "sample"
        else read(request.getfixturevalue("corpora") / name)[: 15 * 16_000]
    )
    diarizer = PyannoteDiarizer(
        cache_dir=str(cache),
        device="cpu",
        **options,
    )
    (ours,) = diarizer.diarize([ArraySound(samples)], max_speakers=max_speakers)
    params = {
        key: value for key, value in diarizer.model.params.items() if isinstance(value, int | float)
    }
    stock = build_stock(
        threshold=params["threshold"],
        min_cluster_size=int(params["min_cluster_size"]),
        segmentation_step=params["segmentation_step"],
        batch_size=1,
    )
    theirs = diarize_stock(stock, samples, max_speakers=max_speakers)
    difference = boundary_difference_ms(ours, theirs)
    assert ours.segments
    assert difference is not None
    assert difference <= FRAME_MS
    assert set(ours.embeddings) == set(theirs.embeddings)
    assert all(
        np.dot(ours.embeddings[speaker], theirs.embeddings[speaker]) > 0.9999
        for speaker in ours.embeddings
    )


@pytest.mark.slow
def test_diarize_needs_no_torch_once_the_graphs_are_there(
    diarizer: PyannoteDiarizer, conversation: Samples, cache: Path
) -> None:
    diarizer.diarize([ArraySound(conversation)])
    program = (
        "import sys, numpy as np; from voxdata.backends.diarization.pyannote import "
        "PyannoteDiarizer; from voxdata.sound import ArraySound;"
        f"PyannoteDiarizer(cache_dir={str(cache)!r}, "
        "device='cpu').diarize([ArraySound(np.full(16000, 0.1, np.float32))]);"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ},
    )
    assert done.stdout.strip() == "False"


@pytest.mark.slow
def test_diarize_names_the_remedy_when_a_hub_pipeline_cannot_be_had(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="packaged"):
        PyannoteDiarizer(pipeline=str(tmp_path / "nowhere")).diarize(
            [ArraySound(np.ones(16_000, np.float32))]
        )


@pytest.mark.slow
def test_diarize_runs_a_pipeline_of_pyannotes_own_class(
    conversation: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks.stock_diarization import build_stock

    stock = build_stock(
        threshold=0.31,
        min_cluster_size=4,
        segmentation_step=0.25,
        batch_size=1,
    )
    diarizer = PyannoteDiarizer(pipeline="somebody/community@1", device="cpu")
    monkeypatch.setattr(diarizer, "_load_hub", lambda: stock)
    (diarization,) = diarizer.diarize([ArraySound(conversation)])
    assert {s.speaker for s in diarization.segments} == set(diarization.embeddings) == {"S0", "S1"}
    assert diarization.voice_model is not None
    assert diarization.voice_model.name == "somebody/community@1#voices"


def test_encode_annotation_names_speakers_by_appearance_and_cuts_at_the_end() -> None:
    core = pytest.importorskip("pyannote.core")
    annotation = core.Annotation()
    annotation[core.Segment(2.0, 9.0), "a"] = "A"
    annotation[core.Segment(1.0, 3.0), "b"] = "B"
    annotation[core.Segment(8.5, 9.0), "c"] = "C"
    encoded = encode_annotation(
        annotation,
        np.array([[0.0, 2.0], [3.0, 4.0], [1.0, 0.0]]),
        end_ms=8000,
    )
    segments = [(s.speaker, s.segment.start_ms, s.segment.end_ms) for s in encoded.segments]
    assert segments == [
        ("S0", 1000, 3000),
        ("S1", 2000, 8000),
    ]
    assert encoded.embeddings == {"S0": (0.6, 0.8), "S1": (0.0, 1.0)}


@pytest.mark.parametrize(
    "options",
    [
        {"threshold": "a"},
        {"threshold": float("nan")},
        {"threshold": -5},
        {"segmentation_step": 0},
        {"min_cluster_size": "x"},
    ],
)
def test_wrong_options_are_refused_before_anything_runs(options: dict[str, Any]) -> None:
    with pytest.raises(BackendError, match=next(iter(options))):
        PyannoteDiarizer(**options)
