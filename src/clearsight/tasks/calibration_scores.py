"""How good the probabilities of exclusive classes are.

Shapes: N images, K classes; probabilities (N, K), targets (N,).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.metrics import brier_score, debiased_ece, debiased_ece_interval, log_loss


@dataclass(frozen=True)
class CalibrationScores:
    """Of probabilities: log loss in nats, Brier score, and the debiased calibration error (ECE) with its interval."""

    log_loss: float
    brier: float
    debiased_ece: float
    debiased_ece_interval: tuple[float, float]

    @classmethod
    def of(cls, probabilities: NDArray[np.floating], targets: NDArray[np.integer]) -> CalibrationScores:
        """Of probabilities (N, K) against targets (N,)."""
        confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == targets
        return cls(
            log_loss(targets, probabilities),
            brier_score(targets, probabilities),
            debiased_ece(confidence, right),
            debiased_ece_interval(confidence, right),
        )


def flat_scores(probabilities: NDArray[np.floating], targets: NDArray[np.integer]) -> dict[str, Any]:
    """Those scores by name, and the log loss of always predicting how common each class is among the targets."""
    counts = np.bincount(targets, minlength=probabilities.shape[1])
    scores = asdict(CalibrationScores.of(probabilities, targets))
    constant = np.tile(counts / counts.sum(), (len(targets), 1))
    return {**scores, "log_loss_frequencies": log_loss(targets, constant)}
