"""The page of an audit: verdict, findings with their evidence, pictures.

One file, nothing to fetch.
"""

from __future__ import annotations

from pathlib import Path

from flows.pages.page import picture, render_page
from flows.pages.plots import plot_balance, plot_predictors
from voxdata.audit.findings import Audit
from voxdata.dataset import Split
from voxdata.register import Register, write_page

MAX_LABELS = 40


def write_audit_page(path: Path, audit: Audit, *, register: Register | None = None) -> None:
    """Write the page; only its owner may read it.

    Args:
        register: The register of the workspace whose data were audited, if they are any's.
    """
    write_page(path, render_audit(audit), register=register)


def render_audit(audit: Audit) -> str:
    """The page. Everything that came from the audited files is escaped."""
    splits = [split.value for split in Split if split.value in audit.num_rows]
    totals: dict[str, dict[str, int]] = {}
    for split, labels in audit.num_rows.items():
        for label, count in labels.items():
            totals.setdefault(label, {})[split] = count
    largest = dict(
        sorted(sorted(totals.items()), key=lambda pair: -sum(pair[1].values()))[:MAX_LABELS]
    )
    return render_page(
        "audit",
        audit=audit,
        total=sum(sum(labels.values()) for labels in audit.num_rows.values()),
        num_labels=len(totals),
        balance=picture(plot_balance(largest, splits=splits, salt="labels")),
        speakers=picture(plot_balance(audit.shared, splits=splits, salt="speakers"))
        if audit.shared
        else "",
        predictors=picture(plot_predictors(audit.statistics, salt="predictors"))
        if audit.statistics
        else "",
        statistics=[
            {
                "predictor": s.name,
                "guesses": f"{s.value:.1%}",
                "most common label": f"{s.baseline:.1%}",
                "chance": f"{s.null_low:.1%} to {s.null_high:.1%}",
                "p": f"{s.p_value:.3f}",
                "rows": s.num_rows,
            }
            for s in audit.statistics
        ],
    )
