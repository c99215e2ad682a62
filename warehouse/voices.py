"""Voices: what each speaker sounds like, and which voice it was given; an append-only history."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from duckdb import DuckDBPyConnection

from voxdata.errors import NotFoundError
from voxdata.voice import HeardSpeaker, Speaker, VoiceLink, voice_id_of
from warehouse.moment import results_before
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
            "recording_id": recording_id,
            "key": key,
            "channel": channel,
            "speaker": speaker,
            "speech_ms": speech_ms.get(speaker, 0),
            "model_key": model_key,
            "vector": list(vector),
            "run_id": run_id,
        }
        for speaker, vector in sorted(embeddings.items())
    ]
    insert_rows(con, "speaker_embedding", rows)


def list_heard_speakers(con: DuckDBPyConnection) -> dict[str, list[HeardSpeaker]]:
    """Voice model key -> the speakers of the diarizations in force, sorted."""
    rows: list[dict[str, Any]] = read_rows(
        con,
        """select recording_id, channel, speaker, speech_ms, model_key, vector, key
        from current_speaker
        order by recording_id, channel, speaker""",
    )
    speakers: defaultdict[str, list[HeardSpeaker]] = defaultdict(list)
    for row in rows:
        speaker = (row["recording_id"], row["channel"], row["speaker"])
        heard = HeardSpeaker(
            speaker=speaker, vector=tuple(row["vector"]), speech_ms=row["speech_ms"], key=row["key"]
        )
        speakers[row["model_key"]].append(heard)
    return dict(speakers)


def record_links(
    con: DuckDBPyConnection,
    links: Sequence[VoiceLink],
    *,
    model_key: str,
    threshold: float,
    run_id: str,
) -> None:
    """Write links down; call it once for each speaker."""
    rows: list[dict[str, object]] = [
        {
            "kind": link.kind,
            "voice_id": link.voice_id,
            "recording_id": link.speaker[0],
            "channel": link.speaker[1],
            "speaker": link.speaker[2],
            "key": link.key,
            "score": link.score,
            "threshold": threshold,
            "model_key": model_key,
            "reason": "linked by embedding",
            "run_id": run_id,
        }
        for link in links
    ]
    insert_rows(con, "voice_event", rows)


def current_voices(con: DuckDBPyConnection, *, before: int | None = None) -> dict[Speaker, str]:
    """Every linked speaker of the diarizations in force -> its voice now, after all merges and
    splits in their order.

    Args:
        before: As it was before the row of this number; None takes everything.
    """
    keys: dict[object, object] = {
        row["recording_id"]: row["key"]
        for row in read_rows(
            con,
            f"""select recording_id, key from ({results_before(before)})
            where stage = 'diarize' and recording_id in (select recording_id from voice_event)""",
        )
    }
    return {
        speaker: voice
        for (speaker, key), voice in _replay(con, before=before).items()
        if keys.get(speaker[0]) == key
    }


def used_voice_ids(con: DuckDBPyConnection) -> set[str]:
    """Ids that any voice has or had."""
    return {
        str(row["voice_id"]) for row in read_rows(con, "select distinct voice_id from voice_event")
    }


def _replay(
    con: DuckDBPyConnection, *, before: int | None = None
) -> dict[tuple[Speaker, str], str]:
    """(speaker, key of its diarization) -> voice, all events applied, or those before one."""
    voices: dict[tuple[Speaker, str], str] = {}
    events: list[dict[str, Any]] = read_rows(
        con,
        """select kind, voice_id, other_id, recording_id, channel, speaker, key
        from voice_event
        where $before is null or seq < $before
        order by seq""",
        {"before": before},
    )
    for event in events:
        if event["kind"] == "merge":
            merged = [linked for linked, voice in voices.items() if voice == event["voice_id"]]
            voices |= dict.fromkeys(merged, event["other_id"])
        else:
            voices[(event["recording_id"], event["channel"], event["speaker"]), event["key"]] = (
                event["voice_id"]
            )
    return voices


def merge_voices(
    con: DuckDBPyConnection, voice_id: str, into: str, *, reason: str, run_id: str
) -> tuple[str, str]:
    """Say that two voices are one person: all speakers of `voice_id` belong to `into` from here on.

    Args:
        voice_id, into: Ids or their first characters.

    Returns:
        Both ids in full.

    Raises:
        NotFoundError: One of them is no voice, or they are the same.
    """
    voice_ids = sorted(set(current_voices(con).values()))
    gone, stays = (_find(voice_ids, ref, kind="voice") for ref in (voice_id, into))
    if gone == stays:
        raise NotFoundError(f"{voice_id!r} and {into!r} are one voice already")
    insert_rows(
        con,
        "voice_event",
        [
            {
                "kind": "merge",
                "voice_id": gone,
                "other_id": stays,
                "reason": reason,
                "run_id": run_id,
            }
        ],
    )
    return gone, stays


def split_voice(con: DuckDBPyConnection, ref: str, *, reason: str, run_id: str) -> str:
    """Say that a speaker is somebody else than the rest of its voice.

    Args:
        ref: RECORDING:CHANNEL:SPEAKER; of the recording's id the first characters are enough.

    Returns:
        The voice it has from here on.

    Raises:
        NotFoundError: There is no such speaker, or it has a voice of its own.
    """
    voices = current_voices(con)
    recording, _, rest = ref.partition(":")
    names = {":".join(map(str, speaker)): speaker for speaker in voices}
    candidates = sorted(name for name in names if name.partition(":")[2] == rest)
    speaker = names[_find(candidates, recording, kind="speaker", shown=ref)]
    if sum(voice == voices[speaker] for voice in voices.values()) == 1:
        raise NotFoundError(f"{ref!r} has voice {voices[speaker]} for itself already")
    key = next(
        key
        for (linked, key), voice in _replay(con).items()
        if linked == speaker and voice == voices[speaker]
    )
    voice_id = voice_id_of(speaker, taken=used_voice_ids(con))
    row: dict[str, object] = {
        "kind": "split",
        "voice_id": voice_id,
        "other_id": voices[speaker],
        "recording_id": speaker[0],
        "channel": speaker[1],
        "speaker": speaker[2],
        "key": key,
        "reason": reason,
        "run_id": run_id,
    }
    insert_rows(con, "voice_event", [row])
    return voice_id


def divided_voices(con: DuckDBPyConnection) -> set[str]:
    """Voices that a speaker was taken out of: they may be another person than the one they once
    were.
    """
    return {
        str(row["other_id"])
        for row in read_rows(con, "select distinct other_id from voice_event where kind = 'split'")
    }


def _find(names: Sequence[str], ref: str, *, kind: str, shown: str | None = None) -> str:
    matching = [name for name in names if name == ref] or [
        name for name in names if ref and name.startswith(ref)
    ]
    if len(matching) != 1:
        trouble = (
            f"{len(matching)} begin like that; give more of it"
            if matching
            else "`voxdata voices` lists what there is"
        )
        raise NotFoundError(f"no {kind} {shown or ref!r}: {trouble}")
    return matching[0]
