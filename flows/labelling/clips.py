"""The clips of the media folder: cut for people, and removed when nothing needs them."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from flows.labelling.clip_names import clip_key
from flows.labelling.outgoing import Outgoing
from flows.workspace import Workspace
from voxdata.audio_digest import AudioGuard
from voxdata.canonical import read_clip, write_clip_wav
from voxdata.durable import remove
from voxdata.errors import AudioError
from voxdata.ports import QueueEntry
from voxdata.privacy import mute
from warehouse.recordings import StoredRecording


def list_uncut(workspace: Workspace, clips: Sequence[Outgoing]) -> list[Outgoing]:
    """Clips of which no file lies in the media folder."""
    media_dir = workspace.media_dir
    return [clip for clip in clips if not (media_dir / clip.entry.audio_file).exists()]


def cut_clips(
    workspace: Workspace,
    recordings: Mapping[str, StoredRecording],
    clips: Sequence[Outgoing],
    guard: AudioGuard,
) -> list[Outgoing]:
    """Write the clips that are not there yet, with what is private muted.

    Args:
        guard: Lets a recording be read when its file is what was stored; it knows afterwards which
            did not.

    Returns:
        Those whose clips are there now.
    """
    ready = []
    for clip in clips:
        target = workspace.media_dir / clip.entry.audio_file
        if not target.exists():
            utterance = clip.utterance
            recording_id = utterance.recording_id
            path = workspace.audio_dir / recordings[recording_id].audio_file
            try:
                samples = read_clip(
                    path,
                    channel=utterance.channel,
                    segment=clip.window,
                    expected=guard.admit(path, recording_id),
                )
            except AudioError as error:
                guard.refuse(recording_id, error)
                continue
            write_clip_wav(target, mute(samples, clip.muted, offset_ms=clip.window.start_ms))
        ready.append(clip)
    return ready


def remove_other_clips(
    media_dir: Path,
    entries: Collection[QueueEntry],
    recordings: Collection[str],
    *,
    keep_others: bool,
    everywhere: bool = True,
) -> int:
    """Delete clips that may hold what nobody should hear: those of these utterances that were cut
    with other spans.

    Args:
        recordings: Ids of those that the warehouse knows. Clips of others are not judged: a
            warehouse that knows nothing deletes nothing.
        keep_others: Leave clips of their other utterances alone; else they go too, since what was
            cut when nothing was masked is not masked.
        everywhere: Look at all clips; else at those of `recordings`, which are not all then.

    Returns:
        How many are of recordings that the warehouse does not know.
    """
    wanted = {entry.utterance_id: media_dir / entry.audio_file for entry in entries}
    unknown = 0
    for path in _list_clips(media_dir / "clips", None if everywhere else recordings):
        if path.parent.name not in recordings:
            unknown += 1
            continue
        utterance_id = clip_key(path.name)
        if utterance_id is None:
            continue
        if path != wanted.get(utterance_id, path if keep_others else None):
            remove(path)
    return unknown


def _list_clips(folder: Path, recordings: Collection[str] | None) -> list[Path]:
    if recordings is None:
        return sorted(folder.glob("*/*.wav"))
    clips: list[Path] = []
    for recording_id in sorted(recordings):
        clips += sorted((folder / recording_id).glob("*.wav"))
    return clips


def list_cut_recordings(media_dir: Path, recording_ids: Iterable[str]) -> list[str]:
    """Those of some recordings of which clips lie in the media folder, sorted."""
    folder = media_dir / "clips"
    if not folder.is_dir():
        return []
    named = {entry.name for entry in os.scandir(folder)}
    return sorted(
        recording_id
        for recording_id in named.intersection(recording_ids)
        if any((folder / recording_id).glob("*.wav"))
    )
