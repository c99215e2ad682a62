from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest

from voxdata.audit.copies import (
    align,
    correlate,
    find_copies,
    is_copy,
    least_correlation,
    prepare_clip,
)
from voxdata.audit.findings import SCHEMA, Severity
from voxdata.audit.sound_checks import (
    find_bad_sound,
    find_exact_copies,
    find_near_copies,
    find_shared_voices,
    join_sounds,
    leave_out_equal,
    name_copies,
)
from voxdata.sound import MODEL_RATE_HZ, Samples


def voice(seed: int, *, seconds: float = 2.5) -> Samples:
    """Syllables of harmonics at a wandering pitch: like speech in what the search looks at."""
    draws = np.random.default_rng(seed)
    time = np.arange(int(seconds * MODEL_RATE_HZ)) / MODEL_RATE_HZ

    def curve(values: np.ndarray) -> np.ndarray:
        """The values at equal distances, and straight lines between them."""
        knots = np.linspace(0, seconds, len(values))
        return np.interp(time, knots, values)

    pitch = 140 + 40 * curve(draws.normal(size=12))
    phase = 2 * np.pi * np.cumsum(pitch) / MODEL_RATE_HZ
    level = curve(draws.uniform(0, 1, 20)) ** 2
    tones = np.zeros(len(time))
    for k in range(1, 24):
        tones += curve(draws.uniform(0, 1, 10)) * np.sin(k * phase)
    return (0.05 * level * tones).astype(np.float32)


def rms(samples: Samples) -> np.float32:
    return np.sqrt(np.mean(np.square(samples)))


def noisy(samples: Samples) -> Samples:
    level = 0.1 * float(np.std(samples))
    noise = np.random.default_rng(0).normal(0, level, len(samples))
    return samples + noise.astype(np.float32)


def copied(sounds: Sequence[Samples]) -> list[tuple[int, int]]:
    """The pairs that `find_copies` finds among these sounds."""
    clips = [prepare_clip(sound) for sound in sounds]
    return [(copy.first, copy.second) for copy in find_copies(clips)]


VOICES = [voice(seed) for seed in range(12)]


@pytest.mark.parametrize(
    "alter",
    [
        lambda x: x * np.float32(0.2),
        lambda x: -x,
        lambda x: x[4_000:-4_000],
        lambda x: np.concatenate([np.zeros(3_000, np.float32), x]),
        noisy,
        lambda x: np.rint(x * 127).astype(np.float32) / 127,
    ],
    ids=["quieter", "inverted", "trimmed", "later", "noisy", "8 bit"],
)
def test_find_copies_finds_altered_copies_and_nothing_else(alter: object) -> None:
    assert callable(alter)
    assert copied([*VOICES, alter(VOICES[3])]) == [(3, 12)]


def test_find_copies_leaves_silence_alone() -> None:
    assert find_copies([prepare_clip(np.zeros(MODEL_RATE_HZ, np.float32))] * 3) == []


def test_correlate_is_one_for_a_shifted_part() -> None:
    wave = prepare_clip(VOICES[0]).wave
    assert correlate(wave, wave[2_000:]) == pytest.approx(1.0, abs=1e-3)
    assert correlate(wave[2_000:], wave) == pytest.approx(1.0, abs=1e-3)


def test_correlate_is_nothing_when_too_little_is_shared() -> None:
    first = np.concatenate([VOICES[0], VOICES[1]])
    second = np.concatenate([VOICES[2], VOICES[3], VOICES[0][:4_000]])
    likeness = correlate(prepare_clip(first).wave, prepare_clip(second).wave)
    assert likeness < least_correlation(5.0)


def test_least_correlation_is_stricter_where_less_is_heard() -> None:
    assert least_correlation(0.3) > least_correlation(0.5) > least_correlation(1.0)


CLICK = np.random.default_rng(7).normal(size=40).astype(np.float32)
TIME = np.arange(MODEL_RATE_HZ // 5) / MODEL_RATE_HZ
TONES = {
    "click": CLICK,
    "tone": np.sin(2 * np.pi * 1_000 * TIME).astype(np.float32),
    "tone with overtones": ((440 * TIME) % 1 - 0.5).astype(np.float32),
}


def place(samples: Samples, sound: Samples, *, at: int, louder_db: float) -> Samples:
    """The samples with a sound added so much louder than they are."""
    size = float(rms(samples)) * 10 ** (louder_db / 20)
    both = samples.copy()
    both[at : at + sound.size] += size * sound / np.float32(rms(sound))
    return both.astype(np.float32)


@pytest.mark.parametrize("louder_db", [20, 30, 40])
@pytest.mark.parametrize("name", TONES)
def test_find_copies_passes_over_a_loud_sound_that_two_clips_share(
    name: str, louder_db: float
) -> None:
    clips = []
    for i, clip in enumerate(VOICES[:6]):
        at = 4_000 + 2_000 * i
        clips.append(place(clip, TONES[name], at=at, louder_db=louder_db))
    assert copied(clips) == []


@pytest.mark.parametrize("floor_db", [None, -50.0, -30.0])
@pytest.mark.parametrize("name", TONES)
def test_find_copies_passes_over_a_click_or_tone_with_nothing_else(
    name: str, floor_db: float | None
) -> None:
    draws = np.random.default_rng(3)
    clips = []
    for i in range(4):
        clip = np.zeros(3 * MODEL_RATE_HZ, np.float32)
        start = 8_000 + 5_000 * i
        clip[start:][: TONES[name].size] += np.float32(0.3) * TONES[name]
        if floor_db is not None:
            level = 0.2 * 10 ** (floor_db / 20)
            clip += draws.normal(0, level, clip.size).astype(np.float32)
        clips.append(clip)
    assert copied(clips) == []


def test_find_copies_finds_a_noisy_copy_of_a_clip_with_a_loud_click() -> None:
    clicked = []
    for i, clip in enumerate(VOICES):
        at = 9_000 + 1_000 * i
        clicked.append(place(clip, CLICK, at=at, louder_db=20))
    level = 0.1 * float(np.std(VOICES[3]))
    draws = np.random.default_rng(5)
    noise = draws.normal(0, level, clicked[3].size)
    assert copied([*clicked, clicked[3] + noise.astype(np.float32)]) == [(3, 12)]


def short_word(seed: int) -> Samples:
    """0.2 s of a voice in 3 s, above a quiet room."""
    draws = np.random.default_rng(100 + seed)
    clip = draws.normal(0, 1e-4, 3 * MODEL_RATE_HZ).astype(np.float32)
    at = int(draws.integers(0, clip.size - MODEL_RATE_HZ))
    clip[at : at + MODEL_RATE_HZ // 5] += voice(seed, seconds=0.2)
    return clip


def test_find_copies_finds_a_quieter_copy_of_a_short_word_and_calls_no_other_word_one() -> None:
    words = [short_word(seed) for seed in range(40)]
    quieter = np.float32(0.3) * words[5][3_000:]
    assert copied([*words, quieter]) == [(5, 40)]


def test_is_copy_asks_more_of_a_pair_of_which_little_is_heard() -> None:
    draws = np.random.default_rng(11)
    sounds = {}
    for name, seconds in (("short", 0.2), ("long", 2.5)):
        clean = np.zeros(3 * MODEL_RATE_HZ, np.float32)
        speech = voice(3, seconds=seconds)
        clean[2_000 : 2_000 + speech.size] = speech
        noise = draws.normal(0, 0.85 * float(rms(speech)), speech.size)
        other = clean.copy()
        other[2_000 : 2_000 + speech.size] += noise.astype(np.float32)
        common = align(prepare_clip(clean).wave, prepare_clip(other).wave)
        assert common is not None
        assert 0.8 < common.correlation < 0.96
        sounds[name] = common
    assert not is_copy(sounds["short"])
    assert is_copy(sounds["long"])


def frame(splits: list[str]) -> pl.DataFrame:
    rows = {
        "row": list(range(2, 2 + len(splits))),
        "audio": [f"{i}.wav" for i in range(len(splits))],
        "split": splits,
        "label": ["x"] * len(splits),
    }
    return pl.DataFrame(
        {n: rows.get(n, [None] * len(splits)) for n in SCHEMA},
        schema=dict(SCHEMA),
        strict=False,
    )


def test_find_exact_copies_tells_across_from_within() -> None:
    findings = find_exact_copies(
        frame(["train", "test", "train", "train"]),
        {0: "a", 1: "a", 2: "b", 3: "b"},
    )
    assert [(f.check, f.severity, f.count) for f in findings] == [
        ("copies", Severity.LEAK, 1),
        ("copies_within", Severity.NOTE, 1),
    ]


def test_find_near_copies_is_a_leak_across_splits_only() -> None:
    table = frame(["train", "test", "train"])
    severities = [f.severity for f in find_near_copies(table, [(0, 1, 0.9)])]
    assert severities == [Severity.LEAK]
    severities = [f.severity for f in find_near_copies(table, [(0, 2, 0.9)])]
    assert severities == [Severity.NOTE]
    assert find_near_copies(table, []) == []


def people(
    num_people: int,
    clips: int,
    *,
    shared: bool,
) -> tuple[list[str], np.ndarray]:
    draws = np.random.default_rng(0)
    centres = draws.normal(size=(num_people, 64))
    wander = 0.3 * draws.normal(size=(num_people * clips, 64))
    vectors = np.repeat(centres, clips, axis=0) + wander
    splits = []
    for i in range(len(vectors)):
        is_test = draws.random() < 0.3 if shared else i // clips >= num_people * 0.7
        splits.append("test" if is_test else "train")
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return splits, (vectors / lengths).astype(np.float32)


@pytest.mark.parametrize("shared", [True, False])
def test_find_shared_voices_is_a_leak_where_people_are_on_both_sides(shared: bool) -> None:
    splits, vectors = people(20, 8, shared=shared)
    _, findings = find_shared_voices(
        frame(splits),
        range(len(splits)),
        vectors,
    )
    severities = [f.severity for f in findings]
    assert severities == ([Severity.LEAK] if shared else [])


def test_find_bad_sound_names_silence_clipping_and_lengths() -> None:
    findings = find_bad_sound(
        frame(["train"] * 4),
        {0: -90.0, 1: -20, 2: -20, 3: -20},
        {1: 0.2},
        {2: 0.05, 3: 90.0},
    )
    assert [(f.check, f.evidence[0]["row"]) for f in findings] == [
        ("silence", 2),
        ("clipping", 3),
        ("too_short", 4),
        ("too_long", 5),
    ]


def test_name_copies_joins_chains() -> None:
    names = name_copies(
        5,
        {0: "a", 1: "b", 2: "c", 3: "d"},
        [(0, 1, 0.9), (2, 1, 0.9)],
    )
    assert names[0] == names[1] == names[2]
    assert names[3] == "d"
    assert names[4] is None


def test_join_sounds_joins_rows_that_any_way_of_naming_holds_for_one() -> None:
    sounds = join_sounds({0: "a", 1: "a", 2: "b", 4: "c"}, {1: "x", 2: "x", 3: "y"})
    assert sounds[0] == sounds[1] == sounds[2]
    assert len({sounds[0], sounds[3], sounds[4]}) == 3
    assert 5 not in sounds


def test_leave_out_equal_drops_pairs_of_equal_samples() -> None:
    clips = [prepare_clip(x) for x in (VOICES[0], VOICES[0], VOICES[0] * np.float32(0.5))]
    pairs = leave_out_equal(
        [0, 1, 2],
        find_copies(clips),
        {0: "a", 1: "a", 2: "b"},
    )
    assert {(a, b) for a, b, _ in pairs} == {(0, 2), (1, 2)}
