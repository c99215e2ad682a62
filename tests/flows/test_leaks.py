"""Personal data that leaves, on real speech: said, transcribed, masked, muted, and listened to again."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.leaks import count_leaks, find_secrets_in, secret_keys
from benchmarks.spoken_secrets import FOLDER

SPOKEN = "bank.opus"
SECRETS = {
    "four one five, five five five, zero one three two": ["4155550132"],
    "Sarah Johnson": ["sarah", "johnson"],
}


@pytest.mark.slow
@pytest.mark.skipif(not (FOLDER / SPOKEN).is_file(), reason=f"{FOLDER / SPOKEN} is not there")
def test_push_lets_no_private_word_be_read_or_heard(tmp_path: Path) -> None:
    assert count_leaks(tmp_path / "w", [SPOKEN]) == {
        "texts": [], "clips": [], "said": [],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("It is 415-555-0132.", 1),
        ("four one five five, all right", 1),
        ("ask for Johnson at 0132", 2),
        ("nothing is here, 415", 0),
        ("", 0),
    ],
)
def test_find_secrets_in_reads_numbers_and_words_however_written(text: str, number: int) -> None:
    assert len(find_secrets_in(text, SECRETS)) == number


def test_secret_keys_are_digits_of_numbers_and_words_of_names() -> None:
    keys = secret_keys(["bank.opus", "login.opus"])
    assert keys["Sarah Johnson"] == ["sarah", "johnson"]
    assert keys["nine two seven six"] == ["9276"]
    assert keys["purple tiger"] == ["purple", "tiger"]
