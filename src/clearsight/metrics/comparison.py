"""How sure a measured share, area or difference is: confidence intervals, and tests of whether classifiers differ."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Exact two-sided p-value of McNemar's test [McNemar 1947]: first, second (N,): which images each got right.

    Only images that one got right and the other wrong count; were both as good, each would win half of those.
    """
    from scipy.stats import binomtest  # here, not above: it loads as slowly as PyTorch

    wins, losses = int((first & ~second).sum()), int((second & ~first).sum())
    return float(binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for being several, in their order [Holm 1979]: each times the number of those not below it."""
    order = np.argsort(p_values, kind="stable")
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, p_values[i] * (len(p_values) - rank)))
        corrected[i] = highest
    return corrected


def wilson_interval(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Score interval of a proportion [Wilson 1927]; unlike p ± 2s it stays inside [0, 1] and holds for small n.

    (0, 1) for n = 0.
    """
    from scipy.stats import binomtest  # here, not above: it loads as slowly as PyTorch

    if n <= 0:
        return 0.0, 1.0
    interval = binomtest(successes, n).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def auroc_interval(auroc: float, known: int, anomalies: int, confidence: float = 0.95) -> tuple[float, float]:
    """Score interval of an area under the ROC curve between so many images of two kinds [Newcombe 2006, Statistics in
    Medicine 25, method 5]: areas t whose distance is at most z deviations, of which the variance is

        t (1 - t) (1 + s (1 - t) / (2 - t) + s t / (1 + t)) / (known anomalies),  s = (known + anomalies) / 2 - 1

    Unlike one from resampling it does not shrink to a point at 0 and 1.
    """
    from scipy.optimize import brentq
    from scipy.special import ndtri

    z, s = float(ndtri(0.5 + confidence / 2)), (known + anomalies) / 2 - 1

    def excess(t: float) -> float:
        variance = t * (1 - t) * (1 + s * (1 - t) / (2 - t) + s * t / (1 + t)) / (known * anomalies)
        return (auroc - t) ** 2 - z * z * variance

    # 0 and 1 solve the equation for an area of 0 and 1, but the other end lies further in
    inner = min(max(auroc, 1e-12), 1 - 1e-12)
    return (
        float(brentq(excess, 0, inner)) if auroc > 0 else 0.0,
        float(brentq(excess, inner, 1)) if auroc < 1 else 1.0,
    )
