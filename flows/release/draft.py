"""Draft a version: what a recipe makes of the votes there are. Writes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import polars as pl
from duckdb import DuckDBPyConnection

from annotation.settle import as_method, decide, require_no_orphans, settle_votes
from flows.workspace import Workspace
from voxdata.consent import CONSENT
from voxdata.counted import counted
from voxdata.draft import (
    GOLD,
    LABEL,
    Draft,
    build_examples,
    gold_columns,
    schemes_of,
    separate_by_phrase,
)
from voxdata.errors import ConfigError, NotFoundError
from voxdata.label import Gold
from voxdata.losses import SplitCounts, count_by_split, find_losses
from voxdata.measure import MEASURES
from voxdata.recipe import Recipe, encode_recipe
from voxdata.reliability import krippendorff_alpha
from voxdata.scheme import Scheme
from warehouse.annotations import list_simulated
from warehouse.answers import StandingAnswers, open_answers
from warehouse.chain import chain_head
from warehouse.consent import barred_frame
from warehouse.corrections import list_corrections
from warehouse.diffs import count_splits
from warehouse.duplicates import duplicate_groups
from warehouse.metadata import list_call_groups
from warehouse.rows import read_frame
from warehouse.selection import PLAIN, select_utterances
from warehouse.utterances import utterance_frame
from warehouse.versions import DatasetVersion, list_versions, load_examples, split_assignments
from warehouse.voices import current_voices, divided_voices

_ABOUT = ("votes", "share", "standing")
"""What a recipe's condition may name of a gold label, beside the label itself."""


def draft_version(
    con: DuckDBPyConnection, workspace: Workspace, recipe: Recipe, *, name: str, today: date
) -> tuple[Draft, dict[str, object]]:
    """What a recipe makes of the votes there are; writes nothing.

    Args:
        name: The dataset whose newest version it is compared with.
        today: Consent may have ended.

    Returns:
        The draft, and what is stored beside the version: the recipe, and what it found.

    Raises:
        NotFoundError: Nothing is labelled, or the recipe takes nothing of it.
        AnnotationError: Votes would silently be lost.
    """
    schemes = [s for s in workspace.schemes if s.name in recipe.schemes or not recipe.schemes]
    alphas: dict[str, float | None] = {}
    with open_answers(con, workspace.histories) as answers:
        require_no_orphans(answers.orphans)
        simulated = _simulated(con, answers)
        labelled = _join(_settle(answers, scheme, recipe, alphas) for scheme in schemes)
    judged = _judge(con, workspace, recipe, labelled, today=today)
    rows = [_take(con, labelled, judged.taken)]
    # Columns of ids of all utterances, which those of the draft would lie beside in memory.
    del labelled
    draft = build_examples(
        rows.pop(), fixed=_fixed(con), ratios=recipe.ratios, seed=recipe.seed, kin=_kin(con)
    )
    draft = judged.complete(draft)
    for scheme_name in recipe.phrases:
        draft = separate_by_phrase(draft, scheme_name, recipe, split_assignments(con))
    if draft.rows.is_empty():
        raise NotFoundError(
            "nothing to release: the recipe leaves out every labelled utterance: "
            f"{draft.reasons}; widen it"
        )
    draft = _compare(con, draft, name, schemes)
    stored = {
        **encode_recipe(recipe),
        "schemes": {s.name: s.version for s in schemes},
        "today": today.isoformat(),
        "agreement_alpha": alphas,
        "ledger_head": chain_head(con),
        "left_out": dict(sorted(draft.left_out.items())),
    }
    if simulated:
        stored["simulated_annotators"] = simulated
    return draft, stored


def newest_version(con: DuckDBPyConnection, name: str) -> DatasetVersion | None:
    """The newest version of a dataset; None when it has none."""
    versions = [version for version in list_versions(con) if version.name == name]
    return versions[-1] if versions else None


def _settle(
    answers: StandingAnswers, scheme: Scheme, recipe: Recipe, alphas: dict[str, float | None]
) -> pl.DataFrame:
    """Every utterance with a gold label under a scheme.

    Args:
        alphas: Told how far the annotators agree.

    Returns:
        The columns utterance_id, those of `voxdata.draft`, and what a condition may name.
    """
    method = as_method(recipe.consensus)
    ballots = answers.cast_ballots(scheme.name, alike=method == "majority")
    settled = settle_votes(
        ballots.votes, scheme, method=method, min_votes=recipe.min_votes, times=ballots.times
    )
    cast = read_frame(answers.con, f"select utterance_id, ballot from {ballots.table}")
    by_ballot = _gold_frame(settled.gold, scheme.name).select(
        pl.exclude("utterance_id"), ballot=pl.col("utterance_id").cast(pl.Int32)
    )
    gold = cast.join(by_ballot, on="ballot").drop("ballot")

    decisions = answers.list_decisions(scheme.name)
    if decisions:
        ids = sorted({vote.utterance_id for vote in decisions})
        ballot_of = dict(cast.filter(pl.col("utterance_id").is_in(ids)).iter_rows())
        by_vote = {
            utterance_id: replace(settled.gold[str(ballot)], utterance_id=utterance_id)
            for utterance_id, ballot in ballot_of.items()
            if str(ballot) in settled.gold
        }
        decided = _gold_frame(decide(by_vote, decisions, scheme), scheme.name)
        others = gold.filter(~pl.col("utterance_id").is_in(ids))
        gold = pl.concat([others, decided.select(others.columns)])
    alphas[scheme.name] = krippendorff_alpha(ballots.votes, times=ballots.times)
    return gold


def _gold_frame(golds: Mapping[str, Gold], scheme: str) -> pl.DataFrame:
    """The columns of `gold_columns`, and what a recipe's condition may name."""
    about = pl.DataFrame(
        {
            f"{scheme}_votes": [gold.num_votes for gold in golds.values()],
            f"{scheme}_share": [gold.distribution.get(gold.label) for gold in golds.values()],
            f"{scheme}_standing": [gold.standing for gold in golds.values()],
        },
        schema={
            f"{scheme}_votes": pl.Int64,
            f"{scheme}_share": pl.Float64,
            f"{scheme}_standing": pl.String,
        },
    )
    return pl.concat([gold_columns(golds, scheme), about], how="horizontal")


def _join(golds: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """All utterances with a gold label under any scheme."""
    joined = pl.DataFrame(schema={"utterance_id": pl.String})
    for gold in golds:
        joined = joined.join(gold, on="utterance_id", how="full", coalesce=True)
    return joined


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """Which of the labelled utterances a recipe takes, and why the others stay out.

    Attributes:
        taken: Column utterance_id.
        num_labelled: Taken or not.
        left_out: Reason -> how many.
        barred: Recording id -> why its consent does not cover the purpose.
        no_consent: Why consent keeps labelled utterances out -> how many.
    """

    taken: pl.DataFrame
    num_labelled: int
    left_out: Mapping[str, int]
    barred: Mapping[str, str]
    no_consent: Mapping[str, int]

    def complete(self, draft: Draft) -> Draft:
        """A draft of what is taken, with what is known of the others."""
        left_out = dict(self.left_out)
        if len(draft.rows) < len(self.taken):
            left_out["split"] = len(self.taken) - len(draft.rows)
        return replace(
            draft,
            left_out=left_out,
            barred=self.barred,
            num_labelled=self.num_labelled,
            no_consent=self.no_consent,
        )


def _judge(
    con: DuckDBPyConnection,
    workspace: Workspace,
    recipe: Recipe,
    labelled: pl.DataFrame,
    *,
    today: date,
) -> _Judged:
    """Apply a recipe's terms to what is labelled.

    Raises:
        NotFoundError: Nothing is.
    """
    if labelled.is_empty():
        raise NotFoundError(
            f"nothing to release: no utterance has {counted(recipe.min_votes, 'vote')} yet; "
            "annotate in Label Studio, then `voxdata pull`"
        )
    named = labelled.select(_named_columns(schemes_of(labelled)))
    barred = barred_frame(con, purpose=recipe.purpose, policy=recipe.consent, today=today)
    seconds = workspace.settings.warehouse.query_seconds
    judged = select_utterances(con, recipe, named, barred=barred, seconds=seconds)
    staying = judged.filter(pl.col("reason") != "").group_by("reason").len().sort("reason")
    no_consent = judged.filter(pl.col("reason") == CONSENT).join(barred, on="recording_id")
    return _Judged(
        taken=judged.filter(pl.col("reason") == "").select("utterance_id"),
        num_labelled=len(judged),
        left_out=dict(staying.iter_rows()),
        barred=dict(barred.iter_rows()),
        no_consent=dict(no_consent.group_by("why").len().sort("why").iter_rows()),
    )


def _take(con: DuckDBPyConnection, labelled: pl.DataFrame, taken: pl.DataFrame) -> pl.DataFrame:
    """The utterances that are taken, as `build_examples` takes them."""
    stored = [name for name in labelled.columns if name.startswith((LABEL, GOLD))]
    return (
        utterance_frame(con, taken)
        .join(labelled.select("utterance_id", *stored), on="utterance_id", maintain_order="left")
        .join(
            list_corrections(con),
            on="utterance_id",
            how="left",
            maintain_order="left",
        )
        .join(
            _voices(con),
            on=("recording_id", "channel", "speaker"),
            how="left",
            maintain_order="left",
        )
        .with_columns(text=pl.coalesce("corrected", "text"))
        .drop("corrected")
    )


def _named_columns(schemes: Sequence[str]) -> list[pl.Expr]:
    """What a recipe's condition may name of the gold labels, by those names.

    Raises:
        ConfigError: A scheme has the name of something else that a condition may name.
    """
    columns = {"utterance_id": pl.col("utterance_id")}
    taken = {*PLAIN, *MEASURES}
    for scheme in sorted(schemes):
        about = {f"{scheme}_{part}": pl.col(f"{scheme}_{part}") for part in _ABOUT}
        for name, column in {scheme: pl.col(LABEL + scheme), **about}.items():
            if name in taken or name in columns:
                raise ConfigError(
                    f"scheme {scheme!r}: a recipe's condition means something else by {name!r}; "
                    "give the scheme another name in voxdata.toml"
                )
            columns[name] = column.alias(name)
    return list(columns.values())


def _compare(con: DuckDBPyConnection, draft: Draft, name: str, schemes: Sequence[Scheme]) -> Draft:
    """A draft with what its splits lose against the version before."""
    newest = newest_version(con, name)
    if newest is None:
        return draft
    labels = {scheme.name: scheme.label_names for scheme in schemes}
    lost = find_losses(_held(con, newest), draft.count(), labels=labels)
    return replace(draft, before=newest.ref, lost=lost)


def _held(con: DuckDBPyConnection, version: DatasetVersion) -> SplitCounts:
    """What the splits of a version hold.

    What was erased for somebody is not lost by the next one.
    """
    if version.num_erased:
        return count_by_split(load_examples(con, version.version_id))
    return count_splits(con, version.version_id)


def _simulated(con: DuckDBPyConnection, answers: StandingAnswers) -> dict[str, float]:
    """Login -> error rate of the scripts behind the votes.

    So every export says that they were no people.
    """
    simulated = list_simulated(con)
    if not simulated:
        return {}
    voters = answers.list_voters()
    return {login: rate for login, rate in simulated.items() if login in voters}


def _voices(con: DuckDBPyConnection) -> pl.DataFrame:
    """Columns recording_id, channel, speaker and voice, of speakers who were recognised."""
    voices = [(*speaker, voice) for speaker, voice in current_voices(con).items()]
    return pl.DataFrame(
        voices,
        schema={
            "recording_id": pl.String,
            "channel": pl.Int32,
            "speaker": pl.String,
            "voice": pl.String,
        },
        orient="row",
    )


def _fixed(con: DuckDBPyConnection) -> pl.DataFrame:
    """Columns name, of a voice or speaker, and split: the one it stays in.

    Of a voice that was divided only its speakers are known to have been there.
    """
    assigned = read_frame(con, "select voice as name, split from split_assignment order by seq")
    placed = assigned.unique("name", keep="last")
    divided = pl.DataFrame({"name": sorted(divided_voices(con))}, schema={"name": pl.String})
    return placed.join(divided, on="name", how="anti")


def _kin(con: DuckDBPyConnection) -> pl.DataFrame:
    """Columns recording_id and shared: the call it is part of, and what it shares sound with."""
    groups = {"call": list_call_groups(con), "duplicates": duplicate_groups(con)}
    ties = [
        (recording_id, f"{kind} {group}")
        for kind, group_of in groups.items()
        for recording_id, group in group_of.items()
    ]
    return pl.DataFrame(ties, schema={"recording_id": pl.String, "shared": pl.String}, orient="row")
