"""Dataset versions for people: what one holds, what separates two, whether they are intact."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from duckdb import DuckDBPyConnection

from flows.pages.views import diff_rows, run_row
from flows.retrain.model_check import ModelCheck
from voxdata.counted import counted
from voxdata.dataset import Example, Split
from voxdata.diff import VersionDiff
from warehouse.leaks import Leak, find_leaks
from warehouse.rows import read_rows
from warehouse.runs import list_training_runs
from warehouse.tags import list_tags
from warehouse.verify import Verification
from warehouse.versions import DatasetVersion, load_some_examples, manifest_key

Row = dict[str, object]

MAX_EXAMPLES = 5
"""Examples shown of one kind of change in one split."""

MAX_LOOKED_AT = 1_000
"""Changes of one kind among which the examples are sought."""


def describe_version(con: DuckDBPyConnection, version: DatasetVersion) -> dict[str, object]:
    """Everything about a version: JSON values, tables as lists of rows."""
    leaks = [leak for leak in find_leaks(con) if _is_in(version, leak)]
    return {
        "version": version.ref,
        "id": version.version_id,
        "root": version.root,
        "created_at": version.created_at.isoformat(timespec="seconds"),
        "parent": version.parent,
        "tags": " ".join(list_tags(con).get(version.ref, ())),
        "examples": version.num_examples,
        "erased": version.num_erased,
        "recipe": dict(version.recipe),
        "labels": label_rows(con, version),
        "models": [
            run_row(run) for run in list_training_runs(con) if run.version_id == version.version_id
        ],
        "leaks": [leak_row(leak) for leak in leaks],
    }


def label_rows(con: DuckDBPyConnection, version: DatasetVersion) -> list[Row]:
    """How much of each label and language there was in each split when the version was cut."""
    counts: list[dict[str, Any]] = read_rows(
        con,
        """
        select
          case when scheme = '' then 'all'
          else scheme || '=' || version_summary.label end as label,
          language,
          split,
          sum(num_examples)::bigint as examples,
          sum(duration_ms)::bigint as duration_ms
        from version_summary
        where manifest_key = ?
        group by scheme, label, language, split
        order by scheme, version_summary.label, language
        """,
        [manifest_key(con, version.version_id)],
    )
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for part in counts:
        row = rows.setdefault(
            (part["label"], part["language"]),
            {
                "label": part["label"],
                "language": part["language"],
                "examples": 0,
                "minutes": 0.0,
                **{split.value: 0 for split in Split},
            },
        )
        row["examples"] += part["examples"]
        row["minutes"] += part["duration_ms"] / 60_000
        row[part["split"]] += part["examples"]
    return list(rows.values())


def diff_tables(found: VersionDiff) -> dict[str, list[Row]]:
    """What separates two versions: kinds of change, labels by examples and minutes, who was
    relabelled or moved how.
    """
    flips: dict[tuple[str, str, str], int] = {}
    for change in found.relabelled:
        key = (change.scheme, change.before or "–", change.after or "–")
        flips[key] = flips.get(key, 0) + 1
    moves: dict[tuple[Split, Split], int] = {}
    for move in found.resplit:
        moves[move.before, move.after] = moves.get((move.before, move.after), 0) + 1
    return {
        "lost": [
            {"split": loss.split.value, "lost": loss.what, "examples before": loss.num_before}
            for loss in found.lost
        ],
        "changes": diff_rows(found),
        "labels": [
            {
                "label": label,
                "examples before": before,
                "examples after": after,
                "minutes before": found.minutes[label][0],
                "minutes after": found.minutes[label][1],
            }
            for label, (before, after) in found.counts.items()
        ],
        "relabelled": [
            {"scheme": scheme, "before": before, "after": after, "examples": count}
            for (scheme, before, after), count in sorted(
                flips.items(), key=lambda item: (-item[1], item[0])
            )
        ],
        "moved": [
            {"before": a.value, "after": b.value, "examples": count}
            for (a, b), count in sorted(moves.items())
        ],
    }


def example_tables(
    con: DuckDBPyConnection, before: DatasetVersion, after: DatasetVersion, found: VersionDiff
) -> dict[str, list[Row]]:
    """Up to MAX_EXAMPLES of every kind of change, by the split they are in now, or were in when
    they are gone.

    Returns:
        Split -> rows with the kind of change, what was said, and every scheme's label before and
        after; splits without a change are absent.
    """
    kinds: dict[str, Sequence[str]] = {
        "added": found.added,
        "removed": found.removed,
        "relabelled": sorted({change.utterance_id for change in found.relabelled}),
        "moved": [move.utterance_id for move in found.resplit],
        "changed": found.changed,
    }
    kinds = {kind: keys[:MAX_LOOKED_AT] for kind, keys in kinds.items()}
    asked = sorted(set(chain.from_iterable(kinds.values())))
    old, new = (load_some_examples(con, version.version_id, asked) for version in (before, after))
    tables: dict[str, list[Row]] = {split.value: [] for split in Split}
    for kind, keys in kinds.items():
        counts: Counter[str] = Counter()
        for key in keys:
            example = new.get(key) or old.get(key)
            if example is None:  # erased since
                continue
            split = example.split.value
            counts[split] += 1
            if counts[split] <= MAX_EXAMPLES:
                tables[split].append(_example_row(kind, old.get(key), new.get(key)))
    return {split: rows for split, rows in tables.items() if rows}


def _example_row(kind: str, old: Example | None, new: Example | None) -> Row:
    example = new or old
    if example is None:
        raise ValueError("an example is in one of the versions at least")
    moved = (
        f" from {old.split.value}"
        if old is not None and new is not None and old.split is not new.split
        else ""
    )
    return {
        "change": kind + moved,
        "utterance": example.utterance_id[:12],
        "language": example.language,
        "transcript": example.text,
        "label before": _labels(old),
        "label after": _labels(new),
    }


def _labels(example: Example | None) -> str:
    if example is None:
        return ""
    return ", ".join(f"{scheme}={gold.label}" for scheme, gold in sorted(example.gold.items()))


def verification_row(found: Verification) -> Row:
    """Whether a version is as it was cut."""
    return {
        "version": found.version.ref,
        "root": found.version.root[:16],
        "intact": found.num_intact,
        "erased": found.num_erased,
        "verdict": "as it was cut" if found.ok else "; ".join(found.problems[:5]),
    }


def model_rows(found: ModelCheck) -> list[Row]:
    """What verifying a model found, for people."""
    heard = [
        f"{counted(count, 'row')}, receipt {receipt[:12]}" for receipt, count in found.heard.items()
    ]
    told = {
        "run": found.run[:12] or "none that this workspace knows",
        "its files are": found.statement,
        "trained on": found.version,
        "whose root is": found.root,
        "heard, and forgotten since": "; ".join(heard) or "nothing",
        "trained again without it": found.retrained[:12] or ("no" if heard else ""),
        "verdict": "; ".join(found.problems[:5]) or "as it was made",
    }
    return [{"what": name, "value": value} for name, value in told.items()]


def leak_row(leak: Leak) -> Row:
    """One person on two sides of a split."""
    return {
        "voice": leak.voice,
        **{split.value: _where(leak.versions, leak.num_examples, split) for split in Split},
        "models": " ".join(f"{run.scheme}:{run.training_id[:12]}" for run in leak.trained),
    }


def _where(
    versions: Mapping[Split, tuple[str, ...]], counts: Mapping[Split, int], split: Split
) -> str:
    return f"{counts[split]} in {' '.join(versions[split])}" if split in versions else ""


def _is_in(version: DatasetVersion, leak: Leak) -> bool:
    return any(version.ref in refs for refs in leak.versions.values())
