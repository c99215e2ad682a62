"""Predictions by models."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from duckdb import DuckDBPyConnection

from voxdata.identity import ModelRef, canonical_json, digest
from voxdata.label import Prediction
from warehouse.connection import transaction
from warehouse.rows import insert_new, read_rows


def add_models(con: DuckDBPyConnection, models: Iterable[ModelRef], *, run_id: str) -> int:
    """Add the models that are not known yet.

    Returns:
        How many were new.
    """
    rows: list[dict[str, object]] = [
        {
            "model_key": model.key,
            "name": model.name,
            "revision": model.revision,
            "params": canonical_json(dict(model.params)),
            "weak": model.weak,
            "run_id": run_id,
        }
        for model in models
    ]
    return insert_new(con, "model", rows, key=("model_key",))


def add_predictions(
    con: DuckDBPyConnection,
    predictions: Sequence[Prediction],
    *,
    scheme_versions: Mapping[str, int],
    run_id: str,
    key: str = "",
) -> int:
    """Add predictions with their models, each once for utterance, scheme, scheme version, model and
    key.

    Args:
        scheme_versions: Scheme name -> version, for every scheme predicted.
        key: The key of the label stage, which also tells what the model was given.

    Returns:
        How many were new.
    """
    rows: list[dict[str, object]] = []
    for prediction in predictions:
        version = scheme_versions[prediction.scheme]
        rows.append(
            {
                "prediction_id": digest(
                    prediction.utterance_id, prediction.scheme, version, prediction.model.key, key
                ),
                "utterance_id": prediction.utterance_id,
                "scheme": prediction.scheme,
                "scheme_version": version,
                "label": prediction.guess() or "",
                "distribution": canonical_json(dict(prediction.distribution)),
                "model_key": prediction.model.key,
                "key": key,
                "run_id": run_id,
            }
        )
    with transaction(con):
        add_models(con, {p.model.key: p.model for p in predictions}.values(), run_id=run_id)
        return insert_new(con, "prediction", rows, key=("prediction_id",))


def list_predictions(
    con: DuckDBPyConnection,
    *,
    scheme: str,
    model_key: str | None = None,
    utterance_ids: Sequence[str] | None = None,
) -> dict[str, Prediction]:
    """Utterance id -> its newest prediction under a scheme, by one model or, with None, by any.

    Args:
        utterance_ids: Of these; of all when None.
    """
    rows: list[dict[str, Any]] = read_rows(
        con,
        """select p.utterance_id, p.distribution, p.model_key
        from prediction p
        where p.scheme = $scheme and ($model_key is null or p.model_key = $model_key)
          and ($ids is null or p.utterance_id in (select unnest($ids::varchar[])))
        qualify row_number() over (partition by p.utterance_id order by p.seq desc) = 1
        order by p.utterance_id
        """,
        {
            "scheme": scheme,
            "model_key": model_key,
            "ids": None if utterance_ids is None else list(utterance_ids),
        },
    )
    models = _models(con)
    return {
        row["utterance_id"]: Prediction(
            utterance_id=row["utterance_id"],
            scheme=scheme,
            distribution=json.loads(row["distribution"]),
            model=models[row["model_key"]],
        )
        for row in rows
    }


def model_keys(con: DuckDBPyConnection, *, scheme: str) -> list[str]:
    """Keys of every model that ever proposed under a scheme."""
    rows = read_rows(
        con,
        "select distinct model_key from prediction where scheme = ? order by model_key",
        [scheme],
    )
    return [str(row["model_key"]) for row in rows]


def _models(con: DuckDBPyConnection) -> dict[str, ModelRef]:
    rows: list[dict[str, Any]] = read_rows(
        con, "select model_key, name, revision, params, weak from model"
    )
    return {
        row.pop("model_key"): ModelRef(**{**row, "params": json.loads(row["params"])})
        for row in rows
    }
