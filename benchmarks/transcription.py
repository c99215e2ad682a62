"""Word error rate and cost on recorded telephone prompts, beside faster-whisper:
python -m benchmarks.transcription [--limit N].

The peer is faster-whisper as its README calls it, one file at a time, with the same weights,
language, beam, quantisation and thread.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import process_time

import jiwer
from whisper_normalizer.english import EnglishTextNormalizer

from benchmarks.speech_corpus import find_corpus
from voxdata.backends.transcription.whisper import WhisperTranscriber
from voxdata.ports import Samples, SpeechRequest
from voxdata.segment import Segment
from voxdata.sound import ArraySound, duration_ms
from voxdata.testing.recordings import read_recording

MODELS = ("packaged-base", "packaged-tiny.en")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One recorded prompt and what it says."""

    samples: Samples
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How one system did.

    Attributes:
        wer, cer: 0..1, after Whisper's English normaliser.
        cpu_s: One thread.
    """

    system: str
    wer: float
    cer: float
    cpu_s: float


def read_prompts(limit: int | None) -> list[Prompt] | None:
    """The prompts of asterisk_en; None without the corpus."""
    folder = find_corpus("asterisk_en")
    if folder is None:
        return None
    with (folder / "MANIFEST.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))[:limit]
    return [
        Prompt(samples=read_recording(folder / row["path"])[1][:, 0], text=row["transcript"])
        for row in rows
    ]


def score(
    system: str,
    prompts: Sequence[Prompt],
    hear: Callable[[Samples], str],
) -> Score:
    """Transcribe every prompt and compare."""
    began = process_time()
    heard = [hear(prompt.samples) for prompt in prompts]
    return score_texts(
        system,
        prompts,
        heard,
        cpu_s=process_time() - began,
    )


def score_texts(
    system: str,
    prompts: Sequence[Prompt],
    heard: Sequence[str],
    *,
    cpu_s: float,
) -> Score:
    """Compare what was heard with what is said."""
    normalise = EnglishTextNormalizer()
    pairs = [
        (reference, normalise(text))
        for prompt, text in zip(prompts, heard, strict=True)
        if (reference := normalise(prompt.text))
    ]
    references = [p[0] for p in pairs]
    hypotheses = [p[1] for p in pairs]
    return Score(
        system=system,
        wer=jiwer.wer(references, hypotheses),
        cer=jiwer.cer(references, hypotheses),
        cpu_s=cpu_s,
    )


def compare(model: str, prompts: Sequence[Prompt]) -> tuple[Score, Score]:
    """This project's transcriber and the peer, on the same prompts; the whole prompt counts as
    speech.
    """
    transcriber = WhisperTranscriber(
        model=model,
        language="en",
        threads=1,
    )

    def ours(samples: Samples) -> str:
        sound = ArraySound(samples)
        whole = Segment(
            start_ms=0,
            end_ms=max(duration_ms(sound), 1),
        )
        (transcript,) = transcriber.transcribe([SpeechRequest(sound=sound, speech=(whole,))])
        return "".join(word.text for word in transcript.words)

    ours(prompts[0].samples)
    stock = transcriber.loaded_model()

    def peer(samples: Samples) -> str:
        segments, _ = stock.transcribe(
            samples,
            language="en",
            beam_size=1,
            word_timestamps=True,
        )
        return "".join(segment.text for segment in segments)

    return score("voxdata", prompts, ours), score("faster-whisper", prompts, peer)


def main() -> int:
    """Print two rows a model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=int, default=None)
    prompts = read_prompts(parser.parse_args().limit)
    if prompts is None:
        return 0
    seconds = sum(len(prompt.samples) for prompt in prompts) / 16_000
    print(
        f"asterisk_en, {len(prompts)} prompts, {seconds:.0f} s, Whisper's English "
        "normaliser, jiwer; one thread, greedy, int8, word times"
    )
    print(f"{'model':<20}{'system':<16}{'WER':>8}{'CER':>8}{'CPU-s':>9}{'per s':>8}")
    for model in MODELS:
        ours, peer = compare(model, prompts)
        for row in (ours, peer):
            print(
                f"{model:<20}{row.system:<16}{row.wer:>8.1%}{row.cer:>8.1%}"
                f"{row.cpu_s:>9.1f}{row.cpu_s / seconds:>8.3f}",
                flush=True,
            )
        print(
            f"{model:<20}faster-whisper / voxdata = {peer.cpu_s / ours.cpu_s:.2f} in CPU, "
            f"{100 * (ours.wer - peer.wer):+.2f} points of WER"
        )
    print("Repeat: VOXDATA_CORPORA=... python -m benchmarks.transcription")
    return 0


if __name__ == "__main__":
    sys.exit(main())
