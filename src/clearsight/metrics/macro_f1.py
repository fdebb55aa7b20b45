"""Macro-averaged F1 and its confidence interval.

Shapes: N images, K classes; targets, predicted (N,) integers in [0, K).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.metrics.classification import confusion_matrix

Floats = NDArray[np.float64]
Ints = NDArray[np.integer]

DRAWS = 1000
"""Samples of the bootstrap."""


def macro_f1(targets: Ints, predicted: Ints, classes: int) -> float:
    """Mean F1 over the classes that occur among the targets; NaN where none does."""
    counts = confusion_matrix(targets, predicted, classes)
    present = counts.sum(1) > 0
    return (
        float(_f1(counts.diagonal(), counts.sum(1), counts.sum(0))[present].mean()) if present.any() else float("nan")
    )


def macro_f1_interval(
    targets: Ints, predicted: Ints, classes: int, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Percentile interval of the macro F1 by a smoothed bootstrap, stratified by class.

    Each sample draws the predictions of every class anew, from its row of the confusion matrix and some pseudo-images:
    as many right ones as wrong ones, together one of each, spread evenly over classes. Without them a class that is
    always predicted rightly would stay so in every sample, and the interval of a nearly perfect model would shrink to a
    point [on smoothed bootstraps: Efron and Tibshirani 1993, 16.5].

    Args:
        targets: classes (N,).
        predicted: classes (N,).
        classes: how many there are.
        level: confidence level.
        seed: random seed of the samples.

    Returns:
        Its ends; (0, 1) without images.
    """
    counts = confusion_matrix(targets, predicted, classes)
    present = np.flatnonzero(counts.sum(1))
    if not len(present):
        return 0.0, 1.0
    draws = np.random.default_rng(seed)
    right, found = np.zeros((DRAWS, classes)), np.zeros((DRAWS, classes))
    for k in present.tolist():
        images = counts[k].sum()
        row = counts[k] + 1 / len(present) / max(1, classes - 1)
        row[k] = counts[k, k] + 1 / len(present)
        sample = draws.multinomial(images, row / row.sum(), DRAWS)
        right[:, k] = sample[:, k]
        found += sample
    scores = _f1(right, counts.sum(1).astype(float), found)[:, present].mean(1)
    low, high = np.quantile(scores, [(1 - level) / 2, (1 + level) / 2])
    value = macro_f1(targets, predicted, classes)
    return min(float(low), value), max(float(high), value)


def _f1(right: NDArray[Any], images: NDArray[Any], predicted: NDArray[Any]) -> Floats:
    """2 TP / (images + predicted) by class; 0 where both are 0."""
    return np.asarray(2 * right / np.maximum(images + predicted, 1e-12))
