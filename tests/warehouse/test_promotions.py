"""Which model is in use: the newest decision counts, whoever took it."""

from __future__ import annotations

from dataclasses import replace

from duckdb import DuckDBPyConnection

from tests.warehouse.test_runs import RUN
from warehouse.promotions import (
    DecidedBy,
    Promotion,
    add_judged_run,
    add_promotion,
    current_promotions,
    list_promotions,
    promoted_run,
)

ROLE = "label:intent"


def decide(con: DuckDBPyConnection, training_id: str, by: DecidedBy = "person") -> Promotion:
    promotion = Promotion(role=ROLE, training_id=training_id, decided_by=by, reason="said so")
    add_promotion(con, promotion, run_id="t")
    return promotion


def test_promoted_run_is_none_after_a_demotion_and_back_after_a_promotion(
    con: DuckDBPyConnection,
) -> None:
    add_judged_run(con, RUN, run_id="t")
    demotion = decide(con, "")
    assert promoted_run(con, ROLE) is None
    assert current_promotions(con) == {ROLE: demotion}
    decide(con, "t1")
    back = promoted_run(con, ROLE)
    assert back is not None
    assert back.training_id == "t1"
    decided = [(one.training_id, one.decided_by) for one in list_promotions(con)]
    assert decided == [("t1", "rule"), ("", "person"), ("t1", "person")]


def test_promoted_run_is_of_its_role_alone(con: DuckDBPyConnection) -> None:
    add_judged_run(con, RUN, run_id="t")
    heard = replace(RUN, training_id="t2", scheme="", role="transcribe")
    add_judged_run(con, heard, run_id="t")
    in_use = {role: one.training_id for role, one in current_promotions(con).items()}
    assert in_use == {ROLE: "t1", "transcribe": "t2"}


def test_add_judged_run_promotes_nothing_when_the_run_is_known(con: DuckDBPyConnection) -> None:
    add_judged_run(con, RUN, run_id="t")
    decide(con, "")
    assert not add_judged_run(con, RUN, run_id="t")
    assert promoted_run(con, ROLE) is None


def test_add_judged_run_leaves_the_model_in_use_when_the_judge_refuses(
    con: DuckDBPyConnection,
) -> None:
    add_judged_run(con, RUN, run_id="t")
    add_judged_run(con, replace(RUN, training_id="t2", promoted=False), run_id="t")
    in_use = promoted_run(con, ROLE)
    assert in_use is not None
    assert in_use.training_id == "t1"
