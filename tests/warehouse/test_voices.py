"""Voices: an append-only history, and what it says now."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from duckdb import DuckDBPyConnection

from voxdata.errors import NotFoundError
from voxdata.voice import Speaker, VoiceLink, voice_id_of
from warehouse.rows import read_rows
from warehouse.stages import record_stage
from warehouse.voices import (
    current_voices,
    divided_voices,
    list_heard_speakers,
    merge_voices,
    record_links,
    split_voice,
    store_speaker_embeddings,
    used_voice_ids,
)

A = ("aaa1", 0, "S0")
B = ("bbb2", 0, "S0")
C = ("ccc3", 1, "S1")


@pytest.fixture
def diarized(con: DuckDBPyConnection) -> Callable[..., None]:
    def store(
        speaker: Speaker,
        vector: Sequence[float] = (1.0, 0.0),
        *,
        key: str = "k",
    ) -> None:
        recording_id, channel, name = speaker
        store_speaker_embeddings(
            con,
            recording_id,
            channel,
            key=key,
            embeddings={name: vector},
            speech_ms={name: 9_000},
            model_key="m",
            run_id="t",
        )
        record_stage(
            con,
            recording_id=recording_id,
            stage="diarize",
            key=key,
            model_key="d",
            num_rows=1,
            audio_ms=10_000,
            seconds=1.0,
            run_id="t",
        )

    return store


def link(
    con: DuckDBPyConnection,
    speaker: Speaker,
    voice: str | None = None,
    *,
    key: str = "k",
) -> str:
    voice_id = voice or voice_id_of(speaker)
    made = VoiceLink(
        kind="join" if voice else "new",
        voice_id=voice_id,
        speaker=speaker,
        score=None,
        key=key,
    )
    record_links(
        con,
        [made],
        model_key="m",
        threshold=0.7,
        run_id="t",
    )
    return voice_id


def test_list_heard_speakers_gives_the_diarization_in_force(
    con: DuckDBPyConnection, diarized: Callable[..., None]
) -> None:
    diarized(A, (1.0, 0.0), key="old")
    diarized(A, (0.0, 1.0), key="new")
    diarized(B)
    (heard,) = list_heard_speakers(con).values()
    assert [(h.speaker, h.vector, h.speech_ms, h.key) for h in heard] == [
        (A, (0.0, 1.0), 9_000, "new"),
        (B, (1.0, 0.0), 9_000, "k"),
    ]


def test_current_voices_forgets_speakers_of_an_earlier_diarization(
    con: DuckDBPyConnection, diarized: Callable[..., None]
) -> None:
    diarized(A, key="old")
    voice = link(con, A, key="old")
    assert current_voices(con) == {A: voice}
    diarized(A, key="new")
    assert current_voices(con) == {}
    assert used_voice_ids(con) == {voice}
    diarized(A, key="old")
    assert current_voices(con) == {A: voice}


def test_merge_voices_holds_from_then_on_and_rewrites_nothing(
    con: DuckDBPyConnection, diarized: Callable[..., None]
) -> None:
    for speaker in (A, B, C):
        diarized(speaker)
    a = link(con, A)
    b = link(con, B)
    before = read_rows(con, "from voice_event order by seq")
    merged = merge_voices(
        con,
        b[:10],
        into=a[:10],
        reason="same person",
        run_id="t",
    )
    assert merged == (b, a)
    assert current_voices(con) == {A: a, B: a}
    assert read_rows(con, "from voice_event order by seq")[:2] == before
    link(con, C, b)  # a link made by one who did not know of the merge yet
    assert current_voices(con)[C] == b


def test_merge_voices_refuses_what_is_no_voice_or_the_same(
    con: DuckDBPyConnection, diarized: Callable[..., None]
) -> None:
    for speaker in (A, B):
        diarized(speaker)
    a = link(con, A)
    b = link(con, B)
    with pytest.raises(NotFoundError, match="one voice already"):
        merge_voices(
            con,
            a,
            into=a,
            reason="",
            run_id="t",
        )
    with pytest.raises(NotFoundError, match="voxdata voices"):
        merge_voices(
            con,
            "nowhere",
            into=a,
            reason="",
            run_id="t",
        )
    with pytest.raises(NotFoundError):
        merge_voices(
            con,
            "",
            into=a,
            reason="",
            run_id="t",
        )
    merge_voices(
        con,
        b,
        into=a,
        reason="",
        run_id="t",
    )
    with pytest.raises(NotFoundError, match="no voice"):
        merge_voices(
            con,
            b,
            into=a,
            reason="",
            run_id="t",
        )


def test_split_voice_takes_one_speaker_out(
    con: DuckDBPyConnection, diarized: Callable[..., None]
) -> None:
    for speaker in (A, B, C):
        diarized(speaker)
    a = link(con, A)
    for speaker in (B, C):
        link(con, speaker, a)
    new = split_voice(con, "bbb:0:S0", reason="another person", run_id="t")
    assert current_voices(con) == {A: a, B: new, C: a}
    assert new == voice_id_of(B)
    with pytest.raises(NotFoundError, match="for itself"):
        split_voice(con, "bbb2:0:S0", reason="", run_id="t")


def test_split_voice_never_gives_an_id_that_was_used(
    con: DuckDBPyConnection, diarized: Callable[..., None]
) -> None:
    for speaker in (A, B):
        diarized(speaker)
    a = link(con, A)
    link(con, B, a)
    seen = {a}
    for _ in range(3):
        divided = split_voice(con, "aaa1:0:S0", reason="", run_id="t")
        seen.add(divided)
        merge_voices(
            con,
            current_voices(con)[A],
            into=a,
            reason="",
            run_id="t",
        )
    assert len(seen) == 4
    assert used_voice_ids(con) >= seen


def test_split_voice_names_what_it_does_not_know(
    con: DuckDBPyConnection, diarized: Callable[..., None]
) -> None:
    diarized(A)
    link(con, A)
    for ref in ("zzz:0:S0", "aaa:1:S0", "aaa", "", ":0:S0"):
        with pytest.raises(NotFoundError, match="speaker"):
            split_voice(con, ref, reason="", run_id="t")


def test_split_voice_asks_for_more_when_two_recordings_begin_alike(
    con: DuckDBPyConnection, diarized: Callable[..., None]
) -> None:
    twins = (("ab1", 0, "S0"), ("ab2", 0, "S0"))
    for speaker in twins:
        diarized(speaker)
        link(con, speaker, "shared")
    with pytest.raises(NotFoundError, match="give more of it"):
        split_voice(con, "ab:0:S0", reason="", run_id="t")


def test_divided_voices_names_those_a_speaker_was_taken_out_of(
    con: DuckDBPyConnection, diarized: Callable[..., None]
) -> None:
    for speaker in (A, B):
        diarized(speaker)
    a = link(con, A)
    link(con, B, a)
    assert divided_voices(con) == set()
    split_voice(con, "bbb2:0:S0", reason="", run_id="t")
    assert divided_voices(con) == {a}
