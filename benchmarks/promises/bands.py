"""Where shares of test images may lie if a promise holds, given so many calibration and test images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from scipy.stats import betabinom

DRAWS = 20_000


@cache
def coverage_band(
    parts: tuple[tuple[int, int], ...], coverage: float, *, at_most: bool = False, level: float = 0.99
) -> tuple[float, float]:
    """The range of the mean share, over seeds, of test images that a threshold from calibration images covers.

    parts: of each seed the calibration and the test images. The count of one seed is beta-binomial with l and
    n + 1 - l, l = ceil((n + 1) coverage) [Vovk 2012, "Conditional validity of inductive conformal predictors"; Marques
    2025]. at_most: the promise is a share of at most `coverage` flagged, by a threshold from n images, l of which are
    floor((n + 1) coverage).
    """
    draw = np.random.default_rng(0)
    total = np.zeros(DRAWS)
    for calibration, test in parts:
        exact = (calibration + 1) * coverage
        rank = math.floor(exact + 1e-9) if at_most else math.ceil(exact - 1e-9)
        if not 0 < rank < calibration + 1:
            total += float(rank > 0)
            continue
        total += betabinom.rvs(test, rank, calibration + 1 - rank, size=DRAWS, random_state=draw) / test
    low, high = np.quantile(total / len(parts), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def inside(
    shares: Sequence[float], parts: Sequence[tuple[int, int]], coverage: float, *, at_most: bool = False
) -> bool:
    """Whether the mean of shares lies in the band of 99 %."""
    low, high = coverage_band(tuple(parts), coverage, at_most=at_most)
    return low - 1e-9 <= float(np.mean(shares)) <= high + 1e-9
