"""Temperature scaling against cases solved by hand and a search by brute force."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, log_softmax

from clearsight.calibration.temperature import HIGH, LOW, fit_temperature
from clearsight.metrics import expected_calibration_error, log_loss, softmax


def smoothed_loss(logits: np.ndarray, targets: np.ndarray, t: float) -> float:
    """Cross-entropy with the targets written out as vectors: (N+1)/(N+2) for the right class."""
    n, k = logits.shape
    vectors = np.full((n, k), (1 / (n + 2)) / (k - 1))
    vectors[np.arange(n), targets] = (n + 1) / (n + 2)
    return float(-(vectors * log_softmax(logits / t, axis=1)).sum(axis=1).mean())


def test_by_hand():
    """Every image has logits (2, 0); 3 of 4 are right. The mean target of class 0 is then (3 x 5/6 + 1/6) / 4 = 2/3,
    which sigmoid(2 / T) must equal: T = 2 / log 2."""
    logits = np.tile([2.0, 0.0], (4, 1))
    t = fit_temperature(logits, np.array([0, 0, 0, 1]))
    assert t == pytest.approx(2 / np.log(2), rel=1e-4)
    assert expit(2 / t) == pytest.approx(2 / 3, rel=1e-4)


@pytest.mark.parametrize("scale", [0.05, 0.5, 1.0, 4.0, 50.0])
@pytest.mark.parametrize("k", [2, 10])
def test_against_brute_force(scale, k):
    rng = np.random.default_rng(k)
    calm = rng.normal(0, 1.5, (300, k))
    targets = np.array([rng.choice(k, p=p) for p in softmax(calm)])
    grid = np.geomspace(LOW, HIGH, 20_001)
    best = grid[np.argmin([smoothed_loss(scale * calm, targets, t) for t in grid[::10]]) * 10]
    near = np.linspace(best * 0.98, best * 1.02, 801)
    best = near[np.argmin([smoothed_loss(scale * calm, targets, t) for t in near])]
    t = fit_temperature(scale * calm, targets)
    assert t == pytest.approx(best, rel=1e-3)
    assert t == pytest.approx(scale, rel=0.25)  # the logits were made too sure by this factor


def test_it_mends_calibration_and_keeps_the_order():
    rng = np.random.default_rng(0)
    calm = rng.normal(0, 1, (4000, 5))
    targets = np.array([rng.choice(5, p=p) for p in softmax(calm)])
    wild = calm * 6
    t = fit_temperature(wild[:2000], targets[:2000])
    before, after = softmax(wild[2000:]), softmax(wild[2000:], t)
    assert (before.argmax(axis=1) == after.argmax(axis=1)).all()
    assert expected_calibration_error(targets[2000:], after) < 0.03 < expected_calibration_error(targets[2000:], before)
    assert log_loss(targets[2000:], after) < log_loss(targets[2000:], before)


def test_a_perfect_validation_split_keeps_probabilities_below_1():
    """200 images, all right by the same margin: the probability is 201/202, as the rule of succession has it."""
    logits = np.tile([3.0, 0.0, 0.0], (200, 1))
    t = fit_temperature(logits, np.zeros(200, int))
    assert t > 0.1
    assert softmax(logits[:1], t)[0, 0] == pytest.approx(201 / 202, abs=1e-5)


def test_the_correction_vanishes_with_n():
    rng = np.random.default_rng(1)
    calm = rng.normal(0, 1.5, (20_000, 3))
    targets = np.array([rng.choice(3, p=p) for p in softmax(calm)])
    assert fit_temperature(calm * 3, targets) == pytest.approx(3, rel=0.05)


def test_float32_logits_are_taken():
    logits = np.tile([2.0, 0.0], (4, 1))
    targets = np.array([0, 0, 0, 1])
    assert fit_temperature(logits.astype(np.float32), targets) == pytest.approx(fit_temperature(logits, targets))
