"""The labelling page in a real browser, as an annotator who is not the administrator sees it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Locator, Page, Response, expect, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from voxdata.testing.queue import make_entry

if TYPE_CHECKING:
    from annotation.label_studio import LabelStudioQueue
    from tests.annotation.conftest import RunningServer

pytestmark = pytest.mark.slow

ANNOTATOR = "listener@voxdata.local"
TEXT = '你好, "hello" <there> & so on'
FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture
def page() -> Iterator[Page]:
    """A page of Chromium; its sandbox is off only for root, who cannot have one."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium on this machine; on Debian install the package chromium")
    flags = [*FLAGS, "--no-sandbox"] if os.geteuid() == 0 else [*FLAGS]
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=flags)
        context = browser.new_context(viewport={"width": 1400, "height": 1000})
        yield context.new_page()
        browser.close()


@pytest.fixture
def artifacts(tmp_path: Path) -> Path:
    """Where screenshots go: VOXDATA_TEST_ARTIFACTS, or the test's own folder."""
    folder = Path(os.environ.get("VOXDATA_TEST_ARTIFACTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def open_clip(page: Page, running: RunningServer, address: str) -> None:
    """Log in as the annotator, open a labelling page and wait for its waveform."""
    page.goto(f"{running.url}/user/login/")
    page.fill("input[name=email]", ANNOTATOR)
    page.fill("input[name=password]", running.credentials.password_for(ANNOTATOR))
    page.click("button[type=submit]")
    page.wait_for_url(lambda url: "/login" not in url)
    page.goto(address)
    expect(page.locator("canvas").first).to_be_visible(timeout=60_000)
    expect(page.get_by_label("Submit current annotation")).to_be_enabled(timeout=30_000)


def choice(page: Page, label: str) -> Locator:
    """The box of one choice."""
    return page.locator(".lsf-choice").filter(has_text=label).locator("input")


def submit_by_keyboard(page: Page) -> None:
    with page.expect_response(lambda r: "/annotations" in r.url and r.request.method == "POST") as answer:
        page.keyboard.press("Control+Enter")
    assert answer.value.status == 201, answer.value.text()


@pytest.fixture
def queue(label_studio: RunningServer, real_queue: LabelStudioQueue, clip_file: str) -> LabelStudioQueue:
    """A project with one clip, and an account for the annotator."""
    real_queue.server.ensure_annotator(ANNOTATOR, label_studio.credentials.password_for(ANNOTATOR))
    real_queue.push([make_entry("u0", audio_file=clip_file, text=TEXT)])
    return real_queue


def test_labelling_page_plays_shows_the_proposal_and_keeps_a_correction(
    page: Page, label_studio: RunningServer, queue: LabelStudioQueue, clip_file: str, artifacts: Path
) -> None:
    sound: list[Response] = []
    outside: list[str] = []
    page.on("response", lambda r: sound.append(r) if "/data/local-files/" in r.url else None)
    page.on("request", lambda r: None if r.url.startswith((label_studio.url, "data:", "blob:")) else outside.append(r.url))
    with page.expect_response(lambda r: "/data/local-files/" in r.url and r.status == 200, timeout=60_000) as whole:
        open_clip(page, label_studio, queue.page("u0"))

    assert whole.value.body() == (label_studio.media_dir / clip_file).read_bytes()
    assert {r.status for r in sound} <= {200, 206}
    expect(choice(page, "angry")).to_be_checked()
    expect(choice(page, "查询余额")).to_be_checked()
    expect(page.get_by_text(TEXT).first).to_be_visible()
    page.screenshot(path=artifacts / "labelling-page.png")

    page.get_by_test_id("playback-button:play").click()
    expect(page.get_by_test_id("playback-button:pause")).to_be_visible()
    page.keyboard.press("q")
    expect(choice(page, "neutral")).to_be_checked()
    expect(choice(page, "angry")).not_to_be_checked()
    submit_by_keyboard(page)

    (found,) = queue.pull(since=None).annotations
    assert (found.utterance_id, found.annotator) == ("u0", ANNOTATOR)
    assert dict(found.labels) == {"intent": ("查询余额",), "emotion": ("neutral",)}
    assert found.text is None
    assert found.lead_time_ms is not None
    assert found.lead_time_ms > 0
    assert outside == []


def test_labelling_page_takes_a_right_proposal_by_one_key_press(page: Page, label_studio: RunningServer, queue: LabelStudioQueue) -> None:
    open_clip(page, label_studio, queue.page("u0"))
    submit_by_keyboard(page)
    (found,) = queue.pull(since=None).annotations
    assert dict(found.labels) == {"intent": ("查询余额",), "emotion": ("angry",)}


def test_labelling_page_keeps_a_corrected_transcript(page: Page, label_studio: RunningServer, queue: LabelStudioQueue) -> None:
    open_clip(page, label_studio, queue.page("u0"))
    edit, box = page.get_by_test_id("htx-textbox-edit-button"), page.locator(".vox-row textarea").last
    for _ in range(5):
        # A click that comes while the page still redraws the row is lost.
        edit.click(force=True)
        with suppress(PlaywrightTimeout):
            box.wait_for(timeout=3_000)
            break
    box.fill('再见, "bye" <now>')
    box.press("Enter")
    with page.expect_response(lambda r: "/annotations" in r.url and r.request.method == "POST"):
        page.get_by_label("Submit current annotation").click()
    assert queue.pull(since=None).annotations[0].text == '再见, "bye" <now>'
