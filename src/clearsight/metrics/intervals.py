"""How far a measured share can lie from the true one."""

from __future__ import annotations

import math
from statistics import NormalDist


def wilson_interval(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Score interval of a proportion [Wilson 1927]; unlike p ± 2s it stays inside [0, 1] and holds for small n."""
    if n <= 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return min(p, max(0.0, centre - half)), max(p, min(1.0, centre + half))  # p lies within, however it rounds


def auroc_interval(auroc: float, known: int, strange: int, confidence: float = 0.95) -> tuple[float, float]:
    """Score interval of an area under the ROC curve between so many images of two kinds [Newcombe 2006, Statistics in
    Medicine 25, method 5]: areas t whose distance is at most z deviations, of which the variance is

        t (1 - t) (1 + s (1 - t) / (2 - t) + s t / (1 + t)) / (known strange),  s = (known + strange) / 2 - 1

    Unlike one from resampling it does not shrink to a point at 0 and 1.
    """
    z, s = NormalDist().inv_cdf(0.5 + confidence / 2), (known + strange) / 2 - 1

    def beyond(t: float) -> bool:
        variance = t * (1 - t) * (1 + s * (1 - t) / (2 - t) + s * t / (1 + t)) / (known * strange)
        return (auroc - t) ** 2 > z * z * variance

    ends = []
    for outer in (0.0, 1.0):
        inner = auroc
        for _ in range(60):  # halves the gap between an area beyond the interval and one within
            middle = (outer + inner) / 2
            outer, inner = (middle, inner) if beyond(middle) else (outer, middle)
        ends.append(inner)
    return ends[0], ends[1]
