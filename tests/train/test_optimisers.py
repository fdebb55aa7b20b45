"""Optimisers against steps worked by hand, and the line searches against their conditions."""

from __future__ import annotations

import io
import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

from clearsight.errors import ConfigError
from clearsight.train.choices import OPTIMISERS
from clearsight.train.optimisers import (
    DEFAULTS,
    LINE_SEARCHES,
    build_optimiser,
    default_lr,
    default_weight_decay,
    orthogonal,
)

Objective = Callable[[torch.Tensor], torch.Tensor]


def steps(
    name: str, f: Objective, start: list[float], rates: list[float], *, momentum: float = 0.9, decay: float = 0.0
) -> list[list[float]]:
    """The weights after each step on f, one step for each rate."""
    w = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    optimiser = build_optimiser(name, [{"params": [w], "lr": rates[0]}], momentum=momentum, weight_decay=decay)

    def closure() -> float:
        optimiser.zero_grad()
        loss = f(w)
        loss.backward()
        return loss.item()

    path = []
    for rate in rates:
        optimiser.param_groups[0]["lr"] = rate
        closure()
        if name in LINE_SEARCHES:
            optimiser.step(closure)
        else:
            optimiser.step()
        path.append(w.tolist())
    return path


def square(w: torch.Tensor) -> torch.Tensor:
    """f = w^2, gradient 2 w."""
    return w.square().sum()


def rosenbrock(w: torch.Tensor) -> torch.Tensor:
    return (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2


# Three steps on w^2 from w = 1, momentum 0.9. Below each: how its numbers come about (g the gradient 2 w).
BY_HAND = {
    "gd": (0.1, [0.8, 0.64, 0.512]),
    # w - 0.1 * 2 w = 0.8 w
    "sgd": (0.1, [0.8, 0.64, 0.512]),
    "momentum": (0.1, [0.8, 0.46, 0.062]),
    # v = 2; 0.9 * 2 + 1.6 = 3.4; 0.9 * 3.4 + 0.92 = 3.98; each time w - 0.1 v
    "nesterov": (0.1, [0.62, 0.2224, -0.108352]),
    # v = 2; 3.04; 3.1808; steps g + 0.9 v = 3.8; 1.24 + 2.736 = 3.976; 0.4448 + 2.86272 = 3.30752
    "adagrad": (0.1, [0.9, 0.8331035268, 0.7804561814]),
    # sums of g^2: 4; 4 + 1.8^2 = 7.24; 7.24 + 1.6662^2 = 10.0162; steps 0.1 g / sqrt(sum)
    "adadelta": (1.0, [0.9968377263, 0.9935981741, 0.9903090457]),
    # E g^2 = 0.1 * 4 = 0.4; step sqrt(0 + 1e-6) / sqrt(0.4 + 1e-6) * 2 = 0.0031623; E step^2 = 1e-6; ...
    "rmsprop": (0.1, [0.6837722390, 0.4988706135, 0.3691805603]),
    # E g^2 = 0.4, step 0.1 * 2 / sqrt(0.4) = 0.31623; E g^2 = 0.36 + 0.1 * 1.36754^2 = 0.54702, ...
    "adam": (0.1, [0.9, 0.8004122287, 0.7015862729]),
    # m = 0.2 / 0.1 = 2, v = 4: step 0.1; m = (0.18 + 0.18) / 0.19 = 1.8947, v = (0.003996 + 0.00324) / 0.001999, ...
    "muon": (0.1, [0.9000000005, 0.8002805507, 0.7010893457]),
    # a single weight moves as by Adam with v = 0.05 g^2: 0.1 * 1.8947 / sqrt(0.352 / 0.0975) = 0.09972, ...
    "radam": (0.1, [0.8, 0.6210526316, 0.4623033599]),
    # too few steps for a variance: 0.1 m = 0.2; 0.1 * (0.18 + 0.16) / 0.19 = 0.17895; ...
    "adabelief": (0.1, [0.8888890610, 0.7727294844, 0.6523060360]),
    # surprise g - 0.1 g = 1.8, s = 3.24 + 1e-5: step 0.1 * 2 / 1.8 = 0.1111, beyond Adam's 0.1; ...
    "lars": (10.0, [0.99, 0.9711, 0.944379]),
    # g scaled by 0.001 |w| / |g| is 0.001 w; v = 0.001; 0.0009 + 0.00099 = 0.00189; 0.001701 + 0.0009711 = 0.0026721
}


@pytest.mark.parametrize("name", BY_HAND)
def test_three_steps_by_hand(name: str) -> None:
    rate, expected = BY_HAND[name]
    found = [w for (w,) in steps(name, square, [1.0], [rate] * 3)]
    assert found == pytest.approx(expected, abs=1e-8)


def test_three_steps_of_adamw_by_hand() -> None:
    """Weight decay 0.5: w shrinks by 1 - 0.1 * 0.5 = 0.95, then steps as Adam does from where it was: 0.95 - 0.1."""
    found = [w for (w,) in steps("adamw", square, [1.0], [0.1] * 3, decay=0.5)]
    assert found == pytest.approx([0.85, 0.7082484434, 0.5749739307], abs=1e-8)


def test_the_sixth_step_of_radam_is_the_first_rectified_one() -> None:
    """At a constant gradient of 1 both averages are 1: five steps of 0.1, then 0.1 r with rho = 5.99416 of 1999."""
    rho, most = 5.99416375, 1999.0
    r = math.sqrt((rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho))
    assert r == pytest.approx(0.0258, abs=1e-4)
    path = [w for (w,) in steps("radam", torch.Tensor.sum, [0.0], [0.1] * 6)]
    assert path[4:] == pytest.approx([-0.5, -0.5 - 0.1 * r], rel=1e-6)


def test_every_optimiser_is_tested_here_and_has_defaults() -> None:
    assert {*BY_HAND, "adamw", *LINE_SEARCHES} == set(OPTIMISERS)
    assert list(DEFAULTS) == list(OPTIMISERS)
    assert (default_lr("adamw"), default_weight_decay("adamw")) == (5e-3, 0.05)


@pytest.mark.parametrize("name", [n for n in OPTIMISERS if n not in ("adamw", "muon", "lbfgs")])
def test_weight_decay_is_coupled(name: str) -> None:
    """The loss pulls with -3 and the decay 3 w with 3: their sum is 0 and nothing moves, whatever is made of it."""

    def pull(w: torch.Tensor) -> torch.Tensor:
        return -3 * w.sum()

    assert steps(name, pull, [1.0], [0.1] * 3, decay=3.0) == [[1.0]] * 3
    assert steps(name, pull, [1.0], [0.1], decay=0.0)[0][0] > 1


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_weight_decay_is_decoupled(name: str) -> None:
    """The same pull: w shrinks by 0.1 * 3 and the step goes up by 0.1."""
    found = steps(name, lambda w: -3 * w.sum(), [1.0], [0.1], decay=3.0)
    assert found[0][0] == pytest.approx(0.8)


@pytest.mark.parametrize("name", ["momentum", "nesterov", "muon", "lars", "adam", "adamw", "radam", "adabelief"])
def test_momentum_reaches_the_optimisers_that_have_one(name: str) -> None:
    first, second = (steps(name, square, [1.0], [0.1] * 3, momentum=m)[-1] for m in (0.9, 0.5))
    assert first != second


def test_pytorchs_momentum_is_the_textbooks_while_the_rate_is_constant() -> None:
    """v = 0.9 v + rate g, w = w - v; after the rate drops the two differ as the module says."""

    def textbook(rates: list[float]) -> list[float]:
        w, v, path = 1.0, 0.0, []
        for rate in rates:
            v = 0.9 * v + rate * 2 * w
            w -= v
            path.append(w)
        return path

    constant, dropped = [0.1] * 6, [0.1] * 3 + [0.01] * 3
    found = [w for (w,) in steps("momentum", square, [1.0], constant)]
    assert found == pytest.approx(textbook(constant))
    found = [w for (w,) in steps("momentum", square, [1.0], dropped)]
    # v = 3.98 and w = 0.062: PyTorch then moves 0.01 * (0.9 * 3.98 + 0.124), the textbook 0.9 * 0.398 + 0.00124
    assert found[3] == pytest.approx(0.062 - 0.03706)
    assert textbook(dropped)[3] == pytest.approx(0.062 - 0.35944)


@pytest.mark.parametrize("name", OPTIMISERS)
def test_each_group_has_its_rate_and_the_callers_dicts_stay(name: str) -> None:
    a, b = (torch.ones(1, requires_grad=True) for _ in range(2))
    groups = [{"params": [a], "lr": 0.1}, {"params": [b], "lr": 0.01}]
    before = [dict(group) for group in groups]
    optimiser = build_optimiser(name, groups, momentum=0.9, weight_decay=0.0)
    assert groups == before
    rates = [group["lr"] for group in optimiser.param_groups]
    assert rates == ([0.1] if name == "lbfgs" else [0.1, 0.01])
    assert sum(len(group["params"]) for group in optimiser.param_groups) == 2
    optimiser.param_groups[0]["lr"] = 7.0
    assert groups[0]["lr"] == 0.1


def test_bad_requests_are_explained() -> None:
    groups = [{"params": [torch.ones(1, requires_grad=True)], "lr": 0.1}]
    with pytest.raises(ConfigError, match=r"unknown optimiser 'adm'. Did you mean .*adam"):
        build_optimiser("adm", groups, momentum=0.9, weight_decay=0.0)
    with pytest.raises(ConfigError, match=r"unknown optimiser 'adm'"):
        default_lr("adm")
    with pytest.raises(ConfigError, match=r"lbfgs does not support weight decay; found --weight-decay 0.1"):
        build_optimiser("lbfgs", groups, momentum=0.9, weight_decay=0.1)
    with pytest.raises(ConfigError, match="nesterov needs a momentum above 0"):
        build_optimiser("nesterov", groups, momentum=0.0, weight_decay=0.0)


def new_problem() -> tuple[nn.Module, Callable[[int], torch.Tensor]]:
    """A small network in the layout that training uses, and its loss on the batch of a step."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(64, 3))
    network.to(memory_format=torch.channels_last)

    def loss(step: int) -> torch.Tensor:
        images = torch.randn(12, 3, 6, 6, generator=torch.Generator().manual_seed(step))
        images = images.to(memory_format=torch.channels_last)
        return nn.functional.cross_entropy(network(images), torch.arange(12) % 3)

    return network, loss


def train(name: str, numbers: range, saved: bytes | None = None) -> tuple[nn.Module, bytes, list[float]]:
    """Some steps, from the start or from a saved state."""
    network, loss_of = new_problem()
    groups = [{"params": list(network.parameters()), "lr": default_lr(name)}]
    decay = default_weight_decay(name)
    optimiser = build_optimiser(name, groups, momentum=0.9, weight_decay=decay)
    if saved is not None:
        state = torch.load(io.BytesIO(saved), weights_only=True)
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
    losses = []
    for number in numbers:

        def closure(number: int = number) -> float:
            optimiser.zero_grad()
            loss = loss_of(number % 3)
            loss.backward()
            return loss.item()

        losses.append(closure())
        optimiser.step(*((closure,) if name in LINE_SEARCHES else ()))
    stream = io.BytesIO()
    torch.save({"network": network.state_dict(), "optimiser": optimiser.state_dict()}, stream)
    return network, stream.getvalue(), losses


@pytest.mark.parametrize("name", OPTIMISERS)
def test_a_saved_state_goes_on_to_the_same_bits(name: str) -> None:
    whole, _, _ = train(name, range(8))
    _, saved, _ = train(name, range(5))
    resumed, _, _ = train(name, range(5, 8), saved)
    for (key, a), b in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(a, b), key


@pytest.mark.parametrize("name", OPTIMISERS)
def test_the_default_rate_trains_a_network_with_batch_normalisation(name: str) -> None:
    _, _, losses = train(name, range(60))
    assert sum(losses[-3:]) < 0.6 * sum(losses[:3])


@pytest.mark.parametrize("name", OPTIMISERS)
def test_a_rate_of_zero_moves_nothing(name: str) -> None:
    """Where schedules end."""
    path = steps(name, rosenbrock, [-1.2, 1.0], [1e-3, 0.0, 1e-3])
    assert path[0] != [-1.2, 1.0]
    assert path[1] == path[0] != path[2]


def test_muon_takes_the_nearest_orthogonal_matrix():
    """Singular vectors stay, singular values come near 1; the polynomial is timm's, which itself works in bfloat16."""
    from timm.optim.muon import zeropower_via_newtonschulz

    torch.manual_seed(0)
    for shape in ((12, 45), (45, 12), (8, 8)):
        matrix = torch.randn(shape)
        found = orthogonal(matrix)
        u, _, v = torch.linalg.svd(matrix, full_matrices=False)
        turned = u.T @ found @ v.T
        assert (turned - turned.diag().diag()).abs().max() < 1e-4
        assert 0.4 < turned.diag().min() <= turned.diag().max() < 1.25
        theirs = zeropower_via_newtonschulz(matrix, 5, [(3.4445, -4.7750, 2.0315)] * 5, dtype=torch.float32)
        assert torch.allclose(found, theirs, atol=1e-5)


def test_muon_steps_of_a_convolution():
    """w shrinks by the weight decay and moves by 0.2 sqrt(C H W) O, O orthogonal to (1 - m) g + m mean(g)."""
    torch.manual_seed(0)
    weight = torch.randn(4, 3, 2, 2, requires_grad=True)
    optimiser = build_optimiser("muon", [{"params": [weight], "lr": 0.1}], momentum=0.9, weight_decay=0.5)
    mean, expected = torch.zeros(4, 12), weight.detach().clone()
    for _ in range(3):
        gradient = torch.randn(4, 3, 2, 2)
        weight.grad = gradient.clone()
        optimiser.step()
        mean = 0.9 * mean + 0.1 * gradient.flatten(1)
        move = orthogonal(0.1 * gradient.flatten(1) + 0.9 * mean)
        expected = expected * (1 - 0.1 * 0.5) - 0.1 * 0.2 * 12**0.5 * move.view(4, 3, 2, 2)
        assert torch.allclose(weight.detach(), expected, atol=1e-5)
