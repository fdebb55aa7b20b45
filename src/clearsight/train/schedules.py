"""Learning-rate schedules: factors of the peak rate as functions of progress in [0, 1]."""

from __future__ import annotations

import math


def one_cycle(progress: float, *, warm_up: float = 0.25, start: float = 1 / 25, end: float = 1e-4) -> float:
    """Cosine up from `start` to 1 during the warm-up, cosine down to `end` [Smith, Topin 2018, arXiv:1708.07120]."""
    if progress < warm_up:
        low, high, t = start, 1.0, progress / warm_up
    else:
        low, high, t = end, 1.0, (1 - progress) / (1 - warm_up)
    return low + (high - low) * (1 - math.cos(math.pi * min(max(t, 0.0), 1.0))) / 2
