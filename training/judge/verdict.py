"""The verdict on a new model: its scores beside the old one's, and the decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from training.judge.baselines import Baseline
from training.judge.calibration import Calibration
from training.judge.gate import Decision, Rules, decide
from training.judge.groups import GroupChange, compare_groups
from training.judge.paired import Difference, paired_difference
from training.metrics import Floats, Ints, Scores, score
from voxdata.counted import counted
from voxdata.identity import digest

SMALL_CLIPS, SMALL_VOICES = 100, 5
"""With fewer test clips or voices, the figures come with a warning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How a new model did on the test set.

    Attributes:
        before: Scores of the model to beat; None when the test set is empty, as are the next two.
        after: Scores of the new model on the same clips.
        difference: After minus before.
        decision: Whether the new model takes over.
        small_sample: The test set is too small for a measurement.
        warning: Says so with its size; "" when it is large enough.
        groups: What changed for each group of test clips, worst first.
        baselines: What simpler things, and people, score on the same clips.
        calibration: Of the new model; None without validation clips.
    """

    before: Scores | None
    after: Scores | None
    difference: Difference | None
    decision: Decision
    small_sample: bool
    warning: str
    groups: tuple[GroupChange, ...] = ()
    baselines: tuple[Baseline, ...] = ()
    calibration: Calibration | None = None


def reach_verdict(
    gold: Ints,
    *,
    before: Floats,
    after: Floats,
    voices: Sequence[str],
    labels: Sequence[str],
    languages: Sequence[str] = (),
    rules: Rules | None = None,
) -> Verdict:
    """Score both models on the test set, and decide.

    Args:
        gold: (num_clips,) label indices; may be empty.
        before: (num_clips, num_labels) probabilities of the model to beat.
        after: As `before`, of the new model.
        voices: The speaker of each clip.
        languages: Of each clip; empty when nobody knows.
    """
    scores_before = scores_after = difference = None
    groups: tuple[GroupChange, ...] = ()
    if len(gold):
        scores_before = score(gold, before, voices, labels=labels)
        scores_after = score(gold, after, voices, labels=labels)
        difference = paired_difference(gold, before, after, voices, num_labels=len(labels))
        groups = compare_groups(gold, before, after, _name_groups(voices, languages))
    warning = _warn_when_small(len(gold), len(set(voices)))
    return Verdict(
        before=scores_before,
        after=scores_after,
        difference=difference,
        decision=decide(scores_before, scores_after, difference, groups=groups, rules=rules),
        small_sample=bool(warning),
        warning=warning,
        groups=groups,
    )


def hide_voice(voice: str) -> str:
    """What a stored verdict calls a voice: it outlives whoever is forgotten, so it names nobody."""
    return digest("voice", voice)[:8]


def _name_groups(voices: Sequence[str], languages: Sequence[str]) -> dict[str, Sequence[str]]:
    hidden = list(map(hide_voice, voices))
    groups = {"voice": hidden, "language": languages}
    return {kind: names for kind, names in groups.items() if names}


def _warn_when_small(num_clips: int, num_voices: int) -> str:
    if num_clips >= SMALL_CLIPS and num_voices >= SMALL_VOICES:
        return ""
    size = f"{counted(num_clips, 'test clip')} of {counted(num_voices, 'voice')}"
    return f"small sample: {size}; these figures are an anecdote, not a measurement"
