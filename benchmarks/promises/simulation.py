"""How often 95 % intervals hold the truth, in simulations whose truth is known.

AUROC: normal scores of two kinds of images. Macro-F1: labels and predictions drawn by a confusion matrix. Calibration
error: confidences drawn near 1, and predictions that are right less often than stated, by the same number of points
everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import binomtest

from clearsight import metrics
from clearsight.metrics.ranking import auroc

Floats = NDArray[np.float64]
Trial = Callable[[np.random.Generator], bool]

TRIALS = 1000

AREAS = ((0.7, 45, 45), (0.9, 45, 45), (0.9, 300, 60), (0.98, 45, 45), (0.998, 45, 45), (0.998, 400, 100))
"""True AUROC, images of either kind."""

ERRORS = (0.0, 0.02, 0.05)
"""True calibration error."""


def simulate(trials: int = TRIALS) -> dict[str, Any]:
    """Coverage of each interval, with its own 95 % interval; None for what this version does not have."""
    found: dict[str, Any] = {}
    for area, known, anomalies in AREAS:
        found[f"AUROC {area:g}, {known} + {anomalies}"] = _coverage(_area(area, known, anomalies), trials)
    for accuracy, images in ((0.7, 100), (0.9, 300), (0.98, 450)):
        name = f"macro-F1, accuracy {accuracy:g}, {images} images"
        found[name] = _coverage(_macro_f1(accuracy, images), trials) if hasattr(metrics, "macro_f1_interval") else None
    for error in ERRORS:
        for images in (300, 1000):
            name = f"debiased ECE {100 * error:g} points, {images} images"
            there = hasattr(metrics, "debiased_ece_interval")
            found[name] = _coverage(_calibration(error, images), max(50, trials // 4)) if there else None
    return found


def _coverage(trial: Trial, trials: int) -> dict[str, float]:
    draw = np.random.default_rng(0)
    held = sum(trial(draw) for _ in range(trials))
    span = binomtest(held, trials).proportion_ci(0.95, "wilson")
    return {"trials": trials, "coverage": held / trials, "low": float(span.low), "high": float(span.high)}


def _area(area: float, known: int, anomalies: int) -> Trial:
    """Scores whose distributions are normal with deviation 1, as far apart as the area says."""
    apart = 2**0.5 * float(ndtri(area))

    def trial(draw: np.random.Generator) -> bool:
        found = auroc(draw.normal(size=known), draw.normal(apart, size=anomalies))
        low, high = metrics.auroc_interval(found, known, anomalies)
        return low <= area <= high

    return trial


def _macro_f1(accuracy: float, images: int, classes: int = 5) -> Trial:
    """Classes of unequal size, confused with their neighbour more than with others. The truth is what endless images
    give.
    """
    sizes = np.array([0.4, 0.25, 0.2, 0.1, 0.05])
    confusion = np.full((classes, classes), (1 - accuracy) / (classes - 1) / 2)
    for k in range(classes):
        confusion[k, (k + 1) % classes] += (1 - accuracy) / 2
        confusion[k, k] = accuracy
    confusion /= confusion.sum(1, keepdims=True)
    shares = sizes[:, None] * confusion
    truth = float(np.mean(2 * shares.diagonal() / (shares.sum(0) + shares.sum(1))))

    def trial(draw: np.random.Generator) -> bool:
        counts = draw.multinomial(images, shares.ravel()).reshape(classes, classes)
        targets, predicted = np.nonzero(counts)
        repeats = counts[targets, predicted]
        low, high = metrics.macro_f1_interval(np.repeat(targets, repeats), np.repeat(predicted, repeats), classes)
        return bool(low <= truth <= high)

    return trial


def _calibration(error: float, images: int) -> Trial:
    """Confidence 1 - x with x from a beta distribution of mean 0.12; the share right is below it by the same number of
    points everywhere, except where that would pass a half of what is left.
    """

    def truth(confidence: Floats) -> Floats:
        return np.maximum(confidence - error, confidence / 2)

    def trial(draw: np.random.Generator) -> bool:
        confidence = 1 - draw.beta(0.6, 4.4, images) * 0.9
        right = draw.random(images) < truth(confidence)
        low, high = metrics.debiased_ece_interval(confidence, right)  # type: ignore[attr-defined]
        return bool(low <= error <= high)

    return trial
