"""Are two classifiers apart, or could the same images in another order have made the difference?"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Exact two-sided p-value of McNemar's test [McNemar 1947]: first, second (N,): which images each got right.

    Only images that one got right and the other wrong tell them apart; were both as good, each would win half of those.
    """
    wins, losses = int((first & ~second).sum()), int((second & ~first).sum())
    n, k = wins + losses, min(wins, losses)
    if n == 0:
        return 1.0
    logs = [math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) - n * math.log(2) for i in range(k + 1)]
    return min(1.0, 2 * math.fsum(math.exp(v) for v in logs))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for being several, in their order [Holm 1979]: each times the number of those not below it."""
    order = np.argsort(p_values, kind="stable")
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, p_values[i] * (len(p_values) - rank)))
        corrected[i] = highest
    return corrected
