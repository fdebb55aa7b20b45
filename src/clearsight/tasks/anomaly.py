"""Whether an image is an anomaly, where none was ever seen: how rare its score is among normal images.

A detector gives each image a score, larger for stranger. Held-out normal images, V of them, say what it means:

    p = (1 + how many of them score at least as high) / (V + 1)

is a p-value: among normal images it falls below any a in at most the share a, whatever the detector
[Vovk et al. 2005; Bates et al. 2023]. An image is called an anomaly where p is at most the share of false alarms asked
for; with V images no share below 1 / (V + 1) can be promised.

What anomalies look like nobody has said, so the probability of one rests on two assumptions, both kept in the card:
the share PRIOR of all images are anomalies, and their p-values crowd near 0 as Beta(SHAPE, 1) does, the usual family
for p-values under an alternative [Sellke, Bayarri, Berger 2001]. Then

    probability = prior f / (prior f + 1 - prior),  f = shape p^(shape - 1)

SHAPE = 0.1 stands for a detector that tells the two apart with AUROC 1 / (1 + SHAPE) = 0.91.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.data.normal import NAMES
from clearsight.data.targets import Task
from clearsight.tasks.predictions import AnomalyPrediction

Floats = NDArray[np.float64]

FALSE_ALARMS = 0.05
"""Share of normal images that may be called anomalies, unless another is asked for."""

PRIOR = 0.5
SHAPE = 0.1

KEPT = 2000
"""Scores of held-out normal images that are kept at most, evenly by rank."""


@dataclass(frozen=True)
class Anomaly:
    """What a detector's score means. normal: classes it learned from. false_alarms: share asked for. known (V,): sorted
    scores of normal images that it had not seen.
    """

    normal: tuple[str, ...]
    false_alarms: float = FALSE_ALARMS
    prior: float = PRIOR
    shape: float = SHAPE
    known: tuple[float, ...] = ()

    @property
    def task(self) -> Task:
        return "anomaly"

    @property
    def names(self) -> tuple[str, ...]:
        return NAMES

    @property
    def outputs(self) -> int:
        return 1

    @property
    def alarm_rate(self) -> float:
        """The share of false alarms that is promised: the one asked for, or the least that so few images allow."""
        return max(self.false_alarms, 1 / (len(self.known) + 1))

    @property
    def threshold(self) -> float:
        """The score above which an image is called an anomaly."""
        allowed = int(self.alarm_rate * (len(self.known) + 1) + 1e-9) - 1  # held-out images that may score as high
        return self.known[len(self.known) - 1 - allowed] if allowed < len(self.known) else -np.inf

    def encode(self, targets: NDArray[np.float32]) -> NDArray[np.float32]:
        """The targets themselves: 1 for an anomaly."""
        return targets

    def fitted(self, outputs: NDArray[np.floating], targets: NDArray[np.float32]) -> Anomaly:
        """The same with the scores (V, 1) of images the detector had not seen; anomalies among them are passed over."""
        known = np.sort(np.asarray(outputs, np.float64)[targets[:, 0] == 0, 0])
        if len(known) > KEPT:
            known = known[np.linspace(0, len(known) - 1, KEPT).round().astype(int)]
        return replace(self, known=tuple(known.tolist()))

    def p_values(self, outputs: NDArray[np.floating]) -> Floats:
        """p of scores (N, 1): (N,), from 1 / (V + 1) to 1."""
        known = np.array(self.known)
        above = len(known) - np.searchsorted(known, np.asarray(outputs, np.float64)[:, 0], side="left")
        return np.asarray((1 + above) / (len(known) + 1))

    def values(self, outputs: NDArray[np.floating]) -> Floats:
        """Probabilities of an anomaly (N, 1)."""
        odds = self.prior / (1 - self.prior) * self.shape * self.p_values(outputs) ** (self.shape - 1)
        return np.asarray(odds / (1 + odds))[:, None]

    def pull(self, outputs: NDArray[np.floating], target: int) -> Floats:
        """The score itself (1,)."""
        return np.ones(1)

    def pulled(self, outputs: NDArray[np.floating], target: int, pull: Floats) -> Floats:
        """The score (N,): the probability moves in steps, from one held-out image to the next."""
        return np.asarray(outputs, np.float64)[:, 0]

    def given(self, outputs: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Which images are called anomalies (N,)."""
        return np.asarray(np.asarray(outputs, np.float64)[:, 0] > self.threshold)

    def predictions(
        self, outputs: NDArray[np.floating], names: list[str], known: list[dict[str, Any]], coverage: float
    ) -> list[AnomalyPrediction]:
        """The answer for each image; a detector knows no other strangeness, and coverage has no meaning here."""
        columns = self.given(outputs), self.values(outputs)[:, 0], self.p_values(outputs), outputs[:, 0]
        return [AnomalyPrediction(name, *row) for name, *row in zip(names, *(c.tolist() for c in columns), strict=True)]

    def card(self) -> dict[str, Any]:
        """Plain values for the bundle."""
        return {
            "task": self.task, "normal": list(self.normal), "false_alarms": self.false_alarms, "prior": self.prior,
            "shape": self.shape, "known": list(self.known), "threshold": self.threshold if self.known else None,
        }  # fmt: skip

    @classmethod
    def load(cls, card: Mapping[str, Any]) -> Anomaly:
        """From what `card` gave."""
        return cls(tuple(card["normal"]), card["false_alarms"], card["prior"], card["shape"], tuple(card["known"]))
