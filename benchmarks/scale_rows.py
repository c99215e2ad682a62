"""A workspace of made-up rows, as large as wanted, for `benchmarks.scale`; nobody said any of it.

Every row comes in by the door that all rows come by, and every vote is sealed. Each recording is
ten seconds long, was pre-labelled by today's models and settings, holds one utterance, lies in
Label Studio, and was heard by three people. All audio files are one tone, so that nothing which
reads audio is measured.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from duckdb import DuckDBPyConnection

from flows.labelling.outgoing import Outgoing, give_out, prepare
from flows.labelling.push_state import push_context
from flows.labelling.reconcile import recorded_keys
from flows.models import build_models, model_specs
from flows.workspace import Workspace
from voxdata.audio import decoder_version
from voxdata.audio_digest import read_digest
from voxdata.backends import load_backend
from voxdata.canonical import write_canonical
from voxdata.identity import ModelRef, canonical_json
from voxdata.increment import CUT, LABEL, stage_keys
from voxdata.label import Prediction
from voxdata.ports import MODEL_RATE_HZ, PushResult, QueueCounts, QueueEntry
from voxdata.segment import Segment
from voxdata.utterance import Utterance
from warehouse.chain import seal_entries
from warehouse.connection import transaction
from warehouse.labels import add_models
from warehouse.push_passes import PushPass, last_seq, record_pass
from warehouse.pushes import note_project, record_missing, record_pushes
from warehouse.recordings import get_recording
from warehouse.rows import insert_query, read_rows

SECONDS = 10
VOTERS = 3
ROWS_AT_ONCE = 50_000
LINKS_AT_ONCE = 30_000
"""So many names may one file have; some file systems allow no more than 65,000."""

RUN = "made-up"
MADE_AT = "2026-01-01T00:00:00Z"

START_MS = 500
MADE = "made_up"
"""The name of the frame with a row for each utterance, while rows are made of it."""


def make_workspace(workspace: Workspace, size: int) -> None:
    """Fill an empty workspace: `size` recordings, utterances and clips, three votes for each."""
    tone = _write_audio(workspace, size)
    models = build_models(workspace, model_specs(workspace))
    specs = models.specs(scheme_versions=workspace.scheme_versions)
    keys = stage_keys(specs)
    fingerprints = load_backend("fingerprinter", "chromaprint").model.key
    with workspace.warehouse() as con:
        _make_up(con, size)
        _add_recordings(con, tone, size)
        _add_fingerprints(con, fingerprints, size)
        add_models(
            con,
            [spec.model for spec in specs if spec.model],
            run_id=RUN,
        )
        for spec in specs:
            model_key = spec.model.key if spec.model else None
            _add_stage(
                con,
                spec.name,
                keys[spec.name],
                model_key,
                size,
            )
        _add_utterances(con, keys, size)
        project_id = note_project(
            con,
            server_id=1,
            made_at=MADE_AT,
            purpose="label",
            title="calls",
            run_id=RUN,
        )
        proposing = {
            spec.name.removeprefix(LABEL): spec.model
            for spec in specs
            if spec.name.startswith(LABEL) and spec.model
        }
        for scheme, model in proposing.items():
            _add_predictions(
                con,
                workspace,
                scheme,
                model,
                keys[LABEL + scheme],
                size,
            )
        for first in range(0, size, ROWS_AT_ONCE):
            stop = min(first + ROWS_AT_ONCE, size)
            clips = list(list_clips(con, workspace, proposing, first, stop))
            pushed = [clip.pushed for clip in clips]
            record_pushes(con, pushed, project_id=project_id, run_id=RUN)
            add_votes(con, workspace, first, stop)
        passing = PushPass(context=push_context(workspace, proposing), through_seq=last_seq(con))
        record_pass(con, passing, project_id=project_id, run_id=RUN)


def _write_audio(workspace: Workspace, size: int) -> Path:
    """Canonical audio and sources: names of a few files. Returns one canonical file."""
    times = np.arange(SECONDS * MODEL_RATE_HZ, dtype=np.float32) / MODEL_RATE_HZ
    samples = (0.1 * np.sin(2 * np.pi * 440 * times)).astype(np.float32)[:, None]
    inbox = workspace.root / "inbox"
    tone = workspace.root / "tone.flac"
    write_canonical(tone, samples)
    os.utime(tone, ns=(1, 1))
    content = tone.read_bytes()
    for number, name in enumerate(_recording_ids(size)):
        if number % LINKS_AT_ONCE == 0:
            base = workspace.root / f"tone-{number}.flac"
            base.write_bytes(content)
            os.utime(base, ns=(1, 1))
        audio = workspace.audio_dir / name[:2] / f"{name}.flac"
        source = inbox / str(number // 1000) / f"{number}.flac"
        for path in (audio, source):
            if number % 1000 == 0 or path is audio:
                path.parent.mkdir(parents=True, exist_ok=True)
            os.link(base, path)
    return tone


def _recording_ids(size: int) -> Iterator[str]:
    from hashlib import sha256

    for number in range(size):
        yield sha256(f"r{number}".encode()).hexdigest()[:32]


def _make_up(con: DuckDBPyConnection, size: int) -> None:
    """A row for each utterance, under the ids that these would have in life."""
    recording_id = "left(sha256('r' || i), 32)"
    parts = f"concat_ws(chr(31), recording_id, 0, {START_MS}, end_ms)"
    con.execute(
        f"""create or replace temp table {MADE} as
        select i, recording_id, end_ms, left(sha256({parts}), 32) as utterance_id,
          'utterance ' || i || ' please cancel the order that I made last week' as text
        from (select i, {recording_id} as recording_id, 3000 + i % 2900 as end_ms
              from range({size}) t(i))"""
    )


def _add_recordings(con: DuckDBPyConnection, tone: Path, size: int) -> None:
    digest = read_digest(tone, "")
    insert_query(
        con,
        "recording",
        f"""select recording_id, 16000 as sample_rate_hz,
          {SECONDS * MODEL_RATE_HZ} as num_samples, 1 as num_channels, 'mono' as layout,
          1 as canonical_channels, 'flac' as codec, 'flac' as container,
          left(recording_id, 2) || '/' || recording_id || '.flac' as audio_file, ? as run_id
        from {MADE}""",
        [RUN],
    )
    insert_query(
        con,
        "source",
        f"""select './inbox/' || (i // 1000) || '/' || i || '.flac' as uri, ? as size_bytes,
          1 as modified_ns, recording_id, ? as decoder, ? as content, ? as run_id
        from {MADE}""",
        [digest.size_bytes, decoder_version(), digest.sha256, RUN],
    )
    insert_query(
        con,
        "audio_digest",
        f"""select recording_id, ? as size_bytes, ? as sha256, ? as samples_md5,
          ? as run_id
        from {MADE}""",
        [digest.size_bytes, digest.sha256, digest.samples_md5, RUN],
    )


def _add_fingerprints(con: DuckDBPyConnection, key: str, size: int) -> None:
    insert_query(
        con,
        "fingerprint",
        f"""select recording_id, ? as key,
          [(hash(i) & 4294967295)::uinteger] as codes, ? as run_id
        from {MADE}""",
        [key, RUN],
    )


def _add_stage(
    con: DuckDBPyConnection,
    stage: str,
    key: str,
    model_key: str | None,
    size: int,
) -> None:
    insert_query(
        con,
        "stage_result",
        f"""select recording_id, ? as stage, ? as key, ?::varchar as model_key,
          1 as num_rows, {SECONDS * 1000} as audio_ms, 0.5 as seconds, ? as run_id
        from {MADE}""",
        [stage, key, model_key, RUN],
    )


def _add_utterances(
    con: DuckDBPyConnection,
    keys: Mapping[str, str],
    size: int,
) -> None:
    insert_query(
        con,
        "utterance",
        f"""select utterance_id, recording_id, ? as key,
          0 as channel, 'SPEAKER_00' as speaker, {START_MS} as start_ms, end_ms,
          text, 'en' as language, '[]' as words, '[]' as marks, ? as run_id
        from {MADE}""",
        [keys[CUT], RUN],
    )
    insert_query(
        con,
        "measure",
        f"""select utterance_id, recording_id, ? as key,
          -20.0 as level_db, 10.0 + i % 30 as snr_db, 0.0 as clipping_ratio, 8000 as bandwidth_hz,
          0.0 as overlap_ratio, 3.0 as speaking_rate, 3.5 as mos, ? as run_id
        from {MADE}""",
        [keys["measure"], RUN],
    )


def _add_predictions(
    con: DuckDBPyConnection,
    workspace: Workspace,
    scheme: str,
    model: ModelRef,
    key: str,
    size: int,
) -> None:
    labels = _labels_of(workspace, scheme)
    rest = round(0.4 / (len(labels) - 1), 6)
    shares = [canonical_json({**dict.fromkeys(labels, rest), first: 0.6}) for first in labels]
    insert_query(
        con,
        "prediction",
        f"""select sha256(? || i) as prediction_id, utterance_id, ? as scheme,
          ?::integer as scheme_version, ?[1 + i % {len(labels)}] as label,
          ?[1 + i % {len(labels)}] as distribution, ? as model_key, ? as key, ? as run_id
        from {MADE}""",
        [
            scheme,
            scheme,
            workspace.scheme_versions[scheme],
            labels,
            shares,
            model.key,
            key,
            RUN,
        ],
    )


def _labels_of(workspace: Workspace, scheme: str) -> list[str]:
    (labels,) = (list(s.label_names) for s in workspace.schemes if s.name == scheme)
    return labels


def list_clips(
    con: DuckDBPyConnection,
    workspace: Workspace,
    models: Mapping[str, ModelRef],
    first: int,
    stop: int,
) -> Iterator[Outgoing]:
    """The clips of some utterances, by number, as a push gives them out."""
    settings = workspace.settings.annotation
    rows = read_rows(
        con,
        f"""select u.*, p.scheme, p.distribution
        from {MADE} u join prediction p using (utterance_id)
        where i >= ? and i < ? order by u.i, p.scheme""",
        [first, stop],
    )
    like = get_recording(con, str(rows[0]["recording_id"]))
    for place in range(0, len(rows), len(models)):
        row = rows[place]
        utterance = Utterance(
            recording_id=str(row["recording_id"]),
            channel=0,
            speaker="SPEAKER_00",
            segment=Segment(start_ms=START_MS, end_ms=int(str(row["end_ms"]))),
            text=str(row["text"]),
            language="en",
            words=(),
        )
        proposals = {
            str(r["scheme"]): {
                utterance.utterance_id: Prediction(
                    utterance_id=utterance.utterance_id,
                    scheme=str(r["scheme"]),
                    distribution=json.loads(str(r["distribution"])),
                    model=models[str(r["scheme"])],
                )
            }
            for r in rows[place : place + len(models)]
        }
        (clip,) = prepare(
            [utterance],
            {utterance.recording_id: like},
            proposals,
            private={utterance.utterance_id: ()} if workspace.settings.privacy.mask else None,
            context_ms=settings.context_ms,
        )
        yield give_out(clip, None, settings)


def add_votes(
    con: DuckDBPyConnection,
    workspace: Workspace,
    first: int,
    stop: int,
    *,
    round_: int = 0,
) -> None:
    """Three sealed votes about each of some utterances, by number; in one of five they differ.

    Args:
        round_: Another one is about the same utterances, by others, who see it otherwise.
    """
    if round_:
        _make_up(con, stop)
    intents, emotions = (_labels_of(workspace, name) for name in ("intent", "emotion"))
    versions = canonical_json(dict(workspace.scheme_versions))
    with transaction(con):
        insert_query(
            con,
            "annotation",
            f"""select ? + i * {VOTERS} + v as annotation_id, 1 as project_id,
              utterance_id, 'annotator-' || (1 + 20 * ? + (i + v) % 20) as annotator,
              '{{"emotion":["' || ?[1 + (i + d) % {len(emotions)}] || '"],"intent":["'
                || ?[1 + (i // 7 + d) % {len(intents)}] || '"]}}' as labels,
              '{{}}' as ratings, '[]' as flags, false as skipped, false as deleted,
              4000 + i % 3000 as lead_time_ms,
              timestamp '2026-02-01' + interval (i * {VOTERS} + v) second as updated_at,
              '' as author, '' as proposal, ? as scheme_versions, ? as run_id
            from (select i, utterance_id, v, (i % 5 = 0 and v = 2)::integer + ? as d
                  from {MADE}, range({VOTERS}) w(v) where i >= ? and i < ?)
            order by i, v""",
            [
                round_ * 1_000_000_000,
                round_,
                emotions,
                intents,
                versions,
                RUN,
                round_,
                first,
                stop,
            ],
        )
        seal_entries(con, run_id=RUN)


def add_unsent(con: DuckDBPyConnection, workspace: Workspace, size: int, count: int) -> None:
    """Let some clips be gone from the server, so that a push sends them again."""
    _make_up(con, size)
    rows = read_rows(con, f"select utterance_id from {MADE} order by i limit ?", [count])
    record_missing(
        con,
        [str(row["utterance_id"]) for row in rows],
        project_id=1,
        run_id=RUN,
    )


class CountingQueue:
    """Stands for a Label Studio project: it knows how many clips it has, and takes more."""

    title = "calls"
    project_id = 1
    made_at = MADE_AT

    def __init__(self, workspace: Workspace) -> None:
        with workspace.warehouse() as con:
            self._clips = len(recorded_keys(con, 1))

    def counts(self) -> QueueCounts:
        """How many there are."""
        return QueueCounts(clips=self._clips, annotations=0)

    def push(
        self,
        entries: Sequence[QueueEntry],
        *,
        recorded: Collection[str] | None = None,
        done: Callable[[PushResult], None] | None = None,
    ) -> PushResult:
        """Take clips."""
        self._clips += len(entries)
        pushed = tuple(entry.utterance_id for entry in entries)
        result = PushResult(
            pushed=pushed,
            already_there=(),
            predictions_added=(),
        )
        if done is not None:
            done(result)
        return result
