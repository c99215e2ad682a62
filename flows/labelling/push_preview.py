"""What a push would do, and why: read from the warehouse, with no server and writing nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from duckdb import DuckDBPyConnection

from flows.labelling.choose import Budget, read_embeddings
from flows.labelling.clips import list_uncut
from flows.labelling.outgoing import Outgoing
from flows.labelling.plan import PushPlan, find_barriers, plan_push
from flows.labelling.push_state import PushState, read_push_state, require_todays_labels
from flows.models import build_labelers
from flows.stored_audio import find_bad, open_guard
from flows.workspace import Say, Workspace
from voxdata.audio_digest import AudioGuard
from voxdata.counted import counted
from voxdata.utterance import Utterance
from warehouse.batches import list_batches
from warehouse.pushes import list_projects

Row = dict[str, object]

FIRST_SHOWN = 20
"""So many clips are shown to a person; JSON has all."""

CHANGED = "changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class PushPreview:
    """A plan, and the state that it was made from."""

    state: PushState
    plan: PushPlan

    @property
    def ordered(self) -> list[Outgoing]:
        """What goes out: first what joins the order of work, in that order, then what changes."""
        joining = [clip for clip in self.plan.outgoing if self.standing(clip) != CHANGED]
        changing = [clip for clip in self.plan.outgoing if self.standing(clip) == CHANGED]
        return [*sorted(joining, key=lambda clip: clip.entry.priority), *changing]

    def standing(self, clip: Outgoing) -> str:
        """How a clip stands that goes out: "new", "again" when it was lost on the server, "changed"
        when it is there and shows other proposals, text or sound, or "check"."""
        pushed = self.state.pushed.get(clip.utterance_id)
        if pushed is not None and not pushed.gone:
            return CHANGED
        if clip.arm == "check":
            return "check"
        return "again" if clip.utterance_id in self.state.pushed_before else "new"

    def clip_rows(self) -> list[Row]:
        """One for each clip that goes out, in order; "place" is None where a clip keeps its own."""
        rows: list[Row] = []
        for place, clip in enumerate(self.ordered, start=1):
            standing = self.standing(clip)
            stored = self.state.recordings[clip.utterance.recording_id]
            segment = clip.utterance.segment
            row: Row = {
                "place": None if standing == CHANGED else place,
                "standing": standing,
                "utterance_id": clip.utterance_id,
                "recording": Path(stored.uri).name,
                "start_ms": segment.start_ms,
                "audio_minutes": _minutes(segment.duration_ms),
                "work_minutes": _minutes(self._work_ms(clip)),
                "why": clip.reason,
            }
            rows.append(row)
        return rows

    def held_rows(self) -> list[Row]:
        """One for each reason and its particulars, with the utterances that stay for it."""
        groups: defaultdict[tuple[str, str], list[Utterance]] = defaultdict(list)
        for held in self.plan.held_back:
            groups[held.reason.value, held.why].append(held.utterance)
        rows: list[Row] = []
        for (reason, why), utterances in sorted(groups.items()):
            row: Row = {
                "reason": reason,
                "why": why,
                "clips": len(utterances),
                "audio_minutes": _audio_minutes(utterances),
                "utterance_ids": sorted(utterance.utterance_id for utterance in utterances),
            }
            rows.append(row)
        return rows

    def count_rows(self) -> list[Row]:
        """What goes out and what is there as it is, by standing, with minutes."""
        groups: defaultdict[str, list[Outgoing]] = defaultdict(list)
        for clip in self.ordered:
            groups[self.standing(clip)].append(clip)
        if self.plan.unchanged:
            groups["there as it is"] = list(self.plan.unchanged)
        rows: list[Row] = []
        for standing, clips in groups.items():
            row: Row = {
                "standing": standing,
                "clips": len(clips),
                "audio_minutes": _audio_minutes([clip.utterance for clip in clips]),
                "work_minutes": _minutes(sum(self._work_ms(clip) for clip in clips)),
            }
            rows.append(row)
        return rows

    def as_row(self) -> Row:
        """As JSON values."""
        return {
            "counts": self.count_rows(),
            "outgoing": self.clip_rows(),
            "held_back": self.held_rows(),
        }

    def _work_ms(self, clip: Outgoing) -> int:
        """What a clip costs the annotators; 0 when it is in the order of work already."""
        pushed = self.state.pushed.get(clip.utterance_id)
        if pushed is not None and not pushed.gone:
            return 0
        num_words = len(clip.utterance.text.split())
        duration_ms = clip.utterance.segment.duration_ms
        cost_ms = self.state.lead_times.predict(duration_ms, num_words=num_words)
        return cost_ms * clip.entry.votes_wanted


def preview_push(workspace: Workspace, *, say: Say, budget: Budget | None = None) -> PushPreview:
    """What a push would do now, as far as can be known without asking Label Studio.

    Writes nothing, cuts nothing, needs no server. The audio of what would be cut is read, and
    compared with what was stored.

    Args:
        budget: As for a push.

    Raises:
        AnnotationError: A label in use vanished from its scheme.
        ConfigError: The budget fits no clip.
    """
    models = {name: labeler.model for name, labeler in build_labelers(workspace).items()}
    num_batches = len(list_batches(workspace.batches_dir))
    if num_batches:
        waiting = counted(num_batches, "batch waits", "batches wait")
        say(f"push: {waiting} to be merged; a push merges first, and may send more")
    with workspace.warehouse(read_only=True) as con:
        require_todays_labels(con, workspace)
        state = read_push_state(
            con,
            workspace,
            project_id=_current_project(con),
            models=models,
            returning={},
            costs=True,
        )
    guard = open_guard(workspace, state.recordings)
    if state.settings.embeddings:
        state = _recall(workspace, state, guard, say=say)
    plan = plan_push(state, budget=budget)
    uncut = list_uncut(workspace, plan.outgoing)
    wanted = {clip.utterance.recording_id for clip in uncut}
    bad_audio = find_bad(
        workspace, {name: state.recordings[name].audio_file for name in sorted(wanted)}, guard
    )
    whys = {name: str(error) for name, error in bad_audio.items()}
    return PushPreview(state=state, plan=plan.without_uncut(uncut, whys))


def _current_project(con: DuckDBPyConnection) -> int | None:
    """Our number of the project in which people label; None before the first push."""
    for project in list_projects(con):
        if project.purpose == "label" and project.current:
            return project.project_id
    return None


def _recall(workspace: Workspace, state: PushState, guard: AudioGuard, *, say: Say) -> PushState:
    """The state with what the encoder heard before; where that is not all, the order does without
    it."""
    barriers = find_barriers(state)
    embeddings = read_embeddings(
        workspace,
        [u for u in state.utterances if u.utterance_id not in barriers],
        {name: stored.audio_file for name, stored in state.recordings.items()},
        guard=guard,
        say=say,
    )
    if embeddings is not None:
        return replace(state, embeddings=embeddings)
    say(
        "push: the speech encoder has not heard every clip yet; a push lets it listen first, and "
        "its order may then differ from this one, which does without"
    )
    settings = state.settings.model_copy(update={"strategy": "hybrid"})
    return replace(state, settings=settings)


def _minutes(ms: int) -> float:
    return ms / 60_000


def _audio_minutes(utterances: Sequence[Utterance]) -> float:
    return _minutes(sum(utterance.segment.duration_ms for utterance in utterances))
