"""Which utterances without a gold label a training may hear beside a version, and in which split.

They are of the version's recordings, pass its recipe and today's consent, and lie in the split of
their recording. Whoever or whatever is on two sides of a split is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from duckdb import DuckDBPyConnection

from voxdata.errors import ConfigError
from voxdata.identity import digest
from voxdata.phrases import phrase_of
from warehouse.consent import barred_frame
from warehouse.moment import Moment
from warehouse.rows import make_lookup, read_frame, read_rows
from warehouse.selection import Sight, select_utterances
from warehouse.version_tables import (
    CORRECTED,
    EXAMPLES,
    HEARD,
    HOMES,
    MEASURES,
    METADATA,
    UTTERANCES,
)

if TYPE_CHECKING:
    import polars as pl

UNLABELLED = "version_unlabelled"
"""The temporary table of `find_unlabelled`."""

SIGHT = Sight(utterances=UTTERANCES, measures=MEASURES, metadata=METADATA)

OTHER_SPLIT = "voice in another split"
OTHER_PHRASE = "phrase in another split"
NO_RECIPE = "recipe cannot be applied"

_SIDES = f"""
  select voice, split from {HEARD}
  union select voice, other_split from {HEARD} join {HOMES} using (recording_id)
  union select voice, split from {EXAMPLES}
  union select h.voice, a.split from {HEARD} h join split_assignment a on a.voice = h.voice
    where a.seq < $places_before
  union select h.voice, a.split from {HEARD} h join split_assignment a on a.voice = h.speaker_name
    where a.seq < $places_before"""
"""Every split that a voice was ever on the side of, by itself or by a recording."""


def find_unlabelled(
    con: DuckDBPyConnection, moment: Moment, *, today: date, seconds: float
) -> dict[str, int]:
    """Make a temporary table of the utterances without a gold label that a training may hear.

    The tables of `warehouse.version_tables` are there. Its columns are those of HEARD.

    Args:
        today: Consent may have ended since the version was cut.
        seconds: After which the condition of the recipe is stopped.

    Returns:
        Why the others stay out -> how many.
    """
    chosen, left_out = _apply_recipe(con, moment, today=today, seconds=seconds)
    con.register("chosen_unlabelled", chosen)
    try:
        con.execute(
            f"""create or replace temp table {UNLABELLED} as
            from {HEARD} semi join chosen_unlabelled using (utterance_id)"""
        )
    finally:
        con.unregister("chosen_unlabelled")
    left_out[OTHER_SPLIT] += _take_out_divided(con, moment)
    for scheme in moment.recipe.phrases:
        left_out[OTHER_PHRASE] += _take_out_phrases(con, moment, scheme)
    return {why: number for why, number in sorted(left_out.items()) if number}


def _apply_recipe(
    con: DuckDBPyConnection, moment: Moment, *, today: date, seconds: float
) -> tuple[pl.DataFrame, Counter[str]]:
    """Column utterance_id of those that pass, and why others do not.

    A condition that asks for a gold label is true of none.
    """
    recipe = moment.recipe
    schemes = moment.scheme_versions or dict.fromkeys(recipe.schemes, 1)
    gold = "".join(map(_null_columns, schemes))
    asked = read_frame(
        con,
        f"select utterance_id {gold} from {HEARD} anti join {EXAMPLES} using (utterance_id)",
    )
    barred = barred_frame(con, purpose=recipe.purpose, policy=recipe.consent, today=today)
    try:
        judged = select_utterances(con, recipe, asked, barred=barred, seconds=seconds, sight=SIGHT)
    except ConfigError:
        # The condition of an old version may be one that is refused today: that is no reason not to
        # train on what it holds.
        return asked.select("utterance_id").clear(), Counter({NO_RECIPE: len(asked)})
    counts = judged.group_by("reason").len()
    left_out = Counter(dict(counts.iter_rows()))
    left_out.pop("", None)
    return judged.remove(judged["reason"] != "").select("utterance_id"), left_out


def _null_columns(scheme: str) -> str:
    """The columns of a scheme that a condition may name, of an utterance without a gold label."""
    types = {"": "varchar", "_votes": "bigint", "_share": "double", "_standing": "varchar"}
    parts = [f', null::{kind} as "{scheme}{suffix}"' for suffix, kind in types.items()]
    return "".join(parts)


def _take_out_divided(con: DuckDBPyConnection, moment: Moment) -> int:
    """Take out whoever is on two sides. Returns how many utterances went."""
    return _delete(
        con,
        f"""voice in (
          select voice from ({_SIDES}) group by voice having min(split) <> max(split))""",
        {"places_before": moment.places_before},
    )


def _take_out_phrases(con: DuckDBPyConnection, moment: Moment, scheme: str) -> int:
    """Take out what says a phrase of another split. Returns how many utterances went."""
    rows = read_rows(
        con,
        f"""select distinct coalesce(corrected, text) as text
        from {UNLABELLED} join {UTTERANCES} using (utterance_id)
        left join {CORRECTED} using (utterance_id) order by text""",
    )
    texts = [str(row["text"]) for row in rows]
    names = [f"phrase/{scheme}/{digest(phrase_of(text))}" for text in texts]
    make_lookup(con, "unlabelled_phrase", {"text": ("varchar", texts), "name": ("varchar", names)})
    gone = _delete(
        con,
        f"""utterance_id in (
          select u.utterance_id from {UNLABELLED} u join {UTTERANCES} t using (utterance_id)
          left join {CORRECTED} c using (utterance_id)
          join unlabelled_phrase p on p.text = coalesce(c.corrected, t.text)
          join split_assignment a on a.voice = p.name
          where a.seq < $places_before and a.split <> u.split)""",
        {"places_before": moment.places_before},
    )
    con.execute("drop table unlabelled_phrase")
    return gone


def _delete(con: DuckDBPyConnection, condition: str, values: Mapping[str, object]) -> int:
    rows: list[dict[str, Any]] = read_rows(
        con, f"delete from {UNLABELLED} where {condition} returning 1 as gone", values
    )
    return len(rows)
