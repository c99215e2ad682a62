"""Voices: link the speakers of new recordings to those heard before."""

from __future__ import annotations

from collections import defaultdict

from flows.workspace import Say, Workspace
from voxdata.voice import HeardSpeaker, link_speakers
from warehouse.connection import transaction
from warehouse.voices import current_voices, list_heard_speakers, record_links


def link_voices(workspace: Workspace, *, say: Say) -> int:
    """Give every speaker without a voice one, in one transaction.

    Returns:
        How many speakers were linked.
    """
    threshold = workspace.settings.voices.threshold
    linked = joined = 0
    with workspace.warehouse() as con, transaction(con):
        voices = current_voices(con)
        for model_key, heard in sorted(list_heard_speakers(con).items()):
            members: defaultdict[str, list[HeardSpeaker]] = defaultdict(list)
            for speaker in heard:
                if speaker.speaker in voices:
                    members[voices[speaker.speaker]].append(speaker)
            arrivals = [speaker for speaker in heard if speaker.speaker not in voices]
            links = link_speakers(arrivals, members, threshold=threshold)
            record_links(con, links, model_key=model_key, threshold=threshold, run_id=workspace.run_id)
            linked += len(links)
            joined += sum(link.kind == "join" for link in links)
    if linked:
        say(f"voices: {linked} speakers, {joined} of them heard before")
    return linked
