from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from voxdata.dataset import GoldLabel, Split
from voxdata.root import fingerprint
from voxdata.segment import Segment
from voxdata.testing import make_example

EXAMPLES = [make_example(number) for number in range(6)]


@given(st.permutations(EXAMPLES))
def test_fingerprint_does_not_depend_on_order(shuffled):
    assert fingerprint(shuffled) == fingerprint(EXAMPLES)


def test_fingerprint_changes_with_every_field():
    example = EXAMPLES[0]
    gold = {
        "intent": GoldLabel(
            label="greet",
            distribution={"greet": 0.5, "order": 0.5},
            num_votes=2,
        )
    }
    changes = [
        {"utterance_id": "x"},
        {"recording_id": "x"},
        {"channel": 1},
        {"segment": Segment(start_ms=0, end_ms=999)},
        {"voice": "x"},
        {"group": "x"},
        {"audio_file": "x"},
        {"text": "x"},
        {"language": "zh"},
        {"split": Split.TEST},
        {"gold": gold},
        {"gold": {}},
    ]
    prints = {fingerprint([replace(example, **change)]) for change in changes} | {
        fingerprint([example]),
        fingerprint([]),
    }
    assert len(prints) == len(changes) + 2


def test_fingerprint_ignores_float_noise_in_shares():
    def with_share(share):
        gold = {
            "intent": GoldLabel(
                label="a",
                distribution={"a": share, "b": 1 - share},
                num_votes=3,
            )
        }
        return fingerprint([replace(EXAMPLES[0], gold=gold)])

    assert with_share(1 / 3) == with_share(1 - 2 / 3) != with_share(0.3334)
