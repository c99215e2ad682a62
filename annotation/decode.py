"""From Label Studio's JSON to voxdata's values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from annotation.config import REMARKS, TRANSCRIPT, rating, second_choice
from annotation.encode import SIMULATED
from annotation.wording import FLAGS
from voxdata.errors import AnnotationError, SchemeError
from voxdata.label import Annotation
from voxdata.malformed import in_words
from voxdata.scheme import RATING_STEPS, Scheme


def decode_annotation(
    raw: Mapping[str, Any],
    *,
    project_id: int,
    utterance_id: str,
    proposed_text: str,
    annotator: str,
    schemes: Sequence[Scheme],
    author: str = "",
    model_versions: Mapping[int, str] | None = None,
) -> Annotation:
    """One annotation as the server shows it.

    Args:
        raw: The server's JSON: id, result, was_cancelled, lead_time, updated_at, parent_prediction.
        proposed_text: The transcript that was shown; `text` is None when it was left alone.
        annotator: Login name.
        schemes: Labels that are allowed.
        author: Login name of who wrote this revision.
        model_versions: The server's id of a prediction -> the models that made it.

    Raises:
        AnnotationError: A label, rating or flag that the screen does not have, or a result without
            the expected parts; names the annotation.
    """
    try:
        results = raw["result"] or []
        values = {str(result["from_name"]): result["value"] for result in results}
        skipped = bool(raw.get("was_cancelled"))
        text = _text(values)
        answer = {} if skipped else values
        return Annotation(
            annotation_id=int(raw["id"]),
            project_id=project_id,
            utterance_id=utterance_id,
            annotator=annotator,
            labels=_labels(answer, schemes),
            ratings=_ratings(answer, schemes),
            flags=_flags(answer),
            text=None if skipped or text == proposed_text.strip() else text,
            skipped=skipped,
            lead_time_ms=_milliseconds(raw.get("lead_time")),
            updated_at=decode_time(raw["updated_at"]),
            author="" if author == annotator else author,
            proposal=(model_versions or {}).get(raw.get("parent_prediction") or 0, ""),
            simulated=_simulated(results, annotator),
        )
    except SchemeError as error:
        raise AnnotationError(
            f"annotation {raw.get('id')} of clip {utterance_id}: {error}; "
            "correct it in Label Studio"
        ) from error
    except (KeyError, TypeError, ValueError) as error:
        raise AnnotationError(
            f"annotation {raw.get('id')} of clip {utterance_id} is malformed: {in_words(error)}"
        ) from error


def _milliseconds(seconds: Any) -> int | None:
    return None if seconds is None else round(float(seconds) * 1000)


def _simulated(
    results: Sequence[Mapping[str, Any]],
    annotator: str,
) -> float | None:
    """The error rate of the script that answered as this annotator.

    A mark that somebody else's answer was copied with counts for none.
    """
    for result in results:
        mark = (result.get("meta") or {}).get(SIMULATED)
        if mark and mark["annotator"] == annotator:
            return float(mark["error_rate"])
    return None


def _labels(
    values: Mapping[str, Any],
    schemes: Sequence[Scheme],
) -> dict[str, tuple[str, ...]]:
    labels = {}
    for scheme in schemes:
        chosen = _chosen(values, scheme.name)
        if scheme.choice == "ranked":
            second = _chosen(values, second_choice(scheme))
            _check_ranking(scheme, chosen, second)
            chosen += second
        if chosen:
            labels[scheme.name] = scheme.arrange(chosen)
    return labels


def _check_ranking(
    scheme: Scheme,
    first: tuple[str, ...],
    second: tuple[str, ...],
) -> None:
    if second and not first:
        raise SchemeError(
            f"scheme {scheme.name!r} has a second choice ({second[0]}) and no first one"
        )
    if max(len(first), len(second)) > 1:
        raise SchemeError(
            f"scheme {scheme.name!r} takes one first and one second choice, "
            f"not {', '.join((*first, *second))}"
        )


def _chosen(
    values: Mapping[str, Any],
    name: str,
) -> tuple[str, ...]:
    if name not in values:
        return ()
    chosen = values[name]["choices"]
    if not chosen or isinstance(chosen, str):
        raise ValueError(f"{name}: {chosen!r} is no choice")
    return tuple(chosen)


def _ratings(
    values: Mapping[str, Any],
    schemes: Sequence[Scheme],
) -> dict[str, int]:
    ratings = {}
    for scheme in schemes:
        for name in (rating(scheme, scale) for scale in scheme.scales):
            if name not in values:
                continue
            steps = int(values[name]["rating"])
            if not 1 <= steps <= RATING_STEPS:
                raise SchemeError(
                    f"{name} is rated {steps}, which is not between 1 and {RATING_STEPS}"
                )
            ratings[name] = steps
    return ratings


def _flags(values: Mapping[str, Any]) -> tuple[str, ...]:
    ticked = _chosen(values, REMARKS)
    unknown = sorted(set(ticked) - set(FLAGS))
    if unknown:
        raise SchemeError(
            f"{', '.join(unknown)} is no flag of the labelling screen; it has: {', '.join(FLAGS)}"
        )
    return tuple(flag for flag in FLAGS if flag in ticked)


def _text(values: Mapping[str, Any]) -> str | None:
    if TRANSCRIPT not in values:
        return None
    # The server shows a list, but stores whatever a client sent.
    written = values[TRANSCRIPT]["text"]
    text = written if isinstance(written, str) else " ".join(written)
    return text.strip()


def decode_time(value: str | datetime) -> datetime:
    """The server's time stamp in UTC; its client gives text or datetime as it pleases."""
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
