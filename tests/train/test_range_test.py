"""The range test on curves whose best rate is known, and the bound 2 / M on a quadratic."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from clearsight.errors import TrainingError
from clearsight.train.range_test import largest_stable_rate, range_test


def curve(rate: float) -> float:
    """Falls from 2.3 to 0.3, steepest at 1e-3, and rises without bound above 0.3."""
    return 0.3 + 2 / (1 + (rate / 1e-3) ** 1.5) + (rate / 0.5) ** 4


def test_the_suggestion_is_where_the_loss_falls_steepest() -> None:
    found = range_test(curve)
    assert found.suggestion == pytest.approx(1e-3, rel=0.25)  # rates are a factor 1.19 apart
    assert found.losses == tuple(curve(rate) for rate in found.rates)


def test_noise_moves_it_little() -> None:
    rng = np.random.default_rng(0)
    found = [range_test(lambda rate: curve(rate) + rng.normal() * 0.05).suggestion for _ in range(20)]
    assert 2e-4 < min(found) < max(found) < 5e-3


def test_rates_grow_by_the_same_factor_from_low_to_high() -> None:
    found = range_test(lambda rate: 1 - rate, low=1e-4, high=0.5, steps=30)
    assert len(found.rates) == 30
    assert (found.rates[0], found.rates[-1]) == pytest.approx((1e-4, 0.5))
    np.testing.assert_allclose(np.diff(np.log(found.rates)), math.log(5000) / 29)


def test_a_cliff_just_before_the_least_loss_is_too_late() -> None:
    """The loss falls only between 0.05 and 0.1, then diverges: a rate there is at its limit, so a tenth is kept."""

    def cliff(rate: float) -> float:
        return 1.0 if rate < 0.05 else 0.2 if rate < 0.1 else 50.0

    found = range_test(cliff)
    assert 1e-3 < found.suggestion <= 0.01


def test_it_ends_when_the_loss_blows_up() -> None:
    asked: list[float] = []

    def step(rate: float) -> float:
        asked.append(rate)
        return curve(rate)

    found = range_test(step, high=1e4)
    assert asked == list(found.rates)
    assert found.losses[-1] > 4 * min(found.losses)
    assert found.rates[-1] < 10


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_it_ends_when_the_loss_is_no_number(bad: float) -> None:
    found = range_test(lambda rate: curve(rate) if rate < 0.1 else bad)
    assert found.rates[-1] < 0.1 < found.rates[-1] * 1.2
    assert all(math.isfinite(loss) for loss in found.losses)
    assert found.suggestion == pytest.approx(1e-3, rel=0.25)


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (lambda rate: 1 + rate, "losses from 1 to 2"),
        (lambda rate: 1.0, "losses from 1 to 1"),
        (lambda rate: math.nan, "non-finite loss at the first step"),
    ],
)
def test_a_loss_that_never_falls_is_explained(step: Callable[[float], float], words: str) -> None:
    with pytest.raises(
        TrainingError, match=f"did not decrease at any learning rate in the range test; found .*{words}.*--lr"
    ):
        range_test(step)


def descend(rate: float, curvatures: torch.Tensor, steps: int = 400) -> float:
    """Loss after gradient descent on sum of curvature / 2 * w^2 from w = 1, by PyTorch's own SGD."""
    w = torch.ones(len(curvatures), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.SGD([w], rate)
    for _ in range(steps):
        optimiser.zero_grad()
        (curvatures / 2 * w.square()).sum().backward()
        optimiser.step()
    return float((curvatures / 2 * w.detach().square()).sum())


@pytest.mark.parametrize("largest", [0.5, 40.0])
def test_descent_converges_just_below_the_bound_and_diverges_just_above(largest: float) -> None:
    curvatures = torch.tensor([largest, largest / 3, largest / 10], dtype=torch.float64)
    start = float(curvatures.sum() / 2)
    bound = largest_stable_rate(largest)
    assert descend(0.98 * bound, curvatures) < 1e-3 * start
    assert descend(1.02 * bound, curvatures) > 1e3 * start


@pytest.mark.parametrize("curvature", [0.0, -1.0, math.nan])
def test_no_bound_without_curvature(curvature: float) -> None:
    with pytest.raises(ValueError, match="the largest curvature must be above 0, not"):
        largest_stable_rate(curvature)


def test_on_a_quadratic_the_suggestion_is_stable() -> None:
    """Training one quadratic while the rate grows: the suggestion stays below 2 / M and above its thousandth."""
    curvatures = torch.tensor([8.0, 2.0, 0.5])
    w = torch.ones(3)

    def step(rate: float) -> float:
        loss = float((curvatures / 2 * w.square()).sum())
        w.sub_(rate * curvatures * w)
        return loss

    bound = largest_stable_rate(8.0)
    assert bound / 1000 < range_test(step, high=100).suggestion < bound
