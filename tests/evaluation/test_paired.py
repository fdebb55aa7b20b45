"""Two classifiers on the same images: by hand, and covering what the interval states."""

import numpy as np
import pytest
from scipy.stats import binomtest

from clearsight.evaluation import compare_paired, mean_of


def probabilities(right, targets, sure=0.9):
    """Probabilities (N, 2) that are right where asked."""
    answer = np.where(right, targets, 1 - targets)
    found = np.full((len(targets), 2), 1 - sure)
    found[np.arange(len(targets)), answer] = sure
    return found


def test_by_hand():
    targets = np.arange(100) % 2
    first, second = np.ones(100, bool), np.ones(100, bool)
    first[:12], second[10:14] = False, False  # 10 gained, 2 lost, 2 both wrong
    row = compare_paired("b", probabilities(first, targets), probabilities(second, targets), targets)
    assert (row.n, row.gained, row.lost) == (100, 10, 2)
    assert row.accuracy == pytest.approx(0.96)
    assert row.difference == pytest.approx(0.08)
    up, down = 11 / 102, 3 / 102
    half = 1.959964 * np.sqrt((up + down - (up - down) ** 2) / 102)
    assert row.interval == pytest.approx((up - down - half, up - down + half), rel=1e-5)
    assert row.p_value == pytest.approx(binomtest(2, 12).pvalue)


def test_the_same_classifier_differs_by_nothing():
    targets = np.arange(30) % 2
    own = probabilities(np.arange(30) > 3, targets)
    row = compare_paired("itself", own, own, targets)
    assert (row.difference, row.gained, row.lost, row.p_value) == (0, 0, 0, 1)
    assert row.interval[0] < 0 < row.interval[1]


@pytest.mark.long
def test_the_interval_covers_what_it_states():
    draw, true, inside = np.random.default_rng(0), 0.05, []
    for _ in range(400):
        targets = draw.integers(0, 2, 300)
        kind = draw.choice(4, 300, p=[0.75, 0.1, 0.05, 0.1])  # both right, only the second, only the first, neither
        row = compare_paired(
            "b", probabilities(np.isin(kind, [0, 2]), targets), probabilities(kind < 2, targets), targets
        )
        inside.append(row.interval[0] <= true <= row.interval[1])
    assert np.mean(inside) == pytest.approx(0.95, abs=0.033)


def test_together_is_the_mean():
    np.testing.assert_allclose(mean_of([np.array([[0.2, 0.8]]), np.array([[0.6, 0.4]])]), [[0.4, 0.6]])


def test_what_is_predicted_at_an_operating_point_counts():
    """The most probable class is always 0; the second classifier predicts the other class from 40 % on."""
    targets = np.array([0, 1, 1, 0])
    own = np.array([[0.9, 0.1], [0.55, 0.45], [0.58, 0.42], [0.8, 0.2]])
    predicted = own.argmax(1), (own[:, 1] >= 0.4).astype(int)
    row = compare_paired("at 40 %", own, own, targets, predicted=predicted)
    assert (row.accuracy, row.gained, row.lost) == (1.0, 2, 0)
