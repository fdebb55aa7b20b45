"""Numerical against analytic gradient: right where autograd is right, and it finds a backward pass that is wrong."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from clearsight.diagnosis import check_gradients
from clearsight.models.zoo import build_model
from clearsight.tasks.losses import LOSSES, one_hot_targets


class Wrong(torch.autograd.Function):
    """Multiplies by 3; its backward pass says 2."""

    @staticmethod
    def forward(ctx, x):
        return 3 * x

    @staticmethod
    def backward(ctx, gradient):
        return 2 * gradient


class OneWrong(torch.autograd.Function):
    """The identity; its backward pass drops the first unit's gradient."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        gradient = gradient.clone()
        gradient[:, 0] = 0
        return gradient


class Through(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function.apply(x)


@pytest.fixture
def batch():
    torch.manual_seed(0)
    return torch.randn(4, 1, 8, 8), torch.tensor([0, 1, 2, 3])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mlp", {"widths": (12, 8), "activation": "gelu"}),
        ("mlp", {"widths": (12, 8), "activation": "maxout"}),
        ("lenet5", {"width": 2, "dropout": 0.5}),
        ("resnet8", {"width": 2}),
        ("linear", {}),
    ],
)
def test_autograd_is_right_for_our_networks(batch, name, options):
    torch.manual_seed(1)
    network = build_model(name, classes=4, channels=1, img_size=8, **options)
    found = check_gradients(network, *batch, F.cross_entropy, per_tensor=3)
    assert found.ok, [row for row in found.rows if not row.ok]
    assert found.worst.error < 1e-5
    assert [row.layer for row in found.rows] == [*(n for n, _ in network.named_parameters()), "input"]
    assert network.training  # the network itself is left as it was
    assert next(network.parameters()).dtype == torch.float32


@pytest.mark.parametrize("name", LOSSES)
def test_autograd_is_right_for_our_losses(name):
    torch.manual_seed(0)
    logits, target = torch.randn(6, 5), one_hot_targets(torch.tensor([0, 1, 2, 3, 4, 0]), 5, 0.1)
    found = check_gradients(nn.Identity(), logits, target, LOSSES[name])
    assert found.ok
    assert [row.layer for row in found.rows] == ["input"]


@pytest.mark.parametrize("function", [Wrong, OneWrong])
def test_a_wrong_backward_pass_is_found_below_it(batch, function):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.Tanh(), Through(function), nn.Linear(6, 4))
    found = check_gradients(network, *batch, F.cross_entropy)
    assert not found.ok
    wrong = {row.layer for row in found.rows if not row.ok}
    assert wrong == {"1.weight", "1.bias", "input"}  # the layer above gets the right gradient
    assert found.worst.error > 0.1
    assert found.to_dict()["ok"] is False


def test_a_wrong_scale_is_measured():
    """Two for three is off by a third."""
    network = nn.Sequential(Through(Wrong))
    found = check_gradients(network, torch.randn(3, 2), torch.tensor([0, 1, 0]), F.cross_entropy)
    assert found.worst.error == pytest.approx(1 / 3, rel=1e-3)


def test_kinks_are_passed_over():
    """At the zero of a ReLU left and right differ; no gradient is right there and none is called wrong."""
    x = torch.tensor([[0.0, 1.0, -1.0, 0.0, 2.0, -2.0]])
    found = check_gradients(nn.ReLU(), x, torch.zeros(1, 6), lambda a, b: (a * torch.arange(1.0, 7.0)).sum(1))
    assert found.ok
    assert found.rows[0].kinks >= 2


def test_where_everything_is_a_kink_nothing_is_proved():
    found = check_gradients(nn.ReLU(), torch.zeros(1, 4), torch.zeros(1, 4), lambda a, b: a.sum(1))
    assert not found.ok
    assert found.rows[0].compared == 0


def test_one_wrong_entry_among_many_is_found():
    """The random direction takes part in every entry."""

    class OneOff(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            gradient = gradient.clone()
            gradient[0, 777] = 0
            return gradient

    torch.manual_seed(0)
    network = nn.Sequential(Through(OneOff), nn.Linear(1000, 3))
    found = check_gradients(network, torch.randn(1, 1000), torch.tensor([1]), F.cross_entropy, per_tensor=2)
    assert not {row.layer: row.ok for row in found.rows}["input"]
