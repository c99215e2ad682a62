"""Word error rate on recorded telephone prompts: python -m benchmarks.transcription [--limit N]."""

from __future__ import annotations

import argparse
import csv
import sys
from time import process_time

import jiwer
from whisper_normalizer.english import EnglishTextNormalizer

from benchmarks.speech_corpus import find_corpus
from voxdata.audio import canonicalise, decode_audio
from voxdata.backends.whisper_transcriber import WhisperTranscriber
from voxdata.segment import Segment

MODELS = ("packaged-base", "packaged-tiny.en")


def main() -> int:
    """Print one row a model. The whole prompt counts as speech, so this is the transcriber alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=int, default=None)
    limit = parser.parse_args().limit
    folder = find_corpus("asterisk_en")
    if folder is None:
        return 0
    with (folder / "MANIFEST.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))[:limit]
    clips = [(canonicalise(decode_audio(folder / row["path"])), row["transcript"]) for row in rows]
    seconds = sum(recording.duration_ms for (recording, _), _ in clips) / 1000
    normalise = EnglishTextNormalizer()
    print(f"asterisk_en, {len(clips)} prompts, {seconds:.0f} s, Whisper's English normaliser, jiwer")
    print(f"{'model':<20}{'WER':>8}{'CER':>8}{'CPU-s per s':>13}")
    for name in MODELS:
        transcriber = WhisperTranscriber(model=name, language="en", threads=1)
        began = process_time()
        references, hypotheses = [], []
        for (recording, samples), truth in clips:
            whole = [Segment(start_ms=0, end_ms=max(recording.duration_ms, 1))]
            transcript = transcriber.transcribe(samples[:, 0], speech=whole)
            reference = normalise(truth)
            if reference:
                references.append(reference)
                hypotheses.append(normalise("".join(word.text for word in transcript.words)))
        spent = process_time() - began
        wer, cer = jiwer.wer(references, hypotheses), jiwer.cer(references, hypotheses)
        print(f"{name:<20}{wer:>8.1%}{cer:>8.1%}{spent / seconds:>13.3f}", flush=True)
    print("Repeat: VOXDATA_CORPORA=... python -m benchmarks.transcription")
    return 0


if __name__ == "__main__":
    sys.exit(main())
