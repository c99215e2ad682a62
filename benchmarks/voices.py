"""Voices across recordings: how often two people are taken for one, and one for two:
python -m benchmarks.voices.

From every speaker of RAVDESS and FSDD recordings of 3, 5, 10 and 30 s are composed, each of clips
of its own, silence at their edges cut. Emotions are mixed, microphone and session are not: across
telephones expect more false rejects. Threshold and least speech were chosen on the first half of
the speakers and are shown on the second. People are compared within their corpus only: between
corpora the microphone tells them apart. Last come the composed calls, where the speakers are those
that the diarizer found.
"""

from __future__ import annotations

import csv
import itertools
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile  # type: ignore[import-untyped]
import soxr  # type: ignore[import-untyped]

from benchmarks.composed_calls import compose_calls
from benchmarks.speech_corpus import OUT, find_corpus
from voxdata.backends.diarization.pyannote import PyannoteDiarizer
from voxdata.identity import digest
from voxdata.measure import SAME_VOICE
from voxdata.segment import overlap_ms
from voxdata.sound import MODEL_RATE_HZ, ArraySound, Samples
from voxdata.voice import MIN_SPEECH_MS, HeardSpeaker, link_speakers

LENGTHS_S = (3, 5, 10, 30)
PER_LENGTH = 4
THRESHOLDS = (0.50, 0.60, 0.65, 0.70, 0.75, 0.80)
LEAST_SPEECH_MS = (0, 3_000, 5_000, 8_000)
_FRAME = MODEL_RATE_HZ // 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """One composed recording and what was heard in it."""

    corpus: str
    person: str
    length_s: int
    heard: HeardSpeaker


def read_clips(folder: Path) -> dict[str, list[Path]]:
    """Speaker -> their clips, in an order that mixes words and emotions and is always the same."""
    clips: defaultdict[str, list[Path]] = defaultdict(list)
    with (folder / "MANIFEST.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            clips[row["speaker"]].append(folder / row["path"])
    return {
        speaker: sorted(paths, key=lambda path: digest(path.name))
        for speaker, paths in sorted(clips.items())
    }


def read_speech(path: Path) -> Samples:
    """A clip at MODEL_RATE_HZ without the silence at its edges: frames 35 dB below the loudest."""
    samples, rate = soundfile.read(
        path,
        dtype="float32",
        always_2d=True,
    )
    speech: Samples = soxr.resample(samples[:, 0], rate, MODEL_RATE_HZ)
    whole = speech[: len(speech) // _FRAME * _FRAME]
    power = np.square(whole).reshape(-1, _FRAME).mean(axis=1)
    loud = np.flatnonzero(power > power.max() * 10**-3.5)
    return speech[loud[0] * _FRAME : (loud[-1] + 1) * _FRAME]


def compose(paths: Sequence[Path]) -> Iterator[tuple[int, Samples]]:
    """(length in s, recording) of one speaker, PER_LENGTH of each length, as long as there are
    clips; none is used twice.
    """
    clips = iter(paths)
    for length_s in itertools.chain.from_iterable(LENGTHS_S for _ in range(PER_LENGTH)):
        parts, missing = [], length_s * MODEL_RATE_HZ
        while missing > 0:
            path = next(clips, None)
            if path is None:
                return
            parts.append(read_speech(path)[:missing])
            missing -= len(parts[-1])
        yield length_s, np.concatenate(parts)


def take_all(
    corpus: str,
    folder: Path,
    diarizer: PyannoteDiarizer,
) -> list[Take]:
    """What the diarizer hears in the composed recordings of a corpus."""
    takes = []
    for person, paths in read_clips(folder).items():
        for number, (length_s, samples) in enumerate(compose(paths)):
            (diarization,) = diarizer.diarize([ArraySound(samples)], max_speakers=1)
            speech_ms = sum(s.segment.duration_ms for s in diarization.segments)
            if not diarization.embeddings:
                print(f"{corpus} {person} #{number}, {length_s} s: no voice heard")
                continue
            recording_id = digest("voices", corpus, person, number)
            heard = HeardSpeaker(
                speaker=(recording_id, 0, "S0"),
                vector=tuple(diarization.embeddings["S0"]),
                speech_ms=speech_ms,
            )
            takes.append(
                Take(
                    corpus=corpus,
                    person=person,
                    length_s=length_s,
                    heard=heard,
                )
            )
    return takes


def halves(takes: Sequence[Take]) -> tuple[list[Take], list[Take]]:
    """By speaker: of each corpus two to the first half, the next two to the second (RAVDESS
    alternates men and women).
    """
    first = set()
    for corpus in {t.corpus for t in takes}:
        people = sorted({t.person for t in takes if t.corpus == corpus})
        first |= {(corpus, person) for i, person in enumerate(people) if i // 2 % 2 == 0}
    return [t for t in takes if (t.corpus, t.person) in first], [
        t for t in takes if (t.corpus, t.person) not in first
    ]


def pair_scores(takes: Sequence[Take], *, length_s: int) -> tuple[list[float], list[float]]:
    """Cosines of pairs of recordings of this length: (of one person, of two people)."""
    chosen = [t for t in takes if t.length_s == length_s]
    same: list[float] = []
    different: list[float] = []
    for a, b in combinations(chosen, 2):
        if a.corpus == b.corpus:
            (same if a.person == b.person else different).append(
                float(np.dot(a.heard.vector, b.heard.vector))
            )
    return same, different


def equal_error(same: Sequence[float], different: Sequence[float]) -> tuple[float, float]:
    """(equal error rate, the threshold where it is)."""
    thresholds = np.array(sorted({*same, *different}))
    rejects = (np.array(same)[None] < thresholds[:, None]).mean(axis=1)
    accepts = (np.array(different)[None] >= thresholds[:, None]).mean(axis=1)
    at = int(np.abs(rejects - accepts).argmin())
    return float(rejects[at] + accepts[at]) / 2, float(thresholds[at])


def link_outcome(
    takes: Sequence[Take],
    *,
    threshold: float,
    min_speech_ms: int = MIN_SPEECH_MS,
) -> str:
    """What `link_speakers` makes of all recordings at once, in a line; speakers who said too little
    are in no pair.
    """
    links = link_speakers(
        [t.heard for t in takes],
        {},
        threshold=threshold,
        min_speech_ms=min_speech_ms,
    )
    voice = {link.speaker: link.voice_id for link in links}
    rich = [t for t in takes if t.heard.speech_ms >= min_speech_ms]
    counts: Counter[str] = Counter()
    for a, b in combinations(rich, 2):
        one = (a.corpus, a.person) == (b.corpus, b.person)
        joined = voice[a.heard.speaker] == voice[b.heard.speaker]
        if a.heard.speaker[0] != b.heard.speaker[0] and (one or a.corpus == b.corpus):
            counts["one" if one else "two"] += 1
            counts["apart"] += one and not joined
            counts["joined"] += joined and not one
    people: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
    for t in rich:
        people[voice[t.heard.speaker]].add((t.corpus, t.person))
    num_people = len({(t.corpus, t.person) for t in rich})
    mixed = sum(len(found) > 1 for found in people.values())
    return (
        f"{len(rich):4} speakers of {num_people} people (and {len(takes) - len(rich)} with "
        f"too little): {len(people)} voices, "
        f"{mixed} of them mixed; pairs wrongly joined {counts['joined']}/{counts['two']}, "
        f"wrongly apart {counts['apart']}/{counts['one']}"
    )


def hear_calls(part: Literal["tune", "show"], diarizer: PyannoteDiarizer) -> list[Take]:
    """The speakers that the diarizer finds in composed calls, each named as the party it shares
    most speech with.
    """
    takes = []
    for plan, call in compose_calls(part):
        for channel in range(call.samples.shape[1]):
            (diarization,) = diarizer.diarize(
                [ArraySound(np.ascontiguousarray(call.samples[:, channel]))]
            )
            for speaker, vector in sorted(diarization.embeddings.items()):
                heard = [s.segment for s in diarization.segments if s.speaker == speaker]
                shared: Counter[str] = Counter()
                for turn in call.turns:
                    if turn.channel == channel:
                        shared[turn.speaker] += sum(
                            overlap_ms(turn.segment, segment) for segment in heard
                        )
                party = plan.parties[int(shared.most_common(1)[0][0].removeprefix("S"))]
                who = HeardSpeaker(
                    speaker=(plan.name, channel, speaker),
                    vector=tuple(vector),
                    speech_ms=sum(segment.duration_ms for segment in heard),
                )
                takes.append(
                    Take(
                        corpus="calls",
                        person=party,
                        length_s=0,
                        heard=who,
                    )
                )
    return takes


def print_pairs(title: str, takes: Sequence[Take]) -> None:
    """Pairs of recordings by threshold and length."""
    print(
        f"\n{title}: {len(takes)} recordings of {len({(t.corpus, t.person) for t in takes})} "
        "people; false accept % / false reject %"
    )
    print("  threshold " + "".join(f"{length:>14} s" for length in LENGTHS_S))
    scores = {length: pair_scores(takes, length_s=length) for length in LENGTHS_S}
    for threshold in THRESHOLDS:
        cells = []
        for of_one, of_two in scores.values():
            accepts = 100 * np.mean(np.array(of_two) >= threshold)
            rejects = 100 * np.mean(np.array(of_one) < threshold)
            cells.append(f"{accepts:.2f} /{rejects:6.2f}")
        print(f"  {threshold:9.2f} " + " ".join(f"{cell:>15}" for cell in cells))
    rates = [equal_error(*s) for s in scores.values()]
    equal = (f"{100 * rate:.2f} at {at:.2f}" for rate, at in rates)
    print("  equal     " + " ".join(f"{cell:>15}" for cell in equal))
    pairs = [f"{len(of_two)} /{len(of_one):6}" for of_one, of_two in scores.values()]
    print("  pairs     " + " ".join(f"{cell:>15}" for cell in pairs))


def print_links(takes: Sequence[Take], least_ms: Sequence[int]) -> None:
    """What linking makes of them by threshold and least speech."""
    for min_speech_ms in least_ms:
        for threshold in THRESHOLDS:
            told = link_outcome(takes, threshold=threshold, min_speech_ms=min_speech_ms)
            print(f"  linked at {threshold:.2f}, {min_speech_ms:5} ms: {told}")


def main() -> int:
    """Print the tables of both halves, then the calls."""
    diarizer = PyannoteDiarizer(device="cpu", cache_dir=str(OUT / "cache"))
    began, takes = time.process_time(), []
    for corpus in ("ravdess", "fsdd"):
        folder = find_corpus(corpus)
        takes += take_all(corpus, folder, diarizer) if folder is not None else []
    if not takes:
        return 0
    print(
        f"{len(takes)} recordings, {sum(t.length_s for t in takes)} s, embedded in "
        f"{time.process_time() - began:.0f} CPU s"
    )
    for title, half in zip(
        ("chosen on the first half", "shown on the second half"), halves(takes), strict=True
    ):
        print_pairs(title, half)
        print_links(half, LEAST_SPEECH_MS)
    parts: tuple[Literal["tune"], Literal["show"]] = ("tune", "show")
    for part in parts:
        print(f"\nspeakers found in the composed calls, part {part}")
        print_links(hear_calls(part, diarizer), (MIN_SPEECH_MS,))
    print(
        f"\nin use: threshold {SAME_VOICE}, at least {MIN_SPEECH_MS} ms. Repeat: "
        "VOXDATA_CORPORA=... python -m benchmarks.voices"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
