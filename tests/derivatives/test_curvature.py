"""The largest curvature against dense Hessians, and the bound on the rate against gradient descent itself."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call

from clearsight.derivatives import Objective, largest_curvature, stable_curvature
from clearsight.tasks.losses import LOSSES, one_hot_targets
from clearsight.train.optimisers import build_optimiser
from clearsight.train.range_test import largest_stable_rate


def small(loss="cross-entropy", smoothing=0.0, batch=7, layers=None):
    """A tiny network in float64 on 20 images."""
    torch.manual_seed(0)
    hidden = [nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Tanh(), nn.Flatten(), nn.Linear(8, 3)]
    network = nn.Sequential(*(hidden if layers is None else layers)).double().eval()
    rng = np.random.default_rng(0)
    x, y = rng.random((20, 1, 4, 4), np.float32), rng.integers(0, 3, 20)
    names = tuple(name for name, _ in network.named_parameters())
    return Objective(network, x, y, names, 3, loss, smoothing, batch=batch)


def dense_hessian(objective):
    """The whole Hessian (P, P), by PyTorch's own function on one batch."""
    x = torch.from_numpy(objective.inputs).double()
    wanted = one_hot_targets(torch.from_numpy(objective.labels), 3, objective.smoothing).double()

    def loss(point):
        moved = dict(zip(objective.vary, objective.split(point), strict=True))
        return LOSSES[objective.loss](functional_call(objective.module, moved, (x,)), wanted).mean()

    return torch.autograd.functional.hessian(loss, objective.weights).numpy()


@pytest.mark.parametrize(("loss", "smoothing"), [("cross-entropy", 0.0), ("cross-entropy", 0.1), ("mse", 0.0)])
def test_both_ends_of_a_dense_hessian(loss, smoothing):
    objective = small(loss, smoothing)
    values = np.linalg.eigvalsh(dense_hessian(objective))
    point = objective.weights
    found = largest_curvature(
        lambda v: objective.hessian_vector(point, v), len(point), tolerance=1e-9, steps=len(point)
    )
    assert found.largest == pytest.approx(values[-1], rel=1e-6)
    assert found.least >= values[0] - 1e-9
    assert found.least == pytest.approx(values[0], rel=0.2)


def test_a_product_with_the_hessian():
    objective = small()
    vector = torch.from_numpy(np.random.default_rng(1).normal(size=len(objective.weights)))
    expected = dense_hessian(objective) @ vector.numpy()
    np.testing.assert_allclose(objective.hessian_vector(objective.weights, vector), expected, atol=1e-12)


def test_the_gradient_is_that_of_the_loss():
    objective = small()
    point, step = objective.weights, 1e-6
    gradient = objective.gradient(point)
    for place in (0, 7, 20, len(point) - 1):
        move = torch.zeros_like(point)
        move[place] = step
        slope = (objective.at(point + move)[0] - objective.at(point - move)[0]) / (2 * step)
        assert float(gradient[place]) == pytest.approx(slope, abs=1e-8)


def test_the_error_bounds_the_truth():
    rng = np.random.default_rng(0)
    q, _ = np.linalg.qr(rng.normal(size=(300, 300)))
    values = np.concatenate([[-3.0, 40.0, 38.0], rng.random(297)])
    matrix = torch.from_numpy(q @ np.diag(values) @ q.T)
    found = largest_curvature(lambda v: matrix @ v, 300, tolerance=1e-3)
    assert found.converged
    assert found.steps < 60
    assert abs(found.largest - 40) <= found.error + 1e-9
    assert found.least == pytest.approx(-3, abs=0.1)
    short = largest_curvature(lambda v: matrix @ v, 300, tolerance=1e-12, steps=9)
    assert not short.converged


def test_negative_and_flat_losses():
    assert largest_curvature(lambda v: -2 * v, 50).largest == pytest.approx(-2)
    flat = largest_curvature(lambda v: 0 * v, 50)
    assert (flat.largest, flat.converged) == (0, True)
    assert not largest_curvature(lambda v: v * np.nan, 50).converged


@pytest.mark.parametrize(("optimiser", "momentum"), [("sgd", 0.0), ("gd", 0.0), ("momentum", 0.9), ("nesterov", 0.9)])
@pytest.mark.parametrize(("share", "grows"), [(0.98, False), (1.02, True)])
def test_steps_on_a_quadratic_grow_just_above_the_bound(optimiser, momentum, share, grows):
    rate = 0.1
    curvature = share * stable_curvature(optimiser, rate, momentum)
    w = torch.ones(1, dtype=torch.float64, requires_grad=True)
    steps = build_optimiser(optimiser, [{"params": [w], "lr": rate}], momentum=momentum, weight_decay=0.0)
    for _ in range(600):
        steps.zero_grad()
        (curvature / 2 * w.square()).sum().backward()
        steps.step()
    assert (abs(float(w.detach())) > 1) is grows


@pytest.mark.parametrize(("share", "grows"), [(0.98, False), (1.02, True)])
def test_gradient_descent_on_a_linear_network_turns_at_two_over_m(share, grows):
    """Squared error of a linear network is a quadratic in its weights: M from Lanczos must be its threshold."""
    objective = small("mse", layers=[nn.Flatten(), nn.Linear(16, 3)])
    point = objective.weights
    size = len(point)
    top = largest_curvature(lambda v: objective.hessian_vector(point, v), size, tolerance=1e-9, steps=size).largest
    rate = share * largest_stable_rate(top)
    start, w = objective.at(point)[0], point
    for _ in range(200):
        w = w - rate * objective.gradient(w)
    assert (objective.at(w)[0] > start) is grows


def test_adaptive_optimisers_have_no_such_bound():
    assert stable_curvature("adamw", 0.1) is None
