"""What a model knows of its own limits: which images are unlike all it learned from, and which classes an answer leaves
open. Fitted once, on images the model was not trained on, and kept in its bundle.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.calibration.prediction_sets import Kind, prediction_sets, threshold_of
from clearsight.errors import ConfigError
from clearsight.ood.scores import Bank, Floats

FALSE_ALARMS = 0.05
"""Share of the images that belong which may be called strange."""

COVERAGE = 0.9
"""Share of prediction sets that hold the true class, unless another is asked for."""


@dataclass(frozen=True)
class LeftOut:
    """How well strange images were told from known ones when classes were left out of training, averaged over rounds.

    auroc: of each score. classes: those left out in each round. why: what did or did not happen, in words.
    """

    auroc: dict[str, float]
    classes: tuple[tuple[str, ...], ...]
    why: str


@dataclass(frozen=True)
class OODDetector:
    """score: the name of the outlier score in use. known (V,): its sorted values for validation images. left_out: on
    what evidence it was chosen. nonconformity, adaptive (M,): sorted conformal scores of either kind of the true
    classes of images the model had not seen, from which prediction sets of any coverage follow.
    """

    bank: Bank
    score: str
    known: Floats
    left_out: LeftOut
    nonconformity: NDArray[np.float64]
    adaptive: NDArray[np.float64]

    @property
    def strange_from(self) -> float:
        """The score above which an image counts as unlike the training data."""
        return float(np.quantile(self.known, 1 - FALSE_ALARMS, method="higher"))

    def judge(
        self, logits: NDArray[np.floating], features: Floats, pixels: Floats, temperature: float
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Strangeness (N,), the share of known images that look less strange, and whether it is too much (N,)."""
        scores = self.bank.score(self.score, logits, features, pixels, temperature)
        return np.searchsorted(self.known, scores) / len(self.known), scores > self.strange_from

    def sets(self, belief: NDArray[np.float64], coverage: float = COVERAGE, kind: Kind = "least") -> NDArray[np.bool_]:
        """Which classes each prediction set holds (N, K), for beliefs (N, K)."""
        scores = self.adaptive if kind == "adaptive" else self.nonconformity
        if not len(scores):
            raise ConfigError(f"this model was saved without {kind} prediction sets", fix="train it again")
        return prediction_sets(belief, threshold_of(scores, coverage), kind)

    def card(self) -> dict[str, Any]:
        """What the bundle's card says of it."""
        return {
            "outliers": {
                "score": self.score,
                "threshold": self.strange_from,
                "false_alarms": FALSE_ALARMS,
                "auroc": self.left_out.auroc,
                "left_out": [list(c) for c in self.left_out.classes],
                "why": self.left_out.why,
            },
            "sets": {
                "coverage": COVERAGE,
                "threshold": least if math.isfinite(least := threshold_of(self.nonconformity, COVERAGE)) else None,
                "images": len(self.nonconformity),
            },
        }

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays that go into the bundle's file."""
        return {
            **self.bank.to_arrays(),
            "known": self.known,
            "nonconformity": self.nonconformity,
            "adaptive": self.adaptive,
        }

    @classmethod
    def load(cls, card: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> OODDetector:
        """Limits from what `card` and `to_arrays` gave; KeyError where something is missing."""
        about = card["outliers"]
        left_out = LeftOut(about["auroc"], tuple(tuple(c) for c in about["left_out"]), about["why"])
        scores = arrays["nonconformity"], arrays.get("adaptive", np.empty(0))
        return cls(Bank.from_arrays(arrays), about["score"], arrays["known"], left_out, *scores)
