"""Personal numbers in what was said: patterns over the digits view, and check digits where there
are any.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from voxdata.backends.privacy.private_part import mark_private
from voxdata.backends.privacy.spoken_forms import View
from voxdata.ports import PrivateText

REGIONS = {
    "en": ("US", "GB", "AU", "IN"),
    "zh": ("CN", "HK", "TW", "SG"),
    "de": ("DE", "AT", "CH"),
    "fr": ("FR", "BE", "CH"),
    "es": ("ES", "MX", "AR"),
    "it": ("IT",),
    "pt": ("PT", "BR"),
    "nl": ("NL", "BE"),
    "ja": ("JP",),
    "ko": ("KR",),
}
"""Where a number without a country code may belong, by language."""

_BEFORE = 48
_PHONE = re.compile(
    r"phone|mobile|\bcell|\bcall|text me|reach|fax|\bdial|telefon|handy|rückruf|appel|téléphone"
    r"|joindre|teléfono|móvil|celular|llám|电话|手机|拨打|联系|回电"
)
_CARD = re.compile(
    r"\bcard|credit|debit|visa|mastercard|amex|卡号|信用卡|银行卡|karte|carte|tarjeta"
)
_SECRET = re.compile(
    r"\bpin\b|passcode|password|security code|access code|\bcvv|\bcvc|\bcode (?:is|was|ist|es|est)"
    r"|last (?:four|4|three|3)|ends? (?:in|with)|ending (?:in|with)"
    r"|account|member|policy|reference|booking|confirmation|order (?:number|is)|social security"
    r"|passport|licen[cs]e|customer number|\bid\b"
    r"|验证码|密码|尾号|后四位|账号|账户|订单|会员"
    r"|kundennummer|kontonummer|vertragsnummer|bestellnummer|geheimzahl|prüfziffer|passwort"
    r"|kennwort"
    r"|letzten (?:vier|4)|kartennummer|ausweis"
    r"|numéro de (?:compte|client|dossier|contrat|carte)|code (?:secret|confidentiel|pin)"
    r"|mot de passe"
    r"|quatre derniers|derniers chiffres|référence"
    r"|número de (?:cuenta|cliente|pedido|socio|tarjeta)|contraseña|\bclave"
    r"|código (?:es|pin|de seguridad)"
    r"|últim[oa]s cuatro|referencia|\bdni\b|\bnif\b"
)
_POSTCODE = re.compile(
    r"\bzip|post ?code|postal|邮编|postleitzahl|\bplz\b|code postal|código postal"
)
_MONEY_BEFORE = re.compile(r"[$€£¥₹]\s?$")
_UNIT_AFTER = re.compile(
    r"\s?(?:%|percent|dollars?|bucks|euros?|pounds?|cents?|people|users|times|miles|kilomet"
    r"|met(?:er|re)s?|hours?|minutes?|seconds?|years?"
    r"|square|millones|millions?|personnes|habitants|personas|habitantes|horas|minutos|heures"
    r"|años|ans\b|leute|menschen|einwohner|stunden|minuten|jahre|元|块|万|人|次|米|公里|小时|分钟|年|美元|欧元)"
)
_RUN = re.compile(r"\d{3,}")
_ID_CN = re.compile(r"(?<!\d)\d{17}[\dXx](?!\d)")
_IBAN = re.compile(
    r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]{4}){2,7}(?:[ -]?[A-Z0-9]{1,3})?(?![A-Za-z0-9])"
)
_PLATE_CN = re.compile(
    r"[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼][A-Z][ ·]?"
    r"(?=[A-Z]{0,5}\d)[A-Z\d]{5,6}(?![A-Za-z\d])"
)
_SPELLED_CODE = re.compile(
    r"(?<![\w'-])(?:[A-Z][ -]{1,2}){2,3}\d{3,8}(?!\w)|(?<![\w'-])[B-HJ-Z][ -]\d{4,8}(?!\w)"
)
_CODE = re.compile(
    r"(?<![\w-])(?=(?:[A-Z -]{0,4}\d){4})[A-Z]{1,3}[ -]?\d{4,12}[A-Z]?(?![\w-])"
    r"|(?<!\w)[A-Z]{2} ?(?:\d\d ?){3}[A-D](?!\w)"
)


def find_numbers(
    view: View,
    text: str,
    *,
    language: str,
) -> Iterator[PrivateText]:
    """Cards, phone numbers, ids, codes and other long numbers."""
    for match in _ID_CN.finditer(view.text):
        if _is_chinese_id(match[0].upper()):
            yield mark_private("id", view.original(*match.span()), 1.0)
    for match in _IBAN.finditer(text):
        if _is_iban(re.sub(r"[ -]", "", match[0])):
            yield mark_private("iban", match.span(), 1.0)
    for match in _CODE.finditer(text):
        yield mark_private("number", match.span(), 0.6)
    for pattern in (_PLATE_CN, _SPELLED_CODE):
        for match in pattern.finditer(view.text):
            yield mark_private("number", view.original(*match.span()), 0.6)
    for match in _RUN.finditer(view.text):
        kind, score = _judge(
            match[0],
            match.span(),
            view.text,
            language=language,
        )
        if kind:
            start = match.start() - (match.start() > 0 and view.text[match.start() - 1] in "+(")
            yield mark_private(kind, view.original(start, match.end()), score)


def _judge(
    digits: str,
    at: tuple[int, int],
    text: str,
    *,
    language: str,
) -> tuple[str, float]:
    """(kind, score) of a run of digits; ("", 0) when it is nobody's."""
    before, after = text[max(0, at[0] - _BEFORE) : at[0]].lower(), text[at[1] : at[1] + 12].lower()
    if 13 <= len(digits) <= 19 and _is_luhn(digits):
        return "card", 1.0
    if _CARD.search(before) and 12 <= len(digits) <= 19:
        return "card", 0.8
    if _MONEY_BEFORE.search(before) or (len(digits) < 9 and _UNIT_AFTER.match(after)):
        return "", 0.0
    if 7 <= len(digits) <= 15 and is_phone(
        digits, international=before.endswith("+"), language=language
    ):
        return "phone", 0.9
    if _POSTCODE.search(before) and 4 <= len(digits) <= 7:
        return "address", 0.7
    if _PHONE.search(before) and 7 <= len(digits) <= 15:
        return "phone", 0.7
    if len(digits) >= 6:
        return "number", 0.6
    return ("number", 0.5) if _SECRET.search(before) else ("", 0.0)


def is_phone(digits: str, *, international: bool, language: str) -> bool:
    """Whether digits are a valid phone number where the language is spoken, or anywhere when it
    begins with a plus.
    """
    import phonenumbers

    tries: list[tuple[str, str | None]] = (
        [(f"+{digits}", None)]
        if international
        else [(digits, r) for r in REGIONS.get(language, ())]
    )
    for number, region in tries:
        try:
            parsed: Any = phonenumbers.parse(number, region)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(parsed):
            return True
    return False


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
    return (
        "10X98765432"[sum(int(d) * w for d, w in zip(number[:17], weights, strict=True)) % 11]
        == number[17]
    )
