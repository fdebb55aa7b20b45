"""The learning-rate range test: raise the rate at every step and watch the loss [Smith 2015, arXiv:1506.01186].

And the bound on the rate that theory gives where the curvature is known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clearsight.errors import TrainingError

WINDOW = 5
"""Losses on each side that the smoothed one takes in: single batches differ more than single rates."""

BLOWN_UP = 4
"""Times the least smoothed loss at which the test ends."""

MARGIN = 10
"""The suggested rate is at least this many times below the one where the loss was least: there it no longer falls."""


@dataclass(frozen=True)
class RangeTest:
    """Rates tried, rising; the loss met at each, always finite; and the peak rate they suggest."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    suggestion: float


def range_test(step: Callable[[float], float], *, low: float = 1e-6, high: float = 1.0, steps: int = 80) -> RangeTest:
    """Take up to `steps` training steps at rates that grow from `low` to `high`, each by the same factor.

    step(rate): takes one training step at that rate and returns its loss. The caller keeps the weights to put back.
    0 < low < high, steps 2 or more. Ends early when the loss is not finite, or the smoothed loss is four times its
    least. The suggestion is the rate at which the smoothed loss falls steepest over the logarithm of the rate, but no
    more than a tenth of the rate at its minimum. Raises TrainingError when it fell at no rate.
    """
    factor = (high / low) ** (1 / (steps - 1))
    rates: list[float] = []
    losses: list[float] = []
    for number in range(steps):
        rate = low * factor**number
        loss = step(rate)
        if not math.isfinite(loss):
            break
        rates.append(rate)
        losses.append(loss)
        smoothed = _smooth(losses)
        if smoothed[-1] > BLOWN_UP * smoothed.min():
            break
    return RangeTest(tuple(rates), tuple(losses), _suggest(rates, losses))


def largest_stable_rate(largest_curvature: float) -> float:
    """2 / M: gradient descent on a quadratic converges at rates below it and diverges above [LeCun 1998, section 4.1].

    largest_curvature: M > 0, the largest eigenvalue of the Hessian; ValueError otherwise.
    """
    if not largest_curvature > 0:
        raise ValueError(
            f"the largest curvature must be above 0, not {largest_curvature}: otherwise, it does not bound the "
            "learning rate"
        )
    return 2 / largest_curvature


def _suggest(rates: Sequence[float], losses: Sequence[float]) -> float:
    """The rate of the steepest fall, kept below that of the least loss."""
    least = int(_smooth(losses).argmin()) if losses else 0
    if least == 0:
        raise TrainingError(
            "the loss did not decrease at any learning rate in the range test",
            found=f"losses from {losses[0]:.3g} to {losses[-1]:.3g}"
            if losses
            else "a non-finite loss at the first step",
            fix="set a learning rate with --lr; if none works, check the labels and the images",
        )
    slopes = np.gradient(_smooth(losses))[: least + 1]  # rates are evenly spaced on the logarithmic axis
    return min(rates[int(slopes.argmin())], rates[least] / MARGIN)


def _smooth(losses: Sequence[float]) -> NDArray[np.float64]:
    """Means over a bell of neighbours on both sides: unlike a running average it does not lag behind the rates."""
    bell = np.hanning(2 * WINDOW + 3)[1:-1]
    valid = slice(WINDOW, WINDOW + len(losses))
    weights = np.convolve(np.ones(len(losses)), bell)[valid]
    return np.asarray(np.convolve(losses, bell)[valid] / weights)
