"""Where people live: streets with numbers, postcodes, places with a postcode, post boxes.

Each pattern looks at a bounded stretch, or at each character a bounded number of times.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from voxdata.backends.privacy.spoken_forms import View
from voxdata.ports import PrivateText

_WORD = r"[A-Za-z']{1,30}+"
_CAPITAL = r"[A-Z][A-Za-z']{1,30}+"
_STREET = r"(?:street|avenue|road|lane|boulevard|crescent|terrace|parkway|highway)"
_STREET_SHORT = (
    r"(?:St|Ave|Rd|Ln|Blvd|Dr|Drive|Way|Court|Place|Square|Close|Circle|Hill|Gardens|Walk)"
)
_REST = (
    r"(?:,? (?:apt\.?|apartment|suite|unit|flat|number|#) ?\w{1,5})?"
    r"(?:(?:,| in)? [A-Z][a-z]{1,30}+(?: [A-Z][a-z]{1,30}+)?)?"
    r"(?:,? [A-Z]{2}(?![A-Za-z]))?(?:,? \d{5})?"
)
_LIVES = r"(?:live|lives|living|address is|delivered?|move[ds]?|sent?|located)"
_PATTERNS = (
    re.compile(
        r"(?<!\w)\d{1,5}[A-Za-z]?,? "
        rf"(?:(?!of|and|the|minutes?|hours?){_WORD} ){{1,3}}?(?i:{_STREET})(?!\w){_REST}"
    ),
    re.compile(
        rf"(?<!\w)\d{{1,5}}[A-Za-z]?,? (?:{_CAPITAL} ){{1,3}}?{_STREET_SHORT}(?!\w)\.?{_REST}"
    ),
    re.compile(
        rf"(?i:{_LIVES} (?:\w{{1,30}}+ )?(?:at|on|to|in)? ?)"
        rf"(?P<span>(?:[A-Z][a-z']{{1,30}}+ ){{1,3}}(?i:{_STREET})(?!\w){_REST})"
    ),
    re.compile(
        r"(?i:(?<!\w)(?:p\.? ?o\.? box|flat|apartment|apt\.?|suite) (?:number )?\d{1,5}[a-z]?"
        r"(?!\w))"
    ),
    # British and Canadian postcodes, also spelled: "S W 1 A 1 A A".
    re.compile(r"(?<![A-Za-z0-9])[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}(?![A-Za-z0-9])"),
    re.compile(r"(?<![A-Za-z0-9])[A-Z] ?[A-Z]? ?\d{1,2} ?[A-Z]? ?\d ?[A-Z] ?[A-Z](?![A-Za-z0-9'])"),
    re.compile(r"(?<![A-Za-z0-9])[A-Z] ?\d ?[A-Z] ?\d ?[A-Z] ?\d(?![A-Za-z0-9])"),
    re.compile(
        r"(?<!\w)[A-ZÄÖÜ][a-zäöüß-]{1,40}?(?:straße|strasse|weg|platz|allee|gasse) \d{1,4}[a-z]?"
        r"(?:,? \d{5}(?: [A-ZÄÖÜ]\w{1,30}+)?)?"
    ),
    re.compile(
        r"(?i:(?<!\w)\d{1,4},? (?:bis )?(?:rue|avenue|boulevard|chemin|place) (?:d[eu]s? )?"
        r"(?:la |l')?[\w'-]{1,40}+(?: [A-ZÉ][\w-]{1,40}+)?)"
    ),
    re.compile(
        r"(?i:(?<!\w)(?:calle|avenida|plaza|paseo) (?:de )?(?:la |los )?"
        r"\w{1,30}+(?: \w{1,30}+)?,? (?:número )?\d{1,4})"
    ),
)
_ROAD_CN = re.compile(
    r"(?:路|街|大道|道|巷|弄|胡同|小区|花园|大厦|村|新村)"
    r"(?:[\d一二三四五六七八九十百零〇A-Z]{1,8}+"
    r"(?:号楼|号院|号|弄|栋|幢|楼|单元|室|层|座|房)){1,8}+[\d一二三四五六七八九十]{0,8}+(?:号|室)?"
)
_LEAD_CN = re.compile(r".*(?:住在|家在|住|地址是|地址|位于|送到|寄到|我在|是|在|到)")
_DISTRICTS_CN = "省市区县镇"
_LEVELS_CN = 5
"""Province, city, district, county and town: more stand before no street."""

_STATES = (
    "alabama|alaska|arizona|arkansas|california|colorado|connecticut|delaware|florida|georgia"
    "|hawaii|idaho|illinois|indiana|iowa|kansas|kentucky|louisiana|maine|maryland|massachusetts"
    "|michigan|minnesota|mississippi|missouri|montana|nebraska|nevada|new hampshire|new jersey"
    "|new mexico|new york|north carolina|north dakota|ohio|oklahoma|oregon|pennsylvania"
    "|rhode island|south carolina|south dakota|tennessee|texas|utah|vermont|virginia|washington"
    "|west virginia|wisconsin|wyoming|d\\.?c\\.?"
)
_STATES_SHORT = (
    "A[KLRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|PA|RI|S[CD]"
    "|T[NX]|UT|V[AT]|W[AIVY]"
)
_NO_PLACE = (
    "Windows|Room|Flight|Route|Highway|Order|Ticket|Case|Invoice|Page|Box|Number|Code|Version|Model"
    "|Unit|Line|Step|Press|Dial|Extension|About|Over|Only|Almost|Nearly|Some|Another|Yes|No|Okay"
)
_COUNTED = (
    "people|persons|users|dollars|euros?|pounds|times|miles|points|copies|men|women|cars|calls"
    "|Euro|Menschen|Leute|Einwohner|Mitarbeiter|Kunden|Stück|Mark|Franken|Kilometer|Personen|Dollar"
    "|Tagen?|Wochen?|Monaten?|Jahren?|Stunden?|Minuten?|Sekunden?|Fällen?|Haushalten?|Exemplaren?"
    "|Uhr|Prozent|Meter|Schritte|Zuschauer|Besucher|personas|habitantes|personnes|habitants|persone"
)
_CODE = r"(?!\d{2}000)(?P<span>\d{5}(?:[- ]?\d{4})?)(?![\d%€$£])(?! ?(?:" + _COUNTED + r")(?!\w))"
_CITY = rf"(?!(?:{_NO_PLACE}) )[A-Z][a-z]{{1,30}}+(?: [A-Z][a-z]{{1,30}}+){{0,2}}"
_GOES = (
    r"liv(?:e|es|ing) in|mov(?:e|ed|ing) to|resid(?:e|es|ing) in|ship(?:ped)? (?:it )?to"
    r"|sen[dt] (?:it )?to|deliver(?:ed)? to|address is"
)
_ZIPS = (
    re.compile(rf"(?<![A-Za-z])(?:(?i:{_STATES})|{_STATES_SHORT}),? {{1,3}}{_CODE}"),
    re.compile(rf"(?<!\w)(?:in|from|near|at) {_CITY},? {{1,3}}{_CODE}"),
    re.compile(rf"(?<!\w){_CITY}, {{1,3}}{_CODE}"),
    re.compile(rf"(?i:(?<!\w)(?:{_GOES}) (?:[a-z]{{1,30}}+,? ){{1,3}}){_CODE}"),
)
_PLACE = r"[A-ZÀ-ÖØ-Þ][a-zà-öø-ÿß]{2,30}+"
_POSTCODE_BEFORE_PLACE = {
    "de": re.compile(
        rf"(?:(?i:in|nach|aus|bei|wohn\w{{0,4}}|ort)|,) (?!\d\d000)"
        rf"(?P<span>\d{{5}} (?!(?:{_COUNTED})(?!\w)){_PLACE})"
    ),
    "fr": re.compile(
        rf"(?<!\d)(?!\d\d000 )(?P<span>\d{{5}} {_PLACE})|{_PLACE},? (?P<after>\d{{5}})(?!\d)"
    ),
    "es": re.compile(rf"(?<!\d)(?P<span>\d{{5}} {_PLACE})|{_PLACE}, (?P<after>\d{{5}})(?!\d)"),
    "it": re.compile(rf"(?<!\d)(?P<span>\d{{5}} {_PLACE})"),
    "nl": re.compile(r"(?<!\w)(?P<span>[1-9]\d{3} ?[A-Z] ?[A-Z])(?!\w)"),
}


def find_addresses(view: View, *, language: str) -> Iterator[PrivateText]:
    """Streets with numbers, postcodes, post boxes."""
    patterns = [*_PATTERNS, *_ZIPS]
    if language in _POSTCODE_BEFORE_PLACE:
        patterns.append(_POSTCODE_BEFORE_PLACE[language])
    for pattern in patterns:
        for match in pattern.finditer(view.text):
            names = [name for name in ("span", "after") if match.groupdict().get(name)]
            yield _address(view, *(match.span(names[0]) if names else match.span()))
    for road in _ROAD_CN.finditer(view.text):
        start = _first_district(view.text, road.start())
        lead = _LEAD_CN.match(view.text, start, road.end())
        start = lead.end() if lead else start
        if start < road.end():
            yield _address(view, start, road.end())


def _address(view: View, start: int, end: int) -> PrivateText:
    begin, stop = view.original(start, end)
    return PrivateText(
        kind="address",
        start=begin,
        end=stop,
        score=0.7,
    )


def _first_district(text: str, road: int) -> int:
    """Where an address begins whose word for road is at `road`.

    Before it stand one to six characters of its name, and before those up to `_LEVELS_CN` districts
    of two to seven characters each and their word.
    """
    edges = {road - n for n in _han_before(text, road, most=6)}
    reached = set(edges)
    for _ in range(_LEVELS_CN):
        further = set()
        for edge in edges:
            if edge > 0 and text[edge - 1] in _DISTRICTS_CN:
                further |= {edge - 1 - n for n in _han_before(text, edge - 1, most=7) if n > 1}
        edges = further - reached
        reached |= edges
    return min(reached, default=road)


def _han_before(text: str, end: int, *, most: int) -> range:
    """1 to as many Chinese characters, at most `most`, as stand before `end`."""
    count = 0
    while count < most and end > count and "\u4e00" <= text[end - count - 1] <= "\u9fff":
        count += 1
    return range(1, count + 1)
