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
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
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
from voxdata.segment import Segment, overlap_ms
from voxdata.sound import MODEL_RATE_HZ, ArraySound, Samples
from voxdata.turn import Turn
from voxdata.voice import MIN_SPEECH_MS, HeardSpeaker, Speaker, link_speakers

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
    for paths in clips.values():
        paths.sort(key=lambda path: digest(path.name))
    return dict(sorted(clips.items()))


def read_speech(path: Path) -> Samples:
    """A clip at MODEL_RATE_HZ without the silence at its edges: frames 35 dB below the loudest."""
    samples, rate = soundfile.read(
        path,
        dtype="float32",
        always_2d=True,
    )
    speech: Samples = soxr.resample(samples[:, 0], rate, MODEL_RATE_HZ)
    num_frames = len(speech) // _FRAME
    whole = speech[: num_frames * _FRAME]
    squares = np.square(whole).reshape(num_frames, _FRAME)
    power = squares.mean(axis=1)
    floor = power.max() * 10**-3.5
    loud = np.flatnonzero(power > floor)
    start = loud[0] * _FRAME
    stop = (loud[-1] + 1) * _FRAME
    return speech[start:stop]


def compose(paths: Sequence[Path]) -> Iterator[tuple[int, Samples]]:
    """(length in s, recording) of one speaker, PER_LENGTH of each length, as long as there are
    clips; none is used twice.
    """
    clips = iter(paths)
    for length_s in LENGTHS_S * PER_LENGTH:
        parts: list[Samples] = []
        missing = length_s * MODEL_RATE_HZ
        while missing > 0:
            path = next(clips, None)
            if path is None:
                return
            part = read_speech(path)[:missing]
            parts.append(part)
            missing -= len(part)
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
            sound = ArraySound(samples)
            (diarization,) = diarizer.diarize([sound], max_speakers=1)
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
    people_of: defaultdict[str, set[str]] = defaultdict(set)
    for take in takes:
        people_of[take.corpus].add(take.person)
    halves_of = {corpus: _number_half(people) for corpus, people in people_of.items()}
    first: list[Take] = []
    second: list[Take] = []
    for take in takes:
        half = halves_of[take.corpus][take.person]
        (second if half else first).append(take)
    return first, second


def _number_half(people: set[str]) -> dict[str, int]:
    """Person -> 0 for the first half, 1 for the second."""
    halves_of: dict[str, int] = {}
    for place, person in enumerate(sorted(people)):
        halves_of[person] = place // 2 % 2
    return halves_of


def pair_scores(takes: Sequence[Take], *, length_s: int) -> tuple[list[float], list[float]]:
    """Cosines of pairs of recordings of this length: (of one person, of two people)."""
    chosen = [t for t in takes if t.length_s == length_s]
    same: list[float] = []
    different: list[float] = []
    for a, b in combinations(chosen, 2):
        if a.corpus == b.corpus:
            cosines = same if a.person == b.person else different
            cosine = np.dot(a.heard.vector, b.heard.vector)
            cosines.append(float(cosine))
    return same, different


def equal_error(same: Sequence[float], different: Sequence[float]) -> tuple[float, float]:
    """(equal error rate, the threshold where it is)."""
    thresholds = np.array(sorted({*same, *different}))
    # shape: (num_thresholds, num_pairs)
    is_rejected = np.array(same)[None] < thresholds[:, None]
    is_accepted = np.array(different)[None] >= thresholds[:, None]
    rejects = is_rejected.mean(axis=1)
    accepts = is_accepted.mean(axis=1)
    at = int(np.abs(rejects - accepts).argmin())
    rate = float(rejects[at] + accepts[at]) / 2
    return rate, float(thresholds[at])


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
    voice_of = {link.speaker: link.voice_id for link in links}
    rich = [t for t in takes if t.heard.speech_ms >= min_speech_ms]
    counts = _count_pairs(rich, voice_of)
    people: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
    for take in rich:
        voice = voice_of[take.heard.speaker]
        people[voice].add((take.corpus, take.person))
    num_poor = len(takes) - len(rich)
    num_people = len({(t.corpus, t.person) for t in rich})
    num_mixed = sum(len(of_voice) > 1 for of_voice in people.values())
    joined = f"{counts['joined']}/{counts['two']}"
    apart = f"{counts['apart']}/{counts['one']}"
    return (
        f"{len(rich):4} speakers of {num_people} people (and {num_poor} with too little): "
        f"{len(people)} voices, {num_mixed} of them mixed; "
        f"pairs wrongly joined {joined}, wrongly apart {apart}"
    )


def _count_pairs(takes: Sequence[Take], voice_of: Mapping[Speaker, str]) -> Counter[str]:
    """How many pairs of recordings are of one person and of two, and how many are mistaken."""
    counts: Counter[str] = Counter()
    for a, b in combinations(takes, 2):
        first, second = a.heard.speaker, b.heard.speaker
        if a.corpus != b.corpus or first[0] == second[0]:
            continue
        is_joined = voice_of[first] == voice_of[second]
        if a.person == b.person:
            counts["one"] += 1
            counts["apart"] += not is_joined
        else:
            counts["two"] += 1
            counts["joined"] += is_joined
    return counts


def hear_calls(part: Literal["tune", "show"], diarizer: PyannoteDiarizer) -> list[Take]:
    """The speakers that the diarizer finds in composed calls, each named as the party it shares
    most speech with.
    """
    takes = []
    for plan, call in compose_calls(part):
        for channel in range(call.samples.shape[1]):
            samples = np.ascontiguousarray(call.samples[:, channel])
            (diarization,) = diarizer.diarize([ArraySound(samples)])
            turns = [turn for turn in call.turns if turn.channel == channel]
            for speaker, vector in sorted(diarization.embeddings.items()):
                heard = [s.segment for s in diarization.segments if s.speaker == speaker]
                number = _likeliest_party(heard, turns).removeprefix("S")
                party = plan.parties[int(number)]
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


def _likeliest_party(heard: Sequence[Segment], turns: Sequence[Turn]) -> str:
    """The speaker of the turns that share most with some stretches of speech."""
    shared_ms: Counter[str] = Counter()
    for turn in turns:
        overlaps_ms = (overlap_ms(turn.segment, segment) for segment in heard)
        shared_ms[turn.speaker] += sum(overlaps_ms)
    ((party, _),) = shared_ms.most_common(1)
    return party


def print_pairs(title: str, takes: Sequence[Take]) -> None:
    """Pairs of recordings by threshold and length."""
    num_people = len({(t.corpus, t.person) for t in takes})
    print(
        f"\n{title}: {len(takes)} recordings of {num_people} people; "
        "false accept % / false reject %"
    )
    print("  threshold " + "".join(f"{length:>14} s" for length in LENGTHS_S))
    scores = {length: pair_scores(takes, length_s=length) for length in LENGTHS_S}
    for threshold in THRESHOLDS:
        cells = []
        for of_one, of_two in scores.values():
            is_accepted = np.array(of_two) >= threshold
            is_rejected = np.array(of_one) < threshold
            accepts = 100 * np.mean(is_accepted)
            rejects = 100 * np.mean(is_rejected)
            cells.append(f"{accepts:.2f} /{rejects:6.2f}")
        _print_cells(f"{threshold:9.2f}", cells)
    rates = [equal_error(*s) for s in scores.values()]
    equal = [f"{100 * rate:.2f} at {at:.2f}" for rate, at in rates]
    _print_cells("equal    ", equal)
    pairs = [f"{len(of_two)} /{len(of_one):6}" for of_one, of_two in scores.values()]
    _print_cells("pairs    ", pairs)


def _print_cells(title: str, cells: Sequence[str]) -> None:
    aligned = " ".join(f"{cell:>15}" for cell in cells)
    print(f"  {title} {aligned}")


def print_links(takes: Sequence[Take], least_ms: Sequence[int]) -> None:
    """What linking makes of them by threshold and least speech."""
    for min_speech_ms in least_ms:
        for threshold in THRESHOLDS:
            told = link_outcome(takes, threshold=threshold, min_speech_ms=min_speech_ms)
            print(f"  linked at {threshold:.2f}, {min_speech_ms:5} ms: {told}")


def main() -> int:
    """Print the tables of both halves, then the calls."""
    diarizer = PyannoteDiarizer(device="cpu", cache_dir=str(OUT / "cache"))
    began_s = time.process_time()
    takes: list[Take] = []
    for corpus in ("ravdess", "fsdd"):
        folder = find_corpus(corpus)
        if folder is not None:
            takes += take_all(corpus, folder, diarizer)
    if not takes:
        return 0
    length_s = sum(take.length_s for take in takes)
    spent_s = time.process_time() - began_s
    print(f"{len(takes)} recordings, {length_s} s, embedded in {spent_s:.0f} CPU s")
    titles = ("chosen on the first half", "shown on the second half")
    for title, half in zip(titles, halves(takes), strict=True):
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
