"""The layer calculator against hand-worked numbers, PyTorch's layers and gradients."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from clearsight.cli.main import main
from clearsight.errors import ModelError
from clearsight.models.layer_stack import layer_stack


def test_three_layers_on_32_pixels_by_hand() -> None:
    stack = layer_stack("5x8,5x16,1x32", img_size=32)
    assert [layer.output for layer in stack.layers] == [(8, 28, 28), (16, 24, 24), (32, 24, 24)]
    assert [layer.parameters for layer in stack.layers] == [608, 3_216, 544]
    assert [layer.receptive_field for layer in stack.layers] == [5, 9, 9]
    assert [layer.operations_per_unit for layer in stack.layers] == [2 * 75 * 8, 2 * 200 * 16, 2 * 16 * 32]
    assert stack.operations == 2 * (75 * 8 * 28**2 + 200 * 16 * 24**2 + 16 * 32 * 24**2)
    assert (stack.parameters, stack.receptive_field) == (4_368, 9)


@pytest.mark.parametrize(
    ("small", "large", "parameters", "operations"),
    [("3x1,3x1", "5x1", (20, 26), (36, 50)), ("3x1,3x1,3x1", "7x1", (30, 50), (54, 98))],
)
def test_small_filters_against_a_large_one(small, large, parameters, operations) -> None:
    two = [layer_stack(text, img_size=32, channels=1) for text in (small, large)]
    assert tuple(stack.parameters for stack in two) == parameters
    assert tuple(stack.operations_per_unit for stack in two) == operations
    assert two[0].receptive_field == two[1].receptive_field
    assert two[0].layers[-1].output == two[1].layers[-1].output


def test_a_stride_that_does_not_fit_is_explained() -> None:
    layer = layer_stack("3x1/3", img_size=7, channels=1).layers[0]
    assert "(7-3)/3+1 is not an integer: 4 pixels are not divisible by a stride of 3" in layer.unfit
    assert "Use an input of 6 or 9 pixels, or a stride of 1 or 2 or 4." in layer.unfit
    assert layer.output == (1, 2, 2)  # as PyTorch rounds
    assert layer_stack("3x1/2", img_size=7).layers[0].unfit == ""


def test_sizes_parameters_and_reach_are_pytorchs() -> None:
    stack = layer_stack("7x4/2+3, max3/2+1, 3x5+1, avg2, 1x6", img_size=61, channels=2)
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(2, 4, 7, 2, 3), nn.MaxPool2d(3, 2, 1), nn.Conv2d(4, 5, 3, 1, 1), nn.AvgPool2d(2), nn.Conv2d(5, 6, 1)
    ).double()
    x = image = torch.randn(1, 2, 61, 61, dtype=torch.float64, requires_grad=True)
    for layer, module in zip(stack.layers, network, strict=True):
        x = module(x)
        assert layer.output == tuple(x.shape[1:])
        assert layer.parameters == sum(p.numel() for p in module.parameters())
    # Average pooling instead of the maximum, so that a unit's gradient reaches all that it sees.
    network[1] = nn.AvgPool2d(3, 2, 1)
    network(image)[0, 0, 3, 3].backward()
    rows = image.grad[0].abs().sum((0, 2)).nonzero()
    assert int(rows.max() - rows.min()) + 1 == stack.receptive_field


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("5x8,blur3", "layer 2 is invalid; found 'blur3'; expected 5x8 (8 filters of 5x5)"),
        ("0x8", "layer 1 is invalid"),
        ("3x4/0", "layer 1 is invalid"),
        ("", "layer 1 is invalid"),
        ("3x4,9x2", "layer 2, 9x2: (6-9)/1+1 is below 1: a filter of 9 pixels does not fit into an input of 6"),
        ("max2+2", "layer 1, max2+2: a pooling window would contain only padding"),
    ],
)
def test_what_cannot_be_calculated_is_explained(text, message) -> None:
    with pytest.raises(ModelError) as caught:
        layer_stack(text, img_size=8)
    assert message in str(caught.value)
    with pytest.raises(ModelError, match="img_size 0"):
        layer_stack("3x1", img_size=0)


def test_on_the_command_line(capsys) -> None:
    assert main(["models", "--layers", "5x8,5x16,1x32", "--img-size", "32"]) == 0
    out = capsys.readouterr().out
    assert "8x28x28" in out
    assert "(5*5*3 + 1)*8 = 608 parameters" in out
    assert "3,216" in out
    two = ["models", "--layers", "3x1,3x1", "--layers", "5x1", "--img-size", "9", "--channels", "1"]
    assert main(two) == 0
    out = capsys.readouterr().out
    assert "3x1,3x1  20 parameters, 36 operations per output position" in out
    assert "5x1      26 parameters, 50 operations per output position" in out
    assert main([*two, "--json"]) == 0
    assert [s["parameters"] for s in json.loads(capsys.readouterr().out)["stacks"]] == [20, 26]
    assert main(["models", "--layers", "3x1/3", "--img-size", "7"]) == 0
    assert "layer 1, 3x1/3: (7-3)/3+1 is not an integer" in capsys.readouterr().out
    assert main(["models", "--layers", "3x1"]) == 2
    assert "--img-size 32" in capsys.readouterr().err
    assert main(["models", "resnet18", "--layers", "3x1", "--img-size", "7"]) == 2
    assert "can only be combined with" in capsys.readouterr().err
