"""Scores of one yes-or-no question, and of numbers.

Shapes: N images; truth (N,) booleans, scores (N,) larger for likelier.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


def average_precision(truth: NDArray[np.bool_], scores: Floats) -> float:
    """Area under precision against recall, as a sum over the positives: mean of the precision at each of them, equal
    scores taken together; NaN without positives. The same as scikit-learn's.
    """
    positives = int(np.sum(truth))
    if not positives:
        return float("nan")
    order = np.argsort(-np.asarray(scores), kind="stable")
    ordered, hits = np.asarray(scores)[order], np.cumsum(np.asarray(truth)[order])
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    precision, recall = hits[ends] / (ends + 1), hits[ends] / positives
    return float(np.sum(np.diff(recall, prepend=0) * precision))


def f1_of(truth: NDArray[np.bool_], given: NDArray[np.bool_]) -> float:
    """Harmonic mean of precision and recall; 0 where nothing is right."""
    right = int((truth & given).sum())
    total = int(truth.sum()) + int(given.sum())
    return 2 * right / total if total else 0.0


def variance_explained(errors: Floats, targets: Floats) -> float:
    """R^2 = 1 - sum of squared errors / sum of squared distances from the mean; 0 for what always says the mean."""
    spread = float(np.square(targets - np.mean(targets)).sum())
    return 1 - float(np.square(errors).sum()) / spread if spread else float("nan")
