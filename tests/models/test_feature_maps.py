"""Outputs of inner layers: what runs, what is named, and what is left behind."""

import pytest
import torch
from torch import nn

from clearsight.errors import ModelError
from clearsight.models.feature_maps import map_layers, output_at


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.runs = 0

    def forward(self, x):
        self.runs += 1
        return x + 1


def network():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(inplace=True), Counting(), nn.Flatten(), nn.Linear(2 * 36, 3))


def test_nothing_behind_the_layer_runs_and_no_hook_stays():
    made, x = network(), torch.randn(2, 1, 8, 8)
    torch.testing.assert_close(output_at(made, "1", x), made[0](x).relu())
    assert made[2].runs == 0
    assert output_at(made, "4", x).shape == (2, 3)
    assert made[2].runs == 1
    with pytest.raises(RuntimeError):
        output_at(made, "4", torch.zeros(1, 7))
    assert not any(module._forward_hooks for module in made.modules())


def test_layers_and_what_an_in_place_activation_makes_of_them():
    names = [(layer.name, layer.weighs) for layer in map_layers(network(), torch.zeros(1, 1, 8, 8))]
    assert names == [("0", True), ("1", False), ("2", False), ("4", True)]  # the last one gives a vector
    made, x = network(), torch.randn(1, 1, 8, 8)
    assert output_at(made, "0", x).min() < 0  # before the activation overwrites it


def test_of_modules_that_hand_on_one_tensor_the_outermost_is_named():
    inner = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Sequential(nn.ReLU(), nn.Identity()))
    names = [layer.name for layer in map_layers(nn.Sequential(inner, nn.AvgPool2d(2)), torch.zeros(1, 1, 4, 4))]
    assert names == ["0.0", "0", "1"]


def test_an_unknown_layer():
    with pytest.raises(ModelError, match="unknown layer '9'"):
        output_at(network(), "9", torch.zeros(1, 1, 8, 8))
