"""Names of people: by a packaged English model, a Chinese dictionary, and the phrases with which
people introduce themselves.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from voxdata.backends.weights import locate
from voxdata.errors import BackendError
from voxdata.ports import PrivateText

_CAPITAL = r"[A-ZÀ-ÖØ-Þ][\w'’-]{1,40}+"
_TWO = r"\w[\w'’-]{1,40}+(?: \w[\w'’-]{1,40}+)?"
_INTRODUCTIONS = {
    "en": re.compile(
        r"(?i:my (?:full |first |last )?name(?: is|'s|’s)|(?:first|last|maiden|sur|the) ?name is"
        r"|call me|ask for|speak(?:ing)? (?:with|to)"
        rf"|talk(?:ing)? to|named)\s{{1,3}}(?P<span>"
        rf"(?!(?:Mrs?|Ms|Miss|Dr|Doctor|Professor)\b){_CAPITAL}(?: {_CAPITAL}){{0,2}})"
        r"|(?i:my (?:full |first |last )?name(?: is|'s|’s)|last name|first name is)\s{1,3}"
        r"(?P<low>(?!not|the|a|on|in|and|please)[a-z][\w'’-]{1,40}+)(?! (?:on|in|at)\b)"
        rf"|(?i:this is|i am|i'm|i’m|it's|it’s)\s{{1,3}}(?P<here>{_TWO})"
        r"(?= (?i:speaking|calling|from|here)\b)"
        r"|(?i:\b(?:mr|mrs|ms|miss|mister|missus|dr|doctor|professor))\.? "
        r"(?P<title>(?!(?:who|in|at|and|is|the|will|can|said|appointment)\b)[\w'’-]{2,40}+)"
        r"|(?i:(?:spell|spelled|spelt|name)[^.?!]{0,30}?)"
        r"(?P<letters>(?:\b[A-Za-z][ ,.-]{1,2}){2,60}[A-Za-z]\b)"
    ),
    "de": re.compile(
        rf"(?i:ich heiße|ich heisse|mein name ist|hier (?:spricht|ist))\s{{1,3}}"
        rf"(?P<span>{_CAPITAL}(?: {_CAPITAL})?)"
        rf"|(?:Herrn?|Frau) (?P<title>{_CAPITAL})"
    ),
    "fr": re.compile(
        rf"(?i:je m'appelle|je m’appelle|mon nom est|ici)\s{{1,3}}"
        rf"(?P<span>{_CAPITAL}(?: {_CAPITAL})?)"
        rf"|(?i:monsieur|madame|mademoiselle) (?P<title>{_CAPITAL})"
    ),
    "es": re.compile(
        rf"(?i:me llamo|mi nombre es|le habla)\s{{1,3}}(?P<span>{_CAPITAL}(?: {_CAPITAL})?)"
        rf"|(?i:señora?|señorita|don|doña) (?P<title>{_CAPITAL})"
    ),
    "it": re.compile(
        rf"(?i:mi chiamo|il mio nome è)\s{{1,3}}(?P<span>{_CAPITAL}(?: {_CAPITAL})?)"
        rf"|(?i:signora?|signor) (?P<title>{_CAPITAL})"
    ),
    "pt": re.compile(
        rf"(?i:me chamo|chamo-me|meu nome é)\s{{1,3}}(?P<span>{_CAPITAL}(?: {_CAPITAL})?)"
        rf"|(?i:senhora?) (?P<title>{_CAPITAL})"
    ),
    "nl": re.compile(
        rf"(?i:ik heet|mijn naam is|u spreekt met)\s{{1,3}}(?P<span>{_CAPITAL}(?: {_CAPITAL})?)"
        rf"|(?i:meneer|mevrouw) (?P<title>{_CAPITAL})"
    ),
}
PIECE = 4_000
OVERLAP = 200
LONGEST_WORD = 40
_SHORT = re.compile(rf"\S{{1,{LONGEST_WORD}}}|\s+")
_TITLES = frozenset(
    {"mr", "mrs", "ms", "miss", "mister", "missus", "dr", "doctor", "professor", "sir", "madam"}
)
_HAN = r"[\u4e00-\u9fff]"
_SURNAMES = (
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗郑梁谢宋唐许韩邓冯曹彭曾肖田董潘袁蔡蒋余于杜叶程魏苏吕丁任卢姚沈钟姜崔谭陆范汪廖石金韦贾夏付方邹"
    "熊白孟秦邱侯江尹薛闫段雷龙黎史陶贺毛郝顾龚邵万覃武钱戴严莫孔向常汤康易乔赖文"
)
_INTRODUCTION_CN = re.compile(
    rf"(?:我叫|名字叫|名字是|姓名是|本人)(?P<full>{_HAN}{{2,3}})(?=[，。,.！!？?\s、]|$|今年|电话|手机|在|住|我|想|是)"
    rf"|(?:我姓|免贵姓|姓)(?P<sur>[{_SURNAMES}])"
    rf"|(?:叫我|我是|找)[小老](?P<known>[{_SURNAMES}])(?![\u4e00-\u9fff]{{0,1}}[子大小])"
)
_TITLE_CN = re.compile(r"先生|女士|小姐|太太|经理|老师|医生|师傅|阿姨|同学")
_NOT_NAMES = frozenset(
    {
        "谢谢",
        "高兴",
        "小心",
        "明白",
        "马上",
        "元旦",
        "金额",
        "方便",
        "白天",
        "向前",
        "常用",
        "万一",
        "安排",
    }
)


def find_names(text: str, *, language: str) -> Iterator[PrivateText]:
    """Names of people; for a language without rules none."""
    if language == "en":
        yield from _model_names(text)
    if language == "zh":
        yield from _dictionary_names(text)
        yield from _titled_names(text)
    pattern = _INTRODUCTION_CN if language == "zh" else _INTRODUCTIONS.get(language)
    for match in pattern.finditer(text) if pattern else ():
        for group in pattern.groupindex if pattern else ():
            if match[group] and match[group] not in _NOT_NAMES:
                yield PrivateText(
                    kind="name",
                    start=match.start(group),
                    end=match.end(group),
                    score=0.8,
                )


def _model_names(text: str) -> Iterator[PrivateText]:
    for start, piece in cut_text(text):
        written, origin = _short_words(piece)
        for entity in _english_model()(written).ents:
            bare = entity.text.removesuffix("'s").removesuffix("’s")
            person = entity.label_ == "PERSON" and re.search(r"[^\W\d_]{2}", bare)
            if person and bare.lower().rstrip(".") not in _TITLES:
                begin, end = (
                    origin[entity.start_char],
                    origin[entity.start_char + len(bare) - 1] + 1,
                )
                yield PrivateText(
                    kind="name",
                    start=start + begin,
                    end=start + end,
                    score=0.85,
                )


def cut_text(text: str) -> Iterator[tuple[int, str]]:
    """(start, piece) of a long text: pieces of at most PIECE characters, each with the end of the
    one before.

    What a library takes more than linear time or memory for is given to it in pieces.
    """
    start = 0
    while True:
        end = start + PIECE
        if end >= len(text):
            yield start, text[start:]
            return
        space = text.rfind(" ", start + PIECE // 2, end)
        end = space if space > 0 else end
        yield start, text[start:end]
        back = text.find(" ", end - OVERLAP, end)
        start = back + 1 if back >= 0 else end - OVERLAP


def _short_words(text: str) -> tuple[str, list[int]]:
    """The text with a space in each run of LONGEST_WORD characters, and where each character was.

    spaCy's tokenizer takes quadratic time for such a run: it takes signs off its ends one by one.
    """
    written: list[str] = []
    origin: list[int] = []
    for match in _SHORT.finditer(text):
        if written and not match[0].isspace() and not written[-1].isspace():
            written.append(" ")
            origin.append(match.start())
        written.append(match[0])
        origin += range(*match.span())
    return "".join(written), origin


@cache
def _english_model() -> Any:
    with _torch_hidden():
        import spacy

    for part in ("names-en.vectors", "names-en.ner", "names-en.moves", "names-en.tokenizer"):
        locate(part)
    folder = locate("names-en.config").parent
    try:
        return spacy.load(
            folder, exclude=["tagger", "parser", "attribute_ruler", "lemmatizer", "senter"]
        )
    except (OSError, ValueError) as error:
        raise BackendError(
            f"{folder}: the model of names does not load ({error}); install from requirements.lock"
        ) from error


@contextmanager
def _torch_hidden() -> Iterator[None]:
    """Keep spaCy from importing torch: seconds and 450 MB in every worker, for layers that this
    model has not.
    """
    hidden = "torch" not in sys.modules
    if hidden:
        sys.modules["torch"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if hidden:
            del sys.modules["torch"]


def _dictionary_names(text: str) -> Iterator[PrivateText]:
    at = 0
    for word, tag in _chinese_words().tag(text):
        start = text.find(word, at, at + len(word) + LONGEST_WORD)
        if start < 0:
            continue
        at = start + len(word)
        if tag == "nr" and len(word) in (2, 3) and word[0] in _SURNAMES and word not in _NOT_NAMES:
            yield PrivateText(
                kind="name",
                start=start,
                end=at,
                score=0.6,
            )


@cache
def _chinese_words() -> Any:
    import rjieba

    return rjieba.Jieba()


def _titled_names(text: str) -> Iterator[PrivateText]:
    """The nearest surname within three characters before a title."""
    for title in _TITLE_CN.finditer(text):
        for length in (1, 2, 3):
            name = text[max(0, title.start() - length) : title.start()]
            if len(name) == length and name[0] in _SURNAMES and name not in _NOT_NAMES:
                yield PrivateText(
                    kind="name",
                    start=title.start() - length,
                    end=title.start(),
                    score=0.7,
                )
                break
