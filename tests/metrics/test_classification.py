"""Scores of class predictions against scikit-learn, SciPy and numbers worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats
from sklearn import metrics as sk

from clearsight.metrics import (
    accuracy,
    balanced_accuracy,
    brier_score,
    confusion_matrix,
    entropy,
    log_loss,
    precision_recall_f1,
    softmax,
    top_k_accuracy,
)

HAND = np.array([[0.7, 0.2, 0.1], [0.3, 0.6, 0.1], [0.2, 0.3, 0.5], [0.5, 0.4, 0.1]])
TRUTH = np.array([0, 1, 0, 1])


@pytest.fixture
def drawn():
    rng = np.random.default_rng(3)
    probabilities = rng.dirichlet(np.ones(7) * 0.6, 400)
    targets = np.array([rng.choice(7, p=0.5 * p + 0.5 / 7) for p in probabilities])
    return targets, probabilities


def test_by_hand():
    predicted = HAND.argmax(axis=1)  # 0, 1, 2, 0
    assert accuracy(TRUTH, predicted) == 0.5
    assert log_loss(TRUTH, HAND) == pytest.approx(-(np.log(0.7) + np.log(0.6) + np.log(0.2) + np.log(0.4)) / 4)
    # rows: 0.09+0.04+0.01, 0.09+0.16+0.01, 0.64+0.09+0.25, 0.25+0.36+0.01
    assert brier_score(TRUTH, HAND) == pytest.approx((0.14 + 0.26 + 0.98 + 0.62) / 4)
    confusion = confusion_matrix(TRUTH, predicted, 3)
    assert confusion.tolist() == [[1, 0, 1], [1, 1, 0], [0, 0, 0]]
    precision, recall, f1 = precision_recall_f1(confusion)
    assert precision.tolist() == [0.5, 1, 0]
    assert recall.tolist() == [0.5, 0.5, 0]
    assert f1 == pytest.approx([0.5, 2 / 3, 0])
    assert balanced_accuracy(confusion) == 0.5
    assert top_k_accuracy(TRUTH, HAND, 2) == 0.75


def test_against_scikit_learn(drawn):
    targets, probabilities = drawn
    predicted = probabilities.argmax(axis=1)
    confusion = confusion_matrix(targets, predicted, 7)
    assert accuracy(targets, predicted) == pytest.approx(sk.accuracy_score(targets, predicted))
    assert (confusion == sk.confusion_matrix(targets, predicted)).all()
    ours, theirs = precision_recall_f1(confusion), sk.precision_recall_fscore_support(targets, predicted)[:3]
    np.testing.assert_allclose(ours, theirs)
    assert balanced_accuracy(confusion) == pytest.approx(sk.balanced_accuracy_score(targets, predicted))
    assert log_loss(targets, probabilities) == pytest.approx(sk.log_loss(targets, probabilities))
    for k in (1, 3, 5):
        assert top_k_accuracy(targets, probabilities, k) == pytest.approx(
            sk.top_k_accuracy_score(targets, probabilities, k=k)
        )
    one_against_rest = [sk.brier_score_loss(targets == c, probabilities[:, c]) for c in range(7)]
    assert brier_score(targets, probabilities) == pytest.approx(sum(one_against_rest))


def test_against_scipy(drawn):
    _, probabilities = drawn
    np.testing.assert_allclose(entropy(probabilities), stats.entropy(probabilities, axis=1))
    logits = np.random.default_rng(0).normal(0, 300, (50, 4))
    np.testing.assert_allclose(softmax(logits, 2.5), special.softmax(logits / 2.5, axis=1), atol=1e-15)


def test_extremes():
    assert softmax(np.array([[1e4, 0.0], [-1e4, -1e4]])).tolist() == [[1, 0], [0.5, 0.5]]
    assert entropy(np.array([[1.0, 0.0]])) == 0
    assert entropy(np.full((1, 8), 1 / 8)) == pytest.approx(np.log(8))
    assert log_loss(np.array([1]), np.array([[1.0, 0.0]])) == pytest.approx(-np.log(1e-15))
    assert top_k_accuracy(np.array([2]), HAND[:1], k=5) == 1


def test_balanced_accuracy_leaves_out_classes_that_do_not_occur():
    confusion = confusion_matrix(np.array([0, 0, 0, 0, 1]), np.array([0, 0, 0, 2, 1]), 3)
    assert balanced_accuracy(confusion) == pytest.approx((0.75 + 1) / 2)
