"""Schemes of every kind, for laws."""

from __future__ import annotations

from hypothesis import strategies as st

from voxdata.scheme import Scheme, SchemeLabel

_LETTERS = st.one_of(
    st.sampled_from("退款愤怒高兴 <>&\"'[]/;=%$+, "),
    st.characters(codec="utf-8", categories=["L", "N", "P", "S"]),
)
_LINES = st.text(alphabet=_LETTERS, min_size=1, max_size=8).map(str.strip)

NAMES = _LINES.filter(lambda name: name and not name.startswith("$"))
"""Names of labels: Chinese, markup, quotes, anything that a line may hold.

None begins with a $, which makes it a field's name for Label Studio.
"""


@st.composite
def schemes_of_every_kind(draw: st.DrawFn) -> tuple[Scheme, ...]:
    """One to three schemes that fit on one labelling screen.

    They are of one, several and ranked choices, with scales, groups and shown names.
    """
    num_schemes = draw(st.integers(1, 3))
    return tuple(draw(_schemes(number)) for number in range(num_schemes))


@st.composite
def _schemes(draw: st.DrawFn, number: int) -> Scheme:
    """A scheme by its place; all but the first show their labels in Chinese."""
    names = draw(st.lists(NAMES, min_size=2, max_size=4, unique=True))
    count = len(names)
    shown_names = draw(st.lists(NAMES, min_size=count, max_size=count, unique=True))
    labels: list[SchemeLabel] = []
    for name, shown_name in zip(names, shown_names, strict=True):
        labels.append(
            SchemeLabel(
                name=name,
                shown={"zh": shown_name} if number > 0 else {},
                group=draw(st.sampled_from(["", "Billing", "账单 <&>"])),
            )
        )
    scales = st.sampled_from(["intensity", "valence", "arousal"])
    return Scheme(
        name=f"scheme_{number}",
        version=1,
        title=draw(st.sampled_from(["", "What? <&>", "想要什么？"])),
        labels=tuple(labels),
        choice=draw(st.sampled_from(["one", "many", "ranked"])),
        scales=tuple(draw(st.lists(scales, unique=True))),
    )
