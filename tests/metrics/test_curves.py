"""Curves and areas against scikit-learn, and the interval of their mean by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom
from sklearn.metrics import f1_score, roc_auc_score

from clearsight.metrics import auroc_interval, macro_f1, macro_f1_interval
from clearsight.metrics.curves import _components, precision_recall_curves, ranking_scores, roc_curves
from clearsight.metrics.ranking import auroc


def sample(n=300, k=4, signal=1.5, seed=0):
    draws = np.random.default_rng(seed)
    labels = draws.integers(0, k, n)
    scores = draws.normal(size=(n, k)) + signal * np.eye(k)[labels]
    scores = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    return labels, scores


def test_areas_are_those_of_scikit_learn():
    labels, scores = sample()
    truth = np.eye(4, dtype=bool)[labels]
    found = ranking_scores(truth, scores)
    assert found.macro_auroc == pytest.approx(roc_auc_score(labels, scores, multi_class="ovr"))
    assert roc_curves(truth, scores, "abcd")[0].name == "macro average"
    for curve, area in zip(roc_curves(truth, scores, "abcd")[1:], found.auroc, strict=True):
        assert curve.area == pytest.approx(area)
    for curve, area in zip(precision_recall_curves(truth, scores, "abcd")[1:], found.average_precision, strict=True):
        assert curve.area == pytest.approx(area)
        assert (curve.x[0], curve.x[-1]) == (0, 1)


def test_a_class_without_images_has_no_area():
    labels, scores = sample()
    truth = np.eye(5, dtype=bool)[labels]
    found = ranking_scores(truth, np.pad(scores, ((0, 0), (0, 1))))
    assert np.isnan(found.auroc[4])
    assert np.isfinite(found.macro_auroc)
    assert len(roc_curves(truth, np.pad(scores, ((0, 0), (0, 1))), "abcde")) == 5  # with the mean


def test_components_are_delongs_by_definition():
    labels, scores = sample(60, 2)
    truth, score = labels == 1, scores[:, 1]
    pairs = (score[truth][:, None] > score[~truth]) + 0.5 * (score[truth][:, None] == score[~truth])
    area = pairs.mean()
    expected = np.empty(60)
    expected[truth] = (pairs.mean(1) - area) / truth.sum()
    expected[~truth] = (pairs.mean(0) - area) / (~truth).sum()
    assert _components(truth, score) == pytest.approx(expected)


def test_macro_f1_is_that_of_scikit_learn_and_lies_inside():
    labels, scores = sample(100)
    predicted = scores.argmax(1)
    value = macro_f1(labels, predicted, 4)
    assert value == pytest.approx(f1_score(labels, predicted, average="macro"))
    low, high = macro_f1_interval(labels, predicted, 4)
    assert low < value < high
    low, high = macro_f1_interval(labels, labels, 4)
    assert (low < 0.99, high) == (True, 1.0)  # all right: the interval is no point


@pytest.mark.long
@pytest.mark.parametrize("signal", [1.0, 4.07])  # true areas of 0.760 and 0.998
def test_the_interval_of_an_area_holds_with_few_images(signal, record_property):
    from scipy.stats import norm

    true = norm.cdf(signal / np.sqrt(2))
    draws, covered = np.random.default_rng(0), 0
    for _ in range(1000):
        low, high = auroc_interval(auroc(draws.normal(size=45), draws.normal(signal, size=45)), 45, 45)
        covered += low <= true <= high
    record_property("coverage", covered / 1000)
    assert binom.ppf(0.01, 1000, 0.93) <= covered <= binom.ppf(0.99, 1000, 0.98)


@pytest.mark.long
@pytest.mark.parametrize(("classes", "accuracy", "each"), [(2, 0.98, 45), (10, 0.98, 45), (10, 0.9, 45), (6, 0.8, 20)])
def test_the_interval_of_macro_f1_holds(classes, accuracy, each, record_property):
    """The true value is that of the confusion probabilities with as many images of every class."""
    draws, covered = np.random.default_rng(0), 0
    labels = np.repeat(np.arange(classes), each)
    for _ in range(400):
        moved = draws.integers(1, classes, len(labels)) if classes > 2 else 1
        predicted = np.where(draws.random(len(labels)) < accuracy, labels, (labels + moved) % classes)
        low, high = macro_f1_interval(labels, predicted, classes)
        covered += low <= accuracy <= high  # by symmetry F1 of every class is the accuracy
    record_property("coverage", covered / 400)
    assert binom.ppf(0.01, 400, 0.93) <= covered <= binom.ppf(0.99, 400, 0.985)
