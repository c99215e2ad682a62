"""Whether what is found is inaudible: spoken sentences through the default chain, and what is left
of them in the muted clips.

    python -m benchmarks.muting [sentences | borders | calls]

Three groups: the sentences of `benchmarks.muted_sentences`; dictations across the borders of
utterances; and two-channel calls composed of the sentences, in which each party's channel leaks
into the other, or does not. A private part counts as *found* when nothing of it can be read in a
task and something of it is muted, as *heard* when the packaged Whisper model hears something of it
in a muted clip. Since a person hears more than that model, the milliseconds of each part that a
clip still plays are counted, too. The transcriber is told that it hears English: the voices are
made for Japanese, and short pieces are taken for that otherwise.
"""

from __future__ import annotations

import itertools
import json
import re
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile  # type: ignore[import-untyped]

from benchmarks.leaks import hear_clips
from benchmarks.muted_sentences import BORDERS, FOLDER, SENTENCES
from benchmarks.privacy import read_marks
from flows.ingest.flow import ingest_sources
from flows.labelling.outgoing import Outgoing
from flows.labelling.push import push_pending
from flows.labelling.push_preview import preview_push
from flows.place import FILE_NAME
from flows.prelabel.flow import prelabel_pending
from flows.workspace import open_workspace
from voxdata.backends.privacy.spoken_forms import digits_view
from voxdata.ports import MODEL_RATE_HZ, Samples
from voxdata.privacy import PrivateSpan
from voxdata.segment import Segment, overlap_ms, union
from voxdata.testing.annotation_queue import FakeQueue
from voxdata.testing.calls import compose_call
from voxdata.testing.recordings import read_recording
from voxdata.utterance import Utterance
from warehouse.privacy import list_private_spans
from warehouse.recordings import list_uris
from warehouse.utterances import list_utterances

SETTINGS = """
[transcriber]
backend = "whisper"
language = "en"
[quality]
mos = ""
[prelabel]
workers = 1
[training]
schemes = []
[[schemes]]
name = "intent"
version = 1
cold_start = "voxdata.testing.backends:FakeLabeler"
labels = [{ name = "ask" }, { name = "tell" }]
"""
PAIRS = (("invoice.opus", "window.opus"), ("support.opus", "delivery.opus"))
"""The parties of the calls: their sentences and voices."""

LEAKS_DB: tuple[float | None, ...] = (None, -10.0, -20.0, -30.0)
OVERLAPS_MS = (0, 2_000)
LAG_MS = 40
"""How much later than on its own channel a voice is heard in the other."""

EDGE_MS = 30
"""Silence that the synthesis leaves at either end of a piece."""

_NUMBER = (
    "zero|oh|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|thirty|forty"
    "|twenty|first|second|sixth|ninth|eleventh"
)
COMMON = frozenset(
    [
        "the",
        "of",
        "at",
        "dot",
        "com",
        "co",
        "uk",
        "underscore",
        "and",
        "street",
        "road",
        "avenue",
        *_NUMBER.split("|"),
    ]
)
"""Words of private parts that say nothing alone."""

PROVIDERS = frozenset(["gmail", "outlook", "yahoo"])
_LETTERS = re.compile(r"\b(?:[a-z][ ,.\-]{1,2})+[a-z]\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A private part and when it is said.

    Attributes:
        segment: In ms of the recording.
        keys: Its digits, or its words; one of them gives it away.
    """

    recording: str
    channel: int
    kind: str
    text: str
    segment: Segment
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A recording and what is private in it.

    Attributes:
        samples: (num_samples, num_channels) float32 at MODEL_RATE_HZ.
        group: Its line of the table.
    """

    name: str
    group: str
    samples: npt.NDArray[np.float32]
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What of a recording left for the annotators.

    Attributes:
        clips: The clips with the stretches of the recording that are muted in them.
        heard: For each clip, what the packaged Whisper model hears in it.
        spans: Utterance id -> its personal data, of this recording.
    """

    clips: Sequence[Outgoing]
    heard: Sequence[str]
    spans: Mapping[str, Sequence[PrivateSpan]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What became of a part.

    Attributes:
        said: Something of it stands in what the transcriber wrote.
        readable: Something of it stands in a task.
        own, other: Something of it is heard in a muted clip of its own channel, or of another.
        muted_ms: So much of it is muted in the clips of its own channel.
        left_ms: So much of it a clip of its own channel still plays.
        leaking_ms: So much of it a clip of the other channel still plays, if it leaks there at all.
        leaks: For each of its spans, whether the other channel is muted, too.
    """

    part: Part
    said: bool
    readable: bool
    own: bool
    other: bool
    muted_ms: int
    left_ms: int
    leaking_ms: int
    leaks: tuple[bool, ...]

    @property
    def found(self) -> bool:
        """Masked in the text, and muted."""
        return not self.readable and self.muted_ms > 0

    @property
    def is_heard(self) -> bool:
        """In a muted clip of any channel."""
        return self.own or self.other


def part_keys(kind: str, text: str) -> tuple[str, ...]:
    """What of a private part is searched for: its letters, its digits, or those of its words that
    say something.
    """
    if kind == "spelled":
        return (re.sub(r"\W", "", text).lower(),)
    digits = re.sub(r"\D", "", digits_view(text).text)
    words = [word for word in re.findall(r"[a-z]{2,}", text.lower()) if word not in COMMON]
    telling = [word for word in words if word not in PROVIDERS] or words
    return (digits,) if len(digits) >= 3 or not telling else tuple(telling)


def _fours(digits: str) -> list[str]:
    """Each four digits in a row."""
    return [digits[i : i + 4] for i in range(len(digits) - 3)]


def stands_in(keys: Iterable[str], text: str) -> bool:
    """Whether a text holds one of some keys: a word, letters that spell it, or four of its digits
    in a row, of fewer all.
    """
    runs = re.findall(r"\d{2,}", digits_view(re.sub(r"[.,\-]", "", text)).text)
    spelled = [re.sub(r"\W", "", found[0]).lower() for found in _LETTERS.finditer(text)]
    words = {*re.findall(r"[a-z]+", text.lower()), *spelled}
    for key in keys:
        if not key.isdigit():
            pieces = {key[i : i + 3] for i in range(max(len(key) - 2, 1))}
            spellings = itertools.product(pieces, spelled)
            if key in words or any(piece in run for piece, run in spellings):
                return True
        elif len(key) < 4:
            if key in runs:
                return True
        elif any(digits in run for digits, run in itertools.product(_fours(key), runs)):
            return True
    return False


def read_parts(
    name: str,
    sentence: str,
    private_ms: Sequence[Sequence[int]],
    *,
    channel: int = 0,
    shift_ms: int = 0,
) -> list[Part]:
    """The private parts of a marked sentence, with the times at which they are said."""
    text, spans = read_marks(sentence)
    return [
        Part(
            recording=name,
            channel=channel,
            kind=kind,
            text=text[start:end],
            segment=Segment(start_ms=first + EDGE_MS + shift_ms, end_ms=last - EDGE_MS + shift_ms),
            keys=part_keys(kind, text[start:end]),
        )
        for (kind, start, end), (first, last) in zip(spans, private_ms, strict=True)
    ]


def spoken_calls() -> Iterator[Call]:
    """The recordings as they are."""
    truth = json.loads((FOLDER / "truth.json").read_text(encoding="utf-8"))
    for group, recordings in (("sentences", SENTENCES), ("borders", BORDERS)):
        for name, sentences in recordings.items():
            parts: list[Part] = []
            for said, row in zip(sentences, truth[name], strict=True):
                parts += read_parts(name, said, row["private_ms"])
            yield Call(
                name=name,
                group=group,
                samples=read_recording(FOLDER / name)[1],
                parts=tuple(parts),
            )


def two_channel_calls() -> Iterator[Call]:
    """Two parties in turn or at once, each on a channel of its own that leaks into the other, or
    does not.
    """
    truth = json.loads((FOLDER / "truth.json").read_text(encoding="utf-8"))
    rng = np.random.default_rng(1)
    for number, parties in enumerate(PAIRS):
        for overlap_ms_ in OVERLAPS_MS:
            clips = [_sentence_clips(name, truth[name]) for name in parties]
            call = compose_call(
                clips,
                pause_ms=600,
                overlap_ms=overlap_ms_,
                stereo=True,
            )
            for level_db in LEAKS_DB:
                at_once = "at once" if overlap_ms_ else "in turn"
                leak = "apart" if level_db is None else f"{-level_db:.0f}db"
                name = f"call{number}-{at_once.replace(' ', '-')}-{leak}.flac"
                parts: list[Part] = []
                for turn, (party, index) in zip(call.turns, call.clips, strict=True):
                    row = truth[parties[party]][index]
                    shift_ms = turn.segment.start_ms - row["start_ms"]
                    parts += read_parts(
                        name,
                        SENTENCES[parties[party]][index],
                        row["private_ms"],
                        channel=party,
                        shift_ms=shift_ms,
                    )
                noise = rng.standard_normal(call.samples.shape).astype(np.float32) * np.float32(
                    1e-3
                )
                samples = np.clip(
                    call.samples + _leaking(call.samples, level_db) + noise,
                    -1,
                    1,
                ).astype(np.float32)
                group = f"{at_once}, {'no crosstalk' if level_db is None else f'{level_db:.0f} dB'}"
                yield Call(
                    name=name,
                    group=group,
                    samples=samples,
                    parts=tuple(parts),
                )


def _sentence_clips(name: str, rows: Sequence[Mapping[str, int]]) -> list[Samples]:
    samples = read_recording(FOLDER / name)[1][:, 0]
    clips: list[Samples] = []
    for row in rows:
        start = row["start_ms"] * MODEL_RATE_HZ // 1000
        stop = row["end_ms"] * MODEL_RATE_HZ // 1000
        clips.append(samples[start:stop])
    return clips


def _leaking(samples: npt.NDArray[np.float32], level_db: float | None) -> npt.NDArray[np.float32]:
    """What of each of two channels is heard in the other."""
    leaking = np.zeros_like(samples)
    if level_db is not None:
        lag = LAG_MS * MODEL_RATE_HZ // 1000
        gain = 10 ** (level_db / 20)
        swapped = samples[:-lag, ::-1]
        leaking[lag:] = swapped * gain
    return leaking


def send_calls(root: Path, calls: Sequence[Call]) -> tuple[dict[str, Sent], list[Utterance]]:
    """Ingest, pre-label and push recordings in a new workspace with the default models, and listen
    to the clips.

    Returns:
        Name of the recording -> what left of it; and the utterances of all.
    """
    (root / "calls").mkdir(parents=True)
    (root / FILE_NAME).write_text(SETTINGS, encoding="utf-8")
    for call in calls:
        soundfile.write(
            root / "calls" / f"{call.name}.wav",
            call.samples,
            MODEL_RATE_HZ,
            subtype="PCM_16",
        )
    lines: list[str] = []
    workspace = open_workspace(root)
    ingest_sources(
        workspace,
        [str(root / "calls")],
        say=lines.append,
    )
    prelabel_pending(open_workspace(root), say=lines.append)
    queue = FakeQueue(schemes=workspace.schemes, media_dir=workspace.media_dir)
    left = preview_push(open_workspace(root), say=lines.append).plan.outgoing
    # No server is needed to see what is sent.
    push_pending(
        open_workspace(root),
        queue=queue,
        say=lines.append,
    )
    with open_workspace(root).warehouse(read_only=True) as con:
        names = {
            key: Path(uris[0]).name.removesuffix(".wav") for key, uris in list_uris(con).items()
        }
        utterances = list_utterances(con)
        spans = list_private_spans(con)
    heard = hear_clips([workspace.media_dir / going.entry.audio_file for going in left])
    sent: dict[str, Sent] = {}
    for recording_id, name in names.items():
        clips = [going for going in left if going.utterance.recording_id == recording_id]
        sent[name] = Sent(
            clips=clips,
            heard=[heard[workspace.media_dir / going.entry.audio_file] for going in clips],
            spans={
                going.utterance.utterance_id: spans[going.utterance.utterance_id] for going in clips
            },
        )
    return sent, [u for u in utterances if u.recording_id in names]


def find_fate(part: Part, sent: Sent, *, leaks: bool) -> Fate:
    """What became of a part.

    Args:
        leaks: The channels of its recording leak into each other.
    """
    own = [clip for clip in sent.clips if clip.utterance.channel == part.channel]
    others = [clip for clip in sent.clips if clip.utterance.channel != part.channel]
    of_clips = (sent.spans[clip.utterance.utterance_id] for clip in own)
    spans = [
        span
        for span in itertools.chain.from_iterable(of_clips)
        if overlap_ms(span.segment, part.segment)
    ]
    heard_own = []
    heard_others = []
    for clip, text in zip(sent.clips, sent.heard, strict=True):
        if clip.utterance.channel == part.channel:
            heard_own.append(text)
        else:
            heard_others.append(text)
    transcribed = " ".join(clip.utterance.text for clip in own)
    leaking_ms = 0
    if leaks:
        lagged = Segment(
            start_ms=part.segment.start_ms + LAG_MS,
            end_ms=part.segment.end_ms + LAG_MS,
        )
        leaking_ms = played_ms(lagged, [(clip.window, clip.muted) for clip in others])
    leaks_of_spans = itertools.chain.from_iterable(span.leaks.values() for span in spans)
    return Fate(
        part=part,
        said=stands_in(part.keys, transcribed),
        readable=any(stands_in(part.keys, clip.entry.text) for clip in sent.clips),
        own=any(stands_in(part.keys, text) for text in heard_own),
        other=any(stands_in(part.keys, text) for text in heard_others),
        muted_ms=_muted_ms(part.segment, own),
        left_ms=played_ms(part.segment, [(clip.window, clip.muted) for clip in own]),
        leaking_ms=leaking_ms,
        leaks=tuple(leak is not None for leak in leaks_of_spans),
    )


def _muted_ms(segment: Segment, clips: Sequence[Outgoing]) -> int:
    muted = list(itertools.chain.from_iterable(clip.muted for clip in clips))
    return sum(overlap_ms(segment, span) for span in union(muted))


def played_ms(segment: Segment, clips: Sequence[tuple[Segment, Sequence[Segment]]]) -> int:
    """How many ms of a segment at least one clip plays.

    Args:
        clips: For each its window and what is muted, in ms of the recording.
    """
    played = np.zeros(segment.duration_ms, bool)
    for window, muted in clips:
        here = np.zeros(segment.duration_ms, bool)
        here[_inside(window, segment)] = True
        for span in muted:
            here[_inside(span, segment)] = False
        played |= here
    return int(played.sum())


def _inside(span: Segment, segment: Segment) -> slice:
    begin = max(span.start_ms, segment.start_ms)
    end = min(span.end_ms, segment.end_ms)
    if begin >= end:
        return slice(0, 0)
    return slice(begin - segment.start_ms, end - segment.start_ms)


def show_group(group: str, fates: Sequence[Fate]) -> None:
    """Print a line of the table and, below it, whatever was not found or is heard."""
    found = [fate for fate in fates if fate.found]
    others = [fate for fate in fates if not fate.found]
    num_transcribed = sum(fate.said for fate in fates)
    num_readable = sum(fate.readable for fate in fates)
    num_heard = sum(fate.is_heard for fate in found)
    num_others_heard = sum(fate.is_heard for fate in others)
    private_ms = sum(fate.part.segment.duration_ms for fate in found)
    left_ms = sum(fate.left_ms for fate in found)
    leaking_ms = sum(fate.leaking_ms for fate in found)
    spans = list(itertools.chain.from_iterable(fate.leaks for fate in fates))
    print(
        f"{group}: {len(fates)} parts, {num_transcribed} transcribed, {num_readable} readable, "
        f"{len(found)} found; of these {num_heard} heard, {left_ms} of {private_ms} ms played, "
        f"{leaking_ms} ms in the other channel, whose clips are muted "
        f"for {sum(spans)} of {len(spans)} spans; of the others {num_others_heard} heard",
        flush=True,
    )
    for fate in fates:
        notes = _notes(fate)
        if notes or fate.left_ms:
            told = ", ".join([*notes, f"{fate.left_ms} ms played"])
            print(f"    {fate.part.recording} {fate.part.text!r}: {told}")


def _notes(fate: Fate) -> list[str]:
    """What somebody should know of a part."""
    notes: list[str] = []
    if not fate.found:
        notes.append("not found")
    if fate.readable:
        notes.append("readable")
    if fate.own:
        notes.append("heard")
    if fate.other:
        notes.append("heard in the other channel")
    return notes


def main() -> int:
    """Print the table."""
    if not (FOLDER / "truth.json").is_file():
        print(f"skipped: {FOLDER} holds no recordings")
        return 0
    wanted = sys.argv[1:] or ["sentences", "borders", "calls"]
    calls = [call for call in spoken_calls() if call.group in wanted]
    calls += two_channel_calls() if "calls" in wanted else []
    with tempfile.TemporaryDirectory() as folder:
        sent, utterances = send_calls(Path(folder) / "w", calls)
    num_clips = sum(len(each.clips) for each in sent.values())
    print(f"{len(calls)} recordings, {len(utterances)} utterances, {num_clips} clips")
    groups: defaultdict[str, list[Fate]] = defaultdict(list)
    for call in calls:
        leaks = call.group.endswith("dB")
        of_call = sent[call.name]
        for part in call.parts:
            fate = find_fate(part, of_call, leaks=leaks)
            groups[call.group].append(fate)
    for group, fates in groups.items():
        show_group(group, fates)
    return 0


if __name__ == "__main__":
    sys.exit(main())
