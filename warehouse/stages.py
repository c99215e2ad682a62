"""Results of the stages of pre-labelling: which there are, which is in force, what each cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from duckdb import DuckDBPyConnection

from warehouse.rows import insert_query, insert_rows, read_rows

if TYPE_CHECKING:
    import polars as pl

_WANTED = "wanted_results"


@dataclass(frozen=True, slots=True, kw_only=True)
class StageResults:
    """What is on record for a recording, as far as some keys and models go.

    Attributes:
        known: (stage, key) of every result.
        current: Stage -> key of the result in force; "" for one under another key.
        models: Keys of the models behind the results.
    """

    known: frozenset[tuple[str, str]] = frozenset()
    current: Mapping[str, str] = field(default_factory=dict)
    models: frozenset[str] = frozenset()


_NEVER, _ELSE, _AGAIN, _DONE = "0123"
"""How a stage stands in a signature: without a result, with those of other keys, with one of its
key that is not in force, with one that is."""


def frame_signatures(
    con: DuckDBPyConnection, keys: Mapping[str, str], models: Sequence[str]
) -> pl.DataFrame:
    """All recordings, oldest first, each with a short text that says what is on record for it.

    Those of one signature stand alike, so that they are judged once; see `read_signature`.

    Args:
        keys: Stage -> the key that its results are compared with.
        models: Keys of models that are looked for.

    Returns:
        `recording_id`, `signature` and `duration_ms`.
    """
    # Under which stage a result is, and whether under its key: 2 and 3 are under the second one.
    places = " ".join(
        f"when stage = $stage{place} then {2 * place} + (key <> $key{place})::integer"
        for place in range(len(keys))
    )
    users = " ".join(f"when model_key = $model{place} then {place}" for place in range(len(models)))
    newest = "".join(
        f""",
        max(seq) filter (place // 2 = {place}) as newest_{place},
        max(seq) filter (place = {2 * place}) as own_{place}"""
        for place in range(len(keys))
    )
    uses = "".join(
        f", coalesce(bool_or(model = {place}), false) as uses_{place}"
        for place in range(len(models))
    )
    letters = [
        f"""case when newest_{place} is null then '{_NEVER}' when own_{place} is null then '{_ELSE}'
            when own_{place} < newest_{place} then '{_AGAIN}' else '{_DONE}' end"""
        for place in range(len(keys))
    ]
    letters += [f"if(uses_{place}, '1', '0')" for place in range(len(models))]
    parameters = {f"stage{place}": stage for place, stage in enumerate(keys)}
    parameters |= {f"key{place}": key for place, key in enumerate(keys.values())}
    parameters |= {f"model{place}": model for place, model in enumerate(models)}
    frame: pl.DataFrame = con.sql(
        f"""with result as (
          select recording_id, seq, case when false then -1 {places} else -1 end as place,
            case when false then -1 {users} else -1 end as model
          from stage_result),
        summary as (
          select recording_id{newest}{uses} from result group by recording_id)
        select r.recording_id,
          coalesce(concat({", ".join(letters)}), '{_NEVER * len(letters)}') as signature,
          (r.num_samples * 1000 // r.sample_rate_hz)::bigint as duration_ms
        from recording r left join summary using (recording_id) order by r.seq""",
        params=parameters,
    ).pl()
    return frame


def read_signature(signature: str, keys: Mapping[str, str], models: Sequence[str]) -> StageResults:
    """What a signature says; `keys` and `models` are those that it was made with."""
    how = dict(zip(keys, signature, strict=False))
    used = signature[len(keys) :]
    return StageResults(
        known=frozenset((s, keys[s]) for s, letter in how.items() if letter in (_AGAIN, _DONE)),
        current={
            s: keys[s] if letter == _DONE else "" for s, letter in how.items() if letter != _NEVER
        },
        models=frozenset(m for m, is_used in zip(models, used, strict=True) if is_used == "1"),
    )


def has_result(con: DuckDBPyConnection, *, recording_id: str, stage: str, key: str) -> bool:
    """Whether a stage was computed for a recording under this key."""
    rows = read_rows(
        con,
        "select 1 from stage_result where recording_id = ? and stage = ? and key = ? limit 1",
        [recording_id, stage, key],
    )
    return bool(rows)


def record_stage(
    con: DuckDBPyConnection,
    *,
    recording_id: str,
    stage: str,
    key: str,
    model_key: str | None,
    num_rows: int,
    audio_ms: int,
    seconds: float,
    run_id: str,
) -> None:
    """Note that a stage was computed; call it in the transaction that stores its rows."""
    row: dict[str, object] = {
        "recording_id": recording_id,
        "stage": stage,
        "key": key,
        "model_key": model_key,
        "num_rows": num_rows,
        "audio_ms": audio_ms,
        "seconds": seconds,
        "run_id": run_id,
    }
    insert_rows(con, "stage_result", [row])


def reuse_results(con: DuckDBPyConnection, wanted: pl.DataFrame, *, run_id: str) -> int:
    """Put earlier results in force again, as one statement.

    Args:
        wanted: `recording_id`, `stage` and `key` of results on record.

    Returns:
        How many.
    """
    con.register(_WANTED, wanted)
    try:
        return insert_query(
            con,
            "stage_result",
            f"""select recording_id, stage, key, arg_max(model_key, seq) as model_key,
              arg_max(num_rows, seq) as num_rows, 0 as audio_ms, 0.0 as seconds, true as reused,
              $run_id as run_id
            from stage_result semi join {_WANTED} using (recording_id, stage, key)
            group by recording_id, stage, key order by recording_id, stage""",
            {"run_id": run_id},
        )
    finally:
        con.unregister(_WANTED)


def stage_rates(con: DuckDBPyConnection) -> dict[tuple[str, str | None], float]:
    """(stage, model key) -> seconds of work for each second of audio.

    Over all results that were computed, and not reused.
    """
    rows: list[dict[str, Any]] = read_rows(
        con,
        """select stage, model_key, sum(seconds) * 1000 / sum(audio_ms) as rate
        from stage_result where not reused and audio_ms > 0 group by all""",
    )
    return {(row["stage"], row["model_key"]): float(row["rate"]) for row in rows}
