"""Ingestion survives every file: each has a stated outcome, and none is tried twice."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from flows.forget.flow import forget
from flows.ingest.plan import plan_ingest
from flows.ingest.worker import Refused, decode_file
from flows.place import FILE_NAME
from flows.workspace import Workspace, open_workspace
from tests.flows.conftest import ingest, quiet
from voxdata.canonicalise import Canonical
from voxdata.errors import DropReason
from voxdata.testing import speech_like
from warehouse.ledger import list_drops
from warehouse.lineage import explain
from warehouse.recordings import list_recordings
from warehouse.remarks import list_remarks
from warehouse.rows import read_rows
from warehouse.status import count_rows

SETTINGS = """
[sources]
workers = {workers}
decode_seconds = 8.0
stall_seconds = 2.0
max_hours = 0.1
[[schemes]]
name = "intent"
version = 1
cold_start = "similarity"
labels = [{{ name = "ask" }}, {{ name = "tell" }}]
[training]
schemes = []
"""
SPEECH = speech_like(1_500)


def workspace_at(root: Path, *, workers: int = 2) -> Workspace:
    root.mkdir(parents=True, exist_ok=True)
    settings_file = root / FILE_NAME
    settings_file.write_text(SETTINGS.format(workers=workers), encoding="utf-8")
    return open_workspace(root)


def as_pcm(samples: np.ndarray) -> np.ndarray:
    return np.rint(samples * 32767).astype(np.int16)


def wav(
    samples: np.ndarray,
    rate_hz: int,
    *,
    channels: int = 1,
    promised: int | None = None,
) -> bytes:
    """A 16-bit WAV whose header may lie."""
    data = np.asarray(samples, np.int16).tobytes()
    size = len(data) if promised is None else promised
    block = 2 * channels
    head = struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF",
        36 + size,
        b"WAVE",
        b"fmt ",
        16,
        1,
        channels,
        rate_hz,
        rate_hz * block,
        block,
        16,
        b"data",
        size,
    )
    return head + data


def decode_or_die(
    path: Path,
    audio_dir: Path,
    max_duration_ms: int,
) -> Canonical | Refused:
    """Hangs, dies or swells on files of those names; a decoder that does it on its own cannot be
    had to order.
    """
    if path.name == "hangs.wav":
        time.sleep(60)
    if path.name == "kills.wav":
        os.kill(os.getpid(), signal.SIGSEGV)
    if path.name == "swells.wav":
        bytearray(8 << 30)
    return decode_file(path, audio_dir, max_duration_ms)


def make_horrors(folder: Path) -> dict[str, DropReason | None]:
    """Files and the outcome of each; None is a recording."""
    folder.mkdir()
    pcm = as_pcm(SPEECH)
    loud = pcm[:, None].repeat(64, axis=1)
    files: dict[str, tuple[bytes, DropReason | None]] = {
        "good.wav": (wav(pcm, 16_000), None),
        "trñ00 你好.wav": (wav(pcm[::2], 8_000), None),
        "new\nline.wav": (wav(-pcm, 16_000), None),
        "wrong extension.mp3": (wav(pcm[:20_000], 16_000), None),
        "truncated.wav": (wav(pcm, 16_000)[: len(pcm)], DropReason.TRUNCATED),
        "empty.wav": (b"", DropReason.EMPTY),
        "no samples.wav": (wav(pcm[:0], 16_000), DropReason.EMPTY),
        "one sample.wav": (wav(pcm[9_000:9_001], 16_000), DropReason.SILENT),
        "1 Hz.wav": (wav(pcm, 1), DropReason.INVALID_FORMAT),
        "1 MHz.wav": (wav(pcm, 1_000_000), DropReason.INVALID_FORMAT),
        "64 channels.wav": (wav(loud, 16_000, channels=64), None),
        "silence.wav": (wav(0 * pcm, 16_000), DropReason.SILENT),
        "too long.wav": (wav(np.zeros(370 * 1_000, np.int16), 1_000), DropReason.TOO_LONG),
        "lfs.wav": (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n",
            DropReason.NOT_AUDIO,
        ),
        "text.wav": (b"not a recording at all", DropReason.NOT_AUDIO),
        "noise.wav": (np.random.default_rng(0).bytes(5_000), DropReason.NOT_AUDIO),
        "hangs.wav": (wav(pcm[:9_000], 16_000), DropReason.TIMED_OUT),
        "kills.wav": (wav(pcm[:9_100], 16_000), DropReason.CRASHED),
        "swells.wav": (wav(pcm[:9_200], 16_000), DropReason.OUT_OF_MEMORY),
    }
    for name, (content, _) in files.items():
        (folder / name).write_bytes(content)
    soundfile.write(
        folder / "nan.wav",
        np.array([0.0, np.nan, 0.5]),
        16_000,
        subtype="FLOAT",
    )
    (folder / "gone.wav").symlink_to(folder / "nowhere.wav")
    (folder / "loop.wav").symlink_to(folder / "loop.wav")
    outside = folder.parent / "secret.wav"
    outside.write_bytes(wav(pcm[:8_000], 16_000))
    (folder / "leads out.wav").symlink_to(outside)
    odd = {
        "nan.wav": DropReason.INVALID_FORMAT,
        "gone.wav": DropReason.MISSING,
        "loop.wav": DropReason.MISSING,
    }
    return (
        {name: reason for name, (_, reason) in files.items()}
        | odd
        | {"leads out.wav": DropReason.OUTSIDE}
    )


KILLED = """
import os, signal, sys
from pathlib import Path
import flows.ingest.flow
from flows.workspace import open_workspace
flows.ingest.flow._settle = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
if __name__ == "__main__":
    flows.ingest.flow.ingest_sources(open_workspace(Path(sys.argv[1])), [sys.argv[2]], say=print)
"""


def test_ingest_killed_over_a_file_of_somebody_forgotten_leaves_no_audio(tmp_path: Path) -> None:
    source = tmp_path / "call.wav"
    sound = wav(as_pcm(SPEECH), 16_000)
    source.write_bytes(sound)
    workspace = workspace_at(tmp_path / "w")
    ingest(workspace, source)
    with workspace.warehouse() as con:
        (stored,) = list_recordings(con)
    key = stored.recording.recording_id
    forget(workspace, "recording", key, reason="asked", say=quiet)
    died = subprocess.run(
        [sys.executable, "-c", KILLED, str(workspace.root), str(source)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert not list(workspace.audio_dir.rglob("*.flac"))
    assert list(workspace.root.rglob(f"{key}*"))  # decoded, and nobody had asked yet
    with workspace.warehouse():
        pass
    assert not list(workspace.root.rglob(f"{key}*"))


def outcomes(workspace: Workspace) -> dict[str, DropReason | None]:
    with workspace.warehouse() as con:
        rows = read_rows(con, "select uri, recording_id from source")
        drops = {Path(drop.subject).name: drop.reason for drop in list_drops(con)}
    return {Path(str(row["uri"])).name: None for row in rows} | drops


def test_ingest_sources_states_an_outcome_for_every_horror_and_tries_none_twice(
    tmp_path: Path,
) -> None:
    wanted = make_horrors(tmp_path / "calls")
    workspace = workspace_at(tmp_path / "w")
    first = ingest(workspace, tmp_path / "calls", decode=decode_or_die)
    assert outcomes(workspace) == wanted
    assert first.listed == len(wanted)
    assert first.recordings == sum(reason is None for reason in wanted.values())
    assert first.dropped == sum(reason is not None for reason in wanted.values())
    again = ingest(workspace, tmp_path / "calls", decode=decode_or_die)
    assert again.known == first.listed - 2
    assert again.waiting == 2  # what hung and what swelled
    assert again.recordings == 0
    assert again.dropped == 0
    assert outcomes(workspace) == wanted
    assert not list(workspace.audio_dir.rglob("*.partial"))
    with workspace.warehouse() as con:
        telephone = next(r.recording for r in list_recordings(con) if r.uri.endswith("你好.wav"))
        wide = next(r.recording for r in list_recordings(con) if r.uri.endswith("64 channels.wav"))
    assert telephone.sample_rate_hz == 8_000
    assert wide.canonical_channels == 1


def test_ingest_sources_tries_a_quarantined_file_again_when_it_or_the_decoder_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = workspace_at(tmp_path / "w")
    calls = tmp_path / "calls"
    calls.mkdir()
    killer = calls / "kills.wav"
    sound = wav(as_pcm(SPEECH), 16_000)
    killer.write_bytes(sound)
    summary = ingest(workspace, calls, decode=decode_or_die)
    assert summary.dropped == 1
    plan = plan_ingest(workspace, [str(calls)], say=quiet)
    assert plan == []
    for module in ("flow", "plan", "standing"):
        monkeypatch.setattr(f"flows.ingest.{module}.decoder_version", lambda: "a newer one")
    again = plan_ingest(workspace, [str(calls)], say=quiet)
    (row,) = again
    assert row["standing"] == "retry"
    assert row["why"] == "the decoder changed"
    summary = ingest(workspace, calls)
    assert summary.recordings == 1
    killer = calls / "kills.wav"
    sound = wav(as_pcm(SPEECH[:9_000]), 16_000)
    killer.write_bytes(sound)
    new_file = calls / "new.wav"
    sound = wav(as_pcm(SPEECH[:8_000]), 16_000)
    new_file.write_bytes(sound)
    rows = plan_ingest(workspace, [str(calls)], say=quiet)
    standings = sorted(str(row["standing"]) for row in rows)
    assert standings == ["changed", "new"]


def test_ingest_sources_gives_equal_rows_for_any_number_of_workers(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    calls.mkdir()
    for number in range(12):
        (calls / f"{number}.wav").write_bytes(
            wav(as_pcm(speech_like(500 + 100 * (number % 10), seed=number)), 16_000)
        )
    tables = []
    for workers in (1, 3):
        workspace = workspace_at(tmp_path / str(workers), workers=workers)
        ingest(workspace, calls)
        with workspace.warehouse() as con:
            columns = "* exclude (created_at, run_id)"
            tables.append(
                [
                    read_rows(con, f"select {columns} from {name} order by seq")
                    for name in ("recording", "source", "ledger")
                ]
            )
        flacs = {path.name: path.read_bytes() for path in workspace.audio_dir.rglob("*.flac")}
        tables[-1].append(sorted(flacs.items()))
    assert len(tables[0][0]) == 12
    assert tables[0] == tables[1]


def test_ingest_sources_remarks_on_what_it_kept_and_counts_it_among_no_drops(
    tmp_path: Path,
) -> None:
    workspace = workspace_at(tmp_path / "w")
    calls = tmp_path / "calls"
    calls.mkdir()
    pcm = as_pcm(SPEECH)
    joined_file = calls / "joined.wav"
    joined_file.write_bytes(wav(pcm, 16_000) + wav(pcm[:16_000], 16_000))
    first = ingest(workspace, calls)
    assert first.recordings == 1
    assert first.dropped == 0
    assert first.remarks == 1
    with workspace.warehouse() as con:
        (row,) = list_remarks(con)
        assert row.stage == "ingest"
        assert row.remark.kind == "after_end"
        assert row.remark.amount_ms == 1_000
        assert row.subject.endswith("joined.wav")
        assert list_drops(con) == []
        assert count_rows(con).remarks == 1
        story = explain(con, row.recording_id)
        kinds = [r["kind"] for r in story["remarks"]]
        assert kinds == ["after_end"]
        assert story["dropped"] == []
    again = ingest(workspace, calls)
    assert again.known == 1
    assert again.remarks == 0


def test_ingest_sources_calls_a_file_of_two_tracks_no_duplicate_of_one(tmp_path: Path) -> None:
    workspace = workspace_at(tmp_path / "w")
    calls = tmp_path / "calls"
    calls.mkdir()
    one, two = (as_pcm(speech_like(3_000, seed=seed)) for seed in (1, 2))
    for name, tracks in (("one.mov", [one]), ("two.mov", [one, two])):
        with av.open(str(calls / name), "w") as output:
            streams = [output.add_stream("pcm_s16le", rate=16_000, layout="mono") for _ in tracks]
            for stream, samples in zip(streams, tracks, strict=True):
                frame = av.AudioFrame.from_ndarray(
                    samples[None],
                    format="s16",
                    layout="mono",
                )
                frame.sample_rate, frame.pts = 16_000, 0
                output.mux(stream.encode(frame))
                output.mux(stream.encode(None))
    summary = ingest(workspace, calls)
    assert summary.recordings == 2
    assert summary.duplicates == 0
    with workspace.warehouse() as con:
        kinds = [row.remark.kind for row in list_remarks(con)]
        assert kinds == ["tracks"]


@pytest.mark.corpus
def test_ingest_sources_deals_with_the_bad_audio_corpus_once(tmp_path: Path, corpora: Path) -> None:
    workspace = workspace_at(tmp_path / "w")
    first = ingest(workspace, corpora / "bad_audio")
    assert first.listed == 95
    assert first.recordings + first.duplicates + first.dropped == 95
    again = ingest(workspace, corpora / "bad_audio")
    assert again.known == 95
