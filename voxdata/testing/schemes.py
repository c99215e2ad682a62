"""Schemes of every kind, for laws."""

from __future__ import annotations

from hypothesis import strategies as st

from voxdata.scheme import Scheme, SchemeLabel

NAMES = (
    st.text(
        alphabet=st.one_of(
            st.sampled_from("退款愤怒高兴 <>&\"'[]/;=%$+, "),
            st.characters(codec="utf-8", categories=["L", "N", "P", "S"]),
        ),
        min_size=1,
        max_size=8,
    )
    .map(str.strip)
    .filter(lambda name: name and not name.startswith("$"))
)
"""Names of labels: Chinese, markup, quotes, anything that a line may hold but a leading $ (a
field's name for Label Studio).
"""


@st.composite
def schemes_of_every_kind(draw: st.DrawFn) -> tuple[Scheme, ...]:
    """One to three schemes that fit on one labelling screen: of one, several and ranked choices,
    with scales, groups, shown names.
    """
    schemes = []
    for i in range(draw(st.integers(1, 3))):
        names = draw(st.lists(NAMES, min_size=2, max_size=4, unique=True))
        shown = draw(st.lists(NAMES, min_size=len(names), max_size=len(names), unique=True))
        labels = tuple(
            SchemeLabel(
                name=name,
                shown={"zh": other} if i else {},
                group=draw(st.sampled_from(["", "Billing", "账单 <&>"])),
            )
            for name, other in zip(names, shown, strict=True)
        )
        schemes.append(
            Scheme(
                name=f"scheme_{i}",
                version=1,
                title=draw(st.sampled_from(["", "What? <&>", "想要什么？"])),
                labels=labels,
                choice=draw(st.sampled_from(["one", "many", "ranked"])),
                scales=tuple(
                    draw(
                        st.lists(st.sampled_from(["intensity", "valence", "arousal"]), unique=True)
                    )
                ),
            )
        )
    return tuple(schemes)
