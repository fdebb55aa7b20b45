"""Which images are unlike all that a model learned from. Fitted once, on images that the model was not trained on, and
kept in its bundle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.ood.scores import Bank, Floats

FALSE_ALARMS = 0.05
"""Share of the images that belong which may be called strange."""


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
    what evidence it was chosen.
    """

    bank: Bank
    score: str
    known: Floats
    left_out: LeftOut

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
        }

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays that go into the bundle's file."""
        return {
            **self.bank.to_arrays(),
            "known": self.known,
        }

    @classmethod
    def load(cls, card: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> OODDetector:
        """Limits from what `card` and `to_arrays` gave; KeyError where something is missing."""
        about = card["outliers"]
        left_out = LeftOut(about["auroc"], tuple(tuple(c) for c in about["left_out"]), about["why"])
        return cls(Bank.from_arrays(arrays), about["score"], arrays["known"], left_out)
