"""The recipe of a dataset version.

It says which labelled utterances enter it, and how they are labelled and split.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from voxdata.consent import Policy
from voxdata.dataset import Split


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What a release is made by; stored with the version.

    Attributes:
        schemes: Whose gold labels enter; an utterance needs one of them. Empty means all.
        consensus: "majority", or how people's skill is weighed.
        min_votes: Votes an utterance needs under a scheme.
        languages: Languages of the transcript; empty means all.
        since: First day of the recordings, by their metadata `recorded_at`, else the day they were
            ingested.
        until: Last day.
        purpose: What the version is for; consent must cover it.
        consent: Whether recordings without a word about consent may enter.
        limits: Measure -> the least it may be, or the most where larger is worse.
        where: An SQL condition over the columns of `warehouse.selection`; "" takes all.
        phrases: Schemes for which no phrase may be in two splits: see `voxdata.phrases`.
        ratios: Wanted share of each split.
        seed: Decides among equals.
    """

    schemes: tuple[str, ...] = ()
    consensus: str = "majority"
    min_votes: int = 1
    languages: tuple[str, ...] = ()
    since: date | None = None
    until: date | None = None
    purpose: str = "training"
    consent: Policy = "unless_refused"
    limits: Mapping[str, float] = field(default_factory=dict)
    where: str = ""
    phrases: tuple[str, ...] = ()
    ratios: Mapping[Split, float] = field(
        default_factory=lambda: {Split.TRAIN: 0.7, Split.VALIDATION: 0.15, Split.TEST: 0.15}
    )
    seed: int = 0


def encode_recipe(recipe: Recipe) -> dict[str, object]:
    """A recipe as JSON values."""
    return {
        "schemes": list(recipe.schemes),
        "consensus": recipe.consensus,
        "min_votes": recipe.min_votes,
        "languages": list(recipe.languages),
        "since": recipe.since.isoformat() if recipe.since else None,
        "until": recipe.until.isoformat() if recipe.until else None,
        "purpose": recipe.purpose,
        "consent": recipe.consent,
        "limits": dict(sorted(recipe.limits.items())),
        "where": recipe.where,
        "phrases": list(recipe.phrases),
        "ratios": {split.value: share for split, share in recipe.ratios.items()},
        "seed": recipe.seed,
    }


def decode_recipe(row: Mapping[str, Any]) -> Recipe:
    """The recipe that is stored with a version; what it does not say is as by default."""
    plain = Recipe()
    splits = row.get("ratios", {}).items()
    ratios = {Split(split): float(share) for split, share in splits}
    return Recipe(
        schemes=tuple(row.get("schemes", ())),
        consensus=row.get("consensus", plain.consensus),
        min_votes=row.get("min_votes", plain.min_votes),
        languages=tuple(row.get("languages", ())),
        since=_decode_day(row.get("since")),
        until=_decode_day(row.get("until")),
        purpose=row.get("purpose", plain.purpose),
        consent=row.get("consent", plain.consent),
        limits=dict(row.get("limits", {})),
        where=row.get("where", plain.where),
        phrases=tuple(row.get("phrases", ())),
        ratios=ratios or plain.ratios,
        seed=row.get("seed", plain.seed),
    )


def _decode_day(day: str | None) -> date | None:
    return date.fromisoformat(day) if day else None
