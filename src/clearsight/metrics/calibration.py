"""Calibration: whether predictions with a confidence of 80 % are correct in 80 % of cases."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ReliabilityBin:
    """Images whose confidence lies in (lower, upper]: how many, their mean confidence, their accuracy."""

    lower: float
    upper: float
    count: int
    confidence: float
    accuracy: float


def reliability_bins(
    targets: NDArray[np.integer], probabilities: NDArray[np.floating], bins: int = 15
) -> list[ReliabilityBin]:
    """The non-empty bins of equal width over the confidence [Guo 2017, eq. 2].

    Args:
        targets: class indices (N,).
        probabilities: probabilities (N, K), rows sum to 1.
        bins: number of bins.

    Returns:
        The bins that hold images, from low to high confidence.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == targets
    edges = np.arange(1, bins) / bins  # compared, not multiplied: 0.7 x 10 is more than 7 in floating point
    index = np.searchsorted(edges, confidence.astype(np.float64), side="left")
    found = []
    for b in range(bins):
        members = index == b
        if members.any():
            found.append(
                ReliabilityBin(
                    b / bins,
                    (b + 1) / bins,
                    int(members.sum()),
                    float(confidence[members].mean()),
                    float(right[members].mean()),
                )
            )
    return found


def expected_calibration_error(
    targets: NDArray[np.integer], probabilities: NDArray[np.floating], bins: int = 15
) -> float:
    """ECE: the gap between confidence and accuracy per bin, averaged by count, in [0, 1] [Guo 2017, eq. 3].

    Args:
        targets: class indices (N,).
        probabilities: probabilities (N, K), rows sum to 1.
        bins: number of bins.

    Returns:
        The error, in [0, 1].
    """
    n = len(targets)
    return float(
        sum(b.count / n * abs(b.accuracy - b.confidence) for b in reliability_bins(targets, probabilities, bins))
    )
