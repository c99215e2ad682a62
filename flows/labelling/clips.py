"""The clips of the media folder: cut for people, and removed when nothing needs them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from flows.labelling.clip_names import clip_key
from flows.labelling.outgoing import Outgoing
from flows.workspace import Workspace
from voxdata.audio_digest import AudioGuard
from voxdata.canonical import read_clip, write_clip_wav
from voxdata.errors import AudioError
from voxdata.ports import QueueEntry
from voxdata.privacy import mute
from warehouse.recordings import StoredRecording


def cut_clips(
    workspace: Workspace, recordings: Mapping[str, StoredRecording], batch: Sequence[Outgoing], guard: AudioGuard
) -> list[Outgoing]:
    """Write the clips that are not there yet, with what is private muted.

    Args:
        guard: Lets a recording be read when its file is what was stored; it knows afterwards which did not.

    Returns:
        Those whose clips are there now.
    """
    ready = []
    for going in batch:
        target = workspace.media_dir / going.entry.audio_file
        if not target.exists():
            u = going.utterance
            path = workspace.audio_dir / recordings[u.recording_id].audio_file
            try:
                expected = guard.admit(path, u.recording_id)
                samples = read_clip(path, channel=u.channel, segment=going.window, expected=expected)
            except AudioError as error:
                guard.refuse(u.recording_id, error)
                continue
            write_clip_wav(target, mute(samples, going.muted, offset_ms=going.window.start_ms))
        ready.append(going)
    return ready


def remove_other_clips(media_dir: Path, entries: Collection[QueueEntry], recordings: Collection[str], *, keep_others: bool) -> int:
    """Delete clips that may hold what nobody should hear: those of these utterances that were cut with other spans.

    Args:
        recordings: Ids of those that the warehouse knows. Clips of others are not judged: a warehouse that knows nothing deletes nothing.
        keep_others: Leave clips of their other utterances alone; else they go too, since what was cut when nothing was masked is not
            masked.

    Returns:
        How many are of recordings that the warehouse does not know.
    """
    wanted = {entry.utterance_id: media_dir / entry.audio_file for entry in entries}
    unknown = 0
    for path in sorted((media_dir / "clips").glob("*/*.wav")):
        if path.parent.name not in recordings:
            unknown += 1
            continue
        key = clip_key(path.name)
        if key is not None and path != wanted.get(key, path if keep_others else None):
            path.unlink()
    return unknown
