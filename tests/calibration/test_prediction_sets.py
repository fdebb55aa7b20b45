"""Prediction sets equal MAPIE's, cover what they state, and are defined for every input."""

import math

import numpy as np
import pytest

from clearsight.calibration.prediction_sets import conformal_scores, own_scores, prediction_sets, threshold_of
from clearsight.errors import ConfigError, DataError


def drawn(n, seed, classes=6, sharp=1.5):
    """Beliefs, and labels drawn from them: a calibrated model."""
    rng = np.random.default_rng(seed)
    belief = np.exp(sharp * rng.normal(size=(n, classes)))
    belief /= belief.sum(1, keepdims=True)
    labels = (rng.random((n, 1)) > belief.cumsum(1)).sum(1).clip(max=classes - 1)
    return belief, labels


@pytest.mark.parametrize("kind", ["least", "adaptive"])
@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9, 0.99])
def test_sets_cover_what_they_state(kind, coverage):
    shares = []
    for seed in range(30):
        belief, labels = drawn(300, seed)
        new, truth = drawn(2000, 1000 + seed)
        inside = prediction_sets(new, threshold_of(own_scores(belief, labels, kind), coverage), kind)
        shares.append(inside[np.arange(len(truth)), truth].mean())
    error = np.std(shares) / len(shares) ** 0.5
    assert coverage - 3 * error <= np.mean(shares)
    if kind == "least":
        assert np.mean(shares) <= coverage + 1 / 301 + 3 * error


def test_scores_by_hand():
    belief = np.array([[0.5, 0.2, 0.3]])
    np.testing.assert_allclose(conformal_scores(belief), [[0.5, 0.8, 0.7]])
    np.testing.assert_allclose(conformal_scores(belief, "adaptive"), [[0.5, 1.0, 0.8]])


def test_the_threshold_by_hand():
    belief = np.stack([np.arange(1, 11) / 20, 1 - np.arange(1, 11) / 20], 1)
    labels = np.zeros(10, int)  # scores 0.95, 0.9, ... 0.5
    assert threshold_of(own_scores(belief, labels), 0.8) == pytest.approx(0.9)  # the ceil(8.8) = 9th smallest
    assert threshold_of(own_scores(belief, labels), 0.95) == math.inf
    assert prediction_sets(belief, math.inf).all()


@pytest.mark.parametrize(("kind", "score"), [("least", "lac"), ("adaptive", "aps")])
def test_equal_to_mapie(kind, score):
    from mapie.classification import SplitConformalClassifier
    from sklearn.base import BaseEstimator, ClassifierMixin

    class Known(ClassifierMixin, BaseEstimator):
        """A classifier whose input is its belief."""

        def __init__(self):
            self.classes_ = np.arange(6)

        def fit(self, X, y):
            return self

        def predict_proba(self, X):
            return X

        def predict(self, X):
            return X.argmax(1)

    belief, labels = drawn(400, 0)
    new, _ = drawn(200, 1)
    theirs = SplitConformalClassifier(Known(), confidence_level=0.9, conformity_score=score, prefit=True)
    theirs.conformalize(belief, labels)
    options = {"conformity_score_params": {"include_last_label": True}} if score == "aps" else {}
    _, sets = theirs.predict_set(new, **options)
    ours = prediction_sets(new, threshold_of(own_scores(belief, labels, kind), 0.9), kind)
    agree = (sets[:, :, 0] == ours).mean()
    assert agree == 1 if kind == "least" else agree > 0.9  # theirs holds the class at which the sum passes, too


def test_adaptive_sets_are_never_empty_and_least_ones_may_be():
    belief = np.array([[0.34, 0.33, 0.33], [0.98, 0.01, 0.01]])
    assert prediction_sets(belief, 0.1).sum(1).tolist() == [0, 1]
    assert prediction_sets(belief, 0.1, "adaptive").sum(1).tolist() == [1, 1]


def test_bad_input():
    belief, labels = drawn(20, 0)
    for coverage in (0, 1, 1.5, float("nan")):
        with pytest.raises(ConfigError, match="between 0 and 1"):
            threshold_of(own_scores(belief, labels), coverage)
    with pytest.raises(DataError, match="two classes or more; found 20 images, 1 classes"):
        own_scores(np.ones((20, 1)), np.zeros(20, int))
    with pytest.raises(DataError, match="found 0 images"):
        own_scores(belief[:0], labels[:0])
    with pytest.raises(ConfigError, match="least or adaptive"):
        conformal_scores(belief, "most")
