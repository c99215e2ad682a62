"""The state before a push: what the warehouse and the settings know of every clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from duckdb import DuckDBPyConnection

from annotation.budget import LeadTimeModel, fit_lead_times
from annotation.settle import Settled, require_no_orphans, settle_all
from flows.labelling.answers import read_answers
from flows.labelling.choose import Embedding, learn_lead_times
from flows.settings import AnnotationSettings
from flows.workspace import Workspace
from voxdata.check import CheckClip
from voxdata.identity import ModelRef
from voxdata.label import Annotation, Prediction
from voxdata.privacy import PrivateSpan
from voxdata.scheme import Scheme
from voxdata.utterance import Utterance
from warehouse.annotations import labelled_ids
from warehouse.answers import lost_labels
from warehouse.checks import list_checks
from warehouse.consent import find_barred
from warehouse.labels import list_predictions
from warehouse.privacy import list_private_spans
from warehouse.pushes import PushedClip, list_projects, list_pushed
from warehouse.recordings import StoredRecording, list_recordings
from warehouse.utterances import list_utterances


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
) -> PushState:
    """Read what decides about a push. Writes nothing.

    Args:
        project_id: Our number of the project in which people label; None before the first push.
        models: Scheme -> the model whose proposals are shown.
        returning: Utterance id -> annotations of a lost project that come back with the clip.
        costs: Learn how long clips take to label.
    """
    settings = workspace.settings.annotation
    settled: Mapping[str, Settled] = {}
    if settings.check_share:
        settled = settle_all(read_answers(con, workspace.histories), workspace.schemes)
    terms = workspace.settings.release
    today = datetime.now(UTC).date()
    pushed = {} if project_id is None else list_pushed(con, project_id=project_id)
    return PushState(
        settings=settings,
        schemes=tuple(workspace.schemes),
        recordings={stored.recording.recording_id: stored for stored in list_recordings(con)},
        utterances=tuple(list_utterances(con)),
        proposals={
            scheme: list_predictions(con, scheme=scheme, model_key=model.key)
            for scheme, model in models.items()
        },
        pushed=pushed,
        pushed_before={**_pushed_to_former(con), **pushed},
        answered=labelled_ids(con),
        settled=settled,
        returning=returning,
        lead_times=learn_lead_times(con) if costs else fit_lead_times([]),
        private=list_private_spans(con) if workspace.settings.privacy.mask else None,
        barred=find_barred(con, purpose=terms.purpose, policy=terms.consent, today=today),
        checks=list_checks(con),
    )


def _pushed_to_former(con: DuckDBPyConnection) -> dict[str, PushedClip]:
    """Utterance id -> how its clip stood in the newest of the projects before this one."""
    pushed: dict[str, PushedClip] = {}
    for project in list_projects(con):
        if project.purpose == "label" and not project.current:
            pushed |= list_pushed(con, project_id=project.project_id)
    return pushed
