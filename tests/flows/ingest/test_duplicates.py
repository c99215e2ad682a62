"""Copies that are not byte-equal are found and grouped; calls that share their hold music are not
one.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from flows.ingest.duplicates import find_duplicates
from flows.ingest.flow import ingest_manifest, ingest_sources
from flows.pages.views import recording_rows
from flows.place import FILE_NAME
from flows.workspace import Workspace, open_workspace
from voxdata.backends import load_backend
from voxdata.errors import BackendError
from voxdata.testing import speech_like
from warehouse.duplicates import duplicate_groups
from warehouse.ledger import list_drops
from warehouse.metadata import list_call_groups, list_metadata
from warehouse.rows import read_rows

SETTINGS = """
[[schemes]]
name = "intent"
version = 1
cold_start = "similarity"
labels = [{ name = "ask" }, { name = "tell" }]
[training]
schemes = []
"""
RATE_HZ = 16_000


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    root = tmp_path / "workspace"
    root.mkdir()
    (root / FILE_NAME).write_text(SETTINGS, encoding="utf-8")
    return open_workspace(root)


@pytest.fixture
def chromaprint() -> None:
    try:
        load_backend("fingerprinter", "chromaprint")
    except BackendError as error:
        pytest.skip(str(error))


def music(seconds: float, seed: int):
    """Chords that change four times a second: a fingerprint needs pitch."""
    rng = np.random.default_rng(seed)
    at = np.arange(RATE_HZ // 4) / RATE_HZ
    chords = []
    for _ in range(round(4 * seconds)):
        chords.append(
            sum(np.sin(2 * np.pi * 110 * 2 ** (rng.integers(0, 48) / 12) * at) for _ in range(4))
        )
    return (0.1 * np.concatenate(chords)).astype(np.float32)


def recordings_by_name(workspace: Workspace) -> dict[str, str]:
    with workspace.warehouse() as con:
        return {
            Path(str(row["uri"])).name: str(row["recording_id"])
            for row in read_rows(con, "select uri, recording_id from source")
        }


@pytest.mark.slow
@pytest.mark.usefixtures("chromaprint")
@pytest.mark.skipif(
    shutil.which("ffmpeg") is None,
    reason="no ffmpeg to encode with; on Debian install the package ffmpeg",
)
def test_find_duplicates_groups_altered_copies(
    workspace: Workspace, tmp_path: Path, said: list[str]
) -> None:
    inbox = tmp_path / "in"
    inbox.mkdir()
    for seed in range(3):
        soundfile.write(inbox / f"{seed}.wav", music(12, seed), RATE_HZ)
    ingest_sources(workspace, [str(inbox)], say=said.append)
    with workspace.warehouse() as con:
        assert duplicate_groups(con) == {}
    changes = {
        "copy.mp3": ("-b:a", "64k"),
        "narrow.wav": ("-ar", "8000"),
        "trimmed.flac": ("-ss", "0.7", "-t", "9"),
        "quiet.wav": ("-af", "volume=-9dB"),
    }
    for name, options in changes.items():
        subprocess.run(
            ["ffmpeg", "-loglevel", "error", "-i", inbox / "1.wav", *options, inbox / name],
            check=True,
        )
    ingest_sources(workspace, [str(inbox)], say=said.append)
    ids = recordings_by_name(workspace)
    with workspace.warehouse() as con:
        groups = duplicate_groups(con)
        pairs = read_rows(con, "select * from near_duplicate")
    assert set(groups) == {ids[name] for name in ("1.wav", *changes)}
    assert len(set(groups.values())) == 1
    assert all(float(str(pair["score"])) > 0.75 for pair in pairs)
    assert find_duplicates(workspace, say=said.append).compared == 0
    with workspace.warehouse() as con:
        assert read_rows(con, "select * from near_duplicate") == pairs


@pytest.mark.usefixtures("chromaprint")
def test_find_duplicates_records_shared_hold_music_without_making_calls_one(
    workspace: Workspace, tmp_path: Path, said: list[str]
) -> None:
    inbox = tmp_path / "in"
    inbox.mkdir()
    hold = music(8, 99)
    for seed in range(2):
        call = np.concatenate(
            [
                music(14, seed),
                hold,
                music(6 + seed, 10 + seed),
            ]
        )
        soundfile.write(inbox / f"{seed}.wav", call, RATE_HZ)
    ingest_sources(workspace, [str(inbox)], say=said.append)
    with workspace.warehouse() as con:
        (pair,) = read_rows(con, "select * from near_duplicate")
        assert duplicate_groups(con) == {}
    assert 6_000 < int(str(pair["shared_ms"])) < 11_000


TONE = 0.3 * np.sin(2 * np.pi * 1_000 * np.arange(RATE_HZ // 5) / RATE_HZ)
CLICK = 0.5 * np.random.default_rng(4).normal(size=40)


@pytest.mark.slow
@pytest.mark.usefixtures("chromaprint")
@pytest.mark.parametrize(
    "sound",
    [TONE, CLICK],
    ids=["0.2 s of tone", "click"],
)
@pytest.mark.parametrize(
    "floor",
    [0.0, 1e-3],
    ids=["silence", "quiet room"],
)
def test_find_duplicates_passes_over_a_short_sound_that_silent_recordings_share(
    workspace: Workspace,
    tmp_path: Path,
    said: list[str],
    sound: np.ndarray,
    floor: float,
) -> None:
    inbox = tmp_path / "in"
    inbox.mkdir()
    for number, at_s in enumerate((1, 3)):
        samples = floor * np.random.default_rng(number).normal(size=6 * RATE_HZ)
        samples[at_s * RATE_HZ :][: sound.size] += sound
        soundfile.write(inbox / f"{number}.wav", samples, RATE_HZ)
    ingest_sources(workspace, [str(inbox)], say=said.append)
    with workspace.warehouse() as con:
        assert len(read_rows(con, "select * from fingerprint")) == 2
        assert read_rows(con, "select * from near_duplicate") == []


def test_find_duplicates_says_when_it_cannot_search(
    workspace: Workspace,
    said: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(_port: str, _name: str) -> object:
        raise BackendError("Chromaprint cannot be loaded; install it")

    monkeypatch.setattr("flows.ingest.duplicates.load_backend", missing)
    assert find_duplicates(workspace, say=said.append).compared == 0
    assert said == ["near-duplicates are not searched: Chromaprint cannot be loaded; install it"]


def test_ingest_manifest_keeps_what_it_says_with_the_recording(
    workspace: Workspace, tmp_path: Path, said: list[str]
) -> None:
    for number in range(3):
        soundfile.write(
            tmp_path / f"{number}.wav",
            speech_like(1_200, seed=number),
            RATE_HZ,
        )
    shutil.copy(tmp_path / "0.wav", tmp_path / "same.wav")
    (tmp_path / "notes.wav").write_text("not audio", encoding="utf-8")
    manifest = tmp_path / "calls.csv"
    rows = (
        "0.wav,7,yes",
        "1.wav,7,no",
        "2.wav,,",
        "gone.wav,9,yes",
        "notes.wav,9,yes",
        "same.wav,8,yes",
        "0.wav,9,yes",
    )
    lines = ["path,call_id,consent", *rows]
    manifest.write_text("\n".join(lines), encoding="utf-8")
    summary = ingest_manifest(workspace, manifest, say=said.append)
    assert summary.listed == 5
    assert summary.recordings == 3
    assert summary.duplicates == 1
    assert summary.dropped == 3
    ids = recordings_by_name(workspace)
    with workspace.warehouse() as con:
        assert list_metadata(con) == {
            ids["0.wav"]: {"call_id": "8", "consent": "yes"},
            ids["1.wav"]: {"call_id": "7", "consent": "no"},
        }
        assert list_call_groups(con) == {ids["0.wav"]: "8", ids["1.wav"]: "7"}
        shown = {str(row["recording"]): row for row in recording_rows(con)}
        dropped = {
            Path(drop.subject).name: drop.detail
            for drop in list_drops(con)
            if drop.stage == "manifest"
        }
    assert set(dropped) == {"calls.csv:5", "calls.csv:8"}
    first = shown[ids["0.wav"][:12]]
    assert first["metadata"] == "call_id=8 consent=yes"
    assert first["files"] == f"{tmp_path / '0.wav'} {tmp_path / 'same.wav'}"
    assert "gone.wav" in dropped["calls.csv:5"]
    assert "row 2" in dropped["calls.csv:8"]


def test_ingest_manifest_names_consent_that_is_neither_yes_nor_no_in_one_line(
    workspace: Workspace, tmp_path: Path, said: list[str]
) -> None:
    for number in range(4):
        soundfile.write(
            tmp_path / f"{number}.wav",
            speech_like(1_200, seed=number),
            RATE_HZ,
        )
    manifest = tmp_path / "calls.csv"
    manifest.write_text(
        "path,consent\n0.wav,oui\n1.wav,oui\n2.wav,see file\n3.wav,yes\n", encoding="utf-8"
    )
    ingest_manifest(workspace, manifest, say=said.append)
    assert [line for line in said if "neither yes nor no" in line] == [
        "manifest: not understood, so these recordings are not used: consent 'oui' is "
        "neither yes nor no: 2 rows; "
        "consent 'see file' is neither yes nor no: 1 row; write yes or no, and a date as 2027-01-31"
    ]


def test_ingest_manifest_says_nothing_of_consent_that_is_plain(
    workspace: Workspace, tmp_path: Path, said: list[str]
) -> None:
    soundfile.write(tmp_path / "a.wav", speech_like(1_200), RATE_HZ)
    manifest = tmp_path / "calls.csv"
    manifest.write_text("path,consent\na.wav,No\n", encoding="utf-8")
    ingest_manifest(workspace, manifest, say=said.append)
    assert not [line for line in said if "not understood" in line]


def test_ingest_manifest_writes_nothing_the_second_time(
    workspace: Workspace, tmp_path: Path, said: list[str]
) -> None:
    soundfile.write(tmp_path / "a.wav", speech_like(1_200), RATE_HZ)
    manifest = tmp_path / "calls.jsonl"
    manifest.write_text('{"path": "a.wav", "language": "zh"}\nbroken\n', encoding="utf-8")
    ingest_manifest(workspace, manifest, say=said.append)
    with workspace.warehouse() as con:
        before = [
            read_rows(con, f"select * from {table}")
            for table in ("source", "recording_metadata", "ledger")
        ]
    again = ingest_manifest(workspace, manifest, say=said.append)
    assert again.known == 1
    with workspace.warehouse() as con:
        assert [
            read_rows(con, f"select * from {table}")
            for table in ("source", "recording_metadata", "ledger")
        ] == before
