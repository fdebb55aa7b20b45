"""p-values: uniform for images that belong, and ever smaller for those that are further away."""

import numpy as np
import pytest

from clearsight.ood.tails import Tail, conformal_threshold


def test_p_values_are_uniform_and_the_tail_is_right():
    draw = np.random.default_rng(0)
    tail = Tail.fit(draw.exponential(size=10_000))
    p = np.exp(-tail.surprise(draw.exponential(size=20_000)))
    for level in (0.5, 0.2, 0.05, 0.01):
        assert (p <= level).mean() == pytest.approx(level, rel=0.25)
    np.testing.assert_allclose(tail.surprise(np.array([10.0, 20.0])), [10, 20], rtol=0.1)  # -ln p = s by definition


def test_far_scores_never_tie_and_order_is_kept():
    tail = Tail.fit(np.random.default_rng(0).normal(size=50))
    values = tail.surprise(np.linspace(-5, 1000, 500))
    assert (np.diff(values) >= 0).all()
    assert (np.diff(values[10:]) > 0).all()


@pytest.mark.parametrize("reference", [[1.0], [2.0, 2.0, 2.0], [0.0] * 99 + [1.0]])
def test_few_or_equal_scores(reference):
    tail = Tail.fit(np.array(reference))
    low, same, high = tail.surprise(np.array([-1.0, reference[0], 5.0]))
    assert 0 <= low <= same < high < np.inf


def test_the_threshold_is_the_conformal_rank():
    scores = np.random.default_rng(0).permutation(99).astype(float)
    assert conformal_threshold(scores, 0.05) == 94  # the 95th of 99 smallest: ceil(100 x 0.95)
    assert conformal_threshold(scores[:10], 0.05) == scores[:10].max()  # too few to promise 5 %


def test_false_alarms_hold_on_average_over_draws():
    draw = np.random.default_rng(0)
    rates = [1 - conformal_threshold(draw.random(50), 0.05) for _ in range(2000)]  # of uniform scores the rate itself
    assert np.mean(rates) == pytest.approx(2 / 51, abs=0.002)  # floor(51 x 0.05) of 51
