"""McNemar's and Holm's tests against hand-worked numbers; retrieval scores against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from clearsight.metrics.comparison import holm, mcnemar
from clearsight.metrics.retrieval import mean_average_precision, neighbour_recall, precision_at, recall_at

RNG = np.random.default_rng(0)


def test_mcnemar_counts_only_the_images_that_differ():
    """First wins 5, second 1: twice the probability of at most 1 head in 6 throws, 2 x (1 + 6) / 64."""
    first = np.array([True] * 5 + [False] + [True] * 9 + [False] * 3)
    second = np.array([False] * 5 + [True] + [True] * 9 + [False] * 3)
    assert mcnemar(first, second) == mcnemar(second, first) == pytest.approx(14 / 64)
    assert mcnemar(first, first) == 1.0
    assert mcnemar(first[:0], first[:0]) == 1.0


def test_holm_corrects_the_smallest_most():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []
    assert holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])


def test_average_precision_over_a_whole_ranking_is_scikit_learns():
    relevant = RNG.random((20, 30)) < 0.3
    relevant[:, 0] |= ~relevant.any(1)
    scores = -np.arange(30)
    expected = np.mean([average_precision_score(row, scores) for row in relevant])
    assert mean_average_precision(relevant, relevant.sum(1)) == pytest.approx(expected)


def test_precision_and_recall_at_k():
    relevant = np.array([[True, False, True], [False, False, False]])
    totals = np.array([4, 0])  # the second query has nothing to find and does not count
    assert precision_at(relevant, totals, 2) == 0.5
    assert recall_at(relevant, totals, 3) == 0.5
    assert neighbour_recall(np.array([[1, 2, 3]]), np.array([[3, 4, 1]])) == pytest.approx(2 / 3)
