"""Wilson's interval and that of an area under the ROC curve: by their equations, by hand and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import norm

from clearsight.metrics import auroc_interval, wilson_interval
from clearsight.metrics.ranking import auroc


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
@pytest.mark.parametrize(
    ("successes", "n"), [(0, 1), (1, 1), (0, 30), (30, 30), (7, 10), (431, 450), (99_000, 100_000)]
)
def test_the_ends_solve_wilsons_equation(successes, n, confidence):
    """(p - t)^2 = z^2 t (1 - t) / n at both ends t."""
    p, z = successes / n, norm.ppf(0.5 + confidence / 2)
    for end in wilson_interval(successes, n, confidence):
        assert (p - end) ** 2 == pytest.approx(z**2 * end * (1 - end) / n, abs=1e-12)


def test_by_hand():
    # 8 of 10 at z = 1.96: centre (0.8 + 0.19208) / 1.38416, half 1.96 / 1.38416 * sqrt(0.016 + 0.0096040)
    assert wilson_interval(8, 10) == pytest.approx((0.4901625, 0.9433178), abs=1e-6)


def test_no_trial_says_nothing():
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_the_share_itself_lies_within_however_it_rounds():
    for n in range(1, 60):
        for k in (0, n // 2, n):
            low, high = wilson_interval(k, n)
            assert low <= k / n <= high


@pytest.mark.parametrize(("area", "known", "anomalies"), [(0.5, 20, 20), (0.889, 451, 821), (0.97, 12, 40)])
def test_the_interval_of_an_area_ends_where_its_equation_holds(area, known, anomalies):
    def excess(t):
        s = (known + anomalies) / 2 - 1
        variance = t * (1 - t) * (1 + s * (1 - t) / (2 - t) + s * t / (1 + t)) / (known * anomalies)
        return (area - t) ** 2 - norm.ppf(0.975) ** 2 * variance

    wanted = brentq(excess, 1e-9, area), brentq(excess, area, 1 - 1e-9)
    assert auroc_interval(area, known, anomalies) == pytest.approx(wanted, abs=1e-9)


def test_a_perfect_area_is_not_certain():
    low, high = auroc_interval(1.0, 20, 20)
    assert high == 1
    assert 0.8 < low < 0.99
    assert auroc_interval(0.0, 20, 20) == pytest.approx((0, 1 - low), abs=1e-9)


@pytest.mark.long
def test_the_interval_of_an_area_holds_it_as_often_as_it_says():
    rng, true = np.random.default_rng(0), float(norm.cdf(1.8 / np.sqrt(2)))
    held = 0
    for _ in range(800):
        found = auroc(rng.standard_normal(25), 1.8 + rng.standard_normal(25))
        low, high = auroc_interval(found, 25, 25)
        held += low <= true <= high
    assert 0.93 < held / 800 < 0.985
