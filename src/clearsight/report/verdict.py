"""What the numbers say in plain words: how often right, whether the belief holds, where not to trust it.

The gap between belief and truth is the expected calibration error (ECE). Even a perfectly honest model shows a gap on
few images, as a fair coin rarely falls on heads in exactly half of ten throws; `chance_gap` says how large that is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from clearsight.data.audit import Finding
from clearsight.evaluation import ClassScore, Evaluation
from clearsight.metrics.calibration import ReliabilityBin
from clearsight.wording import count, listed, percent

FEW_IMAGES = 100
"""Test images below which the page warns that the score says little."""

CLEARLY = 0.02
"""How far below the accuracy the whole interval of a class's recall must lie for the class to be called weak."""


@dataclass(frozen=True)
class Caveat:
    """A reason to trust the classifier less, and what to do about it."""

    text: str
    fix: str = ""


@dataclass(frozen=True)
class Verdict:
    """The first lines of the page. belief: whether what the model claims can be relied on, and the words for it."""

    belief: Literal["holds", "roughly", "off", "unknown"]
    belief_words: str
    chance_gap: float
    commonest: str
    commonest_share: float
    weakest: str | None
    weakest_words: str
    caveats: tuple[Caveat, ...]


def judge(test: Evaluation, findings: Sequence[Finding]) -> Verdict:
    """Put an evaluation and the audit's findings into words."""
    chance = chance_gap(test.reliability)
    belief, words = _belief(test, chance)
    images = [score.images for score in test.per_class]
    commonest = images.index(max(images))
    weakest = min((s for s in test.per_class if s.images and s.recall < 1), key=lambda s: s.recall, default=None)
    return Verdict(
        belief=belief,
        belief_words=words,
        chance_gap=chance,
        commonest=test.classes[commonest],
        commonest_share=images[commonest] / test.n,
        weakest=weakest.name if weakest else None,
        weakest_words=_found(weakest) if weakest else "",
        caveats=tuple(_caveats(test, belief, max(images) / test.n, findings)),
    )


def chance_gap(bins: Iterable[ReliabilityBin]) -> float:
    """The ECE to be expected of a model whose belief is exactly right, on as many images with the same beliefs.

    In a bin of n images with belief p, the share that is right deviates from p by a mean of
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


def _belief(test: Evaluation, chance: float) -> tuple[Literal["holds", "roughly", "off", "unknown"], str]:
    side = "on the bold side" if test.mean_confidence > test.accuracy else "on the modest side"
    fault = "too sure" if test.mean_confidence > test.accuracy else "too modest"
    if chance > 0.1:
        return "unknown", "whether that belief holds cannot be told from so few images"
    if test.ece <= max(0.02, 1.5 * chance):
        return "holds", "that belief can be taken at its word"
    if test.ece <= max(0.05, 2 * chance):
        return "roughly", f"that belief is roughly right, {side}"
    return "off", f"that belief is {fault} to be taken at its word"


def _caveats(test: Evaluation, belief: str, commonest: float, findings: Sequence[Finding]) -> Iterable[Caveat]:
    low, high = test.accuracy_interval
    if test.n < FEW_IMAGES:
        yield Caveat(
            f"Only {count(test.n, 'test image')}: the true accuracy may lie anywhere between "
            f"{percent(low)} and {percent(high)}.",
            "Collect more images and train again.",
        )
    if low <= commonest:
        yield Caveat(
            "It is not shown to be better than always giving the commonest answer, "
            f"which is right on {percent(commonest)}.",
            "Look at the mistakes: are the classes told apart by something the images show?",
        )
    if belief == "off":
        yield Caveat(
            f"On average it claims {percent(test.mean_confidence)} and is right on {percent(test.accuracy)}.",
            "Use its answers, not its percentages.",
        )
    untested = [f"‘{s.name}’" for s in test.per_class if not s.images]
    if untested:
        yield Caveat(
            f"No test image of {listed(untested)}: how well it knows "
            f"{'that class' if len(untested) == 1 else 'these classes'} is not known."
        )
    weak = [s for s in test.per_class if s.images and s.recall_interval[1] < test.accuracy - CLEARLY]
    if weak:
        found = [f"‘{s.name}’ ({_found(s)})" for s in sorted(weak, key=lambda s: s.recall)]
        one = len(weak) == 1
        yield Caveat(
            f"Found less often than its accuracy lets expect: {listed(found)}.",
            f"Look at {'its' if one else 'their'} mistakes, and collect more images of {'it' if one else 'them'}.",
        )
    for finding in findings:
        if finding.severity == "warning":
            yield Caveat(sentence(finding.message), sentence(finding.fix))


def _found(score: ClassScore) -> str:
    return f"{round(score.recall * score.images):,} of {count(score.images, 'test image')}"


def sentence(text: str) -> str:
    """With a capital letter and a full stop."""
    text = text.strip()
    if not text:
        return ""
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?" else ".")
