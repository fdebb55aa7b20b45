"""Decisions by costs, and thresholds that keep their promise on new images."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from clearsight.calibration.operating_points import (
    OperatingPoint,
    Wishes,
    decisions,
    lower_bound,
    operating_point,
    threshold,
)
from clearsight.errors import ConfigError

NAMES = ("a", "b", "c")


def sample(n, draws, signal=2.0):
    """Probabilities of a perfectly calibrated model (N, 3), and labels."""
    prior = np.array([0.6, 0.3, 0.1])
    labels = draws.choice(3, n, p=prior)
    z = draws.normal(size=(n, 3)) + signal * np.eye(3)[labels]
    p = prior * np.exp(signal * z)
    return p / p.sum(1, keepdims=True), labels


def test_the_lowest_expected_cost_by_hand():
    """To miss b costs 4: b is decided from a probability of 1/5 on."""
    p = np.array([[0.81, 0.19], [0.79, 0.21]])
    point = operating_point(p, np.array([0, 1]), ("a", "b"), Wishes(costs={"b": {"a": 4}}))
    assert point.decide(p).tolist() == [0, 1]
    assert "lowest expected cost" in point.rule
    assert OperatingPoint.load(point.card()) == point


def test_without_wishes_weights_change_nothing():
    p, _ = sample(50, np.random.default_rng(0))
    assert (decisions(p, np.eye(3).tolist()) == p.argmax(1)).all()


def test_the_bound_is_clopper_and_pearsons():
    exact = binomtest(45, 50, alternative="greater").proportion_ci(0.95, method="exact")
    assert lower_bound(45, 50) == pytest.approx(exact.low)
    assert lower_bound(0, 10) == 0


def test_a_recall_takes_the_strictest_threshold():
    """59 of 59 are needed for a bound of 95 %, so the threshold lies below the lowest of 59 images of the class."""
    score = np.linspace(0.1, 0.9, 118)
    truth = np.arange(118) >= 59
    at, tried = threshold(score, truth, "recall", 0.95)
    assert tried == 1
    assert score[58] < at < score[59]


@pytest.mark.parametrize("images", [150, 2000])
def test_a_precision_just_out_of_reach_is_rarely_promised(images):
    """Scores that say nothing, and a precision a little lower than wanted at each threshold: the search over thresholds
    must not find one that seems to reach it more often than in 5 % of runs.
    """
    draws, promised, runs = np.random.default_rng(0), 0, 300
    for _ in range(runs):
        score, truth = draws.random(images), draws.random(images) < 0.88
        at, tried = threshold(score, truth, "precision", 0.8801)
        given = score >= at
        promised += lower_bound(int((given & truth).sum()), int(given.sum()), tried) >= 0.8801
    assert promised <= binom.ppf(0.999, runs, 0.05)


def test_a_precision_finds_most():
    """The first 300 of 400 images are right: with a precision of 90 %, more than these are found."""
    score = np.linspace(1, 0.1, 400)
    at, _ = threshold(score, np.arange(400) < 300, "precision", 0.9)
    assert 150 <= (score >= at).sum() < 330


@pytest.mark.parametrize("images", [1, 5, 20, 43])
def test_too_few_images_for_a_precision_make_a_strict_threshold(images):
    """Half of the images are right, those with the highest scores: the class is not given to all of the others."""
    score = np.linspace(1, 0.1, images)
    truth = np.arange(images) < (images + 1) / 2
    p = np.stack([score, 1 - score], axis=1)
    point = operating_point(p, (~truth).astype(int), ("a", "b"), Wishes(precision={"a": 0.9}))
    assert not point.reached[0].kept
    assert (point.decide(p) == 0).sum() <= truth.sum() + 1
    assert point.reached[0].value >= 0.5


def test_an_unreachable_precision_is_reported():
    p, labels = sample(60, np.random.default_rng(0))
    point = operating_point(p, labels, NAMES, Wishes(recall={"c": 0.99}))
    assert not point.reached[0].kept
    assert "cannot be guaranteed" in point.rule


@pytest.mark.parametrize("wishes", [Wishes(precision={"x": 0.9}), Wishes(costs={"a": {"x": 2}})])
def test_unknown_classes_are_refused(wishes):
    p, labels = sample(60, np.random.default_rng(0))
    with pytest.raises(ConfigError, match="unknown class 'x'"):
        operating_point(p, labels, NAMES, wishes)


@pytest.mark.long
@pytest.mark.parametrize("measure", ["precision", "recall"])
@pytest.mark.parametrize(("name", "required"), [("a", 0.95), ("b", 0.9)])
def test_promises_hold_on_new_images(measure, name, required, record_property):
    """A promise is broken in at most 5 % of runs."""
    draws = np.random.default_rng(0)
    new, labels = sample(100_000, draws)
    k, broken = NAMES.index(name), 0
    for _ in range(200):
        point = operating_point(*sample(400, draws), NAMES, Wishes(**{measure: {name: required}}))
        decided = point.decide(new)
        value = (labels[decided == k] == k).mean() if measure == "precision" else (decided[labels == k] == k).mean()
        broken += point.reached[0].kept and value < required
    record_property("broken", broken / 200)
    assert broken <= binom.ppf(0.99, 200, 0.05)


def test_an_exported_file_decides_alike():
    """The program beside an exported file reads the operating point from its card."""
    from clearsight.exporting.runtime import READERS
    from clearsight.tasks.classification import Classification
    from clearsight.tasks.task import PredictOptions

    draws = np.random.default_rng(0)
    p, labels = sample(300, draws)
    outputs = np.log(p)
    task, rules = Classification(NAMES).with_operating_point(outputs, labels, Wishes(recall={"c": 0.8}))
    assert "recall of ‘c’" in rules[0]
    assert Classification.load(task.card(), NAMES, 1.0) == task
    images = [str(i) for i in range(300)]
    card = {"classes": NAMES, **task.export_facts()}
    probabilities = task.decode(outputs).astype(np.float32)
    exported = READERS["classes"](card, (probabilities,), images, 0.9)
    ours = task.predictions(outputs, images, None, PredictOptions())
    assert [e.label for e in exported] == [o.label for o in ours]
    moved = [o for o in ours if o.label != next(iter(o.probabilities))]
    assert moved
    assert all(o.line().startswith("c at the operating point; ") for o in moved)
    assert all(o.probability == o.probabilities[o.label] for o in ours)
