"""From voxdata's values to Label Studio's JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from annotation.config import AUDIO, PROPOSAL, REMARKS, TRANSCRIPT, second_choice
from annotation.wording import find_wording
from voxdata.label import Prediction
from voxdata.ports import QueueEntry, Rival
from voxdata.scheme import Scheme

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
) -> dict[str, Any]:
    """A clip as a Label Studio task, with its proposals or with the rival answers to it.

    Args:
        schemes: Of the labelling screen.
        language: Of the annotators, for the line that shows a proposal.
    """
    if entry.rivals:
        predictions = encode_rivals(entry, schemes=schemes, language=language)
    else:
        predictions = (
            [encode_predictions(entry, schemes=schemes, language=language)]
            if entry.predictions
            else []
        )
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
) -> dict[str, Any]:
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
        results = encode_labels({p.scheme: (p.label,) for p in entry.ticked}, schemes=schemes)
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
    >>> guess = Prediction(utterance_id="u", scheme="emotion", distribution={"angry": 0.62, "sad": 0.3, "calm": 0.08}, model=model)
    >>> describe_proposal([guess])
    "Model's guess: angry 62%, or sad 30%"
    """
    words = find_wording(language)
    if predictions and all(prediction.abstains for prediction in predictions):
        return words.no_guess_at_all
    parts = []
    for prediction in predictions:
        title = _title(prediction.scheme, schemes, language)
        if prediction.abstains:
            parts.append(words.no_guess.format(title=title))
            continue
        shown = _shown_names(prediction.scheme, schemes, language)
        ranking = sorted(prediction.distribution.items(), key=lambda pair: (-pair[1], pair[0]))
        likely = [ranking[0], *(pair for pair in ranking[1:SHOWN_AT_MOST] if pair[1] >= NEGLIGIBLE)]
        guess = words.or_else.join(
            f"{shown.get(name, name)} {round(100 * share)}%" for name, share in likely
        )
        sure = prediction.guess(min_confidence=min_confidence) is not None
        parts.append(guess if sure else f"{guess}{words.unsure}")
    return f"{words.proposal}{words.between.join(parts)}"


def encode_rivals(
    entry: QueueEntry, *, schemes: Sequence[Scheme] = (), language: str = "en"
) -> list[dict[str, Any]]:
    """The answers between which an expert decides.

    Each is a prediction of its own whose model version is a pseudonym: a tab of the page that opens
    one clip. The label stream shows a single model version, so the last prediction, `RIVALS`, lists
    all answers and chooses none.
    """
    tabs = [
        {
            "model_version": rival.pseudonym,
            "score": round(entry.priority, 6),
            "result": encode_labels(
                rival.labels,
                schemes=schemes,
                ratings=rival.ratings,
                text=rival.text,
                lead=f"r{number}",
            ),
        }
        for number, rival in enumerate(entry.rivals)
    ]
    lines = [describe_rival(rival, schemes=schemes, language=language) for rival in entry.rivals]
    return [
        *tabs,
        {
            "model_version": RIVALS,
            "score": round(entry.priority, 6),
            "result": [_text(PROPOSAL, lines, lead="r")],
        },
    ]


def describe_rival(rival: Rival, *, schemes: Sequence[Scheme] = (), language: str = "en") -> str:
    """A line that says what one of several people answered.

    >>> describe_rival(Rival(pseudonym="Listener A", labels={"emotion": ("sad", "calm")}, ratings={"emotion.intensity": 4}, text="no"))
    'Listener A: sad, calm · intensity 4 · “no”'
    """
    scales = find_wording(language).scales
    parts = []
    for name, chosen in rival.labels.items():
        shown = _shown_names(name, schemes, language)
        parts.append(", ".join(shown.get(label, label) for label in chosen))
    for name, value in rival.ratings.items():
        scale = name.rpartition(".")[2]
        parts.append(f"{scales[scale][0] if scale in scales else scale} {value}")
    return f"{rival.pseudonym}: " + " · ".join(
        [*parts, *([f"“{rival.text}”"] if rival.text else [])]
    )


def _title(name: str, schemes: Sequence[Scheme], language: str) -> str:
    return next((scheme.shown_title(language) for scheme in schemes if scheme.name == name), name)


def _shown_names(name: str, schemes: Sequence[Scheme], language: str) -> dict[str, str]:
    return {
        label.name: label.shown_name(language)
        for scheme in schemes
        if scheme.name == name
        for label in scheme.labels
    }


def encode_labels(
    labels: Mapping[str, Sequence[str]],
    *,
    schemes: Sequence[Scheme] = (),
    ratings: Mapping[str, int] | None = None,
    flags: Sequence[str] = (),
    text: str | None = None,
    lead: str = "r",
) -> list[dict[str, Any]]:
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
    ranked = {scheme.name: second_choice(scheme) for scheme in schemes if scheme.choice == "ranked"}
    results: list[dict[str, Any]] = []
    for name, chosen in labels.items():
        if name in ranked and len(chosen) > 1:
            results += [
                _choices(name, chosen[:1], lead=lead),
                _choices(ranked[name], chosen[1:], lead=lead),
            ]
        elif chosen:
            results.append(_choices(name, chosen, lead=lead))
    results += [
        {
            "id": f"{lead}-{name}",
            "from_name": name,
            "to_name": AUDIO,
            "type": "rating",
            "value": {"rating": value},
        }
        for name, value in (ratings or {}).items()
    ]
    if flags:
        results.append(_choices(REMARKS, flags, lead=lead))
    if text:
        results.append(_text(TRANSCRIPT, [text], lead=lead))
    return results


def encode_simulation(annotator: str, error_rate: float, *, lead: str = "r") -> dict[str, Any]:
    """The mark by which an annotation carries that a script made it: a line that people see, and
    the facts beside it.

    A skip has it too, and the server keeps it like every result.
    """
    mark = _text(
        PROPOSAL, [f"Simulated: a script answered, with {error_rate:.0%} errors"], lead=lead
    )
    return {**mark, "meta": {SIMULATED: {"annotator": annotator, "error_rate": error_rate}}}


def _choices(name: str, chosen: Sequence[str], *, lead: str) -> dict[str, Any]:
    return {
        "id": f"{lead}-{name}",
        "from_name": name,
        "to_name": AUDIO,
        "type": "choices",
        "value": {"choices": list(chosen)},
    }


def _text(name: str, lines: Sequence[str], *, lead: str) -> dict[str, Any]:
    return {
        "id": f"{lead}-{name}",
        "from_name": name,
        "to_name": AUDIO,
        "type": "textarea",
        "value": {"text": list(lines)},
    }


def model_version(predictions: Sequence[Prediction]) -> str:
    """Which models made a set of proposals: readable, and different whenever one of them is another
    model."""
    parts = sorted(predictions, key=lambda p: p.scheme)
    return " ".join(
        f"{p.scheme}:{p.model.name}{'~weak' if p.model.weak else ''}@{p.model.key[:8]}"
        for p in parts
    )


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
    return " ".join(
        part for part in version.split(" ") if ":" not in part or part.partition(":")[0] in ticked
    )


def ticked_rows(results: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """Rows of the screen in which a prediction ticks a label."""
    return frozenset(
        str(result["from_name"]) for result in results if result.get("type") == "choices"
    )
