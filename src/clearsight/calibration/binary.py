"""Calibrated probabilities of K binary questions asked of each image: its labels, or whether its grade lies above each
boundary.

With outputs z (N, K), each question has an own a, b, share f of positives, and largest probability m; w is common:

    p = (1 - w) sigmoid(a z + b) + w f, kept within 1 - m and m

The method is chosen for all questions together, by the rule of `calibration.selection`: as it is, one temperature
(the same a for every question), or Platt scaling with a common a from which each question departs as far as its images
show. Fitting each question alone would spend two parameters on a question that few images answer with yes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy
from numpy.typing import NDArray

from clearsight.calibration.array_function import ArrayFunction
from clearsight.calibration.calibrator import Floats, Method
from clearsight.calibration.selection import (
    COMMON,
    FEWEST,
    clearly_best,
    largest_probability,
    mixture_weight,
    parts_of,
)  # fmt: skip
from clearsight.schema import listed, number, record

if TYPE_CHECKING:
    from torch import nn

METHODS: tuple[Method, ...] = ("identity", "temperature", "platt")
"""The candidates, the simplest first; identity is that with a mixture alone."""

OWN = 0.5
"""Standard deviation of what a question has of its own of the log scale, before anything is seen."""


@dataclass(frozen=True)
class BinaryCalibration:
    """The numbers of each question (K,), by the names above; weight, share and largest may be left out."""

    scale: tuple[float, ...]
    shift: tuple[float, ...]
    weight: tuple[float, ...] = ()
    share: tuple[float, ...] = ()
    largest: tuple[float, ...] = ()

    @classmethod
    def identity(cls, questions: int) -> BinaryCalibration:
        """The sigmoid of each output."""
        return cls(*((value,) * questions for value in (1.0, 0.0, 0.0, 0.5, 1.0)))

    @classmethod
    def of(cls, outputs: NDArray[np.floating], truth: NDArray[Any], *, seed: int = 0) -> BinaryCalibration:
        """From outputs (M, K) and answers (M, K), above 0 for yes, of images that the network was not fitted to; a
        question that all images answer alike stays as it is. seed: of the parts that methods are compared on.
        """
        z, yes = np.asarray(outputs, np.float64), np.asarray(truth) > 0
        asked = np.logical_and(yes.any(0), ~yes.all(0))
        made = cls.identity(z.shape[1])
        if len(z) < FEWEST or not asked.any():
            return made
        z, yes = z[:, asked], yes[:, asked]
        nested: dict[Method, Floats] = {method: np.zeros(len(z)) for method in METHODS}
        for held in parts_of(np.zeros(len(z), np.int64), seed):
            for method, losses in nested.items():
                losses[held] = _losses(_fitted(method, z[~held], yes[~held]).probabilities(z[held]), yes[held])
        best = clearly_best(_losses(scipy.special.expit(z), yes), nested)
        fitted = replace(
            cls.identity(z.shape[1]) if best is None else _fitted(best, z, yes),
            largest=(largest_probability(len(z)),) * z.shape[1],
        )
        return cls(*(_placed(getattr(fitted, name), row, asked) for name, row in vars(made).items()))

    def probabilities(self, outputs: Floats) -> Floats:
        """The answer yes (N, K) for outputs (N, K)."""
        return self.function()(outputs)[0]

    def function(self) -> Sigmoids:
        """Outputs (N, K) to probabilities (N, K), and the outputs."""
        return Sigmoids(self)

    def module(self) -> nn.Module:
        """The same in torch."""
        return self.function().module()

    def card(self) -> dict[str, Any]:
        """Plain values, which `load` takes."""
        return {name: list(row) for name, row in vars(self).items()}

    @classmethod
    def load(cls, card: Mapping[str, Any], questions: int | None = None) -> BinaryCalibration:
        """From what `card` gave, for so many questions if their number is known; older cards have scale and shift
        alone. BundleError for anything else.
        """
        if questions is None:
            questions = len(card["scale"])
        share = listed(number(0, 1), questions, 0)
        record(
            {"scale": listed(number(1e-9, 1e9), questions), "shift": listed(number(-1e9, 1e9), questions)},
            {"weight": share, "share": share, "largest": share},
        )(card, "card.json: task_card")
        return cls(*(tuple(card.get(name, ())) for name in ("scale", "shift", "weight", "share", "largest")))


def _losses(p: Floats, yes: NDArray[np.bool_]) -> Floats:
    """The log loss of each image (M,), the mean over questions."""
    return np.asarray(-np.log(np.where(yes, p, 1 - p).clip(1e-30)).mean(1))


def _placed(values: Sequence[float], row: Sequence[float], asked: NDArray[np.bool_]) -> tuple[float, ...]:
    """A row (K,) with the values of the questions asked."""
    found = np.array(row)
    found[asked] = values
    return tuple(found.tolist())


def _fitted(method: Method, z: Floats, yes: NDArray[np.bool_]) -> BinaryCalibration:
    """One method on outputs and answers (M, K), mixed with the share of positives as far as that lowers its log loss.

    The log of the common scale has a normal prior of deviation 1, so have the shifts; what a question has of its own of
    the log scale has deviation `OWN`.
    """
    n, k = z.shape
    share = (yes.sum(0) + 1) / (n + 2)
    scale, shift = np.ones(k), np.zeros(k)
    if method != "identity":
        scale, shift = _affine(z, (yes * n + 1) / (n + 2), shifted=method == "platt")
    p = scipy.special.expit(z * scale + shift)
    weight = mixture_weight(np.where(yes, p, 1 - p).ravel(), np.where(yes, share, 1 - share).ravel())
    rows = scale, shift, np.full(k, weight), share, np.ones(k)
    return BinaryCalibration(*(tuple(row.tolist()) for row in rows))


def _affine(z: Floats, target: Floats, *, shifted: bool) -> tuple[Floats, Floats]:
    """Scale and shift (K,) with the lowest penalised log loss on outputs (M, K), for softened answers (M, K): all
    scales the same and no shift, or each question's own.
    """
    n, k = z.shape
    spread = np.array([COMMON, *([OWN] * k + [COMMON] * k if shifted else [])])

    def unpacked(w: Floats) -> tuple[Floats, Floats]:
        own = w[1:].reshape(2, k) if shifted else np.zeros((2, k))
        return np.exp(w[0] + own[0]), own[1]

    def loss(w: Floats) -> tuple[float, Floats]:
        scale, shift = unpacked(w)
        a = z * scale + shift
        off = scipy.special.expit(a) - target
        by_scale = (off * z).sum(0) * scale
        slope = [by_scale.sum(keepdims=True), *([by_scale, off.sum(0)] if shifted else [])]
        value = float((np.logaddexp(0, a) - target * a).sum() + (w / spread) @ (w / spread) / 2)
        return value / n, (np.concatenate(slope) + w / spread**2) / n

    start, limits = np.zeros(len(spread)), [(-7.0, 7.0)] * len(spread)
    return unpacked(
        scipy.optimize.minimize(loss, start, jac=True, method="L-BFGS-B", bounds=limits, options={"maxiter": 100}).x
    )


class Sigmoids(ArrayFunction):
    """Outputs (N, K) to probabilities (N, K), and the outputs."""

    def __init__(self, calibration: BinaryCalibration) -> None:
        questions = len(calibration.scale)
        usual: dict[str, Sequence[float]] = {"weight": (0.0,), "share": (0.5,), "largest": (1.0,)}
        super().__init__(**{name: row or tuple(usual[name]) * questions for name, row in vars(calibration).items()})
        self.mixed = any(calibration.weight)
        self.limited = any(m < 1 for m in calibration.largest)

    def compute(self, ops: Any, c: Any, x: Any) -> tuple[Any, ...]:
        found = ops.sigmoid(x * c.scale + c.shift)
        if self.mixed:
            found = (1 - c.weight) * found + c.weight * c.share
        if self.limited:
            found = ops.minimum(ops.maximum(found, 1 - c.largest), c.largest)
        return found, x
