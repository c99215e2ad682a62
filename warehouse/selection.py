"""Selection: which utterances a recipe takes, told in SQL, and why the others stay out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import duckdb
import sqlglot
from duckdb import DuckDBPyConnection
from sqlglot import exp

from voxdata.consent import CONSENT
from voxdata.errors import ConfigError
from voxdata.measure import LARGER_IS_WORSE, MEASURES
from voxdata.recipe import Recipe
from warehouse.engine import time_limit
from warehouse.functions import CONDITIONS
from warehouse.rows import read_frame

if TYPE_CHECKING:
    import polars as pl

PLAIN = (
    "utterance_id",
    "recording_id",
    "channel",
    "speaker",
    "start_ms",
    "end_ms",
    "duration_ms",
    "text",
    "language",
    "recorded_on",
    "uri",
    "said",
)
"""Columns a condition may name besides the measures and, for each scheme, `<scheme>`,
`<scheme>_votes`, `<scheme>_share` and `<scheme>_standing`. `said` maps the names of a manifest to
their values: said['customer'].
"""

_LABELLED, _BARRED = "labelled_utterances", "barred_recordings"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """Tables or views of what is looked at: as it is in force now, unless others are given."""

    utterances: str = "current_utterance"
    measures: str = "current_measure"
    metadata: str = "current_recording_metadata"


NOW = Sight()

# A date that a manifest gives counts; what it gives in another form does not, as `voxdata
# recordings` shows.
_VIEW = f"""with said as (
    select recording_id, map(list(name order by name), list(value order by name)) as said
    from {{metadata}}
    group by recording_id
  ),
  held as (
    select recording_id, placed(arg_min(uri, seq)) as uri
    from source
    where recording_id is not null
    group by recording_id
  )
  select u.utterance_id, u.recording_id, u.channel, u.speaker, u.start_ms, u.end_ms,
    u.end_ms - u.start_ms as duration_ms, u.text, u.language,
    coalesce(try_cast(s.said['recorded_at'] as date), r.created_at::date) as recorded_on, h.uri,
    coalesce(s.said, map([]::varchar[], []::varchar[])) as said,
    {", ".join(f"m.{name}" for name in MEASURES)}, g.* exclude (utterance_id)
  from {{utterances}} u
  join {_LABELLED} g using (utterance_id)
  join recording r using (recording_id)
  left join {{measures}} m using (utterance_id)
  left join said s using (recording_id)
  left join held h using (recording_id)"""


def select_utterances(
    con: DuckDBPyConnection,
    recipe: Recipe,
    labelled: pl.DataFrame,
    *,
    barred: pl.DataFrame,
    seconds: float = 300.0,
    sight: Sight = NOW,
) -> pl.DataFrame:
    """Apply a recipe to the utterances that have a gold label.

    Args:
        labelled: Column utterance_id, each once, and for each scheme <scheme>, <scheme>_votes,
            <scheme>_share and <scheme>_standing.
        barred: Columns recording_id and why: it may not be used.
        seconds: After which it is stopped.
        sight: What is looked at.

    Returns:
        Columns utterance_id, recording_id and reason: the first one that keeps it out, "" when it
        enters. Utterances that are not in force are left out.

    Raises:
        ConfigError: The condition of the recipe is not one, names what there is not, or takes too
            long.
    """
    conditions = _conditions(recipe, [*PLAIN, *MEASURES, *labelled.columns[1:]])
    cases = " ".join(
        f"when not coalesce({condition}, false) then '{reason}'"
        for reason, condition in conditions.items()
    )
    view = _VIEW.format(**asdict(sight))
    con.register(_LABELLED, labelled)
    con.register(_BARRED, barred)
    try:
        with time_limit(con, seconds, what=f"the recipe's condition {recipe.where!r}"):
            return read_frame(
                con,
                f"""select utterance_id, recording_id,
                  case when b.why is not null then '{CONSENT}' {cases} else '' end as reason
                from ({view}) u left join {_BARRED} b using (recording_id)""",
                _parameters(recipe),
            )
    except duckdb.Error as error:
        raise ConfigError(
            f"the recipe's condition {recipe.where!r} cannot be used: {str(error).splitlines()[0]}"
        ) from error
    finally:
        con.unregister(_LABELLED)
        con.unregister(_BARRED)


def parse_condition(where: str, columns: Sequence[str]) -> str:
    """Check that an SQL condition is one, and nothing more.

    Args:
        columns: What it may name.

    Returns:
        The condition in canonical form, so that spacing and case of keywords make no difference,
        and what is run is what was checked.

    Raises:
        ConfigError: It cannot be parsed, or has a piece that a condition may not have, such as a
            query, a function that is not in `warehouse.functions.CONDITIONS`, or another column;
            the message names the piece.
    """
    if len(where) > LONGEST:
        raise ConfigError(f"a condition of {len(where)} characters: at most {LONGEST} are read")
    try:
        parsed = sqlglot.parse_one(where, into=exp.Condition, dialect="duckdb")
        for node in parsed.walk():
            problem = _problem(node, columns)
            if problem:
                raise ConfigError(f"{where!r}: {problem}")
        return parsed.sql(dialect="duckdb")
    except sqlglot.errors.SqlglotError as error:
        raise ConfigError(
            f"{where!r} is no SQL condition ({str(error).splitlines()[0]}); write one such as "
            "duration_ms > 500"
        ) from error
    except RecursionError as error:
        raise ConfigError(f"{where[:60]!r}...: has too many parts inside each other") from error


LONGEST = 10_000

_SHAPES = (
    exp.Alias,
    exp.And,
    exp.Array,
    exp.Between,
    exp.Boolean,
    exp.Bracket,
    exp.Case,
    exp.Cast,
    exp.Column,
    exp.DataType,
    exp.Identifier,
    exp.If,
    exp.In,
    exp.Interval,
    exp.Is,
    exp.Literal,
    exp.Neg,
    exp.Not,
    exp.Null,
    exp.Or,
    exp.Paren,
    exp.TryCast,
    exp.Tuple,
    exp.Var,
    exp.EQ,
    exp.NEQ,
    exp.GT,
    exp.GTE,
    exp.LT,
    exp.LTE,
    exp.NullSafeEQ,
    exp.NullSafeNEQ,
    exp.Like,
    exp.ILike,
    exp.Escape,
    exp.SimilarTo,
    exp.Glob,
    exp.Add,
    exp.Sub,
    exp.Mul,
    exp.Div,
    exp.IntDiv,
    exp.Mod,
    exp.DPipe,
    exp.RegexpLike,
    exp.Extract,
)
"""Columns, literals, operators and what holds them together."""


def _problem(node: exp.Expr, columns: Sequence[str]) -> str:
    """What is wrong with a piece of a condition; "" when nothing is."""
    if isinstance(node, exp.Column):
        if not node.table and node.name in columns:
            return ""
        return f"there is no {node.sql()}; a condition may name {', '.join(columns)}"
    if isinstance(node, exp.Query):
        return (
            f"{node.sql(dialect='duckdb')} is a query; a condition looks at one utterance at a time"
        )
    if isinstance(node, exp.AggFunc | exp.Window):
        return (
            f"{node.sql(dialect='duckdb')} looks at several utterances; "
            "a condition looks at one at a time"
        )
    if isinstance(node, _SHAPES):
        return ""
    called = _called(node)
    if called in CONDITIONS:
        return ""
    if called:
        return (
            f"{called}() is no function that a condition may call; "
            "docs/warehouse.md lists the allowed ones"
        )
    return f"{node.sql(dialect='duckdb')} is no part that a condition may have"


def _called(node: exp.Expr) -> str:
    """The name under which DuckDB knows a function; "" for what is none."""
    if isinstance(node, exp.Anonymous):
        return str(node.name).lower()
    if not isinstance(node, exp.Func):
        return ""
    written = node.sql(dialect="duckdb")
    name = re.match(r"\w+(?=\()", written)
    return name[0].lower() if name else node.sql_name().lower()


def _conditions(recipe: Recipe, columns: Sequence[str]) -> dict[str, str]:
    conditions: dict[str, str] = {}
    if recipe.languages:
        conditions["language"] = "list_contains($languages, language)"
    if recipe.since or recipe.until:
        conditions["date"] = (
            "recorded_on between coalesce($since, recorded_on) and coalesce($until, recorded_on)"
        )
    for name in sorted(recipe.limits):
        # What was not measured stays: a limit is about what is known to be bad.
        conditions[name] = (
            f"coalesce({name} {'<=' if name in LARGER_IS_WORSE else '>='} $limit_{name}, true)"
        )
    if recipe.where:
        conditions["where"] = f"({parse_condition(recipe.where, columns)})"
    return conditions


def _parameters(recipe: Recipe) -> dict[str, object]:
    found: dict[str, object] = {f"limit_{name}": value for name, value in recipe.limits.items()}
    if recipe.languages:
        found["languages"] = list(recipe.languages)
    if recipe.since or recipe.until:
        found |= {"since": recipe.since, "until": recipe.until}
    return found
