"""Slices: parabolas of a quadratic, filters at their own length, and the axes at their stated places."""

import numpy as np
import pytest
import torch
from torch import nn

from clearsight.derivatives import Objective, filter_normalised, line, plane


def quadratic(seed=0):
    """Squared error of a linear network: a quadratic in its weights."""
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Flatten(), nn.Linear(9, 2)).double()
    rng = np.random.default_rng(seed)
    x, y = rng.random((12, 1, 3, 3), np.float32), rng.integers(0, 2, 12)
    return Objective(network, x, y, ("1.weight", "1.bias"), 2, "mse", batch=5)


def test_a_slice_of_a_quadratic_is_its_parabola():
    objective = quadratic()
    point, direction = objective.weights, filter_normalised(objective, 0)
    steps = np.linspace(-1, 1, 11)
    found, _ = line(objective.at, point, direction, steps)
    slope = float(objective.gradient(point) @ direction)
    bend = float(objective.hessian_vector(point, direction) @ direction)
    np.testing.assert_allclose(found, objective.at(point)[0] + slope * steps + bend / 2 * steps**2, atol=1e-12)


def test_every_filter_has_its_own_length_and_biases_stay():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 4))
    names = tuple(name for name, _ in network.named_parameters())
    objective = Objective(network, np.zeros((1, 2, 4, 4), np.float32), np.zeros(1, np.int64), names, 4)
    found = dict(zip(names, objective.split(filter_normalised(objective, 3)), strict=True))
    own = dict(network.named_parameters())
    for k in range(3):  # by hand: the Gaussian numbers of one filter, over their length, times the filter's
        length = float(sum(v**2 for v in own["0.weight"][k].flatten().tolist()) ** 0.5)
        assert float(found["0.weight"][k].flatten().norm()) == pytest.approx(length, rel=1e-5)
    for k in range(4):
        assert float(found["3.weight"][k].norm()) == pytest.approx(float(own["3.weight"][k].detach().norm()), rel=1e-5)
    for name in ("0.bias", "1.weight", "1.bias", "3.bias"):
        assert not found[name].any()
    gaussian = torch.randn(3, 2, 3, 3, generator=torch.Generator().manual_seed(3))
    assert torch.cosine_similarity(found["0.weight"][1].flatten(), gaussian[1].flatten(), dim=0) == pytest.approx(1)


def test_a_filter_of_zeros_does_not_move():
    objective = quadratic()
    with torch.no_grad():
        objective.module[1].weight[0] = 0
    direction = objective.split(filter_normalised(objective, 0))[0]
    assert not direction[0].any()
    assert direction[1].any()


def test_rows_and_columns_of_the_plane():
    objective = quadratic()
    point = objective.weights
    first, second = (filter_normalised(objective, s) for s in (0, 1))
    steps = np.array([-1.0, 0.0, 0.5])
    loss, right = plane(objective.at, point, (first, second), steps)
    assert (loss[1, 1], right[1, 1]) == objective.at(point)
    assert loss[0, 2] == pytest.approx(objective.at(point + 0.5 * first - second)[0])
    assert loss[2, 0] != pytest.approx(loss[0, 2])
