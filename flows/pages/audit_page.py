"""The page of an audit: verdict, findings with their evidence, pictures. One file, nothing to fetch."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

from flows.pages.audit_plots import plot_predictors
from flows.pages.plots import plot_balance
from voxdata.audit.findings import Audit
from voxdata.dataset import Split
from voxdata.register import Register, write_page

MAX_LABELS = 40


def write_audit_page(path: Path, audit: Audit, *, register: Register | None = None) -> None:
    """Write the page; only its owner may read it.

    Args:
        register: Of the workspace whose data were audited, if they are any's.
    """
    write_page(path, render_audit(audit), register=register)


def render_audit(audit: Audit) -> str:
    """The page. Everything that came from the audited files is escaped."""
    templates = files("flows.pages").joinpath("templates")
    report = templates.joinpath("report.html.j2").read_text(encoding="utf-8")
    style = report[report.index("<style>") : report.index("</style>") + len("</style>")]
    environment = Environment(
        loader=DictLoader({"audit": templates.joinpath("audit.html.j2").read_text(encoding="utf-8")}),
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    splits = [split.value for split in Split if split.value in audit.num_rows]
    totals: dict[str, dict[str, int]] = {}
    for split, labels in audit.num_rows.items():
        for label, count in labels.items():
            totals.setdefault(label, {})[split] = count
    largest = dict(sorted(sorted(totals.items()), key=lambda pair: -sum(pair[1].values()))[:MAX_LABELS])
    return environment.get_template("audit").render(
        style=Markup(style),  # noqa: S704 - our own template
        audit=audit,
        total=sum(sum(labels.values()) for labels in audit.num_rows.values()),
        num_labels=len(totals),
        balance=Markup(plot_balance(largest, splits=splits, salt="labels")),  # noqa: S704 - SVG of our own, its texts escaped by matplotlib
        speakers=Markup(plot_balance(audit.shared, splits=splits, salt="speakers")) if audit.shared else "",  # noqa: S704
        predictors=Markup(plot_predictors(audit.statistics, salt="predictors")) if audit.statistics else "",  # noqa: S704
        statistics=[
            {
                "predictor": s.name, "guesses": f"{s.value:.1%}", "most common label": f"{s.baseline:.1%}",
                "chance": f"{s.null_low:.1%} to {s.null_high:.1%}", "p": f"{s.p_value:.3f}", "rows": s.num_rows,
            }
            for s in audit.statistics
        ],
    )  # fmt: skip
