"""History: every revision of the annotations of a clip, with what each changed."""

from __future__ import annotations

from collections.abc import Mapping

from flows.workspace import Workspace
from voxdata.errors import NotFoundError
from voxdata.label import Annotation, Prediction
from warehouse.annotations import list_revisions
from warehouse.labels import list_predictions
from warehouse.pushes import list_projects, list_pushed
from warehouse.utterances import get_utterance


def revision_rows(workspace: Workspace, utterance_id: str) -> list[dict[str, object]]:
    """One row a revision, in the order in which they arrived.

    Raises:
        NotFoundError: Nobody has said anything about that utterance, or there is none.
    """
    with workspace.warehouse() as con:
        text = get_utterance(con, utterance_id).text
        revisions = list_revisions(con, utterance_id)
        proposals = {s.name: p for s in workspace.schemes if (p := list_predictions(con, scheme=s.name).get(utterance_id)) is not None}
        blind = {
            project.project_id
            for project in list_projects(con)
            if (clip := list_pushed(con, project_id=project.project_id).get(utterance_id)) is not None and clip.blind
        }
    if not revisions:
        raise NotFoundError(f"nobody has answered about utterance {utterance_id} yet; `voxdata pull` brings what there is")
    before: dict[tuple[int, int], Annotation] = {}
    rows: list[dict[str, object]] = []
    for now in revisions:
        number = (now.project_id, now.annotation_id)
        rows.append(
            {
                "annotation": now.annotation_id,
                "who": now.annotator if not now.author else f"{now.annotator}, written by {now.author}",
                "when": now.updated_at.isoformat(timespec="seconds"),
                "seconds": None if now.lead_time_ms is None else now.lead_time_ms / 1000,
                "shown": "nothing (blind)" if now.project_id in blind else now.proposal or "nothing",
                "what": "vanished" if now.deleted else "skipped" if now.skipped else _answer(now),
                "differs from the proposal": "" if now.skipped or now.deleted else _against(now, proposals, text),
                "changed since": "" if number not in before or now.deleted else _since(before[number], now),
            }
        )
        before[number] = now
    return rows


def _answer(annotation: Annotation) -> str:
    parts = [f"{scheme}: {' > '.join(chosen)}" for scheme, chosen in sorted(annotation.labels.items())]
    parts += [f"{name}: {value}" for name, value in sorted(annotation.ratings.items())]
    return "; ".join(parts + list(annotation.flags))


def _against(annotation: Annotation, proposals: Mapping[str, Prediction], text: str) -> str:
    parts = [
        f"{scheme}: {proposals[scheme].label} -> {' > '.join(chosen)}"
        for scheme, chosen in sorted(annotation.labels.items())
        if scheme in proposals and proposals[scheme].guess() is not None and chosen != (proposals[scheme].label,)
    ]
    return "; ".join(parts + ([f"text: {text} -> {annotation.text}"] if annotation.text is not None else []))


def _since(before: Annotation, now: Annotation) -> str:
    names = ("labels", "ratings", "flags", "text", "skipped")
    pairs = [(name, getattr(before, name), getattr(now, name)) for name in names]
    return "; ".join(f"{name}: {was} -> {is_now}" for name, was, is_now in pairs if was != is_now)
