"""Scores of binary predictions and of numbers, worked by hand and at their edges."""

import numpy as np
import pytest

from clearsight.metrics.ranking import auroc, average_precision, f1_of, r_squared

NONE = np.zeros(3, bool)


def test_auroc_is_the_share_of_pairs_in_order_ties_half():
    negatives, positives = np.array([0.1, 0.4, 0.4]), np.array([0.4, 0.9])
    assert auroc(negatives, positives) == pytest.approx((3 + 1 + 0.5 + 0.5) / 6)
    assert auroc(positives, negatives) == pytest.approx(1 / 6)
    assert np.isnan(auroc(negatives[:0], positives))
    assert np.isnan(auroc(negatives, positives[:0]))


def test_average_precision_takes_equal_scores_together():
    truth, scores = np.array([True, False, True, False]), np.array([0.9, 0.5, 0.5, 0.1])
    assert average_precision(truth, scores) == pytest.approx((1 + 2 / 3) / 2)
    assert np.isnan(average_precision(NONE, scores[:3])), "nothing to find"


def test_f1_without_positives_is_0():
    assert f1_of(np.array([True, True, False]), np.array([True, False, True])) == 0.5
    assert f1_of(NONE, NONE) == 0
    assert f1_of(NONE, ~NONE) == 0
    assert f1_of(NONE[:0], NONE[:0]) == 0


def test_r_squared_of_the_mean_is_0():
    targets = np.array([1.0, 2.0, 6.0])
    assert r_squared(targets, np.array([1.0, 3.0, 6.0])) == pytest.approx(1 - 1 / 14)
    assert r_squared(targets, np.full(3, 3.0)) == pytest.approx(0)
    assert np.isnan(r_squared(np.ones(3), targets)), "equal targets have no variance"
    assert np.isnan(r_squared(np.ones(1), np.zeros(1)))
