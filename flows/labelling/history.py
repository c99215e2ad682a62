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
        proposals = {}
        for scheme in workspace.schemes:
            proposal = list_predictions(con, scheme=scheme.name).get(utterance_id)
            if proposal is not None:
                proposals[scheme.name] = proposal
        blind = set()
        for project in list_projects(con):
            clip = list_pushed(con, project_id=project.project_id).get(utterance_id)
            if clip is not None and clip.blind:
                blind.add(project.project_id)
    if not revisions:
        raise NotFoundError(
            f"nobody has answered about utterance {utterance_id} yet; `voxdata pull` brings what "
            "there is"
        )
    before: dict[tuple[int, int], Annotation] = {}
    rows: list[dict[str, object]] = []
    for now in revisions:
        number = (now.project_id, now.annotation_id)
        shown = now.proposal or "nothing"
        differs, changed = "", ""
        if not (now.skipped or now.deleted):
            differs = _against(now, proposals, text)
        if number in before and not now.deleted:
            changed = _since(before[number], now)
        rows.append(
            {
                "annotation": now.annotation_id,
                "who": now.annotator + (f", written by {now.author}" if now.author else ""),
                "when": now.updated_at.isoformat(timespec="seconds"),
                "seconds": None if now.lead_time_ms is None else now.lead_time_ms / 1000,
                "shown": "nothing (blind)" if now.project_id in blind else shown,
                "what": _answer(now),
                "differs from the proposal": differs,
                "changed since": changed,
            }
        )
        before[number] = now
    return rows


def _answer(annotation: Annotation) -> str:
    if annotation.deleted:
        return "vanished"
    if annotation.skipped:
        return "skipped"
    labels = sorted(annotation.labels.items())
    parts = [f"{scheme}: {' > '.join(chosen)}" for scheme, chosen in labels]
    parts += [f"{name}: {value}" for name, value in sorted(annotation.ratings.items())]
    return "; ".join(parts + list(annotation.flags))


def _against(annotation: Annotation, proposals: Mapping[str, Prediction], text: str) -> str:
    parts = []
    for scheme, chosen in sorted(annotation.labels.items()):
        proposal = proposals.get(scheme)
        if proposal is None or proposal.guess() is None or chosen == (proposal.label,):
            continue
        parts.append(f"{scheme}: {proposal.label} -> {' > '.join(chosen)}")
    if annotation.text is not None:
        parts.append(f"text: {text} -> {annotation.text}")
    return "; ".join(parts)


def _since(before: Annotation, now: Annotation) -> str:
    names = ("labels", "ratings", "flags", "text", "skipped")
    pairs = [(name, getattr(before, name), getattr(now, name)) for name in names]
    return "; ".join(f"{name}: {was} -> {is_now}" for name, was, is_now in pairs if was != is_now)
