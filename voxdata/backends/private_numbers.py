"""Personal numbers, addresses and dates in what was said: patterns over the digits view, and check digits where there are any."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from voxdata.backends.spoken_forms import View
from voxdata.ports import PrivateText

REGIONS = {
    "en": ("US", "GB", "AU", "IN"), "zh": ("CN", "HK", "TW", "SG"), "de": ("DE", "AT", "CH"), "fr": ("FR", "BE", "CH"),
    "es": ("ES", "MX", "AR"), "it": ("IT",), "pt": ("PT", "BR"), "nl": ("NL", "BE"), "ja": ("JP",), "ko": ("KR",),
}  # fmt: skip
"""Where a number without a country code may belong, by language."""

_BEFORE = 48
_PHONE = re.compile(
    r"phone|mobile|\bcell|\bcall|text me|reach|fax|\bdial|telefon|handy|rückruf|appel|teléfono|móvil"
    r"|电话|手机|拨打|联系|回电"
)
_CARD = re.compile(r"\bcard|credit|debit|visa|mastercard|amex|卡号|信用卡|银行卡|karte|carte|tarjeta")
_SECRET = re.compile(
    r"\bpin\b|passcode|password|security code|access code|\bcvv|\bcvc|\bcode (?:is|was)|last (?:four|4|three|3)"
    r"|ends? (?:in|with)|ending (?:in|with)"
    r"|account|member|policy|reference|booking|confirmation|order (?:number|is)|social security|passport|licen[cs]e|customer number|\bid\b"
    r"|验证码|密码|尾号|后四位|账号|账户|订单|会员|kundennummer|kontonummer|vertragsnummer"
)
_POSTCODE = re.compile(r"\bzip|post ?code|postal|邮编|postleitzahl|\bplz\b|code postal|código postal")
_BIRTH = re.compile(r"\bborn\b|birth|\bd\.?o\.?b\b|生日|出生|geboren|geburts|naissance|\bnée? le\b|nacimiento|nací")
_MONEY_BEFORE = re.compile(r"[$€£¥₹]\s?$")
_UNIT_AFTER = re.compile(
    r"\s?(?:%|percent|dollars?|bucks|euros?|pounds?|cents?|people|users|times|miles|kilomet|met(?:er|re)s?|hours?|minutes?|seconds?|years?"
    r"|square|元|块|万|人|次|米|公里|小时|分钟|年|美元|欧元)"
)
_RUN = re.compile(r"\d{3,}")
_ID_CN = re.compile(r"(?<!\d)\d{17}[\dXx](?!\d)")
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]{4}){2,7}(?:[ -]?[A-Z0-9]{1,3})?(?![A-Za-z0-9])")
_CODE = re.compile(r"(?<![\w-])(?=(?:[A-Z -]{0,4}\d){4})[A-Z]{1,3}[ -]?\d{4,12}[A-Z]?(?![\w-])|(?<!\w)[A-Z]{2} ?(?:\d\d ?){3}[A-D](?!\w)")
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?"
    r"|januar|februar|märz|mai|juni|juli|oktober|dezember|janvier|février|mars|avril|juin|juillet|août|septembre|octobre|novembre|décembre"
    r"|enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre|octubre|noviembre|diciembre)"
)
_ORDINAL = (
    r"(?:\d{1,2}(?:st|nd|rd|th)?\.?|(?:twenty|thirty)?[ -]?(?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth)"
    r"|tenth|eleventh|twelfth|thirteenth|fourteenth|fifteenth|sixteenth|seventeenth|eighteenth|nineteenth|twentieth|thirtieth)"
)
_DATES = re.compile(
    rf"(?<!\w)(?:(?:the )?{_ORDINAL} (?:of |de )?)?{_MONTH}(?!\w)\.?(?: (?:the )?{_ORDINAL}(?!\w))?(?:,? (?:de )?\d{{2,6}})?"
    r"|(?<!\d)\d{1,4}[-/. ]\d{1,2}[-/. ]\d{1,4}(?!\d)|(?<!\d)(?:19|20)\d{2}(?!\d|年)|(?<!\d)\d{5,8}(?!\d)"
    r"|\d{2,4}年(?:[\d一二三四五六七八九十]{1,3}月)?(?:[\d一二三四五六七八九十]{1,3}[日号])?|[\d一二三四五六七八九十]{1,3}月[\d一二三四五六七八九十]{1,3}[日号]",
    re.IGNORECASE,
)
_STREET = r"(?:street|avenue|road|lane|boulevard|crescent|terrace|parkway|highway)"
_STREET_SHORT = r"(?:St|Ave|Rd|Ln|Blvd|Dr|Drive|Way|Court|Place|Square|Close|Circle|Hill|Gardens|Walk)"
_REST = (
    r"(?:,? (?:apt\.?|apartment|suite|unit|flat|number|#) ?\w{1,5})?(?:(?:,| in)? [A-Z][a-z]+(?: [A-Z][a-z]+)?)?"
    r"(?:,? [A-Z]{2}(?![A-Za-z]))?(?:,? \d{5})?"
)
_ADDRESSES = (
    re.compile(rf"(?<!\w)\d{{1,5}}[A-Za-z]?,? (?:(?!of|and|the|minutes?|hours?)[A-Za-z']+ ){{1,3}}?(?i:{_STREET})(?!\w){_REST}"),
    re.compile(rf"(?<!\w)\d{{1,5}}[A-Za-z]?,? (?:[A-Z][A-Za-z']+ ){{1,3}}?{_STREET_SHORT}(?!\w)\.?{_REST}"),
    re.compile(
        r"(?i:(?:live|lives|living|address is|delivered?|move[ds]?|sent?|located) (?:\w+ )?(?:at|on|to|in)? ?)"
        rf"(?P<span>(?:[A-Z][a-z']+ ){{1,3}}(?i:{_STREET})(?!\w){_REST})"
    ),
    re.compile(r"(?i:(?<!\w)(?:p\.? ?o\.? box|flat|apartment|apt\.?|suite) (?:number )?\d{1,5}[a-z]?(?!\w))"),
    re.compile(r"(?<![A-Za-z0-9])[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}(?![A-Za-z0-9])"),
    re.compile(r"(?<!\w)[A-ZÄÖÜ][a-zäöüß-]+(?:straße|strasse|weg|platz|allee|gasse) \d{1,4}[a-z]?(?:,? \d{5}(?: [A-ZÄÖÜ]\w+)?)?"),
    re.compile(r"(?i:(?<!\w)\d{1,4},? (?:bis )?(?:rue|avenue|boulevard|chemin|place) (?:d[eu]s? )?(?:la |l')?[\w'-]+(?: [A-ZÉ][\w-]+)?)"),
    re.compile(r"(?i:(?<!\w)(?:calle|avenida|plaza|paseo) (?:de )?(?:la |los )?\w+(?: \w+)?,? (?:número )?\d{1,4})"),
    re.compile(
        r"(?:[\u4e00-\u9fff]{2,7}(?:省|市|区|县|镇))*[\u4e00-\u9fff]{1,6}?(?:路|街|大道|道|巷|弄|胡同|小区|花园|大厦|村|新村)"
        r"(?:[\d一二三四五六七八九十百零〇A-Z]+(?:号楼|号院|号|弄|栋|幢|楼|单元|室|层|座|房))+[\d一二三四五六七八九十]*(?:号|室)?"
    ),
)  # fmt: skip
_LEAD_CN = re.compile(r"^.*(?:住在|家在|住|地址是|地址|位于|送到|寄到|我在|是|在|到)")


def find_numbers(view: View, text: str, *, language: str) -> Iterator[PrivateText]:
    """Cards, phone numbers, ids, codes and other long numbers."""
    for match in _ID_CN.finditer(view.text):
        if _is_chinese_id(match[0].upper()):
            yield _found("id", view.original(*match.span()), 1.0)
    for match in _IBAN.finditer(text):
        if _is_iban(re.sub(r"[ -]", "", match[0])):
            yield _found("iban", match.span(), 1.0)
    for match in _CODE.finditer(text):
        yield _found("number", match.span(), 0.6)
    for match in _RUN.finditer(view.text):
        kind, score = _judge(match[0], match.span(), view.text, language=language)
        if kind:
            start = match.start() - (match.start() > 0 and view.text[match.start() - 1] == "+")
            yield _found(kind, view.original(start, match.end()), score)


def _judge(digits: str, at: tuple[int, int], text: str, *, language: str) -> tuple[str, float]:
    """(kind, score) of a run of digits; ("", 0) when it is nobody's."""
    before, after = text[max(0, at[0] - _BEFORE) : at[0]].lower(), text[at[1] : at[1] + 12].lower()
    if 13 <= len(digits) <= 19 and _is_luhn(digits):
        return "card", 1.0
    if _CARD.search(before) and 12 <= len(digits) <= 19:
        return "card", 0.8
    if _MONEY_BEFORE.search(before) or (len(digits) < 9 and _UNIT_AFTER.match(after)):
        return "", 0.0
    if 7 <= len(digits) <= 15 and is_phone(digits, international=before.endswith("+"), language=language):
        return "phone", 0.9
    if _POSTCODE.search(before) and 4 <= len(digits) <= 7:
        return "address", 0.7
    if _PHONE.search(before) and 7 <= len(digits) <= 15:
        return "phone", 0.7
    if len(digits) >= 6:
        return "number", 0.6
    return ("number", 0.5) if _SECRET.search(before) else ("", 0.0)


def is_phone(digits: str, *, international: bool, language: str) -> bool:
    """Whether digits are a valid phone number where the language is spoken, or anywhere when it begins with a plus."""
    import phonenumbers

    tries: list[tuple[str, str | None]] = [(f"+{digits}", None)] if international else [(digits, r) for r in REGIONS.get(language, ())]
    for number, region in tries:
        try:
            parsed: Any = phonenumbers.parse(number, region)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(parsed):
            return True
    return False


def find_birth_dates(view: View) -> Iterator[PrivateText]:
    """Dates said near a word of birth; other dates are nobody's."""
    for word in _BIRTH.finditer(view.text.lower()):
        for date in _DATES.finditer(view.text, word.end(), min(len(view.text), word.end() + 60)):
            yield _found("birth_date", view.original(*date.span()), 0.8)
        for date in _DATES.finditer(view.text, max(0, word.start() - 16), word.start()):
            if "年" in date[0] or "月" in date[0]:
                yield _found("birth_date", view.original(*date.span()), 0.8)


def find_addresses(view: View) -> Iterator[PrivateText]:
    """Streets with numbers, postcodes, post boxes."""
    for pattern in _ADDRESSES:
        for match in pattern.finditer(view.text):
            start, end = match.span("span") if "span" in pattern.groupindex else match.span()
            lead = _LEAD_CN.match(match[0])
            start += lead.end() if lead else 0
            if start < end:
                yield _found("address", view.original(start, end), 0.7)


def _found(kind: str, at: tuple[int, int], score: float) -> PrivateText:
    return PrivateText(kind=kind, start=at[0], end=at[1], score=score)


def _is_luhn(digits: str) -> bool:
    """The check digit of cards; a run of one digit is none."""
    doubled = [int(d) for d in reversed(digits)]
    total = sum(doubled[::2]) + sum(sum(divmod(2 * d, 10)) for d in doubled[1::2])
    return total % 10 == 0 and len(set(digits)) > 1


def _is_iban(compact: str) -> bool:
    """ISO 13616: moved to the front and read as a number, it leaves 1 modulo 97."""
    return int("".join(str(int(c, 36)) for c in compact[4:] + compact[:4])) % 97 == 1


def _is_chinese_id(number: str) -> bool:
    """GB 11643: the check digit of a resident identity number."""
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    return "10X98765432"[sum(int(d) * w for d, w in zip(number[:17], weights, strict=True)) % 11] == number[17]
