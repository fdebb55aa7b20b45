"""Armijo's condition at every step, by hand and on functions that are hard to descend; L-BFGS on a quadratic."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from clearsight.train.optimisers import Armijo, build_optimiser

Objective = Callable[[torch.Tensor], torch.Tensor]


def armijo_path(f: Objective, start: list[float], rates: list[float], *, decay: float = 0.0) -> list[list[float]]:
    """The weights after each step on f, one step for each largest rate."""
    w = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    optimiser = Armijo([{"params": [w], "lr": rates[0]}], weight_decay=decay)

    def closure() -> float:
        optimiser.zero_grad()
        loss = f(w)
        loss.backward()
        return loss.item()

    path = []
    for rate in rates:
        optimiser.param_groups[0]["lr"] = rate
        optimiser.step(closure)
        path.append(w.tolist())
    return path


def square(w: torch.Tensor) -> torch.Tensor:
    """f = w^2, gradient 2 w."""
    return w.square().sum()


def rosenbrock(w: torch.Tensor) -> torch.Tensor:
    return (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2


def stretched(w: torch.Tensor) -> torch.Tensor:
    """A quadratic with curvatures 1, 10 and 100."""
    return (torch.tensor([1.0, 10, 100], dtype=w.dtype) / 2 * w.square()).sum()


@pytest.mark.parametrize(
    ("f", "start", "number", "goal"), [(stretched, [1.0, 1, 1], 300, 1e-4), (rosenbrock, [-1.2, 1], 300, 0.5)]
)
def test_armijos_condition_holds_at_every_step(f: Objective, start: list[float], number: int, goal: float) -> None:
    w = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    optimiser = Armijo([{"params": [w], "lr": 1.0}])

    def closure() -> float:
        optimiser.zero_grad()
        loss = f(w)
        loss.backward()
        return loss.item()

    for _ in range(number):
        loss = closure()
        gradient, before = w.grad.clone(), w.detach().clone()
        assert optimiser.step(closure) == loss
        size = optimiser.param_groups[0]["step_size"]
        assert 0 < size <= 1
        torch.testing.assert_close(w.detach(), before - size * gradient, rtol=1e-14, atol=1e-14)
        assert f(w).item() <= loss - 0.1 * size * gradient.square().sum().item() + 1e-15 * loss
    assert f(w).item() < goal


def test_armijo_takes_the_largest_step_while_it_will_do_and_follows_the_schedule() -> None:
    """On w^2 / 2 a step s keeps 1 - s of w; the condition asks s <= 1.8, so rates below are taken whole."""
    rates = [0.5, 0.25, 0.25, 1.0]
    path = [w for (w,) in armijo_path(lambda w: square(w) / 2, [1.0], rates)]
    # from 0.25 the size may grow by 1.1 only, whatever the rate allows
    assert path == pytest.approx([0.5, 0.375, 0.28125, 0.28125 * (1 - 0.275)])


def test_armijo_backtracks_by_hand() -> None:
    """On w^2 from rate 3: 1 - 2 s must keep |w| small: s <= 0.9. Tries 3, 2.1, 1.47, 1.029, then 0.7203."""
    assert armijo_path(square, [1.0], [3.0])[0] == pytest.approx([1 - 2 * 0.7203])


def test_armijo_minimises_the_loss_with_its_weight_decay() -> None:
    """(w - 1)^2 + 3/2 w^2 is least where 2 (w - 1) + 3 w = 0."""
    path = armijo_path(lambda w: (w - 1).square().sum(), [1.0], [1.0] * 40, decay=3.0)
    assert path[-1][0] == pytest.approx(0.4)


def test_armijo_shares_one_search_among_groups_in_proportion_to_their_rates() -> None:
    a, b = (torch.ones(1, dtype=torch.float64, requires_grad=True) for _ in range(2))
    optimiser = build_optimiser(
        "armijo", [{"params": [a], "lr": 3.0}, {"params": [b], "lr": 0.3}], momentum=0.9, weight_decay=0.0
    )

    def closure() -> float:
        optimiser.zero_grad()
        loss = square(a) + square(b)
        loss.backward()
        return loss.item()

    optimiser.step(closure)
    assert 1 - b.item() == pytest.approx((1 - a.item()) / 10)
    assert square(a) + square(b) < 2


@pytest.mark.parametrize("outside", [math.nan, math.inf, 5.0])
def test_armijo_keeps_every_bit_of_the_weights_where_no_step_will_do(outside: float) -> None:
    """A loss that is 1 here and no better, or no number, anywhere else: a gradient that lies."""
    home = torch.tensor([0.1, -0.7, 3.0])
    w = home.clone().requires_grad_()
    optimiser = Armijo([{"params": [w], "lr": 1.0}])

    def closure() -> float:
        w.grad = torch.ones(3)
        return 1.0 if torch.equal(w.detach(), home) else outside

    closure()
    assert optimiser.step(closure) == 1
    assert torch.equal(w.detach(), home)
    assert optimiser.param_groups[0]["step_size"] == pytest.approx(0.7)  # the next batch is not frozen


def test_lbfgs_solves_a_quadratic_over_two_groups() -> None:
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(6, 6, generator=generator, dtype=torch.float64)
    hessian, aim = root @ root.T + torch.eye(6, dtype=torch.float64), torch.arange(6, dtype=torch.float64)
    a, b = (torch.zeros(3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    optimiser = build_optimiser(
        "lbfgs", [{"params": [a], "lr": 1.0}, {"params": [b], "lr": 1.0}], momentum=0.9, weight_decay=0.0
    )

    def closure() -> float:
        optimiser.zero_grad()
        error = torch.cat([a, b]) - aim
        loss = error @ hessian @ error / 2
        loss.backward()
        return loss.item()

    for _ in range(4):
        optimiser.step(closure)
    torch.testing.assert_close(torch.cat([a, b]).detach(), aim, atol=1e-5, rtol=0)
