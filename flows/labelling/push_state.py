"""The state before a push: what the warehouse and the settings know of every clip."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from duckdb import DuckDBPyConnection

from annotation.budget import LeadTimeModel, fit_lead_times
from annotation.settle import Settled, require_no_orphans, settle_all
from flows.labelling.answers import read_answers
from flows.labelling.choose import Embedding, learn_lead_times
from flows.labelling.clips import list_cut_recordings
from flows.settings import AnnotationSettings
from flows.workspace import Workspace
from voxdata.check import CheckClip
from voxdata.identity import ModelRef, canonical_json, digest
from voxdata.label import Annotation, Prediction
from voxdata.privacy import PrivateSpan
from voxdata.scheme import Scheme
from voxdata.utterance import Utterance
from warehouse.annotations import labelled_ids
from warehouse.answers import lost_labels
from warehouse.checks import list_checks
from warehouse.consent import barred_frame
from warehouse.labels import list_predictions
from warehouse.privacy import list_private_spans
from warehouse.push_passes import Passed, PushPass, divide_clips
from warehouse.pushes import PushedClip, list_projects, list_pushed
from warehouse.recordings import StoredRecording, list_recordings
from warehouse.utterances import list_utterances

PUSH_RULES = 1
"""Raised when the same settings, models and utterances give other clips."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PushState:
    """What decides which clips go out.

    Attributes:
        recordings: Recording id -> where it is stored.
        utterances: All there are.
        proposals: Scheme -> utterance id -> what today's model proposes.
        pushed: Utterance id -> how its clip stands in the project; missing clips are `gone`.
        pushed_before: The same in this or an earlier project: what was decided once holds.
        answered: Ids of utterances that somebody labelled.
        settled: Scheme -> what people settled on, where known clips are given out again; else none.
        returning: Utterance id -> annotations of a lost project that come back with the clip.
        lead_times: How long clips take to label; where nobody asks, what one knows beforehand.
        private: Utterance id -> its personal data, for those that were scanned; None masks nothing.
        barred: Recording id -> why a release would refuse it.
        checks: Id -> check clip that was drawn before.
        embeddings: Utterance id -> what it sounds like, when the strategy may use that.
        bad_audio: Recording id -> what is wrong with its canonical audio, as far as it was read.
        passed: What an earlier push dealt with; nothing else in this state is about it.
        is_whole: Nothing was passed over.
    """

    settings: AnnotationSettings
    schemes: tuple[Scheme, ...]
    recordings: Mapping[str, StoredRecording]
    utterances: tuple[Utterance, ...]
    proposals: Mapping[str, Mapping[str, Prediction]]
    pushed: Mapping[str, PushedClip]
    pushed_before: Mapping[str, PushedClip]
    answered: frozenset[str]
    settled: Mapping[str, Settled]
    returning: Mapping[str, Sequence[Annotation]]
    lead_times: LeadTimeModel
    private: Mapping[str, Sequence[PrivateSpan]] | None
    barred: Mapping[str, str]
    checks: Mapping[str, CheckClip]
    embeddings: Mapping[str, Embedding] = field(default_factory=dict)
    bad_audio: Mapping[str, str] = field(default_factory=dict)
    passed: Passed = field(default_factory=Passed)
    is_whole: bool = True

    def stays(self, utterance_id: str) -> bool:
        """Whether a clip is in the project, or comes back with what people said about it."""
        pushed = self.pushed.get(utterance_id)
        return utterance_id in self.returning or (pushed is not None and not pushed.gone)


def require_todays_labels(con: DuckDBPyConnection, workspace: Workspace) -> None:
    """Refuse to go on when a label in use vanished from its scheme.

    Label Studio would let it go without a word, so this comes before anything is asked of it.

    Raises:
        AnnotationError: One did.
    """
    require_no_orphans(lost_labels(con, workspace.histories))


def read_push_state(
    con: DuckDBPyConnection,
    workspace: Workspace,
    *,
    project_id: int | None,
    models: Mapping[str, ModelRef],
    returning: Mapping[str, Sequence[Annotation]],
    costs: bool,
    since: PushPass | None = None,
) -> PushState:
    """Read what decides about a push. Writes nothing.

    Args:
        project_id: Our number of the project in which people label; None before the first push.
        models: Scheme -> the model whose proposals are shown.
        returning: Utterance id -> annotations of a lost project that come back with the clip.
        costs: Learn how long clips take to label.
        since: An earlier push that went through everything under the same settings and models: what
            it dealt with is passed over, as long as nothing happened to it.
    """
    settings = workspace.settings.annotation
    terms = workspace.settings.release
    masked = workspace.settings.privacy.mask
    today = datetime.now(UTC).date()
    barred = barred_frame(con, purpose=terms.purpose, policy=terms.consent, today=today)
    chosen, passed = None, Passed()
    if since is not None and project_id is not None and not _looks_at_all(settings, returning):
        chosen, passed = divide_clips(
            con,
            project_id=project_id,
            through_seq=since.through_seq,
            masked=masked,
            min_clip_ms=settings.min_clip_ms,
            barred=barred,
            to_clear=list_cut_recordings(workspace.media_dir, barred["recording_id"]),
        )
    settled: Mapping[str, Settled] = {}
    if settings.check_share:
        settled = settle_all(read_answers(con, workspace.histories), workspace.schemes)

    utterances = list_utterances(con, chosen)
    checks = list_checks(con)
    ids = None if chosen is None else [utterance.utterance_id for utterance in utterances]
    keys = None if ids is None else {*ids, *checks}
    pushed = {} if project_id is None else list_pushed(con, project_id=project_id, keys=keys)
    return PushState(
        settings=settings,
        schemes=tuple(workspace.schemes),
        recordings={r.recording.recording_id: r for r in list_recordings(con, chosen)},
        utterances=tuple(utterances),
        proposals={
            scheme: list_predictions(con, scheme=scheme, model_key=model.key, utterance_ids=ids)
            for scheme, model in models.items()
        },
        pushed=pushed,
        pushed_before={**_pushed_to_former(con, keys), **pushed},
        answered=labelled_ids(con, ids),
        settled=settled,
        returning=returning,
        lead_times=learn_lead_times(con) if costs else fit_lead_times([]),
        private=list_private_spans(con, chosen) if masked else None,
        barred=dict(barred.iter_rows()),
        checks=checks,
        passed=passed,
        is_whole=chosen is None,
    )


def _looks_at_all(
    settings: AnnotationSettings, returning: Mapping[str, Sequence[Annotation]]
) -> bool:
    """Whether a push has to look at what people labelled already: to spread what they hear next, to
    give it out again, or to bring it back."""
    return settings.embeddings or bool(settings.check_share) or bool(returning)


def push_context(workspace: Workspace, models: Mapping[str, ModelRef]) -> str:
    """A digest of everything beside the clips that decides how they are given out."""
    return digest(
        "push",
        PUSH_RULES,
        canonical_json(workspace.settings.annotation.model_dump(mode="json")),
        canonical_json([scheme.name for scheme in workspace.schemes]),
        canonical_json(workspace.scheme_versions),
        str(workspace.settings.privacy.mask),
        canonical_json({scheme: model.key for scheme, model in models.items()}),
    )


def _pushed_to_former(
    con: DuckDBPyConnection, keys: Collection[str] | None
) -> dict[str, PushedClip]:
    """Utterance id -> how its clip stood in the newest of the projects before this one."""
    pushed: dict[str, PushedClip] = {}
    for project in list_projects(con):
        if project.purpose == "label" and not project.current:
            pushed |= list_pushed(con, project_id=project.project_id, keys=keys)
    return pushed
