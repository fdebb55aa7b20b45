"""How far an evaluation of classes can be trusted: calibration, the weakest class, and what speaks against the numbers.

The expected calibration error (ECE) of few images is above 0 even for a perfectly calibrated model, as a fair coin
rarely falls on heads in exactly half of ten throws; `chance_ece` says by how much.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from clearsight.metrics.calibration import ReliabilityBin
from clearsight.tasks.sections import Caveat
from clearsight.wording import count, listed, percent

if TYPE_CHECKING:
    from clearsight.tasks.classification_evaluation import ClassEvaluation, ClassScore

FEW_IMAGES = 100
"""Test images below which the report warns that the score says little."""

CLEARLY = 0.02
"""How far below the accuracy the whole interval of a class's recall must lie for the class to be called weak."""


@dataclass(frozen=True)
class Verdict:
    """calibration: how well probabilities match accuracy, and the words for it. weakest: the class with the lowest
    recall; None where all are 1.
    """

    calibration: Literal["good", "fair", "poor", "unknown"]
    calibration_words: str
    chance_ece: float
    commonest: str
    commonest_share: float
    weakest: ClassScore | None
    caveats: tuple[Caveat, ...]


def verdict(test: ClassEvaluation, thing: str = "image") -> Verdict:
    """Put an evaluation into words."""
    chance = chance_ece(test.reliability)
    calibration, words = _calibration(test, chance, thing)
    images = [score.images for score in test.per_class]
    commonest = images.index(max(images))
    share = images[commonest] / test.n
    return Verdict(
        calibration=calibration,
        calibration_words=words,
        chance_ece=chance,
        commonest=test.classes[commonest],
        commonest_share=share,
        weakest=min((s for s in test.per_class if s.images and s.recall < 1), key=lambda s: s.recall, default=None),
        caveats=tuple(_caveats(test, calibration, share, thing)),
    )


def chance_ece(bins: Iterable[ReliabilityBin]) -> float:
    """The ECE to be expected of a perfectly calibrated model, on as many images with the same confidences.

    In a bin of n images with confidence p, the share that is right deviates from p by a mean of
    2 (k+1) C(n, k+1) p^(k+1) (1-p)^(n-k) / n with k = floor(n p) [de Moivre 1730].
    """
    filled = [b for b in bins if b.count]
    total = sum(b.count for b in filled)
    return sum(b.count / total * _mean_deviation(b.count, b.confidence) for b in filled) if total else 0.0


def _mean_deviation(n: int, p: float) -> float:
    if not 0 < p < 1:
        return 0.0
    k = min(math.floor(n * p), n - 1)
    log_choose = math.lgamma(n + 1) - math.lgamma(k + 2) - math.lgamma(n - k)
    return 2 * (k + 1) / n * math.exp(log_choose + (k + 1) * math.log(p) + (n - k) * math.log1p(-p))


def _calibration(
    test: ClassEvaluation, chance: float, thing: str
) -> tuple[Literal["good", "fair", "poor", "unknown"], str]:
    side = "overconfident" if test.mean_confidence > test.accuracy else "underconfident"
    if chance > 0.1:
        return "unknown", f"these are too few {thing}s to measure calibration"
    if test.ece <= max(0.02, 1.5 * chance):
        return "good", "it is well calibrated"
    if test.ece <= max(0.05, 2 * chance):
        return "fair", f"it is slightly {side}"
    return "poor", f"it is {side}"


def _caveats(test: ClassEvaluation, calibration: str, commonest: float, thing: str) -> Iterator[Caveat]:
    low, high = test.accuracy_interval
    if test.n < FEW_IMAGES:
        yield Caveat(
            f"Only {count(test.n, f'test {thing}')}: the true accuracy may lie anywhere between {percent(low)} and "
            f"{percent(high)}.",
            f"Collect more {thing}s and train again.",
        )
    if low <= commonest:
        yield Caveat(
            "It is not shown to be better than always predicting the most common class, which is right on "
            f"{percent(commonest)}.",
            f"Look at the mistakes: do the {thing}s show what distinguishes the classes?",
        )
    if calibration == "poor":
        yield Caveat(
            f"Its mean confidence is {percent(test.mean_confidence)}, its accuracy {percent(test.accuracy)}.",
            "Use its predictions, not its probabilities.",
        )
    if untested := [f"‘{s.name}’" for s in test.per_class if not s.images]:
        yield Caveat(f"No test {thing} of {listed(untested)}: recall is not known there.")
    weak = [s for s in test.per_class if s.images and s.recall_interval[1] < test.accuracy - CLEARLY]
    if weak:
        found = [f"‘{s.name}’ ({recalled(s, thing)})" for s in sorted(weak, key=lambda s: s.recall)]
        one = len(weak) == 1
        yield Caveat(
            f"Recall well below the overall accuracy: {listed(found)}.",
            f"Look at {'its' if one else 'their'} mistakes, and collect more {thing}s of {'it' if one else 'them'}.",
        )


def recalled(score: ClassScore, thing: str) -> str:
    """The recall of a class, in counts."""
    return f"{round(score.recall * score.images):,} of {count(score.images, f'test {thing}')}"
