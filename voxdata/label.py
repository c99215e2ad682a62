"""Predictions by models, annotations by people, and the gold label resolved from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from voxdata.identity import ModelRef

Distribution = Mapping[str, float]
"""Label name -> probability; the values add up to 1."""


TIE = 1e-6
"""Probabilities that differ by less are equal: single precision gives no more."""


def top_label(distribution: Distribution) -> str:
    """The most probable label; ties go to the first in alphabetical order.

    >>> top_label({"sad": 0.5, "happy": 0.5})
    'happy'
    """
    return min(distribution, key=lambda name: (-distribution[name], name))


def leading_label(distribution: Distribution) -> str | None:
    """The label that is more probable than every other, or None where several lead alike.

    >>> leading_label({"sad": 0.6, "happy": 0.4})
    'sad'
    >>> leading_label({"sad": 0.5, "happy": 0.5}) is None
    True
    """
    if not distribution:
        return None
    ranking = sorted(distribution.values(), reverse=True)
    if len(ranking) > 1 and ranking[0] - ranking[1] <= TIE:
        return None
    return top_label(distribution)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """The answer of a model to one utterance under one scheme.

    A model that cannot decide abstains: it gives every label the same probability.
    """

    utterance_id: str
    scheme: str
    distribution: Distribution
    model: ModelRef

    @property
    def label(self) -> str:
        """The most probable label.

        Of several that lead alike, and of an abstention, it is the first in alphabetical order.
        """
        return top_label(self.distribution)

    @property
    def abstains(self) -> bool:
        """Whether all labels are equally probable, and there is more than one."""
        shares = self.distribution.values()
        if not shares:
            return True
        return len(shares) > 1 and max(shares) - min(shares) <= TIE

    def guess(self, *, min_confidence: float = 0.0) -> str | None:
        """The one label that it stands for.

        Args:
            min_confidence: Least probability of that label, 0..1.

        Returns:
            None when it abstains, when several labels lead alike, or when the label is less
            probable than that.
        """
        label = leading_label(self.distribution)
        if label is None:
            return None
        return label if self.distribution[label] >= min_confidence else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """The answer of one person to one utterance, as it stood at `updated_at`.

    Attributes:
        annotation_id: The server's id, unique within `project_id`.
        project_id: The server's project.
        utterance_id: What was heard.
        annotator: The person's login name.
        labels: Scheme -> labels, the main one first; empty when skipped.
        ratings: "scheme.scale" -> 1..5, such as {"emotion.intensity": 4}.
        flags: Remarks that were ticked, such as "noisy".
        text: The transcript as corrected, or None when the person left it alone.
        skipped: The person passed on this clip.
        deleted: The annotation has vanished from the server.
        lead_time_ms: Time the person spent, in ms, or None when unknown.
        updated_at: The server's clock, UTC.
        author: Login name of who wrote this revision, when it is not the annotator; else "".
        proposal: Which models made the proposal that the person began with; "" when there was none.
        scheme_versions: Scheme -> version of the label set that was on the screen; a scheme left
            out means 1.
        simulated: Of a script that stands for a person: the share of labels, 0..1, at which it errs
            on purpose. None for a person.
    """

    annotation_id: int
    project_id: int
    utterance_id: str
    annotator: str
    labels: Mapping[str, tuple[str, ...]]
    ratings: Mapping[str, int] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    text: str | None = None
    skipped: bool = False
    deleted: bool = False
    lead_time_ms: int | None = None
    updated_at: datetime
    author: str = ""
    proposal: str = ""
    scheme_versions: Mapping[str, int] = field(default_factory=dict)
    simulated: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gold:
    """The label resolved from several people's votes, with the votes behind it.

    Attributes:
        label: The winning label.
        distribution: Share of the votes for each label named at least once.
        num_votes: How many people voted.
        posterior: Probability of every label, when a model of the annotators' skill gave the label;
            else empty.
        standing: "clear", "ambiguous", "careless" or "open" as `annotation.consensus` judges it;
            "decided" by an expert; "" when nobody asked.
    """

    utterance_id: str
    scheme: str
    label: str
    distribution: Distribution
    num_votes: int
    posterior: Distribution = field(default_factory=dict)
    standing: str = ""
