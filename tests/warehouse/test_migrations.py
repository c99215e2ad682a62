"""Every schema there was, with data inside, opens in this release and says what it said."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest

from tests.warehouse.conftest import create_calls
from voxdata.dataset import Split
from voxdata.errors import WarehouseError
from warehouse.annotations import add_annotations, current_annotations
from warehouse.chain import check_chain
from warehouse.connection import MIGRATIONS, migrate, newest_version, open_warehouse
from warehouse.guards import IMMUTABLE_TABLES, sidecar_path
from warehouse.ledger import list_drops
from warehouse.promotions import list_promotions, promoted_run
from warehouse.recordings import list_recordings
from warehouse.rows import read_rows
from warehouse.runs import list_training_runs
from warehouse.utterances import list_utterances
from warehouse.verify import verify_all
from warehouse.versions import find_version, load_examples

OLD_ID = "ab" * 32


def migrations_until(schema: int) -> list[Path]:
    return [file for file in sorted(MIGRATIONS.glob("0*.sql")) if int(file.name[:4]) <= schema]


def build(path: Path, schema: int) -> None:
    if schema < 6:
        line = json.dumps({"version_id": OLD_ID, "name": "calls", "number": 1, "n": 2})
        sidecar_path(path).write_text(line + "\n", encoding="utf-8")
    _build(path, schema)


def _build(path: Path, schema: int) -> None:
    """A warehouse as the release of a schema left it: a recording, an utterance, a vote, a drop,
    and a version of two examples.
    """
    with duckdb.connect(path) as con:
        con.execute(
            "create table schema_version(version integer, name varchar, applied_at timestamp)"
        )
        for file in migrations_until(schema):
            con.execute(file.read_text(encoding="utf-8"))
            con.execute(
                "insert into schema_version values (?, ?, now())",
                [int(file.name[:4]), file.stem],
            )
        con.execute(
            """
            insert into recording(
              recording_id, sample_rate_hz, num_samples, num_channels, layout,
              canonical_channels, codec, container, audio_file, run_id
            )
            values ('r1', 8000, 80000, 1, 'mono', 1, 'pcm_s16le', 'wav', 'r1.flac', 't')
            """
        )
        con.execute(
            "insert into source(uri, size_bytes, modified_ns, recording_id, run_id) values "
            "('/a.wav', 1, 2, 'r1', 't')"
        )
        con.execute(
            "insert into ledger(stage, subject, reason, detail, key, run_id) values "
            "('ingest', '/b.wav', 'empty', '0 bytes', '', 't')"
        )
        if schema == 1:
            con.execute(
                """
                insert into prelabel_result(
                  recording_id, key, num_turns, num_utterances, models, run_id
                )
                values ('r1', 'k', 0, 1, '{}', 't')
                """
            )
        else:
            con.execute(
                """
                insert into stage_result(
                  recording_id, stage, key, num_rows, audio_ms, seconds, run_id
                )
                values ('r1', 'cut', 'k', 1, 10000, 1.0, 't')
                """
            )
        con.execute(
            """
            insert into utterance(
              utterance_id, recording_id, key, channel, speaker, start_ms, end_ms,
              text, language, words, run_id
            )
            values ('u1', 'r1', 'k', 0, 'S0', 0, 900, '你好', 'zh', '[]', 't')
            """
        )
        labels = '{"intent":"ask"}' if schema < 5 else '{"intent":["ask"]}'
        con.execute(
            """
            insert into annotation(
              annotation_id, project_id, utterance_id, annotator, labels,
              skipped, deleted, updated_at, run_id
            )
            values (1, 1, 'u1', 'a', ?, false, false, '2026-01-01', 't')
            """,
            [labels],
        )
        if schema < 6:
            shares = {"ask": 2 / 3, "tell": 1 / 3}
            for number, split in enumerate(("train", "test")):
                gold = {"intent": {"label": "ask", "num_votes": 3, "distribution": shares}}
                con.execute(
                    """
                    insert into example(
                      sha, row_id, utterance_id, recording_id, channel, start_ms, end_ms,
                      voice, "group", audio_file, text, language, split, gold, run_id
                    )
                    values (?, ?, ?, 'r1', 0, 0, 900, ?, 'g', 'r1.flac', '你好', 'zh', ?, ?, 't')
                    """,
                    [f"s{number}", number + 1, f"u{number}", f"v{number}", split, json.dumps(gold)],
                )
                con.execute("insert into manifest values (1, ?)", [number + 1])
            con.execute(
                """
                insert into dataset_version(
                  version_id, name, number, manifest_key, num_examples, recipe, run_id
                )
                values (?, 'calls', 1, 1, 2, '{"consensus":"majority"}', 't')
                """,
                [OLD_ID],
            )
            for table in ("example", "manifest", "dataset_version", "split_assignment", "outbox"):
                for verb in ("update", "delete"):
                    con.execute(
                        f"create trigger {table}_no_{verb} after {verb} on {table} "
                        "referencing old table as old_rows for each statement "
                        f"insert into refused_change select error('{table} is immutable') "
                        "from old_rows"
                    )


@pytest.mark.parametrize(
    "schema",
    [int(file.name[:4]) for file in migrations_until(newest_version() - 1)],
)
def test_open_warehouse_brings_every_earlier_schema_up_with_its_data(
    tmp_path: Path, schema: int
) -> None:
    path = tmp_path / "w.duckdb"
    build(path, schema)
    with pytest.raises(WarehouseError, match="older"), open_warehouse(path, read_only=True):
        pass
    with open_warehouse(path) as con:
        uris = [s.uri for s in list_recordings(con)]
        assert uris == ["/a.wav"]
        texts = [u.text for u in list_utterances(con)]
        assert texts == ["你好"]
        subjects = [row.subject for row in list_drops(con)]
        assert subjects == ["/b.wav"]
        assert [dict(a.labels) for a in current_annotations(con)] == [{"intent": ("ask",)}]
        assert len(read_rows(con, "from duckdb_triggers()")) == 2 * len(IMMUTABLE_TABLES)
        (annotation,) = current_annotations(con)
        add_annotations(con, [annotation], run_id="t")
        assert check_chain(con) == []
        if schema < 6:
            version = find_version(con, "calls@1")
            assert version.version_id == OLD_ID
            assert version.num_examples == 2
            assert len(version.root) == 64
            examples = load_examples(con, OLD_ID)
            assert [(e.text, e.split, dict(e.gold["intent"].distribution)) for e in examples] == [
                ("你好", split, {"ask": 0.666667, "tell": 0.333333})
                for split in (Split.TRAIN, Split.TEST)
            ]
            problems = [one.problems for one in verify_all(con)]
            assert problems == [()]
            assert find_version(con, OLD_ID[:8]).ref == "calls@1"
            created = create_calls(con, examples)
            assert created == (version, False)
        assert read_rows(con, "select count(*) as n from utterances") == [{"n": 1}]
    with open_warehouse(path, read_only=True) as con:
        assert read_rows(con, "select max(version) as v from schema_version") == [
            {"v": newest_version()}
        ]


def test_migrate_leaves_the_old_schema_when_a_step_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "w.duckdb"
    build(path, 5)
    broken = tmp_path / "migrations"
    broken.mkdir()
    for file in sorted(MIGRATIONS.glob("0*.sql")):
        text = file.read_text(encoding="utf-8")
        (broken / file.name).write_text(
            text + ("\nselect no_such_function();" if file.name.startswith("0006") else ""),
            encoding="utf-8",
        )
    with monkeypatch.context() as patch:
        patch.setattr("warehouse.connection.MIGRATIONS", broken)
        with pytest.raises(duckdb.Error, match="no_such_function"), open_warehouse(path):
            pass
    with duckdb.connect(path) as con:
        assert con.execute(
            "select max(version), (select count(*) from example), (select count(*) from "
            "manifest) from schema_version"
        ).fetchall() == [(5, 2, 2)]
    with open_warehouse(path) as con:
        assert verify_all(con)[0].ok


def test_migrate_builds_the_same_schema_in_one_go_and_step_by_step(tmp_path: Path) -> None:
    build(tmp_path / "steps.duckdb", 1)
    with open_warehouse(tmp_path / "steps.duckdb"):
        pass
    with duckdb.connect(tmp_path / "steps.duckdb") as steps, duckdb.connect(":memory:") as fresh:
        migrate(fresh)
        query = (
            "select table_name, column_name, data_type from duckdb_columns() where schema_name = "
            "'main' and not internal order by all"
        )
        assert steps.execute(query).fetchall() == fresh.execute(query).fetchall()


def test_migrate_takes_the_label_from_proposals_that_said_nothing(tmp_path: Path) -> None:
    build(tmp_path / "w.duckdb", 7)
    shares = {
        "even": '{"ask":0.3333333,"tell":0.3333333,"cry":0.3333334}',
        "tied": '{"ask":0.4,"tell":0.4,"cry":0.2}',
        "sure": '{"ask":0.6,"tell":0.4}',
    }
    with duckdb.connect(tmp_path / "w.duckdb") as con:
        for key, distribution in shares.items():
            con.execute(
                """
                insert into prediction(
                  prediction_id, utterance_id, scheme, scheme_version, label,
                  distribution, model_key, key, run_id
                )
                values ($key, $key, 'intent', 1, 'ask', $shares, 'm', '', 't')
                """,
                {"key": key, "shares": distribution},
            )
    with open_warehouse(tmp_path / "w.duckdb") as con:
        rows = read_rows(con, "select prediction_id as id, label from prediction")
    labels = {row["id"]: row["label"] for row in rows}
    assert labels == {"even": "", "tied": "", "sure": "ask"}


def test_migrate_takes_over_who_was_promoted_before_promotions_had_a_table(tmp_path: Path) -> None:
    build(tmp_path / "w.duckdb", 18)
    with duckdb.connect(tmp_path / "w.duckdb") as con:
        for training_id, scheme, promoted in (
            ("t1", "intent", True),
            ("t2", "intent", True),
            ("t3", "intent", False),
            ("t4", "emotion", False),
        ):
            con.execute(
                """
                insert into training_run(
                  training_id, scheme, version_id, config_key, state, model_key, model_name,
                  checkpoint_dir, result, promoted, reason, seconds, run_id
                )
                values (?, ?, 'v', 'c', 'done', 'm', 'n', 'd', '{}', ?, 'better', 1, 'old')
                """,
                [training_id, scheme, promoted],
            )
    with open_warehouse(tmp_path / "w.duckdb") as con:
        in_use = promoted_run(con, "label:intent")
        assert in_use is not None
        assert in_use.training_id == "t2"
        assert promoted_run(con, "label:emotion") is None
        assert [(p.training_id, p.decided_by, p.reason) for p in list_promotions(con)] == [
            ("t1", "rule", "better"),
            ("t2", "rule", "better"),
        ]
        assert {run.role for run in list_training_runs(con)} == {"label:intent", "label:emotion"}
