"""Figures of a report: agreement, acceptance, splits and drops, as rows for tables. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from flows.pages.report_content import ReportContent
from flows.pages.shown import shown_number
from flows.retrain.results import result_of
from voxdata.agreement import collect_votes, group_votes, resolve
from voxdata.dataset import Example, Split
from voxdata.label import Annotation, Gold, Prediction
from voxdata.reliability import krippendorff_alpha
from warehouse.ledger import LedgerRow

Row = dict[str, object]
MAX_EXAMPLES = 4


def ratio(part: int, whole: int) -> str:
    """ "75 % (3 of 4)", or "no clips" when there is nothing to divide by."""
    return f"{part / whole:.0%} ({part} of {whole})" if whole else "no clips"


def gold_labels(content: ReportContent) -> dict[str, dict[str, Gold]]:
    """Scheme -> utterance id -> what the people settled on."""
    return {
        s.name: {
            g.utterance_id: g
            for g in resolve(
                collect_votes(content.annotations, scheme=s.name),
                scheme=s.name,
                min_votes=content.min_votes,
            )
        }
        for s in content.schemes
    }


def agreement_rows(content: ReportContent) -> list[Row]:
    """One row a scheme: Krippendorff's alpha and how many clips all voters agree on."""
    rows: list[Row] = []
    for scheme in content.schemes:
        votes = collect_votes(content.annotations, scheme=scheme.name)
        groups = group_votes(votes)
        several = [cast for cast in groups.values() if len(cast) >= 2]
        alpha = krippendorff_alpha(votes)
        rows.append(
            {
                "scheme": scheme.name,
                "clips with votes": len(groups),
                "votes": len(votes),
                "Krippendorff's alpha": "not defined (no clip with two votes, or one label only)"
                if alpha is None
                else f"{alpha:.2f}",
                "unanimous, of clips with 2+ votes": ratio(
                    sum(len({vote.label for vote in cast}) == 1 for cast in several), len(several)
                ),
            }
        )
    return rows


def standing_votes(annotations: Sequence[Annotation]) -> list[Annotation]:
    """The newest annotation of each person for each utterance, without skips and deletions."""
    newest = {
        (a.utterance_id, a.annotator): a
        for a in sorted(annotations, key=lambda a: (a.updated_at, a.annotation_id))
    }
    return [a for _, a in sorted(newest.items()) if not a.deleted and not a.skipped]


def annotator_rows(content: ReportContent, gold: Mapping[str, Mapping[str, Gold]]) -> list[Row]:
    """One row per person: how often they agree with the majority.

    Only clips that two or more people voted on count.
    """
    rows: list[Row] = []
    votes = standing_votes(content.annotations)
    for person in sorted({a.annotator for a in content.annotations}):
        own = [a for a in votes if a.annotator == person]
        error_rate = content.simulated.get(person)
        row: Row = {
            "annotator": person,
            "kind": "a person" if error_rate is None else f"SIMULATED, {error_rate:.0%} errors",
            "clips": len(own),
        }
        for scheme in content.schemes:
            shared = [
                a
                for a in own
                if scheme.name in a.labels
                and (g := gold[scheme.name].get(a.utterance_id))
                and g.num_votes >= 2
            ]
            hits = sum(
                a.labels[scheme.name][0] == gold[scheme.name][a.utterance_id].label for a in shared
            )
            row[f"{scheme.name}: with the majority"] = ratio(hits, len(shared))
        rows.append(row)
    return rows


def acceptance_rows(content: ReportContent, gold: Mapping[str, Mapping[str, Gold]]) -> list[Row]:
    """One row for each scheme and model: how often its proposal is what people settled on."""
    splits = {e.utterance_id: e.split for e in content.examples}
    rows: list[Row] = []
    for scheme, by_model in content.predictions.items():
        for found in by_model.values():
            model = next(iter(found.values())).model
            rows.append(
                {
                    "scheme": scheme,
                    "model": model.name,
                    "kind": "weak (not trained for this scheme)" if model.weak else "trained",
                    "proposals": sum(p.guess() is not None for p in found.values()),
                    "accepted": _accepted(found, gold.get(scheme, {})),
                    "accepted, test split only": _accepted(
                        {i: p for i, p in found.items() if splits.get(i) is Split.TEST},
                        gold.get(scheme, {}),
                    ),
                }
            )
    return rows


def promotion_rows(content: ReportContent, gold: Mapping[str, Mapping[str, Gold]]) -> list[Row]:
    """One row for each promotion: what the new model proposes against what the old one did.

    Only clips that both labelled count.
    """
    splits = {e.utterance_id: e.split for e in content.examples}
    rows: list[Row] = []
    for run in content.runs:
        result = result_of(run)
        if not run.promoted or result is None or result.incumbent is None:
            continue
        by_model = content.predictions.get(run.scheme, {})
        old = by_model.get(result.incumbent.key, {})
        new = by_model.get(run.model_key, {})
        both = sorted(old.keys() & new.keys())
        if not both:
            continue
        settled = gold.get(run.scheme, {})
        for name, ids in (
            ("all clips", both),
            ("test split", [i for i in both if splits.get(i) is Split.TEST]),
        ):
            rows.append(
                {
                    "scheme": run.scheme,
                    "clips": name,
                    "labelled by both": len(ids),
                    "proposal changed": ratio(
                        sum(old[i].guess() != new[i].guess() for i in ids), len(ids)
                    ),
                    "accepted before": _accepted({i: old[i] for i in ids}, settled),
                    "accepted after": _accepted({i: new[i] for i in ids}, settled),
                }
            )
    return rows


def _accepted(found: Mapping[str, Prediction], settled: Mapping[str, Gold]) -> str:
    # A model that abstains proposed nothing that could be accepted.
    judged = [p for i, p in found.items() if i in settled and p.guess() is not None]
    return ratio(sum(p.label == settled[p.utterance_id].label for p in judged), len(judged))


def balance(
    examples: Sequence[Example], scheme: str, labels: Sequence[str]
) -> dict[str, dict[str, int]]:
    """Label -> split -> examples; the scheme's labels first, then any that it no longer has."""
    out: dict[str, Counter[str]] = {label: Counter() for label in labels}
    for example in examples:
        if scheme in example.gold:
            out.setdefault(example.gold[scheme].label, Counter())[example.split.value] += 1
    return {label: dict(counts) for label, counts in out.items()}


def split_rows(examples: Sequence[Example]) -> list[Row]:
    """One row a split."""
    rows: list[Row] = []
    for split in Split:
        part = [e for e in examples if e.split is split]
        minutes = sum(e.segment.duration_ms for e in part) / 60_000
        rows.append(
            {
                "split": split.value,
                "examples": len(part),
                "minutes": shown_number(minutes),
                "voices": len({e.voice for e in part}),
                "recordings": len({e.recording_id for e in part}),
            }
        )
    return rows


def divided(examples: Sequence[Example], kind: str) -> list[str]:
    """Whatever is in more than one split; nothing should be.

    Args:
        kind: An attribute of Example: "voice", "recording_id" or "group".
    """
    splits: dict[str, set[Split]] = defaultdict(set)
    for example in examples:
        splits[getattr(example, kind)].add(example.split)
    return sorted(key for key, found in splits.items() if len(found) > 1)


def drop_groups(drops: Sequence[LedgerRow]) -> list[dict[str, Any]]:
    """One entry for each stage and reason, with its number and the first few."""
    groups: dict[tuple[str, str], list[LedgerRow]] = defaultdict(list)
    for row in drops:
        groups[row.stage, row.reason.value].append(row)
    return [
        {
            "stage": stage,
            "reason": reason,
            "count": len(found),
            "examples": found[:MAX_EXAMPLES],
            "more": max(0, len(found) - MAX_EXAMPLES),
        }
        for (stage, reason), found in sorted(groups.items())
    ]
