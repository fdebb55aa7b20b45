"""How well a property alone predicts each class: a naive Bayes classifier of one class against the rest,
cross-validated.

Balanced accuracy is the mean of the shares of the class and of the rest that are recognised: 50 % by chance, for any
number of images. Shapes: n images, K classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clearsight.metrics import wilson_interval

BINS = 16
"""Bins of numbers, with about equally many images each."""

VALUES = 48
"""Different values up to which each is a bin of its own."""

FOLDS = 5

PRIOR = 0.5
"""Images added to every bin."""

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class ClassScore:
    """How well a class is recognised: balanced accuracy with its 95 % interval, and the probability of so many hits
    without any relation (one-sided Fisher test).
    """

    balanced_accuracy: float
    interval: tuple[float, float]
    p_value: float


def class_scores(values: NDArray[np.float64], labels: Indices, classes: int) -> list[ClassScore]:
    """Scores of each class against the rest.

    Args:
        values: a property (n, F); its columns count as independent.
        labels: classes (n,).
        classes: number of classes K.

    Returns:
        A score for each class; chance for a class without images.
    """
    bins = np.stack([_binned(column) for column in values.T], axis=1)
    order = np.random.default_rng(0).permutation(len(labels))
    fold = np.empty(len(labels), np.int64)
    for c in range(classes):  # stratified
        members = order[labels[order] == c]
        fold[members] = np.arange(len(members)) % FOLDS
    predicted = np.zeros((len(labels), classes), bool)
    for k in range(FOLDS):
        predicted[fold == k] = (
            _ratios(bins[fold != k], labels[fold != k], bins[fold == k], bins.max(0) + 1, classes) > 0
        )
    return [score_of(predicted[:, c], labels == c) for c in range(classes)]


def score_of(predicted: NDArray[np.bool_], truth: NDArray[np.bool_]) -> ClassScore:
    """The score of predictions for one class.

    The interval combines Wilson's of the two shares [Newcombe 1998, Statistics in Medicine 17, method 10].

    Args:
        predicted: whether each image is predicted to be of the class (n,).
        truth: whether it is (n,).

    Returns:
        The score.
    """
    from scipy.stats import hypergeom

    hits, members = int((predicted & truth).sum()), int(truth.sum())
    rejected, others = int((~predicted & ~truth).sum()), int((~truth).sum())
    if not members or not others:
        return ClassScore(0.5, (0.0, 1.0), 1.0)
    shares = hits / members, rejected / others
    value = sum(shares) / 2
    ends = wilson_interval(hits, members), wilson_interval(rejected, others)
    below, above = (
        math.hypot(*(share - interval[end] for share, interval in zip(shares, ends, strict=True))) / 2 for end in (0, 1)
    )
    p_value = float(hypergeom.sf(hits - 1, members + others, members, int(predicted.sum())))
    return ClassScore(value, (max(0.0, value - below), min(1.0, value + above)), p_value)


def _ratios(bins: Indices, labels: Indices, tested: Indices, sizes: Indices, classes: int) -> NDArray[np.float64]:
    """Logarithms (m, K) of the likelihood of the tested images in each class over that in the rest."""
    counts = np.bincount(labels, minlength=classes).astype(float)
    total = np.zeros((len(tested), classes))
    for column, size in enumerate(sizes):
        table = np.zeros((int(size), classes))
        np.add.at(table, (bins[:, column], labels), 1)
        rest = table.sum(1, keepdims=True) - table
        within = np.log((table + PRIOR) / (counts + PRIOR * size))
        outside = np.log((rest + PRIOR) / (counts.sum() - counts + PRIOR * size))
        total += (within - outside)[tested[:, column]]
    return total


def _binned(column: NDArray[np.float64]) -> Indices:
    """A bin for each value."""
    values, place = np.unique(column, return_inverse=True)
    if len(values) <= VALUES:
        return place.astype(np.int64)
    edges = np.unique(np.quantile(column, np.linspace(0, 1, BINS + 1)[1:-1]))
    return np.searchsorted(edges, column, side="right").astype(np.int64)
