"""Numbers as people read them: short totals keep two digits that mean something."""

from __future__ import annotations

from decimal import Decimal


def shown_number(value: float) -> str:
    """A number with two decimals, or with two significant digits when it is too small for these.

    >>> shown_number(12.345), shown_number(0.0123), shown_number(0.0)
    ('12.35', '0.012', '0.00')
    """
    if value == 0 or abs(value) >= 0.1:
        return f"{value:.2f}"
    return f"{Decimal(f'{value:.1e}'):f}"


def shown_duration(minutes: float) -> str:
    """A length with its unit: in seconds below a minute.

    >>> shown_duration(83.25), shown_duration(0.05), shown_duration(0.005)
    ('83.2 min', '3.0 s', '0.30 s')
    """
    if minutes >= 1:
        return f"{minutes:.1f} min"
    seconds = minutes * 60
    return f"{seconds:.1f} s" if seconds >= 1 or seconds == 0 else f"{shown_number(seconds)} s"
