"""From Label Studio's JSON to voxdata's values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from annotation.config import TRANSCRIPT
from voxdata.errors import AnnotationError, SchemeError
from voxdata.label import Annotation
from voxdata.scheme import Scheme


def decode_annotation(
    raw: Mapping[str, Any], *, project_id: int, utterance_id: str, proposed_text: str, annotator: str, schemes: Sequence[Scheme]
) -> Annotation:
    """One annotation as the server shows it.

    Args:
        raw: The server's JSON: id, result, was_cancelled, lead_time, updated_at.
        proposed_text: The transcript that was shown; `text` is None when it was left alone.
        annotator: Login name.
        schemes: Labels that are allowed.

    Raises:
        AnnotationError: A label that its scheme does not have, or a result without the expected parts; names the annotation.
    """
    known = {scheme.name: scheme for scheme in schemes}
    labels: dict[str, tuple[str, ...]] = {}
    text: str | None = None
    try:
        for result in raw["result"] or []:
            name, value = result["from_name"], result["value"]
            if name in known:
                (chosen,) = value["choices"]
                labels[name] = (known[name].require(chosen),)
            elif name == TRANSCRIPT:
                # The server shows a list, but stores whatever a client sent.
                written = value["text"]
                text = (written if isinstance(written, str) else " ".join(written)).strip()
        skipped = bool(raw.get("was_cancelled"))
        return Annotation(
            annotation_id=int(raw["id"]),
            project_id=project_id,
            utterance_id=utterance_id,
            annotator=annotator,
            labels={} if skipped else labels,
            text=None if text is None or text == proposed_text.strip() or skipped else text,
            skipped=skipped,
            lead_time_ms=None if raw.get("lead_time") is None else round(float(raw["lead_time"]) * 1000),
            updated_at=decode_time(raw["updated_at"]),
        )
    except SchemeError as error:
        raise AnnotationError(f"annotation {raw.get('id')} of clip {utterance_id}: {error}; correct it in Label Studio") from error
    except (KeyError, TypeError, ValueError) as error:
        raise AnnotationError(f"annotation {raw.get('id')} of clip {utterance_id} is malformed ({error!r})") from error


def decode_time(value: str | datetime) -> datetime:
    """The server's time stamp in UTC; its client gives text or datetime as it pleases."""
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
