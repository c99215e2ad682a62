"""A draft of a dataset version: which utterances become examples, where, and who stays out.

A draft is a frame with a row for each example, since a version may have millions. Of each scheme it
has two columns, `label/SCHEME` and `gold/SCHEME`: the label, and the canonical JSON of the whole
gold label; both are null where nobody voted.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import polars as pl

from voxdata.consent import CONSENT
from voxdata.dataset import GoldLabel, Split, encode_gold
from voxdata.identity import canonical_json
from voxdata.label import Annotation, Gold
from voxdata.losses import SplitLoss, describe_losses
from voxdata.phrases import separate_phrases
from voxdata.privacy import restore_text
from voxdata.recipe import Recipe
from voxdata.split import assign_splits, group_ties, place_groups

Masked = Sequence[tuple[str, str]]
"""(kind, characters) of each part of a text that was masked."""

Hidden = Mapping[tuple[int, str], Sequence[tuple[datetime, Masked]]]
"""(project id, utterance id) -> what each push of it masked, with its time, oldest first."""


def corrected_texts(
    annotations: Sequence[Annotation], hidden: Hidden | None = None
) -> dict[str, str]:
    """Utterance id -> the transcript as last corrected by a person.

    What was masked for that person is put back.

    Args:
        hidden: What the annotators did not see.
    """
    texts: dict[str, str] = {}
    for annotation in sorted(annotations, key=_age):
        if annotation.text is None or annotation.deleted or annotation.skipped:
            continue
        masked = _masked_for(annotation, hidden or {})
        texts[annotation.utterance_id] = restore_text(annotation.text, masked)
    return texts


def _age(annotation: Annotation) -> tuple[datetime, int]:
    return annotation.updated_at, annotation.annotation_id


def _masked_for(annotation: Annotation, hidden: Hidden) -> Masked:
    """What was masked when an annotation was made.

    That is by the last push before it, and since clocks may differ at least by the first.
    """
    pushes = hidden.get((annotation.project_id, annotation.utterance_id), ())
    for pushed_at, masked in reversed(pushes):
        if pushed_at <= annotation.updated_at:
            return masked
    if not pushes:
        return ()
    _, masked_first = pushes[0]
    return masked_first


LABEL, GOLD = "label/", "gold/"
"""How the columns of a scheme begin."""

_ROWS_AT_ONCE = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a version would hold.

    Attributes:
        rows: One for each example: its fields without the gold, and the columns of each scheme.
        places: Columns name, of a speaker ("recording/speaker") or phrase, and split: it stays
            there whatever voice it is given later.
        conflicts: Voices left out because earlier splits contradict each other.
        left_out: Why labelled utterances or labels are not in it -> how many.
        barred: Recording id -> why its consent does not cover the purpose.
        num_labelled: Utterances with a gold label, in it or not.
        no_consent: Why consent keeps labelled utterances out -> how many.
        before: The newest version of that name, such as "calls@3"; "" when there is none.
        lost: What its splits held and would no longer hold.
    """

    rows: pl.DataFrame
    places: pl.DataFrame
    conflicts: tuple[str, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)
    barred: Mapping[str, str] = field(default_factory=dict)
    num_labelled: int = 0
    no_consent: Mapping[str, int] = field(default_factory=dict)
    before: str = ""
    lost: tuple[SplitLoss, ...] = ()

    @property
    def schemes(self) -> tuple[str, ...]:
        """Those under which anything may be labelled, sorted."""
        return schemes_of(self.rows)

    def stored(self) -> Iterator[pl.DataFrame]:
        """The rows as they are stored, some at a time and in the order of storage.

        The gold of all schemes is one column of canonical JSON.
        """
        ordered = self.rows.sort("recording_id", "start_ms", "end_ms", "channel", "utterance_id")
        for part in ordered.iter_slices(_ROWS_AT_ONCE):
            yield part.select(
                "utterance_id",
                "recording_id",
                "channel",
                "start_ms",
                "end_ms",
                "voice",
                "group",
                "audio_file",
                "text",
                "language",
                "split",
                gold=join_gold(self.schemes),
            )

    def count(self) -> dict[tuple[Split, str, str], int]:
        """How many examples, and how many of each label, every split holds.

        Scheme and label "" count the examples themselves.
        """
        counts: dict[tuple[Split, str, str], int] = {}
        by_split = self.rows.group_by("split").len().sort("split")
        for split, number in by_split.iter_rows():
            counts[Split(split), "", ""] = number
        for scheme in self.schemes:
            labelled = self.rows.drop_nulls(LABEL + scheme)
            by_label = labelled.group_by("split", LABEL + scheme).len()
            for split, label, number in by_label.sort(pl.all()).iter_rows():
                counts[Split(split), scheme, label] = number
        return counts

    @property
    def warnings(self) -> tuple[str, ...]:
        """What somebody should look at.

        That a split loses what it held; that most of what was labelled stays out, and why.
        """
        warnings = []
        if self.lost:
            warnings.append(describe_losses(self.lost, before=self.before))
        missing = self.num_labelled - len(self.rows)
        if 2 * missing > self.num_labelled:
            share = f"{missing} of {self.num_labelled} labelled clips"
            warnings.append(f"{share} are left out: {self.reasons}")
        return tuple(warnings)

    @property
    def reasons(self) -> str:
        """Why labelled utterances are not in it, in words; of consent also what it says."""
        parts = []
        for reason, count in _most_first(self.left_out):
            part = f"{count} by {reason}"
            if reason == CONSENT:
                by_why = _most_first(self.no_consent)
                whys = [f"{why} {number}" for why, number in by_why]
                part += f" ({', '.join(whys)})"
            parts.append(part)
        return ", ".join(parts)


def _most_first(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))


def schemes_of(rows: pl.DataFrame) -> tuple[str, ...]:
    """The schemes that a frame has columns of, sorted."""
    labels = [name.removeprefix(LABEL) for name in rows.columns if name.startswith(LABEL)]
    return tuple(sorted(labels))


def join_gold(schemes: Sequence[str]) -> pl.Expr:
    """The gold of several schemes as one canonical JSON."""
    parts: list[pl.Expr] = []
    for scheme in sorted(schemes):
        name = pl.lit(f"{canonical_json(scheme)}:")
        parts.append(pl.concat_str(name, GOLD + scheme))
    joined = pl.concat_str(parts, separator=",", ignore_nulls=True)
    return pl.concat_str(pl.lit("{"), joined, pl.lit("}"))


def gold_columns(golds: Mapping[str, Gold], scheme: str) -> pl.DataFrame:
    """Gold labels as a frame.

    Args:
        golds: Utterance id, or the name of a ballot -> label.

    Returns:
        The columns utterance_id and the two of the scheme, in the order given.
    """
    stored = [canonical_json(_encode(gold)) for gold in golds.values()]
    return pl.DataFrame(
        {
            "utterance_id": list(golds),
            LABEL + scheme: [gold.label for gold in golds.values()],
            GOLD + scheme: stored,
        },
        schema={"utterance_id": pl.String, LABEL + scheme: pl.String, GOLD + scheme: pl.String},
    )


def _encode(gold: Gold) -> object:
    label = GoldLabel(
        label=gold.label,
        distribution=gold.distribution,
        num_votes=gold.num_votes,
        posterior=gold.posterior,
        standing=gold.standing,
    )
    return encode_gold({"": label})[""]


def build_examples(
    rows: pl.DataFrame,
    *,
    fixed: pl.DataFrame,
    ratios: Mapping[Split, float],
    seed: int,
    kin: pl.DataFrame | None = None,
) -> Draft:
    """Give labelled utterances their splits.

    Args:
        rows: Utterances with the fields of an example except group and split, with their speaker
            and the columns of each scheme; those without any gold label are left out. The voice is
            the one recognised across recordings; null when a speaker is a voice by itself.
        fixed: Columns name, of a voice or speaker, each once, and split: where it was put before.
        ratios: Wanted shares.
        seed: Decides among equals.
        kin: Columns recording_id and shared: what it shares with other recordings, such as a call;
            these stay in one split too.
    """
    schemes = schemes_of(rows)
    labels = [LABEL + scheme for scheme in schemes]
    speaker = pl.format("{}/{}", "recording_id", "speaker")
    # The name of what was given is taken over, so that it is gone where nobody else holds it.
    rows = rows.filter(pl.any_horizontal(pl.col(labels).is_not_null())).with_columns(
        speaker=speaker, voice=pl.coalesce("voice", speaker)
    )
    groups = group_ties(_ties(rows, kin))
    placed = place_groups(groups, fixed)
    told = rows.select("voice", "language", *labels).join(groups, on="voice", maintain_order="left")
    splits = _assign(told, placed, schemes, ratios=ratios, seed=seed)
    del told

    torn = placed.select("group", "torn")
    places = groups.join(splits, on="group").join(torn, on="group", how="left")
    rows = rows.join(places, on="voice", maintain_order="left")
    conflicts = rows.filter("torn")["voice"].unique().sort()
    if len(conflicts):
        rows = rows.filter(pl.col("torn").is_null() | ~pl.col("torn"))
    return Draft(
        rows=rows.drop("speaker", "torn"),
        places=rows.select(name="speaker", split="split").unique().sort("name"),
        conflicts=tuple(conflicts),
    )


def _ties(labelled: pl.DataFrame, kin: pl.DataFrame | None) -> pl.DataFrame:
    """What may not be divided, and the voices and speakers of it, as `group_ties` takes them."""
    speakers = labelled.select("recording_id", "speaker", "voice").unique()
    recognised = speakers.filter(pl.col("voice") != pl.col("speaker"))
    own = pl.format("speaker {}", "speaker")
    recording = pl.format("recording {}", "recording_id")
    parts = [
        recognised.select(shared=own, voice="voice"),
        recognised.select(shared=own, voice="speaker"),
        speakers.select(shared=recording, voice="speaker"),
    ]
    if kin is not None:
        shared = speakers.join(kin, on="recording_id")
        parts.append(shared.select(shared="shared", voice="speaker"))
    return pl.concat(parts)


def _assign(
    labelled: pl.DataFrame,
    placed: pl.DataFrame,
    schemes: Sequence[str],
    *,
    ratios: Mapping[Split, float],
    seed: int,
) -> pl.DataFrame:
    """The split of each group, in the columns group and split.

    Groups that were placed before count together, since they move no more: one for each split.
    """
    at_home = placed.select("group", "split")
    home = pl.format("home {}", "split")
    units = labelled.join(
        at_home,
        on="group",
        how="left",
        maintain_order="left",
    )
    units = units.with_columns(unit=pl.coalesce(home, "group"))
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    examples = units.group_by("unit").len()
    for unit, number in examples.iter_rows():
        counts[unit]["examples"] = number
    features = {"language": pl.col("language")}
    features |= {scheme: pl.col(LABEL + scheme) for scheme in schemes}
    for name, column in features.items():
        tallied = units.group_by("unit", column.alias("value")).len()
        for unit, value, number in tallied.drop_nulls().iter_rows():
            counts[unit][f"{name}={value}"] += number
    homes = {f"home {split.value}": split for split in Split}
    splits = assign_splits(
        counts,
        fixed=homes,
        ratios=ratios,
        seed=seed,
    )

    new = {group: split.value for group, split in splits.items() if group not in homes}
    added = pl.DataFrame(
        {"group": list(new), "split": list(new.values())},
        schema={"group": pl.String, "split": pl.String},
    )
    return pl.concat([at_home, added])


def separate_by_phrase(
    draft: Draft,
    scheme: str,
    recipe: Recipe,
    fixed: Mapping[str, Split],
) -> Draft:
    """A draft in which no phrase of a scheme is in two splits."""
    separated = separate_phrases(
        draft.rows,
        scheme=scheme,
        fixed=fixed,
        ratios=recipe.ratios,
        seed=recipe.seed,
    )
    places = pl.concat([draft.places, separated.places])
    left_out = dict(draft.left_out)
    if separated.num_taken:
        left_out[f"{scheme} phrase in another split"] = separated.num_taken
    return replace(
        draft,
        rows=separated.rows,
        places=places.unique("name", keep="last").sort("name"),
        left_out=left_out,
    )
