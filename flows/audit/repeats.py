"""Copies in an audited corpus: exact ones among all rows, near ones among the clips that were
listened to.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from flows.audit.same_bytes import CorpusFiles, name_stretches
from voxdata.audit.clips import BadClip, HeardClip, hash_clips
from voxdata.audit.copies import find_copies
from voxdata.audit.findings import Finding
from voxdata.audit.groups import find_conflicting_copies
from voxdata.audit.sound_checks import (
    find_exact_copies,
    find_near_copies,
    join_sounds,
    leave_out_equal,
    name_copies,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CopySearch:
    """What a search for copies found.

    Attributes:
        copies: Findings about sounds that are there more than once.
        conflict: The finding about copies with different labels, if any.
        bad: Rows that were found unreadable on the way, beside those known before.
    """

    copies: tuple[Finding, ...]
    conflict: Finding | None
    bad: tuple[BadClip, ...]


def search_copies(
    frame: pl.DataFrame,
    files: CorpusFiles,
    heard: Sequence[HeardClip],
    bad: Sequence[BadClip],
    *,
    audio_root: Path,
) -> CopySearch:
    """Find exact copies among all rows and near copies among those heard.

    Files of the same bytes of which nobody has heard one are decoded once: two equal pages of text
    are no sound.

    Args:
        frame: As `voxdata.audit.findings.SCHEMA` says.
        files: From `hash_files`.
        heard, bad: From `listen`.
        audio_root: What relative paths are relative to.
    """
    stretches = name_stretches(frame, files)
    digests = {clip.at: clip.digest for clip in heard}
    more, unheard = _confirm(frame, stretches, digests, bad, audio_root=audio_root)
    silent = {clip.at for clip in (*bad, *unheard)}
    heard_stretches = {at: name for at, name in stretches.items() if at not in silent}
    sounds = join_sounds(heard_stretches, digests | more)
    exact = find_exact_copies(frame, sounds)
    first = {sounds[clip.at]: clip.at for clip in reversed(heard)}
    distinct = [clip for clip in heard if first[sounds[clip.at]] == clip.at]
    pairs = find_copies([clip.sound for clip in distinct])
    near = leave_out_equal([clip.at for clip in distinct], pairs, sounds)
    return CopySearch(
        copies=(*exact, *find_near_copies(frame, near)),
        conflict=find_conflicting_copies(frame, name_copies(frame.height, sounds, near)),
        bad=unheard,
    )


def _confirm(
    frame: pl.DataFrame,
    stretches: Mapping[int, str],
    digests: Mapping[int, str],
    bad: Sequence[BadClip],
    *,
    audio_root: Path,
) -> tuple[dict[int, str], tuple[BadClip, ...]]:
    """Decode one row of each group of equal bytes in which none was heard.

    Returns:
        Row -> digest of those decoded, and the rows of groups that cannot be read, those in `bad`
        left out.
    """
    groups: defaultdict[str, list[int]] = defaultdict(list)
    for at, name in stretches.items():
        groups[name].append(at)
    problems = {clip.at: clip.problem for clip in bad}
    unsure: list[int] = []
    for rows in groups.values():
        asked = any(at in digests or at in problems for at in rows)
        if len(rows) > 1 and not asked:
            unsure.append(rows[0])
    more, broken = hash_clips(frame, unsure, audio_root=audio_root)
    problems |= {clip.at: clip.problem for clip in broken}
    unheard = []
    for rows in groups.values():
        why = next((problems[at] for at in rows if at in problems), None)
        if why is not None:
            unheard += [BadClip(at=at, problem=why) for at in rows if at not in digests]
    already = {clip.at for clip in bad}
    return more, tuple(clip for clip in unheard if clip.at not in already)
