"""The labelling page in a real browser, as an annotator who is not the administrator sees it and
works on it without a mouse.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest
from playwright.sync_api import Locator, Page, Response, expect, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from annotation.config import UNSEEN, build_config
from annotation.label_studio import LabelStudioQueue
from voxdata.identity import ModelRef
from voxdata.label import Annotation, Prediction
from voxdata.ports import QueueEntry, Rival
from voxdata.scheme import Scheme, SchemeLabel

if TYPE_CHECKING:
    from tests.annotation.conftest import RunningServer

pytestmark = pytest.mark.slow

ANNOTATOR = "listener@voxdata.local"
TEXT = 'I want my money back, "it" <never> & arrived.'
MOST_KEYS = 4
"""Key presses for a clip whose proposal is right, with Ctrl and Enter counted apart: play, submit,
and the next clip is there.
"""

FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def make_scheme(name: str, labels: str, **options: object) -> Scheme:
    """A scheme from "heading/name/Chinese name" separated by blanks."""
    parts = [label.split("/") for label in labels.split()]
    made = tuple(
        SchemeLabel(
            name=english,
            group=group,
            shown={"zh": chinese},
        )
        for group, english, chinese in parts
    )
    return replace(
        Scheme(
            name=name,
            version=1,
            labels=made,
        ),
        **options,
    )  # type: ignore[arg-type]


SCHEMES = (
    make_scheme(
        "intent",
        "Billing/refund/退款 Billing/invoice/发票 Billing/balance/查询余额 Delivery/delivery/配送 "
        "Delivery/address/改地址 "
        "Other/complaint/投诉 Other/greeting/问候 Other/other/其他",
        title='What does the speaker want? <"&">',
        choice="many",
    ),
    make_scheme(
        "emotion",
        "/neutral/中性 /happy/高兴 /sad/悲伤 /angry/愤怒 /afraid/害怕 /surprised/惊讶",
        title="How does the speaker sound?",
        choice="ranked",
        scales=("intensity",),
    ),
)


def make_clip(key: str, audio_file: str, *, text: str = TEXT, **options: object) -> QueueEntry:
    """A clip for which a model proposes refund and angry; a smaller key is heard earlier."""
    sure = 0.6 + 0.01 * int(key[1:])
    intent = {"refund": sure, "delivery": 0.3, "other": 0.7 - sure}
    emotion = {"angry": 0.71, "sad": 0.2, "neutral": 0.09}
    predictions = tuple(
        Prediction(
            utterance_id=key,
            scheme=scheme,
            distribution=shares,
            model=ModelRef(name=f"model-{scheme}", revision="1"),
        )
        for scheme, shares in (("intent", intent), ("emotion", emotion))
    )
    entry = QueueEntry(
        utterance_id=key,
        audio_file=audio_file,
        text=text,
        note=f"call <1> & 电话.wav · S0 · {key}",
        predictions=predictions,
    )
    return replace(entry, **options)  # type: ignore[arg-type]


@pytest.fixture
def page() -> Iterator[Page]:
    """A page of Chromium; its sandbox is off only for root, who cannot have one."""
    program = (
        shutil.which("chromium")
        or shutil.which("chromium-browser")
        or shutil.which("google-chrome")
    )
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


@pytest.fixture
def make_queue(label_studio: RunningServer, clip_file: str) -> Callable[..., LabelStudioQueue]:
    """Makes a project with these clips, and an account for the annotator."""
    made: list[LabelStudioQueue] = []

    def make(*entries: QueueEntry, language: str = "en") -> LabelStudioQueue:
        queue = LabelStudioQueue(
            url=label_studio.url,
            token=label_studio.credentials.token,
            project_title=f"browser {clip_file[-5:]} {os.urandom(4).hex()}",
            schemes=SCHEMES,
            media_dir=label_studio.media_dir,
            guidelines="Listen <twice> & decide. 先听再选。",
            language=language,
        )
        made.append(queue)
        queue.server.ensure_annotator(ANNOTATOR, label_studio.credentials.password_for(ANNOTATOR))
        queue.push(entries)
        return queue

    return make


def hotkeys(language: str = "en") -> dict[tuple[str, str], str]:
    """(row, label) -> key, as the screen shows it; a scale has the label "", the way into the
    transcript too.
    """
    found = {}
    for control in ElementTree.fromstring(build_config(SCHEMES, language=language)).iter():
        if control.tag in {"Rating", "Filter"}:
            found[str(control.get("name")).removeprefix("enter_"), ""] = str(control.get("hotkey"))
        for choice in (
            control.iter("Choice")
            if control.tag == "Choices" and control.get("name") != UNSEEN
            else ()
        ):
            found[str(control.get("name")), str(choice.get("alias") or choice.get("value"))] = str(
                choice.get("hotkey")
            )
    return found


@dataclass(slots=True)
class Listener:
    """The annotator at the page: has a keyboard, and counts what is pressed on it."""

    page: Page
    presses: list[str] = field(default_factory=list)

    def log_in(self, running: RunningServer) -> None:
        self.page.goto(f"{running.url}/user/login/")
        self.page.fill("input[name=email]", ANNOTATOR)
        self.page.fill("input[name=password]", running.credentials.password_for(ANNOTATOR))
        self.page.click("button[type=submit]")
        self.page.wait_for_url(lambda url: "/login" not in url)

    def begin(self, queue: LabelStudioQueue) -> None:
        """Open the label stream, in which the next clip comes by itself, and put the guidelines
        away.
        """
        self.page.goto(f"{queue.page()}?labeling=1")
        expect(self.page.get_by_text("先听再选。")).to_be_visible(timeout=60_000)
        self.page.keyboard.press("Escape")
        expect(self.page.get_by_text("先听再选。")).to_be_hidden()
        self.wait_for_clip()

    def wait_for_clip(self) -> None:
        expect(self.page.locator("canvas").first).to_be_visible(timeout=60_000)
        expect(self.page.get_by_label("Submit current annotation")).to_be_enabled(timeout=30_000)
        # The sound is decoded when its length is known.
        expect(self.page.locator(".lsf-time-box__input-time").last).not_to_have_value(
            re.compile(r"^[0:]*$"), timeout=30_000
        )

    def clip(self) -> str:
        """Key of the clip on the page; the server draws it from the first few of the queue."""
        return self.page.locator(".vox-note").inner_text().rpartition(" · ")[2].strip()

    def wait_for_next(self, before: str) -> None:
        """Wait until another clip than `before` is there to be worked on."""
        expect(self.page.locator(".vox-note")).not_to_contain_text(f"· {before}", timeout=30_000)
        self.wait_for_clip()

    def press(self, *keys: str) -> None:
        """Press keys, in Label Studio's spelling; Ctrl and Shift count as keys."""
        for key in keys:
            parts = key.split("+")
            self.presses += parts
            self.page.keyboard.press(
                "+".join(
                    [
                        *(part.title() for part in parts[:-1]),
                        parts[-1].upper() if parts[1:] else parts[-1],
                    ]
                )
            )

    def chord(self, key: str) -> None:
        """Press a combination that Playwright spells itself, such as Control+Enter."""
        self.presses += key.split("+")
        self.page.keyboard.press(key)

    def play(self) -> None:
        """Play by the keyboard and see that it plays; a press that comes before a slow page listens
        is lost, and counts once.
        """
        self.chord("Space")
        for _ in range(5):
            with suppress(PlaywrightTimeout):
                self.page.get_by_test_id("playback-button:pause").wait_for(timeout=4_000)
                return
            self.page.keyboard.press("Space")
        expect(self.page.get_by_test_id("playback-button:pause")).to_be_visible()

    def send(self, key: str) -> None:
        """Submit by Control+Enter, or skip by Control+Space."""
        with self.page.expect_response(
            lambda r: "/annotations" in r.url and r.request.method == "POST"
        ) as answer:
            self.chord(key)
        assert answer.value.status == 201, answer.value.text()


def choice(page: Page, row: str, label: str) -> Locator:
    """The box of one choice; rows are counted from the top, with the second choice as a row."""
    number = {"intent": 0, "emotion": 1, "emotion.second": 2, "flags": 3}[row]
    return page.locator(".vox .lsf-choices").nth(number).locator(f'input[name="{label}"]')


def only(queue: LabelStudioQueue, key: str) -> Annotation:
    (annotation,) = (a for a in queue.pull(since=None).annotations if a.utterance_id == key)
    return annotation


def test_labelling_page_serves_the_sound_and_shows_the_proposal_as_a_proposal(
    page: Page,
    label_studio: RunningServer,
    make_queue: Callable[..., LabelStudioQueue],
    clip_file: str,
    artifacts: Path,
) -> None:
    queue = make_queue(make_clip("u0", clip_file))
    listener = Listener(page)
    sound: list[Response] = []
    outside: list[str] = []
    page.on("response", lambda r: sound.append(r) if "/data/local-files/" in r.url else None)
    page.on(
        "request",
        lambda r: (
            None
            if r.url.startswith((label_studio.url, "data:", "blob:"))
            else outside.append(r.url)
        ),
    )
    listener.log_in(label_studio)
    with page.expect_response(
        lambda r: "/data/local-files/" in r.url and r.status == 200,
        timeout=60_000,
    ) as whole:
        listener.begin(queue)

    assert whole.value.body() == (label_studio.media_dir / clip_file).read_bytes()
    assert {r.status for r in sound} <= {200, 206}
    expect(choice(page, "intent", "refund")).to_be_checked()
    expect(choice(page, "emotion", "angry")).to_be_checked()
    expect(
        page.get_by_text("Model's guess: refund 60%, or delivery 30%  ·  angry 71%, or sad 20%")
    ).to_be_visible()
    expect(page.locator("textarea[name=transcript]")).to_have_value(TEXT)
    expect(page.get_by_text("call <1> & 电话.wav · S0 · u0")).to_be_visible()
    page.screenshot(path=artifacts / "labelling-page.png")
    assert outside == []


@pytest.mark.parametrize(
    ("width", "height"),
    [(1400, 1000), (1280, 720)],
)
def test_labelling_page_needs_no_scrolling(
    page: Page,
    label_studio: RunningServer,
    make_queue: Callable[..., LabelStudioQueue],
    clip_file: str,
    width: int,
    height: int,
) -> None:
    queue = make_queue(make_clip("u0", clip_file))
    listener = Listener(page)
    page.set_viewport_size({"width": width, "height": height})
    listener.log_in(label_studio)
    listener.begin(queue)
    submit = page.get_by_label("Submit current annotation").bounding_box()
    last = page.locator("textarea[name=transcript]").bounding_box()
    assert submit
    assert last
    assert last["y"] + last["height"] <= submit["y"]
    assert submit["y"] + submit["height"] <= height


def test_labelling_page_shows_every_hotkey(
    page: Page,
    label_studio: RunningServer,
    make_queue: Callable[..., LabelStudioQueue],
    clip_file: str,
) -> None:
    queue = make_queue(make_clip("u0", clip_file))
    listener = Listener(page)
    listener.log_in(label_studio)
    listener.begin(queue)
    shown = page.locator(".vox").inner_text()
    assert [key for key in hotkeys().values() if f"[{key}]" not in shown] == []


def test_label_stream_takes_right_proposals_in_few_key_presses(
    page: Page,
    label_studio: RunningServer,
    make_queue: Callable[..., LabelStudioQueue],
    clip_file: str,
) -> None:
    keys = [f"u{i}" for i in range(3)]
    queue = make_queue(*(make_clip(key, clip_file) for key in keys))
    listener = Listener(page)
    listener.log_in(label_studio)
    listener.begin(queue)
    done: list[str] = []
    for _ in keys:
        if done:
            listener.wait_for_next(done[-1])
        done.append(listener.clip())
        listener.play()
        listener.send("Control+Enter")
    assert sorted(done) == keys

    annotations = {a.utterance_id: a for a in queue.pull(since=None).annotations}
    assert sorted(annotations) == keys
    assert {a.annotator for a in annotations.values()} == {ANNOTATOR}
    assert all(
        dict(a.labels) == {"intent": ("refund",), "emotion": ("angry",)}
        for a in annotations.values()
    )
    assert all(
        a.text is None and a.lead_time_ms and not a.flags and not a.ratings
        for a in annotations.values()
    )
    per_clip = len(listener.presses) / len(keys)
    print(
        f"key presses per accepted clip: {per_clip:g} "
        f"({' '.join(listener.presses[: len(listener.presses) // len(keys)])})"
    )
    assert per_clip <= MOST_KEYS


def test_label_stream_takes_one_correction_by_one_key_more(
    page: Page,
    label_studio: RunningServer,
    make_queue: Callable[..., LabelStudioQueue],
    clip_file: str,
) -> None:
    queue = make_queue(make_clip("u0", clip_file))
    listener = Listener(page)
    listener.log_in(label_studio)
    listener.begin(queue)
    listener.play()
    listener.press(hotkeys()["emotion", "sad"])
    expect(choice(page, "emotion", "sad")).to_be_checked()
    expect(choice(page, "emotion", "angry")).not_to_be_checked()
    listener.send("Control+Enter")
    assert dict(only(queue, "u0").labels) == {"intent": ("refund",), "emotion": ("sad",)}
    print(
        f"key presses per clip with one correction: {len(listener.presses)} "
        f"({' '.join(listener.presses)})"
    )
    assert len(listener.presses) <= MOST_KEYS


def test_label_stream_takes_every_kind_of_answer_and_a_skip_by_keyboard(
    page: Page,
    label_studio: RunningServer,
    make_queue: Callable[..., LabelStudioQueue],
    clip_file: str,
    artifacts: Path,
) -> None:
    queue = make_queue(make_clip("u0", clip_file), make_clip("u1", clip_file))
    listener = Listener(page)
    key = hotkeys()
    listener.log_in(label_studio)
    listener.begin(queue)
    first = listener.clip()
    listener.play()
    listener.press(
        key["intent", "complaint"],
        key["emotion", "sad"],
        key["emotion.second", "angry"],
    )
    listener.press(
        *[key["emotion.intensity", ""]] * 4,
        key["flags", "cut_off"],
        key["flags", "private"],
    )
    expect(choice(page, "emotion.second", "angry")).to_be_checked()
    expect(choice(page, "flags", "personal data heard")).to_be_checked()
    box = page.locator("textarea[name=transcript]")
    listener.press(key["transcript", ""])
    expect(page.get_by_placeholder("Tab: edit the text")).to_be_focused()
    page.screenshot(path=artifacts / "labelling-page-answered.png")
    page.keyboard.press("Enter")  # must choose nothing that anybody sees or that is kept
    listener.chord("Tab")
    expect(box).to_be_focused()
    page.keyboard.press("Control+A")
    page.keyboard.type('再见, "bye" <now>')
    listener.chord("Shift+Enter")
    expect(box).to_be_hidden()
    listener.send("Control+Enter")
    listener.wait_for_next(first)
    listener.send("Control+Space")

    annotation = only(queue, first)
    assert dict(annotation.labels) == {
        "intent": ("refund", "complaint"),
        "emotion": ("sad", "angry"),
    }
    assert dict(annotation.ratings) == {"emotion.intensity": 4}
    assert annotation.flags == ("cut_off", "private")
    assert annotation.text == '再见, "bye" <now>'
    assert annotation.annotator == ANNOTATOR
    assert annotation.author == ""
    assert annotation.skipped is False
    skipped = only(queue, "u1" if first == "u0" else "u0")
    assert skipped.skipped is True
    assert dict(skipped.labels) == {}
    assert skipped.annotator == ANNOTATOR


def test_label_stream_shows_a_blind_clip_without_a_proposal(
    page: Page,
    label_studio: RunningServer,
    make_queue: Callable[..., LabelStudioQueue],
    clip_file: str,
    artifacts: Path,
) -> None:
    queue = make_queue(make_clip("u2", clip_file, blind=True))
    listener = Listener(page)
    listener.log_in(label_studio)
    listener.begin(queue)
    expect(page.locator("textarea[name=transcript]")).to_have_value(TEXT)
    expect(page.locator(".vox input:checked")).to_have_count(0)
    expect(page.get_by_text("Model's guess")).to_have_count(0)
    page.screenshot(path=artifacts / "labelling-page-blind.png")
    listener.press(hotkeys()["intent", "other"], hotkeys()["emotion", "neutral"])
    listener.send("Control+Enter")
    annotation = only(queue, "u2")
    assert dict(annotation.labels) == {"intent": ("other",), "emotion": ("neutral",)}
    assert annotation.text is None


@pytest.mark.parametrize(
    ("language", "line"),
    [
        (
            "en",
            (
                'Model\'s guess: none for “What does the speaker want? <"&">”, so nothing is '
                "ticked there  ·  angry 71%, or sad 20%"
            ),
        ),
        (
            "zh",
            '模型猜测：“What does the speaker want? <"&">”没有猜测，所以没有预选'
            "  ·  愤怒 71%，或悲伤 20%",
        ),
    ],
)
def test_label_stream_ticks_nothing_where_the_model_abstains(
    page: Page,
    label_studio: RunningServer,
    make_queue: Callable[..., LabelStudioQueue],
    clip_file: str,
    artifacts: Path,
    language: str,
    line: str,
) -> None:
    clip = make_clip("u0", clip_file)
    even = dict.fromkeys(SCHEMES[0].label_names, 1 / len(SCHEMES[0].labels))
    clip = replace(
        clip,
        predictions=(replace(clip.predictions[0], distribution=even), clip.predictions[1]),
    )
    queue = make_queue(clip, language=language)
    listener = Listener(page)
    listener.log_in(label_studio)
    listener.begin(queue)
    expect(page.get_by_text(line)).to_be_visible()
    expect(page.locator(".vox input:checked")).to_have_count(1)
    page.screenshot(path=artifacts / f"labelling-page-no-guess-{language}.png")
    listener.press(hotkeys(language)["intent", "other"])
    listener.send("Control+Enter")
    annotation = only(queue, "u0")
    assert dict(annotation.labels) == {"intent": ("other",), "emotion": ("angry",)}
    assert annotation.proposal.startswith("emotion:model-emotion@")
    assert "intent" not in annotation.proposal


def test_label_stream_asks_for_what_is_required(
    page: Page,
    label_studio: RunningServer,
    make_queue: Callable[..., LabelStudioQueue],
    clip_file: str,
) -> None:
    queue = make_queue(make_clip("u0", clip_file, blind=True))
    listener = Listener(page)
    listener.log_in(label_studio)
    listener.begin(queue)
    listener.press(hotkeys()["intent", "other"])
    listener.chord("Control+Enter")
    expect(page.get_by_text("Choose one: How does the speaker sound?")).to_be_visible()
    assert queue.pull(since=None).annotations == ()


def test_label_stream_speaks_chinese(
    page: Page,
    label_studio: RunningServer,
    make_queue: Callable[..., LabelStudioQueue],
    clip_file: str,
    artifacts: Path,
) -> None:
    text = "我要退款，东西一直没有到。"
    clip = make_clip("u0", clip_file, text=text)
    queue = make_queue(clip, language="zh")
    listener = Listener(page)
    listener.log_in(label_studio)
    page.goto(f"{queue.page()}?labeling=1")
    expect(page.get_by_text("提交，进入下一条")).to_be_visible(timeout=60_000)
    listener.begin(queue)
    expect(
        page.get_by_text("模型猜测：退款 60%，或配送 30%  ·  愤怒 71%，或悲伤 20%")
    ).to_be_visible()
    expect(choice(page, "emotion", "愤怒")).to_be_checked()
    for shown in ("说话内容", "次选（可不选）", "多人同时说话", "有多强烈？"):
        expect(page.get_by_text(shown).first).to_be_visible()
    page.screenshot(path=artifacts / "labelling-page-zh.png")
    listener.press(
        hotkeys("zh")["intent", "complaint"],
        hotkeys("zh")["emotion", "sad"],
        hotkeys("zh")["flags", "overlapping"],
    )
    listener.send("Control+Enter")
    annotation = only(queue, "u0")
    assert dict(annotation.labels) == {"intent": ("refund", "complaint"), "emotion": ("sad",)}
    assert annotation.flags == ("overlapping",)
    assert annotation.text is None


RIVALS = (
    Rival(
        pseudonym="Listener A",
        labels={"intent": ("refund",), "emotion": ("angry", "sad")},
        ratings={"emotion.intensity": 4},
        text=TEXT,
    ),
    Rival(
        pseudonym="Listener B",
        labels={"intent": ("complaint",), "emotion": ("neutral",)},
        text="I want my money bag.",
    ),
)


def test_adjudication_lists_the_rivals_under_pseudonyms_and_chooses_none(
    page: Page,
    label_studio: RunningServer,
    make_queue: Callable[..., LabelStudioQueue],
    clip_file: str,
    artifacts: Path,
) -> None:
    clip = make_clip("u0", clip_file, predictions=(), rivals=RIVALS)
    queue = make_queue(clip)
    listener = Listener(page)
    listener.log_in(label_studio)
    page.goto(queue.page("u0"))
    expect(page.get_by_text("Listener B").first).to_be_visible(timeout=60_000)
    page.get_by_text("Listener A", exact=True).click()
    expect(choice(page, "emotion", "angry")).to_be_checked()
    expect(choice(page, "emotion.second", "sad")).to_be_checked()
    page.screenshot(path=artifacts / "adjudication-page.png")

    listener.begin(queue)
    expect(
        page.get_by_text(f"Listener A: refund · angry, sad · intensity 4 · “{TEXT}”")
    ).to_be_visible()
    expect(
        page.get_by_text("Listener B: complaint · neutral · “I want my money bag.”")
    ).to_be_visible()
    expect(page.locator(".vox input:checked")).to_have_count(0)
    page.screenshot(path=artifacts / "adjudication-stream.png")
    listener.press(hotkeys()["intent", "refund"], hotkeys()["emotion", "angry"])
    listener.send("Control+Enter")
    assert dict(only(queue, "u0").labels) == {"intent": ("refund",), "emotion": ("angry",)}
