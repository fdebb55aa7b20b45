"""How surprising a score is among those of images that belong, far beyond the largest of them too."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

BODY = 0.9
"""Share of the reference scores whose own ranks count; the tail beyond is an exponential."""


@dataclass(frozen=True)
class Tail:
    """The p-value of a score s among reference scores (V,), as -ln p, which never saturates.

        p(s) = share of the V + 1 scores, s among them, that are s or larger      up to the 90 % quantile u
        p(s) = 0.1 exp(-(s - u) / mean excess over u)                       beyond

    The exponential is the generalised Pareto tail of shape 0 [Pickands 1975]: its one parameter can be estimated from
    few images, and images ten times as far out get a p-value that is smaller by orders of magnitude, not a tie at
    1 / (V + 1).
    """

    reference: Doubles

    @classmethod
    def fit(cls, scores: NDArray[np.floating]) -> Tail:
        """The tail of scores (V,), V at least 1."""
        return cls(np.sort(np.asarray(scores, np.float64)))

    @cached_property
    def _knots(self) -> tuple[Doubles, Doubles]:
        values, first = np.unique(self.reference, return_index=True)
        n = len(self.reference)
        return values, (n - first + 1) / (n + 1)

    @cached_property
    def _beyond(self) -> tuple[float, float]:
        """Where the tail begins, and its scale."""
        start = float(np.quantile(self.reference, BODY))
        excess = self.reference[self.reference > start] - start
        spread = float(self.reference[-1] - self.reference[0])
        smallest = 1e-3 * spread or 1e-6 * max(1.0, abs(start))  # of scores that are all but one the same
        return start, max(float(excess.mean()) if len(excess) else 0.0, smallest)

    def surprise(self, scores: NDArray[np.floating]) -> Doubles:
        """-ln p (N,) of scores (N,), at least 0."""
        scores = np.asarray(scores, np.float64)
        values, shares = self._knots
        start, scale = self._beyond
        body = np.interp(scores, values, shares, left=1.0).clip(1 - BODY, 1)
        return np.asarray(np.where(scores > start, -np.log(1 - BODY) + (scores - start) / scale, -np.log(body)))


def conformal_threshold(scores: NDArray[np.floating], alarms: float) -> float:
    """The score that a new image exceeds with a chance of at most `alarms`, if it comes from where the V scores do: the
    ceil((V + 1) (1 - alarms))-th smallest [Vovk et al. 2005]; with fewer than 1 / alarms - 1 images, the largest.
    """
    ordered = np.sort(scores)
    rank = int(np.ceil((len(ordered) + 1) * (1 - alarms) - 1e-9))
    return float(ordered[min(rank, len(ordered)) - 1])
