"""Kaldi data folders: one per split, sorted as Kaldi sorts, with WAV clips beside them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from voxdata.dataset import Example
from voxdata.identity import digest
from warehouse.exchange.bundle import Bundle, FolderFormat, one_line


def write_kaldi(bundle: Bundle, folder: Path) -> None:
    """`<split>/` with wav.scp, text, utt2spk, spk2utt, utt2dur, utt2lang and a utt2<scheme> each;
    ids are "<voice>-<utterance>".

    Paths in wav.scp are relative to the split's folder. Line breaks in texts become spaces, since a
    row is a line.
    """
    (folder / "wav").mkdir()
    names = _speakers(example.voice for example in bundle.examples)
    for split, examples in bundle.splits():
        place = folder / split.value
        place.mkdir()
        # Kaldi sorts by bytes, and wants utterances of a speaker together.
        named = sorted(
            ((names[example.voice], example) for example in examples),
            key=lambda pair: _key(*pair).encode(),
        )
        speakers: dict[str, list[str]] = {}
        for speaker, example in named:
            speakers.setdefault(speaker, []).append(_key(speaker, example))
            (folder / "wav" / f"{example.utterance_id}.wav").write_bytes(
                bundle.clip(example, container="WAV")
            )
        table = {
            "wav.scp": [
                (_key(s, e), f"{bundle.wav_root}/wav/{e.utterance_id}.wav") for s, e in named
            ],
            "text": [(_key(s, e), one_line(e.text)) for s, e in named],
            "utt2spk": [(_key(s, e), s) for s, e in named],
            "spk2utt": [
                (speaker, " ".join(keys))
                for speaker, keys in sorted(speakers.items(), key=lambda item: item[0].encode())
            ],
            "utt2dur": [(_key(s, e), f"{e.segment.duration_ms / 1000:.3f}") for s, e in named],
            "utt2lang": [(_key(s, e), one_line(e.language) or "und") for s, e in named],
        }
        for scheme in bundle.schemes:
            table[f"utt2{scheme.name}"] = [
                (_key(s, e), one_line(e.gold[scheme.name].label))
                for s, e in named
                if scheme.name in e.gold
            ]
        for name, rows in table.items():
            (place / name).write_text(
                "".join(f"{key} {value}".rstrip() + "\n" for key, value in rows), encoding="utf-8"
            )


def _speakers(voices: Iterable[str]) -> dict[str, str]:
    """Voice -> how Kaldi can name it, without white space and slashes; voices that would be called
    alike get part of a digest.
    """
    names = {voice: _plain(voice) for voice in voices}
    times = Counter(names.values())
    for voice, name in names.items():
        if times[name] > 1:
            names[voice] = f"{name}_{digest(voice)[:8]}"
    return names


def _plain(voice: str) -> str:
    """A voice's name in which everything but letters and digits is "_"."""
    return re.sub(r"[^\w]", "_", voice) or "_"


def _key(speaker: str, example: Example) -> str:
    return f"{speaker}-{example.utterance_id}"


KALDI = FolderFormat(write=write_kaldi, taken=frozenset({"spk", "dur", "lang"}))
