"""Whether a model's word on its own limits holds: do prediction sets cover what they state, are known images let in?"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.metrics import softmax, wilson_interval
from clearsight.ood.detector import COVERAGE, FALSE_ALARMS, OODDetector
from clearsight.predictor import ModelOutput


@dataclass(frozen=True)
class OODCheck:
    """On n images that belong to the data. Intervals hold with 95 % confidence.

    stated, coverage: the share of prediction sets that should, and that do, hold the true class. sizes: how many sets
    have 0, 1, 2, ... classes. mean_size: of all sets. empty: share of sets without a class. false_alarms: share of
    images called unlike the training data; allowed: what was meant. strangest: positions among the n, strangest first.
    """

    n: int
    stated: float
    coverage: float
    coverage_interval: tuple[float, float]
    mean_size: float
    empty: float
    sizes: tuple[int, ...]
    allowed: float
    false_alarms: float
    false_alarms_interval: tuple[float, float]
    strangest: tuple[int, ...]

    def summary(self) -> dict[str, Any]:
        """The numbers that go into metrics.json."""
        return {k: v for k, v in asdict(self).items() if k not in ("n", "strangest")}


def check_ood(
    limits: OODDetector, look: ModelOutput, targets: NDArray[np.integer], temperature: float, coverage: float = COVERAGE
) -> OODCheck:
    """Judge sets and outlier score on images the model was not trained on, with labels (N,)."""
    inside = limits.sets(softmax(look.logits, temperature), coverage)
    strangeness, strange = limits.judge(look.logits, look.features, look.coarse, temperature)
    n, right = len(targets), inside[np.arange(len(targets)), targets]
    size = inside.sum(1)
    return OODCheck(
        n=n,
        stated=coverage,
        coverage=float(right.mean()),
        coverage_interval=wilson_interval(int(right.sum()), n),
        mean_size=float(size.mean()),
        empty=float((size == 0).mean()),
        sizes=tuple(int(c) for c in np.bincount(size)),
        allowed=FALSE_ALARMS,
        false_alarms=float(strange.mean()),
        false_alarms_interval=wilson_interval(int(strange.sum()), n),
        strangest=tuple(int(i) for i in np.argsort(-strangeness, kind="stable") if strange[i]),
    )
