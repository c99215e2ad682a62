"""The labelling screen's own words, in the annotators' language.

Label Studio's own buttons (Submit, Skip) exist in English only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from voxdata.errors import AnnotationError

Language = Literal["en", "zh"]
"""Languages that the screen speaks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """Texts of the screen in one language.

    Attributes:
        second: Heading of the row for a second choice.
        transcript: Heading of the transcript.
        enter_text: Says how to go on to the transcript once its key was pressed.
        flags: Heading of the remarks.
        required: Shown when a row was left empty; `{title}` is that row.
        proposal: Head of the line that shows a model's proposal.
        no_guess: Part of that line for a scheme about which the model says nothing; `{title}` is
            the scheme's.
        no_guess_at_all: The whole line when the model says nothing about any scheme.
        unsure: Follows a guess that is not sure enough to be ticked.
        or_else: Between two labels of one proposal.
        between: Between the proposals of two schemes.
        many: Says of a row that it takes more than one label.
        scales: Scale -> its name, and the heading with both ends of 1..5.
        flag_names: Flag -> what annotators see.
        keys: Explains the keyboard: (key, what it does).
        about_proposals: Says that a proposal is a guess.
    """

    second: str
    transcript: str
    enter_text: str
    flags: str
    required: str
    proposal: str
    no_guess: str
    no_guess_at_all: str
    unsure: str
    or_else: str
    between: str
    many: str
    scales: Mapping[str, tuple[str, str]]
    flag_names: Mapping[str, str]
    keys: tuple[tuple[str, str], ...]
    about_proposals: str


_WORDINGS: Mapping[str, Wording] = {
    "en": Wording(
        second="second choice (optional)",
        transcript="What is said",
        enter_text="Tab: edit the text",
        flags="Trouble with the clip",
        required="Choose one: {title}",
        proposal="Model's guess: ",
        no_guess="none for “{title}”, so nothing is ticked there",
        no_guess_at_all="The model has no guess, so nothing is ticked.",
        unsure=" (too unsure, so nothing is ticked)",
        or_else=", or ",
        between="  ·  ",
        many="all that apply",
        scales={
            "intensity": ("intensity", "How strongly? 1 faint … 5 extreme"),
            "valence": ("valence", "How pleasant? 1 unpleasant … 5 pleasant"),
            "arousal": ("arousal", "How excited? 1 calm … 5 excited"),
            "dominance": ("dominance", "How dominant? 1 submissive … 5 dominant"),
        },
        flag_names={
            "noisy": "noisy",
            "overlapping": "several people at once",
            "cut_off": "cut off",
            "wrong_language": "another language",
            "private": "personal data heard",
        },
        keys=(
            ("Space", "play, pause"),
            ("key of the transcript, then Tab", "edit what is said; Shift+Enter when done"),
            ("Ctrl+Enter", "submit and go on"),
            ("Ctrl+Space", "skip"),
            ("small key beside a label", "choose that label"),
        ),
        about_proposals=(
            "A proposal is a guess by a model: change it whenever you hear otherwise. "
            "Where nothing is ticked, the model does not know."
        ),
    ),
    "zh": Wording(
        second="次选（可不选）",
        transcript="说话内容",
        enter_text="按 Tab 编辑文本",
        flags="录音有问题",
        required="请选择：{title}",
        proposal="模型猜测：",
        no_guess="“{title}”没有猜测，所以没有预选",
        no_guess_at_all="模型没有猜测，所以没有预选任何标签。",
        unsure="（把握不足，所以没有预选）",
        or_else="，或",
        between="  ·  ",
        many="可多选",
        scales={
            "intensity": ("强度", "有多强烈？1 很弱 … 5 极强"),
            "valence": ("愉快度", "是否愉快？1 不愉快 … 5 愉快"),
            "arousal": ("激动度", "是否激动？1 平静 … 5 激动"),
            "dominance": ("强势度", "是否强势？1 顺从 … 5 强势"),
        },
        flag_names={
            "noisy": "噪声大",
            "overlapping": "多人同时说话",
            "cut_off": "话被截断",
            "wrong_language": "语言不对",
            "private": "听到个人信息",
        },
        keys=(
            ("空格", "播放、暂停"),
            ("文本的按键，再按 Tab", "编辑说话内容；完成后按 Shift+回车"),
            ("Ctrl+回车", "提交，进入下一条"),
            ("Ctrl+空格", "跳过"),
            ("标签旁的小字母", "选择该标签"),
        ),
        about_proposals="预先选好的是模型的猜测：只要您听到的不同，就请改正。没有预选的地方，表示模型不知道。",
    ),
}

FLAGS = tuple(_WORDINGS["en"].flag_names)
"""Remarks that can be ticked on any clip, in the order shown."""


def find_wording(language: str) -> Wording:
    """The screen's texts in that language.

    Raises:
        AnnotationError: There are none; the message lists the languages there are.
    """
    if language not in _WORDINGS:
        raise AnnotationError(
            f"the labelling screen does not speak {language!r}; "
            f"set language to one of: {', '.join(_WORDINGS)}"
        )
    return _WORDINGS[language]
