"""The debiased calibration error and its interval: by hand, and by simulation of errors that are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import binom, binomtest

from clearsight.metrics import debiased_ece, debiased_ece_interval, expected_calibration_error


def off_by(confidence, error, kind):
    """Probabilities of being right that differ from confidence by so much on average."""
    if not error:
        return confidence
    curves = {
        "overconfident": lambda t: expit(logit(confidence) - t),
        "underconfident": lambda t: expit(logit(confidence) + t),
        "temperature": lambda t: expit(logit(confidence) * np.exp(-t)),
    }
    return curves[kind](brentq(lambda t: np.abs(curves[kind](t) - confidence).mean() - error, 0, 8))


def test_one_confidence_is_one_share():
    """Of 400 predictions with one confidence, the interval is that of the share that is right, moved."""
    confidence, right = np.full(400, 0.9), np.arange(400) < 320
    low, high = debiased_ece_interval(confidence, right)
    exact = binomtest(320, 400).proportion_ci(0.95, method="exact")  # all in one bin
    assert low == pytest.approx(0.9 - exact.high, abs=0.003)
    assert high == pytest.approx(0.9 - exact.low, abs=0.003)
    assert debiased_ece(confidence, right) == pytest.approx(0.1, abs=0.003)


def test_all_right_bounds_overconfidence_by_the_number_of_images():
    """450 of 450 right at a confidence of 99.9 %: the true share is at least 0.025^(1/450)."""
    low, high = debiased_ece_interval(np.full(450, 0.999), np.ones(450, bool))
    assert low == 0
    assert high == pytest.approx(0.999 - 0.025 ** (1 / 450), abs=3e-4)


def test_the_estimate_has_less_bias_than_the_plain_error():
    draws = np.random.default_rng(0)
    plain, debiased = [], []
    for _ in range(50):
        confidence = draws.uniform(0.5, 1, 400)
        right = draws.random(400) < confidence
        probabilities = np.stack([confidence, 1 - confidence], 1)
        plain.append(expected_calibration_error(np.where(right, 0, 1), probabilities))
        debiased.append(debiased_ece(confidence, right))
    assert np.mean(debiased) < 0.5 * np.mean(plain)


def test_the_estimate_lies_inside_and_empty_data_says_nothing():
    draws = np.random.default_rng(1)
    for n in (1, 5, 30, 200):
        confidence = draws.uniform(0.3, 1, n)
        right = draws.random(n) < 0.6
        low, high = debiased_ece_interval(confidence, right)
        assert 0 <= low <= debiased_ece(confidence, right) <= high <= 1
    assert debiased_ece_interval(np.empty(0), np.empty(0, bool)) == (0.0, 1.0)
    assert np.isnan(debiased_ece(np.empty(0), np.empty(0, bool)))


def test_an_error_below_chance_does_not_shrink_the_interval():
    """Of 73 predictions in three bins, each right as often as stated: too close to it to be anything but luck."""
    stated = np.array([0.6, 0.75, 0.9])
    confidence = np.repeat(stated, [25, 24, 24])
    right = np.concatenate([np.arange(n) < round(n * p) for n, p in zip([25, 24, 24], stated, strict=True)])
    low, high = debiased_ece_interval(confidence, right)
    usual = [
        debiased_ece_interval(confidence, np.random.default_rng(seed).random(73) < confidence)[1] for seed in range(40)
    ]
    assert low == 0
    assert 0.05 < high <= np.median(usual)


@pytest.mark.long
@pytest.mark.parametrize("n", [120, 450])
@pytest.mark.parametrize(
    ("error", "kinds"),
    [(0.0, [""]), (0.02, ["temperature", "overconfident"]), (0.05, ["temperature", "underconfident"])],
)
def test_the_interval_covers_the_true_error(n, error, kinds, record_property):
    """Of 95 % intervals, 93 to 98 % hold the true error, less what 400 samples of each kind leave open."""
    draws = np.random.default_rng(2)
    covered, tried = 0, 400 * len(kinds)
    for kind in kinds:
        for _ in range(400):
            confidence = 0.5 + 0.5 * draws.beta(5, 2, n)
            low, high = debiased_ece_interval(confidence, draws.random(n) < off_by(confidence, error, kind))
            covered += low <= error <= high
    record_property("coverage", covered / tried)
    assert binom.ppf(0.01, tried, 0.93) <= covered <= binom.ppf(0.99, tried, 0.98)
