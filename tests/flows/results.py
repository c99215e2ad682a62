"""Results of training runs for tests: small, whole, and as a run would give them."""

from __future__ import annotations

from collections.abc import Mapping

from training.judge.gate import Decision
from training.judge.paired import Difference
from training.judge.verdict import Verdict
from training.metrics import ClassScore, Interval, Scores
from training.result import EncoderCard, Epoch, Incumbent, ModelCard, Seconds, TrainingResult

ENCODER = EncoderCard(
    name="tiny-random",
    revision="r",
    padding_policy="p",
)
SECONDS = Seconds(
    load=1.0,
    features=2.0,
    train=3.0,
    judge=0.5,
    audio_encoded=60.0,
)


def make_scores(
    *,
    uar: float = 0.5,
    macro_f1: float = 0.25,
    uar_interval: Interval | None = None,
    confusion: tuple[tuple[int, ...], ...] = ((1, 2), (0, 3)),
) -> Scores:
    """Scores of a model on six clips of two voices."""
    return Scores(
        num_clips=6,
        num_voices=2,
        accuracy=0.5,
        uar=uar,
        macro_f1=macro_f1,
        ece=0.1,
        overconfidence=0.05,
        uar_interval=uar_interval,
        interval_note="",
        per_class={"a": ClassScore(recall=0.5, precision=None, support=6)},
        confusion=confusion,
    )


def make_result(
    *,
    labels: tuple[str, ...] = ("a", "b"),
    counts: Mapping[str, int] | None = None,
    voices: Mapping[str, int] | None = None,
    before: Scores | None = None,
    after: Scores | None = None,
    difference: Difference | None = None,
    warning: str = "",
    curves: tuple[Epoch, ...] = (),
    best_epoch: int = 1,
    model: ModelCard | None = None,
    incumbent: Incumbent | None = None,
) -> TrainingResult:
    """The result of a run that learnt labels of a scheme."""
    return TrainingResult(
        task="s",
        labels=labels,
        version_id="v",
        config={"scheme": "s"},
        counts=counts or {},
        voices=voices or {},
        verdict=Verdict(
            before=before,
            after=after,
            difference=difference,
            decision=Decision(promote=True, reason="better"),
            small_sample=bool(warning),
            warning=warning,
        ),
        curves=curves,
        best_epoch=best_epoch,
        note="",
        encoder=ENCODER,
        seconds=SECONDS,
        model=model,
        incumbent=incumbent,
    )
