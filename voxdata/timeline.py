"""Where the sound of a track belongs: by its timestamps, so that what is missing shifts nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from voxdata.remark import Remark, RemarkKind

TOLERANCE_S = 0.04
"""Timestamps may run this far ahead of the sound before silence is put in: no label minds it."""

MIN_JUMP_S = 0.01
"""Silence goes only where timestamps leap so far: a clock that is a little fast leaps nowhere."""

RESTART_S = 1.0
"""Timestamps that fall back further begin again, as where files were joined; the sound goes on."""

MAX_GAP_S = 3600.0
"""A longer leap is a change of clock rather than a pause."""

_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gap:
    """Silence that was put in.

    Attributes:
        start, length: In samples.
    """

    start: int
    length: int


class Timeline:
    """The time of one track, told from its frames in order.

    Args:
        rate_hz: The track's rate.
        origin_s: When the recording begins, in the time of the track's timestamps; None: with it.
    """

    def __init__(self, *, rate_hz: int, origin_s: float | None) -> None:
        self.rate_hz = rate_hz
        self.num_samples = 0  # with silence
        self.heard = 0  # without
        self._base_s = origin_s
        self._end_s: float | None = None
        self._filled = 0
        self._gaps: list[_Gap] = []
        self._jumps: list[int] = []

    def place(self, start_s: float | None, num_samples: int) -> int:
        """Take the next frame in.

        Args:
            start_s: Its timestamp; None when it has none.

        Returns:
            Samples of silence that belong before it.

        Raises:
            OverlapError: The frame belongs where `fill` has put silence.
        """
        silent = 0 if start_s is None else self._silence_before(start_s)
        if silent or self._filled:
            start = self.num_samples - self._filled
            self._gaps.append(
                _Gap(
                    start=start,
                    length=silent + self._filled,
                )
            )
            self._filled = 0
        self._end_s = None if start_s is None else start_s + num_samples / self.rate_hz
        self.num_samples += silent + num_samples
        self.heard += num_samples
        return silent

    @property
    def end_s(self) -> float | None:
        """Where the last frame ends, by its timestamp."""
        return self._end_s

    def fill(self, num_samples: int) -> None:
        """Take silence in without waiting for the frame after it."""
        self._filled += num_samples
        self.num_samples += num_samples

    def remarks(self, of: str = "") -> list[Remark]:
        """What there is to say about its time.

        Args:
            of: Which track, such as "track 2: "; "" when there is one.
        """
        remarks: list[Remark] = []
        late = [gap for gap in self._gaps if gap.start == 0]
        inside = [gap for gap in self._gaps if gap.start > 0]
        if late:
            late_samples = late[0].length
            after = f"{self._seconds(late_samples)} s after the recording"
            detail = f"{of}its sound begins {after}; silence comes before it"
            remarks.append(self._remark(RemarkKind.LATE_START, detail, late_samples))
        if inside:
            total = sum(gap.length for gap in inside)
            lacks = f"{of}{self._seconds(total)} s of sound are missing inside"
            detail = f"{lacks}, silence replaces them: {self._list_places(inside)}"
            remarks.append(self._remark(RemarkKind.GAP, detail, total))
        if self._jumps:
            places = ", ".join(f"{self._seconds(at)} s" for at in self._jumps[:_SHOWN])
            leap = f"leap by more than {MAX_GAP_S / 3600:.0f} h at {places}"
            detail = f"{of}its timestamps {leap}; they were not followed there"
            remarks.append(
                Remark(
                    kind=RemarkKind.TIME_JUMP,
                    detail=detail,
                )
            )
        return remarks

    def _list_places(self, gaps: Sequence[_Gap]) -> str:
        places: list[str] = []
        for gap in gaps[:_SHOWN]:
            start = self._seconds(gap.start)
            stop = self._seconds(gap.start + gap.length)
            places.append(f"{start} to {stop} s")
        more = f" and {len(gaps) - _SHOWN} more" if len(gaps) > _SHOWN else ""
        return ", ".join(places) + more

    def _silence_before(self, start_s: float) -> int:
        """Samples of silence that belong before a frame at this timestamp."""
        if self._base_s is None or (self.heard == 0 and start_s < self._base_s):
            self._base_s = start_s
        ahead_s = start_s - self._base_s - self.num_samples / self.rate_hz
        leap_s = ahead_s if self._end_s is None else start_s - self._end_s
        if self._filled and ahead_s < -TOLERANCE_S:
            raise OverlapError

        if ahead_s > MAX_GAP_S:
            self._jumps.append(self.num_samples)
        if ahead_s > MAX_GAP_S or ahead_s < -RESTART_S:
            self._base_s += ahead_s
            return 0

        is_gap = ahead_s > TOLERANCE_S and leap_s > MIN_JUMP_S
        return round(ahead_s * self.rate_hz) if is_gap else 0

    def _remark(self, kind: RemarkKind, detail: str, num_samples: int) -> Remark:
        return Remark(
            kind=kind,
            detail=detail,
            amount_ms=num_samples * 1000 // self.rate_hz,
        )

    def _seconds(self, num_samples: int) -> str:
        return f"{num_samples / self.rate_hz:.2f}"


class OverlapError(Exception):
    """Sound belongs where silence was put already."""
