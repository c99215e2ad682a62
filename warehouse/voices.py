"""Voices: what each speaker sounds like, and which voice it was given; an append-only history."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from duckdb import DuckDBPyConnection

from voxdata.errors import NotFoundError
from voxdata.voice import HeardSpeaker, Speaker, VoiceLink, voice_id_of
from warehouse.rows import insert_rows, read_rows


def store_speaker_embeddings(
    con: DuckDBPyConnection,
    recording_id: str,
    channel: int,
    *,
    key: str,
    embeddings: Mapping[str, Sequence[float]],
    speech_ms: Mapping[str, int],
    model_key: str,
    run_id: str,
) -> None:
    """Store what the speakers of one channel sound like; `key` is the diarization's."""
    rows: list[dict[str, object]] = [
        {
            "recording_id": recording_id, "key": key, "channel": channel, "speaker": speaker, "speech_ms": speech_ms.get(speaker, 0),
            "model_key": model_key, "vector": list(vector), "run_id": run_id,
        }
        for speaker, vector in sorted(embeddings.items())
    ]  # fmt: skip
    insert_rows(con, "speaker_embedding", rows)


def list_heard_speakers(con: DuckDBPyConnection) -> dict[str, list[HeardSpeaker]]:
    """Voice model key -> the speakers of the diarizations in force, sorted."""
    rows: list[dict[str, Any]] = read_rows(
        con,
        "select recording_id, channel, speaker, speech_ms, model_key, vector from current_speaker order by recording_id, channel, speaker",
    )
    found: defaultdict[str, list[HeardSpeaker]] = defaultdict(list)
    for row in rows:
        speaker = (row["recording_id"], row["channel"], row["speaker"])
        found[row["model_key"]].append(HeardSpeaker(speaker=speaker, vector=tuple(row["vector"]), speech_ms=row["speech_ms"]))
    return dict(found)


def record_links(con: DuckDBPyConnection, links: Sequence[VoiceLink], *, model_key: str, threshold: float, run_id: str) -> None:
    """Write links down; call it once for each speaker."""
    rows: list[dict[str, object]] = [
        {
            "kind": link.kind, "voice_id": link.voice_id, "recording_id": link.speaker[0], "channel": link.speaker[1],
            "speaker": link.speaker[2], "score": link.score, "threshold": threshold, "model_key": model_key,
            "reason": "linked by embedding", "run_id": run_id,
        }
        for link in links
    ]  # fmt: skip
    insert_rows(con, "voice_event", rows)


def current_voices(con: DuckDBPyConnection) -> dict[Speaker, str]:
    """Every speaker ever linked -> its voice now, after all merges and splits in their order."""
    voices: dict[Speaker, str] = {}
    events: list[dict[str, Any]] = read_rows(
        con, "select kind, voice_id, other_id, recording_id, channel, speaker from voice_event order by seq"
    )
    for event in events:
        if event["kind"] == "merge":
            voices = {s: event["other_id"] if v == event["voice_id"] else v for s, v in voices.items()}
        else:
            voices[event["recording_id"], event["channel"], event["speaker"]] = event["voice_id"]
    return voices


def merge_voices(con: DuckDBPyConnection, voice_id: str, into: str, *, reason: str, run_id: str) -> None:
    """Say that two voices are one person: all speakers of `voice_id` belong to `into` from here on.

    Raises:
        NotFoundError: One of them is no voice, or they are the same.
    """
    known = set(current_voices(con).values())
    for voice in (voice_id, into):
        if voice not in known:
            raise NotFoundError(f"no voice {voice!r}; `voxdata voices` lists them")
    if voice_id == into:
        raise NotFoundError(f"{voice_id!r} is one voice already")
    insert_rows(con, "voice_event", [{"kind": "merge", "voice_id": voice_id, "other_id": into, "reason": reason, "run_id": run_id}])


def split_voice(con: DuckDBPyConnection, speaker: Speaker, *, reason: str, run_id: str) -> str:
    """Say that a speaker is somebody else than the rest of its voice.

    Returns:
        The voice it has from here on.

    Raises:
        NotFoundError: There is no such speaker.
    """
    voices = current_voices(con)
    if speaker not in voices:
        raise NotFoundError(f"no speaker {':'.join(map(str, speaker))}; `voxdata voices` lists them as RECORDING:CHANNEL:SPEAKER")
    voice_id = voice_id_of(speaker)
    if voices[speaker] == voice_id and sum(v == voice_id for v in voices.values()) > 1:
        voice_id = voice_id_of((*speaker[:2], f"{speaker[2]}/split"))
    recording_id, channel, name = speaker
    row: dict[str, object] = {
        "kind": "split", "voice_id": voice_id, "recording_id": recording_id, "channel": channel, "speaker": name,
        "reason": reason, "run_id": run_id,
    }  # fmt: skip
    insert_rows(con, "voice_event", [row])
    return voice_id
