"""Prediction sets equal MAPIE's, cover what they state, are never empty, and are defined for every input."""

import math

import numpy as np
import pytest

from clearsight.calibration.prediction_sets import METHODS, ConformalScores, class_scores, coverage_band, threshold_of
from clearsight.errors import ConfigError, DataError


def drawn(n, seed, classes=6, sharp=1.5):
    """Probabilities, and labels drawn from them: a calibrated model."""
    rng = np.random.default_rng(seed)
    p = np.exp(sharp * rng.normal(size=(n, classes)))
    p /= p.sum(1, keepdims=True)
    labels = (rng.random((n, 1)) > p.cumsum(1)).sum(1).clip(max=classes - 1)
    return p, labels


def held(inside, truth):
    return inside[np.arange(len(truth)), truth]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.99])
def test_sets_cover_what_they_state(method, coverage):
    shares = []
    for seed in range(30):
        new, truth = drawn(2000, 1000 + seed)
        shares.append(held(ConformalScores.of(*drawn(300, seed)).sets(new, coverage, method), truth).mean())
    error = np.std(shares) / len(shares) ** 0.5
    assert coverage - 3 * error <= np.mean(shares) <= coverage + 1 / 301 + 3 * error + 0.004


def test_scores_by_hand():
    p = np.array([[0.5, 0.2, 0.3]])
    np.testing.assert_allclose(class_scores(p), [[0, 0.8, 0.7]])
    (aps,), (raps,) = class_scores(p, "aps"), class_scores(p, "raps")
    u = (aps[1] - 0.8) / 0.2
    assert 0 <= u < 1
    np.testing.assert_allclose(aps, [0, 0.8 + u * 0.2, 0.5 + u * 0.3])
    np.testing.assert_allclose(raps - aps, [0, 0.2, 0.1])


def test_an_image_has_one_set_whatever_stands_beside_it():
    p, _ = drawn(50, 3)
    np.testing.assert_array_equal(class_scores(p, "aps")[7:9], class_scores(p[7:9], "aps"))
    u = (class_scores(p, "aps").max(1) - 1 + p.min(1)) / p.min(1)
    assert 0.3 < u.mean() < 0.7


@pytest.mark.parametrize("method", METHODS)
def test_of_two_classes_coverage_is_the_stated_one_or_that_of_the_likeliest_class(method):
    """Calibrated without that, APS sets of a model that is right in 88 % cover 91 % at 80 %."""
    covered, right = [], []
    for seed in range(30):
        (p, labels), (new, truth) = drawn(400, seed, classes=2, sharp=2), drawn(2000, 500 + seed, classes=2, sharp=2)
        covered.append(held(ConformalScores.of(p, labels).sets(new, 0.8, method), truth).mean())
        right.append((new.argmax(1) == truth).mean())
    assert np.mean(covered) == pytest.approx(max(0.8, np.mean(right)), abs=0.01)


def test_the_threshold_by_hand():
    p = np.stack([np.arange(1, 11) / 20, 1 - np.arange(1, 11) / 20], 1)
    scores = ConformalScores.of(p, np.zeros(10, int))  # 0.95, 0.9, ... 0.5
    assert scores.threshold(0.8) == pytest.approx(0.9)  # the ceil(8.8) = 9th smallest
    assert scores.threshold(0.95) == math.inf
    assert scores.sets(p, 0.95).all()


def mapie_sets(method, p, labels, new):
    from mapie.classification import SplitConformalClassifier
    from sklearn.base import BaseEstimator, ClassifierMixin

    class Known(ClassifierMixin, BaseEstimator):
        """A classifier whose input is its probabilities."""

        def __init__(self):
            self.classes_ = np.arange(6)

        def fit(self, X, y):
            return self

        def predict_proba(self, X):
            return X

        def predict(self, X):
            return X.argmax(1)

    theirs = SplitConformalClassifier(
        Known(), confidence_level=0.9, conformity_score=method, prefit=True, random_state=0
    )
    theirs.conformalize(p, labels)
    options = {"conformity_score_params": {"include_last_label": "randomized"}} if method == "aps" else {}
    return theirs.predict_set(new, **options)[1][:, :, 0]


@pytest.mark.parametrize("method", ["lac", "aps"])
def test_as_mapies(method):
    p, labels = drawn(400, 0)
    new, truth = drawn(2000, 1)
    theirs, ours = mapie_sets(method, p, labels, new), ConformalScores.of(p, labels).sets(new, 0.9, method)
    if method == "lac":
        theirs[np.arange(len(new)), new.argmax(1)] = True  # ours are never empty
        np.testing.assert_array_equal(ours, theirs)
    assert ours.sum() / theirs.sum() < 1.1
    assert abs(held(ours, truth).mean() - held(theirs, truth).mean()) < 0.03


def test_aps_of_a_sure_model_are_small():
    """Without randomisation every set would hold several classes [Romano, Sesia, Candès 2020]."""
    p, labels = drawn(500, 0, classes=10, sharp=8)
    new, _ = drawn(500, 1, classes=10, sharp=8)
    assert ConformalScores.of(p, labels).sets(new, 0.9, "aps").sum(1).mean() < 1.5


@pytest.mark.parametrize("method", METHODS)
def test_no_set_is_empty(method):
    p, labels = drawn(500, 0, sharp=6)
    inside = ConformalScores.of(p, labels).sets(p, 0.3, method)
    assert held(inside, p.argmax(1)).all()


def test_coverage_within_each_class():
    """One class is much harder than the others; by class it is covered as well as they are."""

    def uneven(n, seed):
        rng = np.random.default_rng(seed)
        labels = rng.integers(0, 3, n)
        logits = rng.normal(size=(n, 3)) + 2.5 * np.eye(3)[labels] * (labels > 0)[:, None]
        return np.exp(logits) / np.exp(logits).sum(1, keepdims=True), labels

    plain, by_class = [], []
    for seed in range(10):
        scores, (new, truth) = ConformalScores.of(*uneven(600, seed)), uneven(2000, 100 + seed)
        hard = truth == 0
        plain.append(held(scores.sets(new, 0.9), truth)[hard].mean())
        by_class.append(held(scores.sets(new, 0.9, by_class=True), truth)[hard].mean())
    assert np.mean(plain) < 0.85 < 0.88 < np.mean(by_class)


def test_coverage_within_each_group():
    """A fifth of the images come from a site where predictions are worse; by group they are covered as well."""

    def sites(n, seed):
        rng = np.random.default_rng(seed)
        site, labels = np.where(rng.random(n) < 0.2, "far", "near"), rng.integers(0, 3, n)
        logits = rng.normal(size=(n, 3)) + np.where(site == "far", 0.3, 3)[:, None] * np.eye(3)[labels]
        return np.exp(logits) / np.exp(logits).sum(1, keepdims=True), labels, site

    plain, by_group = [], []
    for seed in range(10):
        p, labels, site = sites(1000, seed)
        id_of_each = np.arange(1000).astype(str)  # as many values as images, and so no groups
        scores = ConformalScores.of(p, labels).with_groups({"site": site, "id": id_of_each})
        assert list(scores.groups) == ["site"]
        again = ConformalScores.load(scores.card())
        new, truth, where = sites(2000, 100 + seed)
        far, hers = new[where == "far"], truth[where == "far"]
        plain.append(held(scores.sets(far, 0.9), hers).mean())
        by_group.append(held(again.sets(far, 0.9, group=("site", "far")), hers).mean())
    assert np.mean(plain) < 0.85 < 0.88 < np.mean(by_group) < 0.93


def test_unknown_groups_are_refused():
    p, labels = drawn(100, 0)
    scores = ConformalScores.of(p, labels).with_groups({"site": np.array(["A", "B"] * 50)})
    with pytest.raises(ConfigError, match="no groups for the column 'sit'; found site"):
        scores.sets(p, 0.9, group=("sit", "A"))
    with pytest.raises(ConfigError, match="no calibration image has site 'C'; found A, B"):
        scores.sets(p, 0.9, group=("site", "C"))


def test_groups_stay_with_their_images_where_only_some_are_kept():
    p, labels = drawn(5000, 0)
    scores = ConformalScores.of(p, labels).with_groups({"class": np.array(list("abcdef"))[labels]})
    assert all("abcdef"[k] == group for k, group in zip(scores.labels, scores.groups["class"], strict=True))


def test_a_class_without_calibration_images_is_always_in_the_set():
    p, labels = drawn(200, 0)
    assert ConformalScores.of(p[labels != 2], labels[labels != 2]).sets(p, 0.8, by_class=True)[:, 2].all()


def test_the_card_holds_all_and_stays_small():
    p, labels = drawn(5000, 0)
    scores = ConformalScores.of(p, labels)
    assert len(scores.labels) == 2000
    assert ConformalScores.load(scores.card()) == scores


def test_the_band_by_simulation():
    low, high = coverage_band(0.9, 450, 274)
    rng, found = np.random.default_rng(0), []
    for _ in range(4000):
        threshold = threshold_of(np.sort(rng.random(274)), 0.9)
        found.append((rng.random(450) <= threshold).mean())
    inside = np.mean([low <= share <= high for share in found])
    assert 0.94 < inside < 0.97
    assert coverage_band(0.9, 100, 5) == (0.0, 1.0)


def test_bad_input():
    p, labels = drawn(20, 0)
    scores = ConformalScores.of(p, labels)
    for coverage in (0, 1, 1.5, float("nan")):
        with pytest.raises(ConfigError, match="between 0 and 1"):
            scores.threshold(coverage)
    with pytest.raises(DataError, match="at least two classes; found 20 images, 1 class"):
        ConformalScores.of(np.ones((20, 1)), np.zeros(20, int))
    with pytest.raises(DataError, match="found 0 images"):
        ConformalScores.of(p[:0], labels[:0])
    with pytest.raises(ConfigError, match="lac, aps, raps"):
        scores.sets(p, 0.9, "most")
