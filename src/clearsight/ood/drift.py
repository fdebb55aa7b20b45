"""Whether the images that a model meets in use still come from where its validation images come from.

`RankTest` compares a stream of numbers with those of validation images. Each number gets a conformal p-value: its rank
among the validation numbers and those that came before, ties broken at random. As long as all of them are exchangeable,
these p-values are independent and uniform, whatever their distribution [Vovk et al. 2005]. A test martingale bets
against this: it begins with a capital of 1, each bet multiplies it by a factor whose mean under uniformity is 1, and
the capital ever exceeds 1/a with probability a at most [Ville 1939]. So the test can be looked at after each image.

Of the capital, half is not bet, so that a shift that begins late meets capital that earlier bets have not lost. After
t images a share of 1/(t + 10) is dealt out again, to each bet its share of the beginning [Herbster and Warmuth 1998].

Reference: Vovk et al., "Retrain or not retrain: conformal test martingales for change-point detection", 2021.
"""

from __future__ import annotations

import bisect
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.schema import listed, number, record

Doubles = NDArray[np.float64]

KEPT = 1_000
"""Validation images whose values are kept."""

LEAST = 20
"""Validation images below which nothing is compared."""

WHOLE = 20_000
"""Images of which each is tested; later ones in steps that grow, so that time and memory stay bounded."""

DISCRETE = 5
"""Values that occur so often on average count as names, such as those of classes."""

TENTHS = 10
"""Intervals of the p-values of numbers."""

MEMORY = 100
"""Images after which the bets that learn have forgotten most of what they learned."""

PRIOR = 20.0
"""Images that the validation images count as for these bets."""

SIGNALS = ("ood_score", "output", "brightness")
"""What is compared: the OOD score, what the task predicts (such as the class), and the mean of the pixels."""


@dataclass(frozen=True)
class DriftReference:
    """Values of validation images by the name of the signal, sorted."""

    values: Mapping[str, tuple[float, ...]]

    @classmethod
    def of(cls, values: Mapping[str, NDArray[np.floating]]) -> DriftReference:
        """The reference of validation images.

        Args:
            values: values (V,) by the name of the signal.

        Returns:
            `KEPT` of each at most, chosen at random; none of signals with fewer than `LEAST`.
        """
        kept = {}
        for name, given in values.items():
            numbers = np.asarray(given, np.float64)
            if len(numbers) >= LEAST and np.isfinite(numbers).all():
                some = np.random.default_rng(0).permutation(len(numbers))[:KEPT]
                kept[name] = tuple(float(f"{value:.9g}") for value in np.sort(numbers[some]))
        return cls(kept)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON.

        Returns:
            Lists by the name of the signal.
        """
        return {name: list(values) for name, values in self.values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Sequence[float]]) -> DriftReference:
        """What `to_dict` returned.

        Args:
            values: the plain values; what `check_reference` accepts.

        Returns:
            The reference.
        """
        return cls({name: tuple(sorted(values[name])) for name in SIGNALS if name in values})


check_reference = record({}, dict.fromkeys(SIGNALS, listed(number(), least=LEAST)))
"""Check of the plain values of a reference, which may come from someone else."""


class RankTest:
    """A sequential test of whether a stream of numbers is exchangeable with validation numbers.

    capital: what the bets have made of 1; at 1/a it has disproved exchangeability at level a. log10 of it is kept, as
    it can grow without bound.
    """

    def __init__(self, reference: Sequence[float], seed: int = 0) -> None:
        self.log10 = self.highest = 0.0
        self.images = 0
        self._ordered = sorted(reference)
        self._draw = random.Random(seed)
        self._bets = _Bets(self._ordered)
        others = len(self._bets.factors(0.5)) - 1
        self._start = np.array([0.5, *[0.5 / others] * others])
        self._shares = self._start.copy()
        self._tested = 0

    def add(self, value: float) -> None:
        """Bet on the next number of the stream.

        Args:
            value: any number; NaN counts as larger than all others.
        """
        self.images += 1
        if self.images % (1 + self.images // WHOLE):  # depends on the number of images alone, not on what they show
            return
        value = math.inf if math.isnan(value) else value
        below, upto = bisect.bisect_left(self._ordered, value), bisect.bisect_right(self._ordered, value)
        p = (below + self._draw.random() * (upto - below + 1)) / (len(self._ordered) + 1)
        self._ordered.insert(upto, value)
        self._tested += 1
        again = 1 / (self._tested + 10)
        self._shares = (1 - again) * self._shares + again * self._start
        self._shares *= self._bets.factors(p)
        self._bets.learn(p)
        total = float(self._shares.sum())
        self._shares /= total
        self.log10 += math.log10(total)
        self.highest = max(self.highest, self.log10)


class _Bets:
    """Bets on the next p-value, of which the first bets nothing. The mean factor of each is 1.

    Some bet that p-values become smaller or larger, or more or less spread. The last two learn how often recent
    p-values fell into each of some intervals, and bet that it goes on so, with all or half of their capital. For
    numbers these are tenths. Names, which few different numbers stand for, have the interval of their ranks among
    validation images.
    """

    def __init__(self, ordered: Sequence[float]) -> None:
        values, counts = np.unique(np.asarray(ordered), return_counts=True)
        names = 2 <= len(values) <= len(ordered) / DISCRETE
        self._widths = counts / counts.sum() if names else np.full(TENTHS, 1 / TENTHS)
        self._ends = np.cumsum(self._widths)
        self._recent = PRIOR * self._widths

    def factors(self, p: float) -> Doubles:
        moved, spread, place = p - 0.5, 4 * abs(p - 0.5) - 1, self._place(p)
        learned = self._recent[place] / self._recent.sum() / self._widths[place]
        fixed = (0, -1.9 * moved, -moved, moved, 1.9 * moved, -0.9 * spread, 0.5 * spread, 0.9 * spread)
        return 1 + np.array([*fixed, learned - 1, (learned - 1) / 2])

    def learn(self, p: float) -> None:
        self._recent *= 1 - 1 / MEMORY
        self._recent += PRIOR / MEMORY * self._widths
        self._recent[self._place(p)] += 1

    def _place(self, p: float) -> int:
        return min(len(self._ends) - 1, int(np.searchsorted(self._ends, p, "right")))
