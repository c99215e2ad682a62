"""Figures of the annotation report: pure, from values read once."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations
from statistics import median, quantiles
from typing import NamedTuple

import numpy as np

from annotation.anchoring import Heard
from annotation.budget import LeadTimeModel
from annotation.quality import judge_people
from annotation.settle import Answers, Settled
from flows.retrain.results import result_of
from voxdata.agreement import Vote, group_votes
from voxdata.counted import counted
from voxdata.dataset import Split
from voxdata.label import Annotation, Prediction
from voxdata.reliability import alpha_by_label, alpha_interval, alpha_without, krippendorff_alpha
from voxdata.scheme import Scheme
from voxdata.utterance import Utterance
from warehouse.pushes import PushedClip
from warehouse.runs import TrainingRun

Row = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotationContent:
    """Everything the page says, as it stood when it was read.

    Attributes:
        names: Login name -> how the page calls that person.
        num_simulated: How many of them are scripts.
        pushed: Key -> clip as given out, check clips included.
        given_out_at: When each clip was first given out, UTC.
        proposals: (scheme, first 8 characters of the model's key) -> utterance id -> proposal.
        runs: Trainings, oldest first.
    """

    title: str
    created_at: datetime
    schemes: tuple[Scheme, ...]
    answers: Answers
    settled: Mapping[str, Settled]
    utterances: Mapping[str, Utterance]
    names: Mapping[str, str]
    num_simulated: int
    pushed: Mapping[str, PushedClip]
    given_out_at: tuple[datetime, ...]
    proposals: Mapping[tuple[str, str], Mapping[str, Prediction]]
    lead_times: LeadTimeModel
    votes_wanted: int
    runs: tuple[TrainingRun, ...]
    oddities: tuple[Row, ...]

    @property
    def calls(self) -> dict[str, str]:
        """Utterance id -> its recording."""
        return {key: u.recording_id for key, u in self.utterances.items()}


def progress(content: AnnotationContent) -> dict[str, list[tuple[float, float]]]:
    """Running totals by time, in days since the first clip was given out."""
    if not content.given_out_at:
        return {}
    start = min(content.given_out_at)

    def running(moments: Sequence[datetime]) -> list[tuple[float, float]]:
        return [
            ((at - start).total_seconds() / 86_400, float(n))
            for n, at in enumerate(sorted(moments), start=1)
        ]

    lines = {"given out": running(content.given_out_at)}
    done = [a.updated_at for a in content.answers.labels if not a.skipped]
    return lines | ({"answers": running(done)} if done else {})


def agreement_rows(content: AnnotationContent) -> list[Row]:
    """One row a scheme."""
    rows: list[Row] = []
    for scheme in content.schemes:
        state = content.settled[scheme.name]
        alpha = alpha_interval(
            state.votes,
            calls=content.calls,
            distance="masi" if scheme.choice == "many" else "nominal",
            draws=500,
        )
        standings = Counter(gold.standing for gold in state.gold.values() if gold.standing)
        rows.append(
            {
                "scheme": scheme.name,
                "clips": len(group_votes(state.votes)),
                "votes": len(state.votes),
                "alpha": "not defined" if alpha is None else f"{alpha.value:.2f}",
                "95 % over calls": "" if alpha is None else f"{alpha.low:.2f} to {alpha.high:.2f}",
                **{
                    name: standings.get(name, 0)
                    for name in ("clear", "ambiguous", "careless", "open", "decided")
                },
            }
        )
    return rows


def alpha_bars(state: Settled) -> list[tuple[str, float]]:
    """(label, alpha of it against the rest), where that is defined."""
    return [
        (label, alpha) for label, alpha in alpha_by_label(state.votes).items() if alpha is not None
    ]


def alpha_by_day(content: AnnotationContent, scheme: str) -> list[tuple[str, float]]:
    """(day, alpha of the clips whose last vote was that day), where that is defined."""
    last: dict[str, str] = {}
    for annotation in sorted(content.answers.labels, key=lambda a: a.updated_at):
        last[annotation.utterance_id] = f"{annotation.updated_at:%Y-%m-%d}"
    by_day: defaultdict[str, list[Vote]] = defaultdict(list)
    for vote in content.settled[scheme].votes:
        by_day[last[vote.utterance_id]].append(vote)
    alphas: list[tuple[str, float]] = []
    for day, votes in sorted(by_day.items()):
        alpha = krippendorff_alpha(votes)
        if alpha is not None:
            alphas.append((day, alpha))
    return alphas


def between_annotators(state: Settled, labels: Sequence[str]) -> list[list[int]]:
    """How often one person said the row's label and another the column's, counted both ways.

    Returns:
        (num_labels, num_labels) counts.
    """
    place = {label: i for i, label in enumerate(labels)}
    counts = [[0] * len(labels) for _ in labels]
    for cast in group_votes(state.votes).values():
        for a, b in combinations(cast, 2):
            counts[place[a.label]][place[b.label]] += 1
            counts[place[b.label]][place[a.label]] += 1
    return counts


def skill_dots(content: AnnotationContent, scheme: str) -> list[tuple[str, float, float, float]]:
    """(person, low, share, high): how often a vote is what most of the others said.

    A person's own vote judges nobody but others.
    """
    return [
        (
            f"{content.names[row.annotator]} ({row.clips}){', weak' if row.weak else ''}",
            row.low,
            row.right / row.clips,
            row.high,
        )
        for row in judge_people(content.settled[scheme].votes)
        if row.label == ""
    ]


def without_rows(content: AnnotationContent, scheme: str) -> list[Row]:
    """Alpha of everybody else, for each person."""
    return [
        {
            "without": content.names[person],
            f"alpha of the others, {scheme}": "not defined" if alpha is None else f"{alpha:.2f}",
        }
        for person, alpha in alpha_without(content.settled[scheme].votes).items()
    ]


def speed_ranges(content: AnnotationContent) -> list[tuple[str, float, float, float]]:
    """(person, lower quartile, median, upper quartile) of the seconds a clip."""
    times: defaultdict[str, list[float]] = defaultdict(list)
    for a in content.answers.labels:
        if a.lead_time_ms is not None and not a.skipped:
            times[a.annotator].append(a.lead_time_ms / 1000)
    rows = []
    for person, spent in sorted(times.items()):
        low = high = spent[0]
        if len(spent) > 1:
            low, _, high = quantiles(spent, n=4)
        name = f"{content.names[person]} ({len(spent)})"
        rows.append((name, low, median(spent), high))
    return rows


def heard_answers(content: AnnotationContent, scheme: str) -> list[Heard]:
    """Answers with the proposal that was shown, or withheld when the clip was given out.

    Answers with neither are left out.
    """
    answers = {(a.utterance_id, a.annotator): a for a in content.answers.labels}
    out = []
    for vote in content.settled[scheme].votes:
        answer, clip = (
            answers[vote.utterance_id, vote.annotator],
            content.pushed.get(vote.utterance_id),
        )
        if clip is None or bool(answer.proposal) == clip.blind:
            continue
        by_model = content.proposals.get(
            (scheme, model_of(answer.proposal or clip.proposal, scheme)), {}
        )
        if (proposal := by_model.get(vote.utterance_id)) is not None:
            out.append(
                Heard(
                    utterance_id=vote.utterance_id,
                    call=content.calls.get(vote.utterance_id, vote.utterance_id),
                    annotator=vote.annotator,
                    label=vote.label,
                    proposed=proposal.label,
                    blind=clip.blind,
                    lead_time_ms=answer.lead_time_ms,
                )
            )
    return out


def why_no_effect(content: AnnotationContent) -> str:
    """Why nothing can be said about proposals, and what to do next.

    What is missing to compare shown ones with withheld ones.
    """
    blind = {key for key, clip in content.pushed.items() if clip.blind}
    answered = {a.utterance_id: a for a in content.answers.labels if not a.skipped}
    if not blind:
        return (
            "No clip was given out blind yet. "
            "Next: set [annotation] blind_share, such as 0.1, and push."
        )
    if not blind & answered.keys():
        given_out = counted(len(blind), "clip was", "clips were")
        return f"{given_out} given out blind, and nobody has answered any yet."
    heard = [h for scheme in content.schemes for h in heard_answers(content, scheme.name)]
    if not any(h.blind for h in heard):
        return (
            "Clips were heard blind, and no model had a guess about them: "
            "there is nothing that could have swayed anybody."
        )
    if all(h.blind for h in heard):
        return (
            "Clips were heard blind, and none with a ticked proposal yet: "
            "there is nothing to compare them with."
        )
    return (
        "Clips were heard with and without a proposal, but under no scheme both: "
        "there is nothing to compare yet."
    )


def num_unticked(content: AnnotationContent) -> int:
    """Answers to clips that were not blind and came with nothing ticked."""
    pushed = content.pushed
    return sum(
        not a.proposal and not a.skipped and not pushed[a.utterance_id].blind
        for a in content.answers.labels
        if a.utterance_id in pushed
    )


def model_of(version: str, scheme: str) -> str:
    """The part of a server's model version that names one scheme's model.

    >>> model_of("intent:name@12345678 emotion:other@9abcdef0", "intent")
    '12345678'
    """
    parts = [part for part in version.split() if part.startswith(f"{scheme}:")]
    return parts[0].rpartition("@")[2] if parts else ""


def cost_rows(content: AnnotationContent) -> list[Row]:
    """What labelling has cost so far."""
    work = [a for a in content.answers.labels if a.lead_time_ms is not None]
    minutes = sum(a.lead_time_ms or 0 for a in work) / 60_000
    answered = [a for a in work if not a.skipped]
    answer_minutes = sum(a.lead_time_ms or 0 for a in answered) / 60_000
    clips = len({a.utterance_id for a in answered})
    return [
        {"what": "annotator minutes, as the browser counted them", "figure": f"{minutes:.1f}"},
        {"what": "answers; skips", "figure": f"{len(answered)}; {len(work) - len(answered)}"},
        {
            "what": "seconds an answer, skips left out",
            "figure": f"{60 * answer_minutes / len(answered):.1f}" if answered else "",
        },
        {
            "what": "annotator seconds a labelled clip, skips included",
            "figure": f"{60 * minutes / clips:.1f}" if clips else "",
        },
    ]


def forecast_rows(content: AnnotationContent) -> list[Row]:
    """What one more hour of one person would bring."""
    answered = {a.utterance_id for a in content.answers.labels if not a.skipped}
    waiting = [
        content.utterances[key]
        for key in content.pushed
        if key in content.utterances and key not in answered
    ]
    typical = waiting or [content.utterances[key] for key in answered if key in content.utterances]
    rows: list[Row] = [
        {"what": "clips given out that nobody has labelled yet", "figure": str(len(waiting))}
    ]
    if typical:
        cost_ms = float(np.mean(_predict_lead_times(content, typical)))
        votes = max(float(np.mean(_votes_wanted(content, typical))), 1.0)
        clips = 3_600_000 / cost_ms / votes
        rows.append(
            {
                "what": "clips labelled in an hour of one person, "
                f"{votes:.3g} vote(s) each on average",
                "figure": f"{clips:.0f}",
            }
        )
        for scheme in content.schemes:
            rows.append(
                {
                    "what": f"gain in UAR of {scheme.name} by that hour",
                    "figure": gain_of(content.runs, scheme.name, clips),
                }
            )
    return rows


def _predict_lead_times(content: AnnotationContent, utterances: Sequence[Utterance]) -> list[float]:
    """How long one person needs for each utterance, in ms."""
    times: list[float] = []
    for utterance in utterances:
        num_words = len(utterance.text.split())
        times.append(content.lead_times.predict(utterance.segment.duration_ms, num_words=num_words))
    return times


def _votes_wanted(content: AnnotationContent, utterances: Sequence[Utterance]) -> list[int]:
    """Some clips are heard by more people than others, and each of them takes the time."""
    votes: list[int] = []
    for utterance in utterances:
        pushed = content.pushed.get(utterance.utterance_id)
        votes.append(content.votes_wanted if pushed is None else pushed.votes_wanted)
    return votes


def gain_of(runs: Sequence[TrainingRun], scheme: str, clips: float) -> str:
    """What more examples would do to the score, or why nothing can be said.

    A power law, error = a * n^-b, goes through past trainings on versions of different size.
    """
    past = [_size_and_score(run) for run in runs if run.scheme == scheme]
    points = sorted({point for point in past if point is not None})
    if len({point.num_examples for point in points}) < 3:
        return "needs three trainings on versions of different size"
    sizes = np.log([point.num_examples for point in points])
    errors = np.log([max(1 - point.uar, 1e-3) for point in points])
    slope, offset = np.polyfit(sizes, errors, 1)

    largest = points[-1].num_examples
    error_now = np.exp(offset + slope * np.log(largest))
    error_then = np.exp(offset + slope * np.log(largest + clips))
    return f"{error_now - error_then:+.3f}, if the past goes on"


def arm_rows(content: AnnotationContent) -> list[Row]:
    """How many clips each arm of the acquisition has given out and got labels for."""
    answered = {a.utterance_id for a in content.answers.labels if not a.skipped}
    arms: defaultdict[str, list[str]] = defaultdict(list)
    for key, clip in content.pushed.items():
        if clip.arm in {"active", "random"}:
            arms[clip.arm].append(key)
    return [
        {"arm": arm, "given out": len(keys), "labelled": len(answered & set(keys))}
        for arm, keys in sorted(arms.items())
    ]


class _SizeAndScore(NamedTuple):
    """A training: how many examples it learnt from, and how well its model did on the test set."""

    num_examples: int
    uar: float


def _size_and_score(run: TrainingRun) -> _SizeAndScore | None:
    result = result_of(run)
    if result is None or result.verdict.after is None:
        return None
    num_examples = result.counts.get(Split.TRAIN, 0)
    if not num_examples:
        return None
    return _SizeAndScore(num_examples=num_examples, uar=result.verdict.after.uar)


def name_people(annotations: Sequence[Annotation], *, pseudonyms: bool) -> dict[str, str]:
    """Login name -> what the page calls that person."""
    people = sorted({a.annotator for a in annotations})
    return {
        person: f"Annotator {number}" if pseudonyms else person
        for number, person in enumerate(people, start=1)
    }
