"""Learning-rate schedules: factors of the peak rate, pure functions of progress in [0, 1] and the losses so far."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from clearsight.errors import ConfigError, nearest
from clearsight.train.choices import SCHEDULES

FIRST = 0.01
"""The factor at which a warm-up begins; from 0 the first step would do nothing."""

DROP = 0.1
"""What a drop of `step` and `plateau` leaves of the rate, unless another factor is asked for."""


@dataclass(frozen=True)
class Schedule:
    """A schedule with its options; see `rate_factor`."""

    name: str = "one-cycle"
    warm_up: float = 0.0
    patience: int = 10
    step_factor: float = DROP
    step_every: float = 0.0
    decay: float = 0.0

    def factor(self, progress: float, epochs: float, val_losses: Sequence[float] = ()) -> float:
        """Factor in [0, 1] of the peak rate.

        Args:
            progress: share of the run that is over, in [0, 1].
            epochs: length of the run.
            val_losses: one for each validation so far.

        Returns:
            Factor in [0, 1].
        """
        return rate_factor(
            self.name, progress, self.warm_up, val_losses, self.patience, step_factor=self.step_factor,
            step_every=self.step_every, decay=self.decay, epochs=epochs,
        )  # fmt: skip


def rate_factor(
    name: str,
    progress: float,
    warm_up: float = 0.0,
    val_losses: Sequence[float] = (),
    patience: int = 10,
    *,
    step_factor: float = DROP,
    step_every: float = 0.0,
    decay: float = 0.0,
    epochs: float = 1.0,
) -> float:
    """Factor in [0, 1] of the peak rate.

    Args:
        name: of `choices.SCHEDULES`; ConfigError for any other. progress in [0, 1]: share of the steps done. warm_up in
            [0, 1): share of the run in which the factor rises in a line from nearly 0 to 1; the schedule fills what
            remains. One-cycle rises by itself for a quarter of the run; warm_up replaces that quarter.
        progress: share of the run that is over, in [0, 1].
        warm_up: share of the run in which the rate rises from 0, in [0, 1).
        val_losses: one for each validation so far, patience: validations; `plateau` drops whenever a third of them
            brought nothing better.
        patience: number of validations without improvement after which `plateau` lowers the rate.
        step_factor: factor at each drop of `step` and `plateau`, in (0, 1).
        step_every: epochs between drops of `step`; 0 for drops after half and three quarters of the run.
        decay: factor per epoch of `exponential`, in (0, 1); 0 for a thousandth over the run.
        epochs: length of the run, which `step_every` and `decay` refer to.

    Returns:
        Factor in [0, 1].

    Raises:
        ConfigError: no schedule has that name.
    """
    if name not in SCHEDULES:
        raise ConfigError(f"unknown schedule {name!r}", fix=nearest(name, SCHEDULES, "schedules"))
    if name == "one-cycle":
        return one_cycle(progress, warm_up=warm_up) if warm_up else one_cycle(progress)
    if progress < warm_up:
        return FIRST + (1 - FIRST) * progress / warm_up
    t, passed = (progress - warm_up) / (1 - warm_up), (progress - warm_up) * epochs
    match name:
        case "step":
            count = (t >= 0.5) + (t >= 0.75) if not step_every else math.floor(passed / step_every + 1e-9)
            return float(step_factor**count)
        case "exponential":
            return float(decay**passed if decay else 1e-3**t)
        case "cosine":
            return (1 + math.cos(math.pi * t)) / 2
        case "plateau":
            return float(step_factor ** drops(val_losses, max(1, patience // 3)))
    return 1.0


def one_cycle(progress: float, *, warm_up: float = 0.25, start: float = 1 / 25, end: float = 1e-4) -> float:
    """Cosine up from `start` to 1 during the warm-up, cosine down to `end` [Smith, Topin 2018, arXiv:1708.07120].

    Args:
        progress: share of the run that is over, in [0, 1].
        warm_up: share of the run in which the factor rises, in [0, 1).
        start: factor at the beginning, in [0, 1].
        end: factor at the end, in [0, 1].

    Returns:
        Factor in [0, 1].

    Example:
        >>> [round(one_cycle(p, warm_up=0.25), 2) for p in (0.0, 0.25, 1.0)]
        [0.04, 1.0, 0.0]
    """
    if progress < warm_up:
        low, high, t = start, 1.0, progress / warm_up
    else:
        low, high, t = end, 1.0, (1 - progress) / (1 - warm_up)
    return low + (high - low) * (1 - math.cos(math.pi * min(max(t, 0.0), 1.0))) / 2


def drops(losses: Sequence[float], wait: int) -> int:
    """How often `wait` losses in a row were no better than the best before; each time the count starts anew.

    Args:
        losses: validation losses so far.
        wait: number of losses without improvement that count as one drop.

    Returns:
        Number of drops.

    Example:
        >>> drops([1.0, 0.9, 0.95, 0.92], wait=2)
        1
    """
    best, waited, count = math.inf, 0, 0
    for loss in losses:
        best, waited = (loss, 0) if loss < best else (best, waited + 1)
        if waited == wait:
            waited, count = 0, count + 1
    return count
