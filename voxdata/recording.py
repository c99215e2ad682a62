"""A recording: one ingested file, known by its content."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from voxdata.errors import AudioError, DropReason
from voxdata.identity import is_digest


class ChannelLayout(StrEnum):
    """How the channels of the original relate; decides what the canonical file keeps."""

    MONO = "mono"
    DUAL_MONO = "dual_mono"  # identical channels: one is kept
    ANTIPHASE = "antiphase"  # one is the other's negative: one is kept, since their sum is silence
    ONE_LIVE = "one_live"  # only one channel carries sound: that one is kept
    PER_CHANNEL = "per_channel"  # one party a channel: every live channel is kept
    ROOM = "room"  # correlated channels of one scene: mixed down


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One ingested file. Derived times come from `num_samples`, never from a header.

    Attributes:
        recording_id: Hash of the decoded content (rate, channels and samples), 32 hex characters.
        sample_rate_hz: The sample rate of the original.
        num_samples: Per channel, in the original.
        num_channels: The number of channels of the original.
        layout: How the original's channels relate.
        canonical_channels: Channels of the canonical 16 kHz FLAC (1 unless PER_CHANNEL).
        codec: The decoder's name for the original's codec, such as "pcm_s16le".
        container: The demuxer's name, such as "wav".
    """

    recording_id: str
    sample_rate_hz: int
    num_samples: int
    num_channels: int
    layout: ChannelLayout
    canonical_channels: int
    codec: str
    container: str

    @property
    def duration_ms(self) -> int:
        """Length in ms, rounded down."""
        return self.num_samples * 1000 // self.sample_rate_hz


def canonical_file(recording_id: str) -> str:
    """Where the canonical audio of a recording lies, relative to the audio folder: made of the id,
    never taken from elsewhere.

    >>> canonical_file("3fa85f64" * 4)
    '3f/3fa85f643fa85f643fa85f643fa85f64.flac'

    Raises:
        AudioError: OUTSIDE: that is no recording's id, so a path made of it could lead anywhere.
    """
    if not is_digest(recording_id):
        message = (
            f"{recording_id!r} is no recording's id, which has 32 hexadecimal digits; "
            "leave its rows out"
        )
        raise AudioError(message, reason=DropReason.OUTSIDE)
    return f"{recording_id[:2]}/{recording_id}.flac"
