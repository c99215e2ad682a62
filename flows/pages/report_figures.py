"""Figures of a report: agreement, acceptance, splits and drops, as rows for tables. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
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
    gold: dict[str, dict[str, Gold]] = {}
    for scheme in content.schemes:
        votes = collect_votes(content.annotations, scheme=scheme.name)
        resolved = resolve(votes, scheme=scheme.name, min_votes=content.min_votes)
        gold[scheme.name] = {label.utterance_id: label for label in resolved}
    return gold


def agreement_rows(content: ReportContent) -> list[Row]:
    """One row per scheme: Krippendorff's alpha and how many clips all voters agree on."""
    rows: list[Row] = []
    for scheme in content.schemes:
        votes = collect_votes(content.annotations, scheme=scheme.name)
        groups = group_votes(votes)
        several = [cast for cast in groups.values() if len(cast) >= 2]
        unanimous = [cast for cast in several if len({vote.label for vote in cast}) == 1]
        rows.append(
            {
                "scheme": scheme.name,
                "clips with votes": len(groups),
                "votes": len(votes),
                "Krippendorff's alpha": _show_alpha(krippendorff_alpha(votes)),
                "unanimous, of clips with 2+ votes": ratio(len(unanimous), len(several)),
            }
        )
    return rows


def _show_alpha(alpha: float | None) -> str:
    if alpha is None:
        return "not defined (no clip with two votes, or one label only)"
    return f"{alpha:.2f}"


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
            agreed = _agree_with_majority(own, scheme.name, gold[scheme.name])
            row[f"{scheme.name}: with the majority"] = ratio(sum(agreed), len(agreed))
        rows.append(row)
    return rows


def _agree_with_majority(
    votes: Sequence[Annotation], scheme: str, settled: Mapping[str, Gold]
) -> list[bool]:
    """For each clip that others voted on, too, whether a person's label is the one settled on."""
    agreed: list[bool] = []
    for annotation in votes:
        gold = settled.get(annotation.utterance_id)
        if scheme in annotation.labels and gold is not None and gold.num_votes >= 2:
            agreed.append(annotation.labels[scheme][0] == gold.label)
    return agreed


def acceptance_rows(content: ReportContent, gold: Mapping[str, Mapping[str, Gold]]) -> list[Row]:
    """One row for each scheme and model: how often its proposal is what people settled on."""
    tested = _tested(content)
    rows: list[Row] = []
    for scheme, by_model in content.predictions.items():
        settled = gold.get(scheme, {})
        for predictions in by_model.values():
            model = next(iter(predictions.values())).model
            in_test = [p for key, p in predictions.items() if key in tested]
            rows.append(
                {
                    "scheme": scheme,
                    "model": model.name,
                    "kind": "weak (not trained for this scheme)" if model.weak else "trained",
                    "proposals": sum(p.guess() is not None for p in predictions.values()),
                    "accepted": _accepted(predictions.values(), settled),
                    "accepted, test split only": _accepted(in_test, settled),
                }
            )
    return rows


def _tested(content: ReportContent) -> set[str]:
    """Utterance ids in the test split."""
    return {e.utterance_id for e in content.examples if e.split is Split.TEST}


def promotion_rows(content: ReportContent, gold: Mapping[str, Mapping[str, Gold]]) -> list[Row]:
    """One row for each promotion: what the new model proposes against what the old one did.

    Only clips that both labelled count.
    """
    tested = _tested(content)
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
        in_test = [utterance_id for utterance_id in both if utterance_id in tested]
        settled = gold.get(run.scheme, {})
        for clips, ids in (("all clips", both), ("test split", in_test)):
            before = [old[utterance_id] for utterance_id in ids]
            after = [new[utterance_id] for utterance_id in ids]
            rows.append(
                {
                    "scheme": run.scheme,
                    "clips": clips,
                    "labelled by both": len(ids),
                    "proposal changed": _changed(before, after),
                    "accepted before": _accepted(before, settled),
                    "accepted after": _accepted(after, settled),
                }
            )
    return rows


def _changed(before: Sequence[Prediction], after: Sequence[Prediction]) -> str:
    pairs = zip(before, after, strict=True)
    changed = [old.guess() != new.guess() for old, new in pairs]
    return ratio(sum(changed), len(changed))


def _accepted(predictions: Iterable[Prediction], settled: Mapping[str, Gold]) -> str:
    accepted: list[bool] = []
    for prediction in predictions:
        gold = settled.get(prediction.utterance_id)
        # A model that abstains proposed nothing that could be accepted.
        if gold is not None and prediction.guess() is not None:
            accepted.append(prediction.label == gold.label)
    return ratio(sum(accepted), len(accepted))


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
    """One row per split."""
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
    return sorted(key for key, used in splits.items() if len(used) > 1)


def drop_groups(drops: Sequence[LedgerRow]) -> list[dict[str, Any]]:
    """One entry for each stage and reason, with its number and the first few."""
    groups: dict[tuple[str, str], list[LedgerRow]] = defaultdict(list)
    for row in drops:
        groups[row.stage, row.reason.value].append(row)
    return [
        {
            "stage": stage,
            "reason": reason,
            "count": len(rows),
            "examples": rows[:MAX_EXAMPLES],
            "more": max(0, len(rows) - MAX_EXAMPLES),
        }
        for (stage, reason), rows in sorted(groups.items())
    ]
