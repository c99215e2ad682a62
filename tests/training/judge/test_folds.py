from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.conftest import make_manifest
from training.config import GateConfig, TrainingConfig
from training.judge.folds import deal_folds, split_folds, wants_folds
from training.outcome import Outcome
from training.result import decode_result, encode_result
from training.run import run_training
from voxdata.dataset import Example, Split
from voxdata.errors import TrainingError
from voxdata.manifest import Manifest
from voxdata.root import fingerprint
from voxdata.testing.factories import make_example

FOLDS = 5
NUM_CLIPS = 96


@st.composite
def example_lists(draw: st.DrawFn) -> list[Example]:
    """Clips of groups of very different sizes."""
    sizes = draw(st.lists(st.integers(1, 30), min_size=FOLDS, max_size=20))
    examples: list[Example] = []
    for group, size in enumerate(sizes):
        for _ in range(size):
            number = len(examples)
            examples.append(make_example(number, voice=f"v{number}", group=f"g{group}"))
    return examples


@given(example_lists())
def test_deal_folds_gives_every_clip_to_one_fold_and_no_group_to_two(
    examples: list[Example],
) -> None:
    folds = deal_folds(examples, num_folds=FOLDS)
    dealt = sorted(example.utterance_id for example in chain.from_iterable(folds))
    assert dealt == sorted(example.utterance_id for example in examples)
    homes: dict[str, set[int]] = {}
    for number, fold in enumerate(folds):
        for example in fold:
            homes.setdefault(example.group, set()).add(number)
    assert {len(numbers) for numbers in homes.values()} == {1}
    assert all(folds)


@given(example_lists())
def test_split_folds_examines_every_clip_once_and_never_one_that_was_learnt(
    examples: list[Example],
) -> None:
    examined: list[str] = []
    validated: list[str] = []
    for parts in split_folds(deal_folds(examples, num_folds=FOLDS)):
        groups = [{example.group for example in parts[split]} for split in Split]
        assert len(set().union(*groups)) == sum(map(len, groups))
        assert sum(map(len, parts.values())) == len(examples)
        examined += [example.utterance_id for example in parts[Split.TEST]]
        validated += [example.utterance_id for example in parts[Split.VALIDATION]]
    everything = sorted(example.utterance_id for example in examples)
    assert sorted(examined) == sorted(validated) == everything


@pytest.mark.parametrize(
    ("num", "num_tested", "voices", "folds", "wanted"),
    [
        pytest.param(80, 10, 8, 5, True, id="small test set"),
        pytest.param(80, 10, 8, 0, False, id="never"),
        pytest.param(59, 10, 8, 5, False, id="too few clips in all"),
        pytest.param(80, 10, 4, 3, False, id="too few voices in all"),
        pytest.param(80, 10, 8, 9, False, id="more folds than voices"),
        pytest.param(200, 100, 10, 5, False, id="large test set"),
    ],
)
def test_wants_folds_where_only_all_clips_together_can_decide(
    num: int, num_tested: int, voices: int, folds: int, wanted: bool
) -> None:
    examples: list[Example] = []
    for number in range(num):
        split = Split.TEST if number < num_tested else Split.TRAIN
        voice = f"v{number % voices}"
        examples.append(make_example(number, split=split, voice=voice, group=voice))
    assert wants_folds(examples, num_folds=folds) is wanted


def test_gate_config_refuses_two_folds() -> None:
    with pytest.raises(TrainingError, match=r"gate\.folds is 2; it must be at least 3"):
        GateConfig(folds=2)


@pytest.fixture
def small_version(tmp_path: Path) -> Manifest:
    """96 clips of 48 voices, of which a few are in the test split."""
    folder = tmp_path / "audio"
    folder.mkdir()
    manifest = make_manifest(folder, num=NUM_CLIPS)
    examples: list[Example] = []
    for example in manifest.examples:
        is_tested = example.split is Split.TEST
        is_moved = is_tested and not example.voice.endswith(("-0", "-1"))
        split = Split.TRAIN if is_moved else example.split
        examples.append(replace(example, split=split))
    return replace(manifest, examples=tuple(examples), version_id=fingerprint(examples))


def train(manifest: Manifest, config: TrainingConfig, cache: Path, *, asked: bool) -> Outcome:
    """Train against a model that always says the same.

    Args:
        asked: About all clips, and not about the test clips alone.
    """
    incumbent = {
        example.utterance_id: {"calm": 0.6, "愤怒": 0.4}
        for example in manifest.examples
        if asked or example.split is Split.TEST
    }
    return run_training(config, manifest, incumbent, cache_dir=cache)


def test_run_training_judges_all_clips_of_a_small_version_in_folds(
    small_version: Manifest, config: TrainingConfig, tmp_path: Path
) -> None:
    outcome = train(small_version, config, tmp_path / "cache", asked=True)
    verdict = outcome.result.verdict
    assert verdict.num_folds == FOLDS
    assert verdict.after is not None
    assert verdict.after.num_clips == NUM_CLIPS
    assert set(outcome.predictions) == {e.utterance_id for e in small_version.examples}
    assert verdict.decision.promote
    assert "96 clips" in verdict.decision.reason
    assert "in 5 folds over voices" in verdict.decision.reason
    assert verdict.calibration is not None
    assert verdict.calibration.num_clips == NUM_CLIPS
    assert decode_result(encode_result(outcome.result), origin="x").verdict.num_folds == FOLDS


def test_run_training_keeps_the_model_of_the_versions_own_splits_when_folds_judge(
    small_version: Manifest, config: TrainingConfig, tmp_path: Path
) -> None:
    folded = train(small_version, config, tmp_path / "cache", asked=True)
    plain = train(small_version, config, tmp_path / "cache", asked=False)
    assert plain.result.verdict.num_folds == 0
    assert "undecided" in plain.result.verdict.decision.reason
    assert folded.checkpoint.audio is not None
    assert plain.checkpoint.audio is not None
    weights = folded.checkpoint.audio.head.state_dict()
    for name, tensor in plain.checkpoint.audio.head.state_dict().items():
        assert np.array_equal(weights[name].numpy(), tensor.numpy())


def test_run_training_promotes_no_shuffled_labels_in_folds(
    small_version: Manifest, config: TrainingConfig, tmp_path: Path
) -> None:
    rng = np.random.default_rng(3)
    order = rng.permutation(NUM_CLIPS)
    golds = [example.gold for example in small_version.examples]
    examples = [
        replace(example, gold=golds[place])
        for example, place in zip(small_version.examples, order.tolist(), strict=True)
    ]
    shuffled = replace(small_version, examples=tuple(examples), version_id=fingerprint(examples))
    outcome = train(shuffled, config, tmp_path / "cache", asked=True)
    assert outcome.result.verdict.num_folds == FOLDS
    assert not outcome.result.verdict.decision.promote
