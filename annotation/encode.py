"""From voxdata's values to Label Studio's JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from annotation.config import AUDIO, PROPOSAL, REMARKS, TRANSCRIPT, second_choice
from annotation.wording import Wording, find_wording
from voxdata.label import Prediction
from voxdata.ports import QueueEntry, Rival
from voxdata.scheme import Scheme

Json = dict[str, Any]
"""An object as the server takes and gives it."""

KEY = "vox_id"
"""The field of a Label Studio task that holds our utterance id: what makes a push repeatable."""

SIMULATED = "simulated"
"""The field of a result's `meta` that says which script made an annotation; `decode_annotation`
reads it."""

RIVALS = "rivals"
"""The model version of the prediction that lists rival answers: what a project for adjudication
shows."""

SHOWN_AT_MOST = 2
"""So many labels of a proposal are shown with their probability: the proposed one and the next."""

NEGLIGIBLE = 0.01
"""A next label below this probability is not worth reading."""


def encode_entry(
    entry: QueueEntry, *, schemes: Sequence[Scheme] = (), language: str = "en"
) -> Json:
    """A clip as a Label Studio task, with its proposals or with the rival answers to it.

    Args:
        schemes: Of the labelling screen.
        language: Of the annotators, for the line that shows a proposal.
    """
    if entry.rivals:
        predictions = encode_rivals(entry, schemes=schemes, language=language)
    elif entry.predictions:
        predictions = [encode_predictions(entry, schemes=schemes, language=language)]
    else:
        predictions = []
    return {
        "data": {
            KEY: entry.utterance_id,
            "audio": f"/data/local-files/?d={quote(entry.audio_file)}",
            "note": entry.note,
            "text": entry.text,
        },
        "predictions": predictions,
    }


def encode_predictions(
    entry: QueueEntry, *, schemes: Sequence[Scheme] = (), language: str = "en"
) -> Json:
    """All proposals for a clip as one Label Studio prediction, which carries a single model
    version.

    The transcript is no part of it: the screen takes that from the clip itself. The prediction of a
    blind clip is empty; its score keeps the clip in the order of work. A proposal that abstains, or
    is not sure enough, ticks nothing.
    """
    results = []
    if not entry.blind:
        line = describe_proposal(
            entry.predictions,
            schemes=schemes,
            language=language,
            min_confidence=entry.min_confidence,
        )
        labels = {prediction.scheme: (prediction.label,) for prediction in entry.ticked}
        results = encode_labels(labels, schemes=schemes)
        results.append(_text(PROPOSAL, [line], lead="r"))
    return {
        "model_version": model_version(entry.predictions),
        "score": round(entry.priority, 6),
        "result": results,
    }


def describe_proposal(
    predictions: Sequence[Prediction],
    *,
    schemes: Sequence[Scheme] = (),
    language: str = "en",
    min_confidence: float = 0.0,
) -> str:
    """A line for annotators that says what is proposed, how sure the model is, and what it would
    say next.

    Args:
        predictions: At most one for each scheme.
        schemes: Of the labelling screen.
        language: Of the annotators.
        min_confidence: See `QueueEntry`; the line says of each proposal that ticks nothing why that
            is so.

    >>> from voxdata.identity import ModelRef
    >>> model = ModelRef(name="m", revision="1")
    >>> shares = {"angry": 0.62, "sad": 0.3, "calm": 0.08}
    >>> guess = Prediction(utterance_id="u", scheme="emotion", distribution=shares, model=model)
    >>> describe_proposal([guess])
    "Model's guess: angry 62%, or sad 30%"
    """
    words = find_wording(language)
    if predictions and all(prediction.abstains for prediction in predictions):
        return words.no_guess_at_all
    parts = []
    for prediction in predictions:
        if prediction.abstains:
            title = _title(prediction.scheme, schemes, language)
            parts.append(words.no_guess.format(title=title))
            continue
        shown_names = _shown_names(prediction.scheme, schemes, language)
        part = _describe_guess(prediction, shown_names, words)
        if prediction.guess(min_confidence=min_confidence) is None:
            part += words.unsure
        parts.append(part)
    return f"{words.proposal}{words.between.join(parts)}"


def _describe_guess(
    prediction: Prediction,
    shown_names: Mapping[str, str],
    words: Wording,
) -> str:
    """The likeliest label, and the next one when it is worth reading."""
    ranking = sorted(prediction.distribution.items(), key=lambda pair: (-pair[1], pair[0]))
    options = []
    for place, (name, share) in enumerate(ranking[:SHOWN_AT_MOST]):
        if place == 0 or share >= NEGLIGIBLE:
            options.append(f"{shown_names.get(name, name)} {round(100 * share)}%")
    return words.or_else.join(options)


def encode_rivals(
    entry: QueueEntry, *, schemes: Sequence[Scheme] = (), language: str = "en"
) -> list[Json]:
    """The answers between which an expert decides.

    Each is a prediction of its own whose model version is a pseudonym: a tab of the page that opens
    one clip. The label stream shows a single model version, so the last prediction, `RIVALS`, lists
    all answers and chooses none.
    """
    score = round(entry.priority, 6)
    predictions = []
    lines = []
    for number, rival in enumerate(entry.rivals):
        answer = encode_labels(
            rival.labels,
            schemes=schemes,
            ratings=rival.ratings,
            text=rival.text,
            lead=f"r{number}",
        )
        tab = {"model_version": rival.pseudonym, "score": score, "result": answer}
        predictions.append(tab)
        lines.append(describe_rival(rival, schemes=schemes, language=language))

    overview = [_text(PROPOSAL, lines, lead="r")]
    predictions.append({"model_version": RIVALS, "score": score, "result": overview})
    return predictions


def describe_rival(rival: Rival, *, schemes: Sequence[Scheme] = (), language: str = "en") -> str:
    """A line that says what one of several people answered.

    >>> labels = {"emotion": ("sad", "calm")}
    >>> ratings = {"emotion.intensity": 4}
    >>> describe_rival(Rival(pseudonym="Listener A", labels=labels, ratings=ratings, text="no"))
    'Listener A: sad, calm · intensity 4 · “no”'
    """
    scales = find_wording(language).scales
    parts = []
    for name, chosen in rival.labels.items():
        shown = _shown_names(name, schemes, language)
        parts.append(", ".join(shown.get(label, label) for label in chosen))
    for name, value in rival.ratings.items():
        scale = name.rpartition(".")[2]
        title, _ = scales.get(scale, (scale, ""))
        parts.append(f"{title} {value}")
    if rival.text:
        parts.append(f"“{rival.text}”")
    return f"{rival.pseudonym}: {' · '.join(parts)}"


def _title(name: str, schemes: Sequence[Scheme], language: str) -> str:
    """What the screen calls a scheme; its name when the screen does not ask it."""
    for scheme in schemes:
        if scheme.name == name:
            return scheme.shown_title(language)
    return name


def _shown_names(
    name: str,
    schemes: Sequence[Scheme],
    language: str,
) -> dict[str, str]:
    """Label of a scheme -> what the screen calls it."""
    shown_names = {}
    for scheme in schemes:
        if scheme.name == name:
            for label in scheme.labels:
                shown_names[label.name] = label.shown_name(language)
    return shown_names


def encode_labels(
    labels: Mapping[str, Sequence[str]],
    *,
    schemes: Sequence[Scheme] = (),
    ratings: Mapping[str, int] | None = None,
    flags: Sequence[str] = (),
    text: str | None = None,
    lead: str = "r",
) -> list[Json]:
    """What one person or model says about a clip, as Label Studio results; the inverse of
    `decode_annotation`.

    Args:
        labels: Scheme -> labels, the main one first.
        schemes: Needed for the second choice of a ranked scheme, which has a row of its own.
        ratings: "scheme.scale" -> 1..5.
        flags: Remarks on the clip.
        text: Transcript; left out when empty.
        lead: Begins the ids of the results, which must differ between predictions of one clip.
    """
    ranked = {scheme.name: scheme for scheme in schemes if scheme.choice == "ranked"}
    results: list[Json] = []
    for name, chosen in labels.items():
        if name in ranked and len(chosen) > 1:
            results.append(_choices(name, chosen[:1], lead=lead))
            second_row = second_choice(ranked[name])
            results.append(_choices(second_row, chosen[1:], lead=lead))
        elif chosen:
            results.append(_choices(name, chosen, lead=lead))
    for name, value in (ratings or {}).items():
        stars = _result(name, "rating", {"rating": value}, lead=lead)
        results.append(stars)
    if flags:
        results.append(_choices(REMARKS, flags, lead=lead))
    if text:
        results.append(_text(TRANSCRIPT, [text], lead=lead))
    return results


def encode_simulation(annotator: str, error_rate: float, *, lead: str = "r") -> Json:
    """The mark by which an annotation carries that a script made it: a line that people see, and
    the facts beside it.

    A skip has it too, and the server keeps it like every result.
    """
    line = f"Simulated: a script answered, with {error_rate:.0%} errors"
    facts = {"annotator": annotator, "error_rate": error_rate}
    mark = _text(PROPOSAL, [line], lead=lead)
    return {**mark, "meta": {SIMULATED: facts}}


def _choices(name: str, chosen: Sequence[str], *, lead: str) -> Json:
    return _result(name, "choices", {"choices": list(chosen)}, lead=lead)


def _text(name: str, lines: Sequence[str], *, lead: str) -> Json:
    return _result(name, "textarea", {"text": list(lines)}, lead=lead)


def _result(name: str, kind: str, value: Mapping[str, Any], *, lead: str) -> Json:
    """What one row of the screen holds."""
    return {
        "id": f"{lead}-{name}",
        "from_name": name,
        "to_name": AUDIO,
        "type": kind,
        "value": value,
    }


def model_version(predictions: Sequence[Prediction]) -> str:
    """Which models made a set of proposals.

    The text is readable, and different whenever one of them is another model.
    """
    parts = []
    for prediction in sorted(predictions, key=lambda prediction: prediction.scheme):
        model = prediction.model
        weak = "~weak" if model.weak else ""
        parts.append(f"{prediction.scheme}:{model.name}{weak}@{model.key[:8]}")
    return " ".join(parts)


def ticked_models(version: str, results: Sequence[Mapping[str, Any]]) -> str:
    """The part of a prediction's model version that a person saw as ticked labels.

    Args:
        version: As `model_version` wrote it, or the name of a tab with a rival answer.
        results: Of that prediction, as the server has them.

    Returns:
        "" when nothing was ticked. A version that names no scheme comes back whole.

    >>> ticked_models("emotion:m@1 intent:n@2", [{"type": "choices", "from_name": "intent"}])
    'intent:n@2'
    """
    ticked = ticked_rows(results)
    kept = []
    for part in version.split(" "):
        scheme, colon, _ = part.partition(":")
        if not colon or scheme in ticked:
            kept.append(part)
    return " ".join(kept)


def ticked_rows(results: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """Rows of the screen in which a prediction ticks a label."""
    ticks = [result for result in results if result.get("type") == "choices"]
    return frozenset(str(tick["from_name"]) for tick in ticks)
