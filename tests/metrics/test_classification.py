"""Scores of class predictions against numbers worked by hand, their definitions in NumPy, and at their edges."""

from __future__ import annotations

import numpy as np
import pytest

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
    precision, recall, f1 = precision_recall_f1(TRUTH, predicted, 3)
    assert precision.tolist() == [0.5, 1, 0]
    assert recall.tolist() == [0.5, 0.5, 0]
    assert f1 == pytest.approx([0.5, 2 / 3, 0])
    assert balanced_accuracy(TRUTH, predicted) == 0.5
    assert top_k_accuracy(TRUTH, HAND, 2) == 0.75


def test_against_the_definitions(drawn):
    targets, probabilities = drawn
    predicted, rows = probabilities.argmax(axis=1), np.arange(len(targets))
    counts = np.zeros((9, 9), int)
    np.add.at(counts, (targets, predicted), 1)
    assert (confusion_matrix(targets, predicted, 9) == counts).all(), "of two classes that do not occur too"
    hits, given, present = counts.diagonal(), counts.sum(0), counts.sum(1)
    precision, recall, f1 = precision_recall_f1(targets, predicted, 9)
    np.testing.assert_allclose(precision, hits / np.maximum(given, 1))
    np.testing.assert_allclose(recall, hits / np.maximum(present, 1))
    np.testing.assert_allclose(f1, 2 * hits / np.maximum(given + present, 1))
    assert accuracy(targets, predicted) == (targets == predicted).mean()
    assert balanced_accuracy(targets, predicted) == pytest.approx((hits[:7] / present[:7]).mean())
    assert log_loss(targets, probabilities) == pytest.approx(-np.log(probabilities[rows, targets]).mean())
    assert brier_score(targets, probabilities) == pytest.approx(
        ((probabilities - np.eye(7)[targets]) ** 2).sum(1).mean()
    )
    rank = (probabilities > probabilities[rows, targets][:, None]).sum(1)
    for k in (1, 3, 5):
        assert top_k_accuracy(targets, probabilities, k) == (rank < k).mean()
    np.testing.assert_allclose(entropy(probabilities), -(probabilities * np.log(probabilities)).sum(1))


def test_two_classes():
    targets, probabilities = np.array([0, 1]), np.array([[0.8, 0.2], [0.6, 0.4]])
    assert log_loss(targets, probabilities) == pytest.approx(-np.log([0.8, 0.4]).mean())
    assert brier_score(targets, probabilities) == pytest.approx((0.08 + 0.72) / 2), "both classes count"
    assert top_k_accuracy(targets, probabilities, k=1) == 0.5


def test_extremes():
    assert softmax(np.array([[1e4, 0.0], [-1e4, -1e4]])).tolist() == [[1, 0], [0.5, 0.5]]
    assert softmax(np.log([[1.0, 16.0]]), 2.0) == pytest.approx(np.array([[0.2, 0.8]]))
    assert entropy(np.array([[1.0, 0.0]])) == 0
    assert entropy(np.full((1, 8), 1 / 8)) == pytest.approx(np.log(8))
    assert log_loss(np.array([1]), np.array([[1.0, 0.0]])) == pytest.approx(-np.log(1e-15))
    assert top_k_accuracy(np.array([2]), HAND[:1], k=5) == 1


def test_classes_that_do_not_occur_do_not_count():
    targets, predicted = np.array([0, 0, 0, 0, 1]), np.array([0, 0, 0, 2, 1])
    assert balanced_accuracy(targets, predicted) == pytest.approx((0.75 + 1) / 2)
    same = np.zeros(4, int)
    assert log_loss(same, HAND) == pytest.approx(-np.log(HAND[:, 0]).mean()), "targets of one class"
    assert brier_score(same, HAND) == pytest.approx(((HAND - [1, 0, 0]) ** 2).sum(1).mean())
    assert top_k_accuracy(same, HAND, k=2) == 0.75
    assert balanced_accuracy(same, same) == 1


def test_no_images():
    none = np.zeros(0, int)
    assert confusion_matrix(none, none, 2).tolist() == [[0, 0], [0, 0]]
    for score in (lambda: accuracy(none, none), lambda: log_loss(none, HAND[:0]), lambda: brier_score(none, HAND[:0])):
        with pytest.raises(ValueError, match="minimum of 1"):
            score()
