"""Voices: link the speakers of new recordings to those heard before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from flows.workspace import Say, Workspace
from voxdata.voice import HeardSpeaker, Speaker, link_speakers, nearest_voices
from warehouse.connection import transaction
from warehouse.voices import (
    current_voices,
    list_heard_speakers,
    merge_voices,
    record_links,
    split_voice,
    used_voice_ids,
)


def link_voices(workspace: Workspace, *, say: Say) -> int:
    """Give every speaker without a voice one, in one transaction.

    Nothing is written when all have theirs.

    Returns:
        How many speakers were linked.
    """
    threshold = workspace.settings.voices.threshold
    linked = joined = 0
    with workspace.warehouse() as con, transaction(con):
        voices, taken = current_voices(con), used_voice_ids(con)
        for model_key, heard in sorted(list_heard_speakers(con).items()):
            arrivals = [speaker for speaker in heard if speaker.speaker not in voices]
            links = link_speakers(
                arrivals, group_by_voice(heard, voices), threshold=threshold, taken=taken
            )
            record_links(
                con, links, model_key=model_key, threshold=threshold, run_id=workspace.run_id
            )
            taken |= {link.voice_id for link in links}
            linked += len(links)
            joined += sum(link.kind == "join" for link in links)
    if linked:
        say(f"voices: {linked} speakers, {joined} of them heard before")
    return linked


def group_by_voice(
    heard: Sequence[HeardSpeaker], voices: Mapping[Speaker, str]
) -> dict[str, list[HeardSpeaker]]:
    """Voice id -> its speakers."""
    members: defaultdict[str, list[HeardSpeaker]] = defaultdict(list)
    for speaker in heard:
        if speaker.speaker in voices:
            members[voices[speaker.speaker]].append(speaker)
    return dict(members)


def voice_rows(workspace: Workspace) -> list[dict[str, object]]:
    """Every voice with its speakers, how much it speaks, and the other voice most like it.

    The voice with most speech comes first.
    """
    rows: list[dict[str, object]] = []
    with workspace.warehouse(read_only=True) as con:
        voices, by_model = current_voices(con), list_heard_speakers(con)
    for _, heard in sorted(by_model.items()):
        members = group_by_voice(heard, voices)
        nearest = nearest_voices(members)
        for voice, speakers in members.items():
            other, cosine = nearest.get(voice, ("", None))
            ids = sorted(s.speaker for s in speakers)
            names = [f"{recording_id[:12]}:{channel}:{name}" for recording_id, channel, name in ids]
            rows.append(
                {
                    "voice": voice[:12],
                    "recordings": len({s.speaker[0] for s in speakers}),
                    "speech_s": sum(s.speech_ms for s in speakers) / 1000,
                    "nearest": other[:12],
                    "cosine": cosine,
                    "speakers": " ".join(names),
                }
            )
    return sorted(rows, key=lambda row: (-float(str(row["speech_s"])), str(row["voice"])))


def merge_voice(workspace: Workspace, voice: str, into: str, *, reason: str, say: Say) -> None:
    """Record that two voices are one person.

    Raises:
        NotFoundError: One of them is no voice, or they are the same.
    """
    with workspace.warehouse() as con, transaction(con):
        gone, stays = merge_voices(con, voice, into=into, reason=reason, run_id=workspace.run_id)
    say(f"voices: {gone[:12]} is {stays[:12]} from here on")


def split_speaker(workspace: Workspace, speaker: str, *, reason: str, say: Say) -> None:
    """Record that a speaker is somebody else than the rest of its voice.

    Raises:
        NotFoundError: There is no such speaker, or it has a voice of its own.
    """
    with workspace.warehouse() as con, transaction(con):
        voice = split_voice(con, speaker, reason=reason, run_id=workspace.run_id)
    say(f"voices: {speaker} is {voice[:12]} from here on")
