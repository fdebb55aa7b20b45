"""The calibration error without the bias of finite samples, and its confidence interval by test inversion.

The ECE of few images is above 0 even for a perfectly calibrated model, as a fair coin rarely falls on heads in exactly
half of ten throws [Kumar, Liang, Ma 2019, "Verified uncertainty calibration"; Roelofs et al. 2022, "Mitigating bias in
calibration error estimation"]. Over bins of equal mass, a gap between confidence and accuracy is normal around the true
one. The debiased error belongs to gaps that are as many times smaller than those observed as makes the expected ECE the
observed one: 0 where chance alone explains it, and hardly smaller than the ECE where gaps are large.

A bootstrap of the ECE adds the same bias once more, and its intervals do not hold. The interval here consists of the
true errors under which an ECE like that observed is not surprising; its distribution is a convolution over bins.

Shapes: N images or binary predictions; confidence (N,) in [0, 1], the stated probability of being right; right (N,)
booleans. All errors in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BINS = 15
"""Bins of equal mass at most; fewer where a bin would hold less than `FEWEST` predictions."""

FEWEST = 20

GRID = 4096
"""Places that the distribution of the ECE is computed at."""

LUCKY = 0.2
"""An ECE this unlikely, or a smaller one, for a perfectly calibrated model says no more than this one does."""

STEPS = 14
"""Bisections for each end of the interval."""

FURTHEST = 12.0
"""Largest distance between stated and true confidence that is tried, in logits."""

LIMIT = 1e-6
"""Confidences are kept this far from 0 and 1, where their logits end."""


@dataclass(frozen=True)
class _Bins:
    """Predictions in order of their confidence (N,). start (B,): where each bin begins; count, stated (B,): predictions
    and mean confidence of each; right (B,): how many were right.
    """

    confidence: Floats
    start: NDArray[np.int64]
    count: NDArray[np.int64]
    stated: Floats
    right: NDArray[np.int64]

    def means(self, values: Floats) -> Floats:
        """Of each bin (B,) the mean of values (N,)."""
        return np.asarray(np.add.reduceat(values, self.start) / self.count)

    @cached_property
    def contributions(self) -> Floats:
        """What each bin adds to the ECE where k of its predictions were right (B, M + 1), k from 0 to the
        largest count M.
        """
        k = np.arange(self.count.max() + 1)
        gap = k / self.count[:, None] - self.stated[:, None]
        return np.asarray(np.abs(gap) * self.count[:, None] / self.count.sum())

    @property
    def observed(self) -> float:
        """The ECE over these bins."""
        return float(self.contributions[np.arange(len(self.count)), self.right].sum())

    @property
    def debiased(self) -> float:
        """The gaps (B,) times the factor in [0, 1] with which they lead to expect the mean gap that was observed."""
        gap = self.right / self.count - self.stated
        # two pseudo-observations at the stated confidence: a bin of which all are right has a variance too
        share = (self.right + 2 * self.stated) / (self.count + 2)
        spread = np.sqrt(np.maximum(share * (1 - share), 1e-12) / self.count)
        weight = self.count / self.count.sum()
        plain = float(weight @ np.abs(gap))

        def excess(factor: float) -> float:
            return float(weight @ _mean_distance(factor * gap, spread)) - plain

        if excess(0.0) >= 0:
            return 0.0
        return plain * float(scipy.optimize.brentq(excess, 0.0, 1.0))

    @cached_property
    def _log_choose(self) -> Floats:
        n, k = self.count[:, None], np.arange(self.count.max() + 1)
        with np.errstate(invalid="ignore"):
            return np.where(
                k <= n,
                scipy.special.gammaln(n + 1)
                - scipy.special.gammaln(k + 1)
                - scipy.special.gammaln(np.maximum(n - k, 0) + 1),
                -np.inf,
            )

    @cached_property
    def _places(self) -> tuple[Floats, NDArray[np.int64], Floats]:
        """The sums that the grid stands for (GRID,), the place of each contribution on it, and the share of it that
        belongs to the next place.
        """
        k = np.arange(self.count.max() + 1)
        possible = np.where(k <= self.count[:, None], self.contributions, np.nan)
        least = np.nanmin(possible, axis=1)
        # what one bin alone brings above the observed sum is all the same
        most = 1.02 * (self.observed - least.sum()) + 1e-9
        beyond_least = np.minimum(possible - least[:, None], most)
        reach = float(np.nanmax(beyond_least, axis=1).sum())
        step = max(reach, 1e-9) / (GRID - 2 * len(self.count) - 2)  # room for rounding, as convolution goes round
        at = np.nan_to_num(beyond_least / step)
        place = np.floor(at).astype(np.int64)
        return least.sum() + step * np.arange(GRID), place, at - place

    def distribution(self, p: Floats) -> Floats:
        """Probabilities (GRID,) of the ECE where predictions of each bin are right with probability p (B,):
        its bins are independent, so their distributions are convolved.
        """
        n, k = self.count[:, None], np.arange(self.count.max() + 1)
        chance = np.clip(p, 1e-12, 1 - 1e-12)[:, None]
        mass = np.exp(self._log_choose + k * np.log(chance) + np.maximum(n - k, 0) * np.log1p(-chance))
        _, place, beyond = self._places
        at = place + GRID * np.arange(len(self.count))[:, None]
        grid = np.bincount(at.ravel(), (mass * (1 - beyond)).ravel(), GRID * len(self.count))
        grid += np.bincount(at.ravel() + 1, (mass * beyond).ravel(), GRID * len(self.count) + 1)[:-1]
        product = np.fft.rfft(grid.reshape(len(self.count), GRID), axis=1).prod(axis=0)
        return np.asarray(np.fft.irfft(product, GRID))

    @property
    def errors(self) -> Floats:
        """The ECEs that `distribution` is over (GRID,)."""
        return self._places[0]


def debiased_ece(confidence: NDArray[np.floating], right: NDArray[np.bool_]) -> float:
    """The expected calibration error over bins of equal mass, less the bias that the number of predictions explains.

    Args:
        confidence: stated probability of being right (N,).
        right: which predictions are right (N,).

    Returns:
        The error, at least 0; NaN without predictions.

    Example:
        >>> import numpy as np
        >>> draws = np.random.default_rng(0)
        >>> stated = draws.uniform(0.5, 1, 1000)
        >>> debiased_ece(stated, draws.random(1000) < stated) < 0.02
        True
    """
    if not len(right):
        return float("nan")
    bins = _binned(confidence, right)
    return bins.debiased


def debiased_ece_interval(
    confidence: NDArray[np.floating], right: NDArray[np.bool_], level: float = 0.95
) -> tuple[float, float]:
    """Interval of the true calibration error: the mean distance between confidence and the probability of being right.

    It holds the errors that are consistent with the observed ECE: samples of as many predictions with these
    confidences, whose probability of being right is off by that error on average, give a number as large, and as
    small, with a probability of at least (1 - level) / 2. How an error is spread over confidences is not known. Three
    ways are tried, and the interval holds what any of them allows: overconfidence and underconfidence by one number of
    logits, and the recalibration by slope and offset that fits best [Cox 1958].

    By chance, the ECE may be smaller than nearly all of those of a perfectly calibrated model. No error is consistent
    with that, so it must not shrink the interval: probabilities are then taken relative to those of no error, as for
    upper limits in physics [Read 2002, "Presentation of search results: the CLs technique"].

    Args:
        confidence: stated probability of being right (N,).
        right: which predictions are right (N,).
        level: confidence level of the interval.

    Returns:
        Its ends, in [0, 1]; (0, 1) without predictions.
    """
    if not len(right):
        return 0.0, 1.0
    bins = _binned(confidence, right)
    observed, tail = bins.observed, (1 - level) / 2
    near = bins.errors[1] - bins.errors[0]
    z = scipy.special.logit(bins.confidence)
    shapes = [-np.ones_like(z), np.ones_like(z), _recalibration(bins, z)]
    shapes = [shape / max(np.abs(shape).max(), 1e-9) for shape in shapes]

    def truth(shape: Floats, distance: float) -> Floats:
        """The probability of being right of every prediction, whose logit is off by so much."""
        return np.asarray(scipy.special.expit(z + distance * shape))

    def error(shape: Floats, distance: float) -> float:
        return float(np.abs(truth(shape, distance) - bins.confidence).mean())

    def reaches(shape: Floats, distance: float) -> bool:
        """Whether a number as large as the observed one occurs."""
        found = bins.distribution(bins.means(truth(shape, distance)))
        return bool(found[bins.errors >= observed - near].sum() >= tail)

    def not_above(shape: Floats, distance: float) -> float:
        """The probability of a number as small as the observed one."""
        found = bins.distribution(bins.means(truth(shape, distance)))
        return float(found[bins.errors <= observed + near].sum())

    lucky = min(1.0, not_above(shapes[0], 0.0) / LUCKY)

    def stays(shape: Floats, distance: float) -> bool:
        """Whether a number as small as the observed one occurs."""
        return not_above(shape, distance) >= tail * lucky

    low = 0.0
    if not reaches(shapes[0], 0.0):
        reached = [shape for shape in shapes if reaches(shape, FURTHEST)]
        low = min((error(s, _first(lambda t, s=s: reaches(s, t))) for s in reached), default=observed)  # type: ignore[misc]
    left = [shape for shape in shapes if stays(shape, 0.0)]
    high = max((error(s, _first(lambda t, s=s: not stays(s, t))) for s in left), default=low)  # type: ignore[misc]
    estimate = bins.debiased
    return min(low, estimate), max(high, estimate)


def _mean_distance(centre: Floats, spread: Floats) -> Floats:
    """The mean of |X| for X normal around a centre with this standard deviation (...,)."""
    ratio = centre / spread
    return np.asarray(
        spread * np.sqrt(2 / np.pi) * np.exp(-0.5 * ratio**2) + centre * (2 * scipy.special.ndtr(ratio) - 1)
    )


def _first(holds: Callable[[float], bool]) -> float:
    """The smallest distance at which something holds that holds at all larger ones; FURTHEST where it holds at none."""
    low, high = 0.0, FURTHEST
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _binned(confidence: NDArray[np.floating], right: NDArray[np.bool_]) -> _Bins:
    stated = np.clip(np.asarray(confidence, np.float64), LIMIT, 1 - LIMIT)
    order = np.argsort(stated, kind="stable")
    stated, sorted_right = stated[order], np.asarray(right, np.int64)[order]
    n = len(stated)
    bins = max(1, min(BINS, n // FEWEST))
    start = (np.arange(bins) * n) // bins
    start = np.unique(np.searchsorted(stated, stated[start]))  # equal confidences stay together
    count = np.diff(np.append(start, n))
    return _Bins(stated, start, count, np.add.reduceat(stated, start) / count, np.add.reduceat(sorted_right, start))


def _recalibration(bins: _Bins, z: Floats) -> Floats:
    """By how many logits (N,) the likeliest slope and offset move each confidence: a + b z, of the bins' counts, with a
    normal prior of one logit on both, which keeps them finite.
    """
    x = np.stack([np.ones(len(bins.count)), scipy.special.logit(bins.stated)], 1)
    w = np.zeros(2)
    for _ in range(20):  # Newton's method
        p = scipy.special.expit(x[:, 1] + x @ w)
        slope = x.T @ (bins.right - bins.count * p) - w
        curvature = (x.T * (bins.count * p * (1 - p))) @ x + np.eye(2)
        step = np.linalg.solve(curvature, slope)
        w = w + np.clip(step, -1, 1)
    return np.asarray(w[0] + w[1] * z)
