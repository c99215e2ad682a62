"""Votes: which annotations count, and what they settle on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from duckdb import DuckDBPyConnection

from annotation.settle import Answers
from voxdata.label import Annotation
from voxdata.scheme_history import SchemeHistory, find_orphans, migrate, without_orphans
from warehouse.annotations import current_annotations
from warehouse.checks import list_checks
from warehouse.pushes import list_projects


def read_answers(con: DuckDBPyConnection, histories: Mapping[str, SchemeHistory]) -> Answers:
    """Read the annotations that stand, in today's labels."""
    purposes = {project.project_id: project.purpose for project in list_projects(con)}
    checks = list_checks(con)
    present = [a for a in current_annotations(con) if not a.deleted]
    migrated = migrate(present, histories)
    orphans = find_orphans(present, histories)
    standing = [_without(a, orphans) for a in migrated.annotations]
    by_people = [a for a in standing if purposes.get(a.project_id) != "adjudicate"]
    return Answers(
        labels=tuple(a for a in by_people if a.utterance_id not in checks),
        checks=tuple(a for a in standing if a.utterance_id in checks),
        decisions=tuple(a for a in standing if purposes.get(a.project_id) == "adjudicate"),
        undecided=migrated.undecided,
        orphans=orphans,
    )


def _without(annotation: Annotation, orphans: Mapping[tuple[str, str], int]) -> Annotation:
    kept = without_orphans(annotation.labels, orphans)
    return annotation if kept == annotation.labels else replace(annotation, labels=kept)
