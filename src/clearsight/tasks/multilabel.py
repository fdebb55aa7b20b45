"""Any number of labels per image: each an own yes-or-no question.

p_k = sigmoid(scale_k z_k + shift_k) [Platt 1999]. A label is given where p_k reaches its threshold, the one from which
validation images lead to expect the highest F1. The beliefs do not sum to 1: an image may show everything, or nothing.

Shapes: N images, K labels; outputs z, beliefs and targets (N, K).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.data.targets import Task
from clearsight.tasks.predictions import LabelsPrediction, labels_said

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Labels:
    """Labels and how outputs become beliefs in them; scale, shift, thresholds (K,)."""

    names: tuple[str, ...]
    scale: tuple[float, ...]
    shift: tuple[float, ...]
    thresholds: tuple[float, ...]

    @classmethod
    def of(cls, names: Sequence[str]) -> Labels:
        """Before anything is learned."""
        k = len(names)
        return cls(tuple(names), (1.0,) * k, (0.0,) * k, (0.5,) * k)

    @property
    def task(self) -> Task:
        return "multilabel"

    @property
    def outputs(self) -> int:
        return len(self.names)

    def encode(self, targets: NDArray[np.float32]) -> NDArray[np.float32]:
        """The targets themselves: 0 or 1 for each label."""
        return targets

    def fitted(self, outputs: NDArray[np.floating], targets: NDArray[np.float32]) -> Labels:
        """Scale, shift and thresholds from validation images (M, K); a label that none or all of them have keeps its
        own.
        """
        scale, shift, thresholds = list(self.scale), list(self.shift), list(self.thresholds)
        for k in range(len(self.names)):
            z, t = np.asarray(outputs[:, k], np.float64), targets[:, k] > 0
            if t.all() or not t.any():
                continue
            scale[k], shift[k] = platt(z, t)
            thresholds[k] = best_threshold(sigmoid(scale[k] * z + shift[k]))
        return Labels(self.names, tuple(scale), tuple(shift), tuple(thresholds))

    def values(self, outputs: NDArray[np.floating]) -> Floats:
        """Beliefs (N, K)."""
        return sigmoid(np.asarray(outputs, np.float64) * np.array(self.scale) + np.array(self.shift))

    def pull(self, outputs: NDArray[np.floating], target: int) -> Floats:
        """The label's own output."""
        return np.asarray(np.eye(len(self.names))[target])

    def pulled(self, outputs: NDArray[np.floating], target: int, pull: Floats) -> Floats:
        """The belief in the label (N,)."""
        return np.asarray(self.values(outputs)[:, target])

    def given(self, belief: Floats) -> NDArray[np.bool_]:
        """Which labels beliefs (N, K) give."""
        return np.asarray(belief >= np.array(self.thresholds))

    def predictions(
        self, outputs: NDArray[np.floating], names: list[str], known: list[dict[str, Any]], coverage: float
    ) -> list[LabelsPrediction]:
        """The answer for each image; coverage has no meaning here."""
        return labels_said(self.values(outputs), self.names, self.thresholds, names, known)

    def card(self) -> dict[str, Any]:
        """Plain values for the bundle."""
        return {
            "task": self.task, "names": list(self.names), "scale": list(self.scale), "shift": list(self.shift),
            "thresholds": list(self.thresholds),
        }  # fmt: skip

    @classmethod
    def load(cls, card: Mapping[str, Any]) -> Labels:
        """From what `card` gave."""
        return cls(*(tuple(card[key]) for key in ("names", "scale", "shift", "thresholds")))


def sigmoid(z: Floats) -> Floats:
    """1 / (1 + exp(-z)), without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * z)))


def platt(z: Floats, truth: NDArray[np.bool_]) -> tuple[float, float]:
    """Scale above 0 and shift for which sigmoid(scale z + shift) has the lowest log loss, with Platt's targets, which
    keep both finite: (n+ + 1) / (n+ + 2) and 1 / (n- + 2) [Platt 1999, equation 7].
    """
    from scipy.optimize import minimize

    positive = int(truth.sum())
    target = np.where(truth, (positive + 1) / (positive + 2), 1 / (len(truth) - positive + 2))
    centre, spread = float(z.mean()), float(z.std()) or 1.0
    x = (z - centre) / spread

    def loss(w: Floats) -> tuple[float, Floats]:
        a = w[0] * x + w[1]
        value = np.mean(np.logaddexp(0, a) - target * a)
        slope = sigmoid(a) - target
        return float(value), np.array([np.mean(slope * x), np.mean(slope)])

    a, b = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=[(1e-3, None), (None, None)]).x
    return float(a / spread), float(b - a * centre / spread)


def best_threshold(belief: Floats) -> float:
    """The threshold with the highest F1 that calibrated beliefs (M,) lead to expect: of the images given the label, the
    sum of their beliefs is right [Lipton, Elkan, Narayanaswamy 2014]. Halfway between two beliefs that occur. Counting
    labels in place of beliefs would follow the chance of few images.
    """
    p = np.sort(belief)[::-1]
    f1 = 2 * np.cumsum(p) / (np.arange(1, len(p) + 1) + p.sum())
    ends = np.append(p[1:] < p[:-1], True)  # a threshold cannot part equal beliefs
    halfway = np.append((p[1:] + p[:-1]) / 2, p[-1] / 2)
    best = np.flatnonzero(ends & (f1 >= f1[ends].max() - 1e-12))
    return float(halfway[best[np.argmin(np.abs(halfway[best] - 0.5))]])
