"""How far an evaluation of classes can be trusted: calibration, the weakest class, and what speaks against the numbers.

The statement on calibration follows the entry of the trust panel, so that it never claims more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

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

    calibration: Literal["good", "poor", "unknown"]
    calibration_words: str
    commonest: str
    commonest_share: float
    weakest: ClassScore | None
    caveats: tuple[Caveat, ...]


def verdict(test: ClassEvaluation, thing: str = "image") -> Verdict:
    """Put an evaluation into words."""
    calibration, words = _calibration(test, thing)
    images = [score.images for score in test.per_class]
    commonest = images.index(max(images))
    share = images[commonest] / test.n
    return Verdict(
        calibration=calibration,
        calibration_words=words,
        commonest=test.classes[commonest],
        commonest_share=share,
        weakest=min((s for s in test.per_class if s.images and s.recall < 1), key=lambda s: s.recall, default=None),
        caveats=tuple(_caveats(test, calibration, share, thing)),
    )


def _calibration(test: ClassEvaluation, thing: str) -> tuple[Literal["good", "poor", "unknown"], str]:
    entry = next(entry for entry in test.promises() if entry.name == "calibration")
    if entry.status == "kept":
        return "good", "the probabilities are calibrated"
    if entry.status == "too few images":
        return "unknown", f"there are too few {thing}s to measure the calibration of the probabilities"
    if test.log_loss >= test.frequency_log_loss:
        return "poor", "the probabilities are no better than the class frequencies"
    return "poor", f"the model is {'overconfident' if test.mean_confidence > test.accuracy else 'underconfident'}"


def _caveats(test: ClassEvaluation, calibration: str, commonest: float, thing: str) -> Iterator[Caveat]:
    low, high = test.accuracy_interval
    if test.n < FEW_IMAGES:
        yield Caveat(
            f"Only {count(test.n, f'test {thing}')}: the true accuracy may be anywhere between {percent(low)} and "
            f"{percent(high)}.",
            f"Collect more {thing}s and train again.",
        )
    if low <= commonest:
        yield Caveat(
            "The accuracy is not significantly better than that of always predicting the most common class "
            f"({percent(commonest)}).",
            f"Inspect the mistakes: is the difference between the classes visible in the {thing}s?",
        )
    if calibration == "poor":
        yield Caveat(
            f"The mean confidence is {percent(test.mean_confidence)}, but the accuracy is {percent(test.accuracy)}.",
            "Use the predictions, but not the probabilities.",
        )
    if untested := [f"‘{s.name}’" for s in test.per_class if not s.images]:
        yield Caveat(f"No test {thing} of {listed(untested)}: recall cannot be measured.")
    weak = [s for s in test.per_class if s.images and s.recall_interval[1] < test.accuracy - CLEARLY]
    if weak:
        found = [f"‘{s.name}’ ({recalled(s, thing)})" for s in sorted(weak, key=lambda s: s.recall)]
        one = len(weak) == 1
        yield Caveat(
            f"Recall well below the overall accuracy: {listed(found)}.",
            f"Inspect the mistakes, and collect more {thing}s of {'this class' if one else 'these classes'}.",
        )


def recalled(score: ClassScore, thing: str) -> str:
    """The recall of a class, in counts."""
    return f"{round(score.recall * score.images):,} of {count(score.images, f'test {thing}')}"
