"""Twenty calls composed of real voices, with complete truth about who spoke when; the same ones on
every machine.

Ten are for choosing parameters ("tune"), ten for showing what was chosen ("show"); no voice is in
both. A RAVDESS actor is neutral, calm and in one other mood during a call; FSDD and Asterisk voices
were recorded at 8 kHz; a Barista voice speaks once.
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import soxr  # type: ignore[import-untyped]

from benchmarks.speech_corpus import find_corpus
from voxdata.ports import MODEL_RATE_HZ, Samples
from voxdata.testing.calls import ComposedCall, compose_call
from voxdata.testing.recordings import read_recording

LEVEL = 10 ** (-26 / 20)
NOISE = 10 ** (-60 / 20)
MOODS = ("angry", "disgust", "fearful", "happy", "sad", "surprised")
FRAME = MODEL_RATE_HZ // 100


@dataclass(frozen=True, slots=True, kw_only=True)
class CallPlan:
    """How one call is composed.

    Attributes:
        parties: Voices as "corpus/speaker"; "barista/<n>" is the n-th clip of that corpus, whose
            speakers are not named.
        telephone: Everything goes through 8 kHz.
    """

    name: str
    part: Literal["tune", "show"]
    parties: tuple[str, ...]
    stereo: bool = False
    overlap_ms: int = 0
    pause_ms: int = 400
    num_turns: int = 10
    telephone: bool = False


def _plan(
    part: Literal["tune", "show"],
    actors: Sequence[int],
    digits: Sequence[str],
    others: Sequence[str],
) -> list[CallPlan]:
    """Ten calls: six of two voices (three of them stereo), four of three voices."""
    a = [f"ravdess/actor{number:02d}" for number in actors]
    d = [f"fsdd/{name}" for name in digits]
    o = list(others)
    return [
        CallPlan(
            name=f"{part}01",
            part=part,
            parties=(a[0], a[1]),
            overlap_ms=300,
        ),
        CallPlan(
            name=f"{part}02",
            part=part,
            parties=(a[2], a[4]),
            pause_ms=700,
            telephone=True,
        ),
        CallPlan(
            name=f"{part}03",
            part=part,
            parties=(d[0], d[1]),
            overlap_ms=400,
            telephone=True,
        ),
        CallPlan(
            name=f"{part}04",
            part=part,
            parties=(a[3], a[5]),
            stereo=True,
            overlap_ms=500,
        ),
        CallPlan(
            name=f"{part}05",
            part=part,
            parties=(d[0], a[6]),
            stereo=True,
            telephone=True,
        ),
        CallPlan(
            name=f"{part}06",
            part=part,
            parties=(o[0], o[1]),
            stereo=True,
            pause_ms=600,
        ),
        CallPlan(
            name=f"{part}07",
            part=part,
            parties=(a[0], a[3], a[7]),
            overlap_ms=300,
        ),
        CallPlan(
            name=f"{part}08",
            part=part,
            parties=(d[1], a[1], a[2]),
            telephone=True,
            overlap_ms=200,
        ),
        CallPlan(
            name=f"{part}09",
            part=part,
            parties=(a[4], a[5], o[1]),
            pause_ms=300,
        ),
        CallPlan(
            name=f"{part}10",
            part=part,
            parties=(o[0], a[6], a[7]),
            overlap_ms=600,
            telephone=True,
        ),
    ]


PLANS = (
    *_plan("tune", range(1, 9), ("george", "jackson"), ("ravdess/actor02", "barista/3")),
    *_plan(
        "show",
        range(9, 17),
        ("lucas", "nicolas"),
        ("asterisk_en/en_US_f_Allison", "barista/120"),
    ),
)


def compose_calls(
    part: Literal["tune", "show", "all"] = "all",
) -> Iterator[tuple[CallPlan, ComposedCall]]:
    """The calls in order; none when a corpus is missing, after saying which."""
    folders = {name: find_corpus(name) for name in ("ravdess", "fsdd", "asterisk_en", "barista")}
    if any(folder is None for folder in folders.values()):
        return
    folders_in_use = {name: folder for name, folder in folders.items() if folder is not None}
    for seed, plan in enumerate(PLANS):
        if part in ("all", plan.part):
            yield plan, _compose(plan, folders_in_use, np.random.default_rng(seed))


def _compose(
    plan: CallPlan,
    folders: dict[str, Path],
    rng: np.random.Generator,
) -> ComposedCall:
    parties = []
    for voice in plan.parties:
        parties.append(
            [_through_line(turn, plan) for turn in _turns(voice, folders, plan.num_turns, rng)]
        )
    call = compose_call(
        parties,
        pause_ms=plan.pause_ms,
        overlap_ms=plan.overlap_ms,
        stereo=plan.stereo,
        lead_ms=500,
        recording_id=plan.name,
    )
    noise = rng.standard_normal(call.samples.shape).astype(np.float32) * np.float32(NOISE)
    return ComposedCall(
        samples=np.clip(call.samples + noise, -1, 1),
        turns=call.turns,
        clips=call.clips,
    )


def _turns(
    voice: str,
    folders: dict[str, Path],
    num_turns: int,
    rng: np.random.Generator,
) -> list[Samples]:
    """What one voice says, turn by turn."""
    corpus, _, name = voice.partition("/")
    with (folders[corpus] / "MANIFEST.tsv").open(
        encoding="utf-8",
        newline="",
    ) as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    if corpus == "barista":
        return [read_spoken(folders[corpus] / rows[int(name)]["path"])]
    rows = [row for row in rows if row["speaker"] == name]
    if corpus == "ravdess":
        mood = MOODS[int(rng.integers(len(MOODS)))]
        rows = [
            row
            for row in rows
            if row["emotion"] in ("neutral", "calm")
            or (row["emotion"], row["intensity"]) == (mood, "normal")
        ]
    low, high = (4, 8) if corpus == "fsdd" else (1, 2)
    sizes = rng.integers(
        low,
        high,
        endpoint=True,
        size=num_turns,
    )
    chosen = itertools.cycle(rng.permutation(len(rows)))
    turns = []
    for size in sizes:
        paths = [folders[corpus] / rows[next(chosen)]["path"] for _ in range(size)]
        turns.append(join_clips([read_spoken(path) for path in paths]))
    return turns


def read_spoken(path: Path) -> Samples:
    """One clip without the silence around it, at one level."""
    samples = read_recording(path)[1][:, 0]
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    level = np.sqrt((frames**2).mean(axis=1))
    loud = np.nonzero(level > 0.03 * level.max())[0]
    spoken = samples[loud[0] * FRAME : (loud[-1] + 1) * FRAME]
    heard = np.sqrt((frames[loud] ** 2).mean())
    return np.asarray(np.clip(spoken * (LEVEL / heard), -1, 1), dtype=np.float32)


def join_clips(clips: Sequence[Samples], *, gap_ms: int = 80) -> Samples:
    """Clips one after the other, with so much silence between them."""
    gap = np.zeros(gap_ms * MODEL_RATE_HZ // 1000, np.float32)
    parts = list(itertools.chain.from_iterable((clip, gap) for clip in clips))
    return np.concatenate(parts[:-1])


def _through_line(samples: Samples, plan: CallPlan) -> Samples:
    if not plan.telephone:
        return samples
    narrow = soxr.resample(samples, MODEL_RATE_HZ, 8000)
    return np.asarray(soxr.resample(narrow, 8000, MODEL_RATE_HZ), dtype=np.float32)
