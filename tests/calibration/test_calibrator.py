"""Calibrators against hand-worked numbers, scikit-learn and simulated models; none is used unless it helps."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.special import expit, log_softmax, logit, softmax
from sklearn.metrics import log_loss

from clearsight.calibration.binary import BinaryCalibration
from clearsight.calibration.calibrator import Calibrator
from clearsight.calibration.selection import calibrate, fit_method, largest_probability, methods


def simulated(n, classes, seed, spread=2.0):
    """Logits of a perfectly calibrated model, and labels drawn from them."""
    rng = np.random.default_rng(seed)
    z = rng.normal(0, spread, (n, classes))
    return z, np.array([rng.choice(classes, p=p) for p in softmax(z, axis=1)])


def loss(p, labels):
    return float(-np.log(p[np.arange(len(labels)), labels]).mean())


def test_by_hand():
    made = Calibrator("vector", (2.0, 1.0), (0.0, np.log(3)), (0.25, 0.75), weight=0.5)
    p = softmax([[1.0, 0.0]], axis=1)[0]
    q = np.array([p[0] ** 2, 3 * p[1]])
    np.testing.assert_allclose(made(np.array([[1.0, 0.0]]))[0], 0.5 * q / q.sum() + 0.5 * np.array([0.25, 0.75]))


def test_the_largest_probability_is_kept_and_the_order_too():
    z = np.array([[9.0, 1.0, 0.0], [0.5, 0.0, 0.2]])
    p, free = Calibrator.identity(3), softmax(z, axis=1)
    bound = Calibrator(p.method, p.scale, p.shift, p.frequencies, largest=0.99)(z)
    assert bound[0].max() == pytest.approx(0.99)
    assert bound[0].sum() == pytest.approx(1)
    assert bound[0].argsort().tolist() == free[0].argsort().tolist()
    np.testing.assert_allclose(bound[1], free[1])
    assert largest_probability(274) == pytest.approx(1 - 0.05 / 275)


@pytest.mark.parametrize("method", ["identity", "temperature", "platt", "beta", "isotonic"])
def test_every_method_of_two_classes_loads_again_and_sums_to_one(method):
    z, labels = simulated(1500, 2, 0)
    made = fit_method(method, 3 * z, labels)
    again = Calibrator.load(json.loads(json.dumps(made.card())))
    p = again(3 * z)
    np.testing.assert_array_equal(p, made(3 * z))
    np.testing.assert_allclose(p.sum(1), 1)
    assert (p > 0).all()


def test_platt_is_logistic_regression():
    from sklearn.linear_model import LogisticRegression

    z, labels = simulated(4000, 2, 1)
    z = 2.5 * z + np.array([0.0, 1.0])
    theirs = LogisticRegression(C=1e6).fit((z[:, 1] - z[:, 0])[:, None], labels)
    made = fit_method("platt", z, labels)
    np.testing.assert_allclose(made(z), theirs.predict_proba((z[:, 1] - z[:, 0])[:, None]), atol=0.01)


def test_beta_is_logistic_regression_of_two_logarithms():
    """[Kull, Silva Filho, Flach 2017], section 3: a regression on log p and -log(1 - p)."""
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    truth = rng.random(6000)
    labels = (rng.random(6000) < truth).astype(int)
    given = expit(0.5 * np.log(truth) - 2.0 * np.log1p(-truth))  # distorted as the family can undo
    z = np.stack([np.zeros_like(given), logit(given.clip(1e-6, 1 - 1e-6))], 1)
    log_p = log_softmax(z, axis=1)
    theirs = LogisticRegression(C=1e6, max_iter=1000).fit(np.stack([log_p[:, 1], -log_p[:, 0]], 1), labels)
    expected = theirs.predict_proba(np.stack([log_p[:, 1], -log_p[:, 0]], 1))
    np.testing.assert_allclose(fit_method("beta", z, labels)(z), expected, atol=0.01)


def test_isotonic_is_scikit_learns():
    from sklearn.isotonic import IsotonicRegression

    z, labels = simulated(4000, 2, 2)
    z = 3 * z
    p = softmax(z, axis=1)[:, 1]
    theirs = IsotonicRegression(out_of_bounds="clip").fit(p, labels).predict(p)
    assert np.abs(fit_method("isotonic", z, labels)(z)[:, 1] - theirs).mean() < 0.02  # knots are thinned


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("wrong", [0.3, 4.0])
def test_a_wrong_temperature_is_mended(classes, wrong):
    z, labels = simulated(3000, classes, 3)
    made = calibrate(wrong * z[:1000], labels[:1000])
    best, before = (
        loss(softmax(z[1000:], axis=1), labels[1000:]),
        loss(softmax(wrong * z, axis=1)[1000:], labels[1000:]),
    )
    assert loss(made(wrong * z[1000:]), labels[1000:]) - best < 0.15 * (before - best)


@pytest.mark.parametrize("classes", [pytest.param(2, marks=pytest.mark.long), 10])
def test_a_calibrated_model_is_hardly_touched(classes):
    harm = []
    for seed in range(20):
        z, labels = simulated(2200, classes, seed)
        made = calibrate(z[:200], labels[:200])
        harm.append(loss(made(z[200:]), labels[200:]) - loss(softmax(z[200:], axis=1), labels[200:]))
    assert np.mean(harm) < 0.003
    assert np.max(harm) < 0.03


@pytest.mark.parametrize("seed", range(5))
def test_a_model_without_a_validation_error_does_not_become_certain(seed):
    """Right on 300 of 300, wrong on 1 % of new images: a temperature would go to 0."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, 2300)
    z = rng.normal(0, 0.5, (2300, 10)) + 7 * np.eye(10)[labels]
    new = np.arange(2300) >= 300
    fails = new & (rng.random(2300) < 0.01)
    z[fails] += 7 * np.eye(10)[(labels[fails] + 1) % 10]
    made = calibrate(z[~new], labels[~new])
    assert loss(made(z[new]), labels[new]) < loss(softmax(z[new], axis=1), labels[new]) + 0.002


def test_few_images_change_nothing():
    z, labels = simulated(9, 3, 0)
    assert calibrate(z, labels).method == "identity"
    assert methods(100, 2, rarest=30) == ("identity", "temperature", "platt", "beta")
    assert methods(100, 2, rarest=29) == ("identity", "temperature", "platt")
    assert methods(451, 2, rarest=19) == ("identity", "temperature")
    assert "isotonic" in methods(1000, 5, rarest=100)


def test_binary_questions_that_are_calibrated_stay_as_they_are():
    """Of few images, of which fitting each question alone would raise the log loss by 0.008 on average."""
    for seed in range(8):
        rng = np.random.default_rng(seed)
        z = rng.normal(-1, 4, (120, 5))
        made = BinaryCalibration.of(z, rng.random(z.shape) < expit(z))
        fresh = rng.normal(-1, 4, (4000, 5))
        truth = rng.random(fresh.shape) < expit(fresh)
        p = made.probabilities(fresh)
        harm = log_loss(truth.ravel(), p.ravel()) - log_loss(truth.ravel(), expit(fresh).ravel())
        assert harm < 0.004


def test_few_images_give_binary_questions_one_temperature():
    rng = np.random.default_rng(3)
    z = rng.normal(-1, 3, (150, 6))
    made = BinaryCalibration.of(4 * z, rng.random(z.shape) < expit(z))
    assert len(set(made.scale)) == 1
    assert made.scale[0] == pytest.approx(0.25, abs=0.08)
    assert set(made.shift) == {0.0}


def test_binary_questions_are_calibrated_one_by_one():
    rng = np.random.default_rng(0)
    z = rng.normal(0, 2, (2000, 2))
    truth = rng.random((2000, 2)) < expit(z)
    given = np.stack([z[:, 0] * 4 + 1, z[:, 1]], 1)
    made = BinaryCalibration.of(given, truth)
    assert made.scale[0] == pytest.approx(0.25, abs=0.05)
    p = made.module()(__import__("torch").from_numpy(given))[0].numpy()
    np.testing.assert_allclose(p, expit(z), atol=0.08)
    assert BinaryCalibration.load(json.loads(json.dumps(made.card()))) == made
    alike = BinaryCalibration.of(given, np.ones_like(truth))
    assert alike.scale == (1.0, 1.0)


def test_platt_of_clear_cases_stays_finite():
    z = np.linspace(-3, 3, 40)[:, None]
    made = BinaryCalibration.of(z, z > 0)
    assert 0 < made.scale[0] < 50
    assert made.largest[0] < 1


def test_a_question_has_the_probabilities_of_two_classes():
    rng = np.random.default_rng(5)
    z = rng.normal(0, 2, 600)
    truth = rng.random(600) < expit(2 * z - 3)
    made = BinaryCalibration.of(z[:, None], truth[:, None])
    assert (made.scale[0], made.shift[0]) == (pytest.approx(2, abs=0.4), pytest.approx(-3, abs=0.6))
