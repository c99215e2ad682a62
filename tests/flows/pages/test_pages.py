"""Pages in a real browser, in light and in dark: what opens first, what is folded, and which
colours pictures have.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

from flows.audit.verdict import audit_table
from flows.pages.audit_page import write_audit_page
from flows.pages.diff_page import write_diff_page
from flows.pages.plots import FULL
from flows.pages.version_view import example_tables
from voxdata.audit.audit_table import check_rows
from voxdata.dataset import Example, GoldLabel, Split
from voxdata.register import Register
from voxdata.segment import Segment
from warehouse.connection import open_warehouse
from warehouse.diffs import diff_versions
from warehouse.versions import create_version, list_versions

pytestmark = pytest.mark.slow

Open = Callable[[Path, str], Page]


@pytest.fixture(scope="module")
def show() -> Iterator[Open]:
    """Opens a page in light or dark; Chromium's sandbox is off only for root, who cannot have
    one.
    """
    program = (
        shutil.which("chromium")
        or shutil.which("chromium-browser")
        or shutil.which("google-chrome")
    )
    if program is None:
        pytest.skip("no Chromium on this machine; on Debian install the package chromium")
    flags = ["--disable-gpu", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=flags)

        def open_page(path: Path, scheme: str) -> Page:
            page = browser.new_context(
                color_scheme=scheme,
                viewport={"width": 1280, "height": 900},
            ).new_page()  # type: ignore[arg-type]
            page.goto(path.as_uri())
            folder = Path(os.environ.get("VOXDATA_TEST_ARTIFACTS") or path.parent)
            page.screenshot(
                path=folder / f"{path.stem}-{scheme}.png",
                full_page=True,
            )
            return page

        yield open_page
        browser.close()


@pytest.fixture
def audit_page(tmp_path: Path) -> Path:
    rows = [
        {
            "audio": f"{i}.wav",
            "label": f"L{i % 3}",
            "speaker": f"s{i % 8}",
            "split": "test" if i % 5 == 0 else "train",
        }
        for i in range(120)
    ]
    path = tmp_path / "audit.html"
    audit = audit_table(
        check_rows(rows, origin="corpus.csv"),
        audio_root=tmp_path,
        with_audio=False,
        say=lambda line: None,
    )
    write_audit_page(path, audit)
    return path


def test_audit_page_opens_with_verdict_limit_and_findings_and_folds_its_tables(
    audit_page: Path, show: Open
) -> None:
    page = show(audit_page, "light")
    top = page.locator("header").inner_text()
    assert "leak found" in top
    assert "no clip was listened to" in top
    assert page.locator("main h2").first.inner_text() == "Findings"
    place = page.locator("main h3").first.bounding_box()
    assert place is not None
    assert place["y"] < 900
    assert page.locator("table").count() > 2
    assert not any(table.is_visible() for table in page.locator("table").all())


def test_audit_page_draws_charts_as_wide_as_its_column(audit_page: Path, show: Open) -> None:
    page = show(audit_page, "dark")
    column = page.locator("main").bounding_box()
    assert column is not None
    for picture in page.locator("figure svg").all():
        place = picture.bounding_box()
        assert place is not None
        assert place["width"] == pytest.approx(column["width"], rel=0.02)


@pytest.fixture
def diff_page(tmp_path: Path) -> Path:
    path = tmp_path / "diff.html"

    def example(number: int, label: str) -> Example:
        gold = GoldLabel(
            label=label,
            distribution={label: 1.0},
            num_votes=1,
        )
        return Example(
            utterance_id=f"{number:032x}",
            recording_id=f"r{number}",
            channel=0,
            segment=Segment(start_ms=0, end_ms=9_000),
            voice=f"v{number}",
            group=f"g{number}",
            audio_file=f"{number}.flac",
            text=f"<b>words {number}</b>",
            language="en",
            gold={"intent": gold},
            split=Split.TEST if number % 3 == 0 else Split.TRAIN,
        )

    old = [example(i, "ask" if i % 2 else "tell") for i in range(12)]
    new = [example(i, "tell" if i < 5 else "ask") for i in range(2, 15)]
    with open_warehouse(tmp_path / "w.duckdb") as con:
        for examples in (old, new):
            create_version(con, "calls", examples, recipe={}, run_id="t")
        before, after = list_versions(con)
        diff = diff_versions(con, before.version_id, after.version_id)
        tables = example_tables(con, before, after, diff)
    write_diff_page(
        path,
        before,
        after,
        diff,
        examples=tables,
        register=Register(root=tmp_path),
    )
    return path


def test_diff_page_shows_examples_of_each_change_under_their_split(
    diff_page: Path, show: Open
) -> None:
    page = show(diff_page, "light")
    for split, number, change, labels in (
        ("test", 0, "removed", ["intent=tell", "–"]),
        ("test", 12, "added", ["–", "intent=ask"]),
        ("train", 4, "", []),
        ("test", 3, "relabelled", ["intent=ask", "intent=tell"]),
    ):
        table = page.locator(f"h3:text-is('{split}') + div table")
        rows = [row.locator("td").all_inner_texts() for row in table.locator("tbody tr").all()]
        matching = [row for row in rows if row[3] == f"<b>words {number}</b>"]
        if not change:
            assert matching == []
            continue
        assert [[row[0], *row[4:]] for row in matching] == [[change, *labels]]


def colors(page: Page) -> set[tuple[str, str]]:
    return {
        tuple(pair)
        for pair in page.eval_on_selector_all(
            "figure svg path[style*='--heat,']",
            "found => found.map(p => [getComputedStyle(p).fill, "
            "getComputedStyle(document.body).backgroundColor])",
        )
    }


def test_heat_map_follows_dark_mode(diff_page: Path, show: Open) -> None:
    light = colors(show(diff_page, "light"))
    dark = colors(show(diff_page, "dark"))
    assert light == {("rgb(8, 81, 156)", "rgb(251, 252, 253)")}
    assert dark == {("rgb(86, 180, 233)", "rgb(22, 28, 34)")}


def test_heat_map_numbers_can_be_read_in_light_and_dark(diff_page: Path, show: Open) -> None:
    def light_of(rgb: list[float]) -> float:
        parts = [
            value / 255 / 12.92 if value <= 10 else ((value / 255 + 0.055) / 1.055) ** 2.4
            for value in rgb
        ]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    for scheme in ("light", "dark"):
        page = show(diff_page, scheme)
        names = ("--heat", "--heat-ink", "--ink", "--page")
        read = "name => getComputedStyle(document.documentElement).getPropertyValue(name).trim()"
        colors = [page.evaluate(read, name) for name in names]
        heat, full_ink, ink, ground = (list(bytes.fromhex(color[1:7])) for color in colors)
        for share, color in ((0.0, ink), (FULL, ink), (FULL, full_ink), (1.0, full_ink)):
            cell = [share * h + (1 - share) * g for h, g in zip(heat, ground, strict=True)]
            dark_one, light_one = sorted(
                (light_of(cell), light_of([float(part) for part in color]))
            )
            assert (light_one + 0.05) / (dark_one + 0.05) >= 3.0, (scheme, share)
