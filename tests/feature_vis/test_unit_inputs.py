"""A unit's value against the stated sum, in every layer of several networks."""

import numpy as np
import pytest
import torch

from clearsight.errors import ConfigError
from clearsight.feature_vis import unit_inputs
from clearsight.models.feature_maps import as_units
from clearsight.models.layer_graph import wiring


def sights(predictor, unit=1, most=40):
    """Of the first layers with so many units: the nodes, the image, and one unit of each."""
    nodes = wiring(predictor.network, predictor.shape)
    pixels = np.random.default_rng(0).random(predictor.shape, np.float32)
    chosen = [n for n in nodes if n.visible and n.places[0] > unit][:most]
    return nodes, pixels, {n.name: unit_inputs(predictor, pixels, nodes, n.number, unit) for n in chosen}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet8", {"width": 8}), ("resnet8", {"width": 8, "se": True}), ("mlp", {}),
        ("vit_ti_16", {"channels": 3, "side": 32, "depth": 2}),
        pytest.param("googlenet", {"channels": 3, "side": 64}, marks=pytest.mark.long),
    ],
)  # fmt: skip
def test_the_terms_add_up_to_the_value(made, name, options):
    predictor = made(name, **options)
    _, _, found = sights(predictor)
    sums = 0
    for sight in found.values():
        if sight.bias is None:
            continue
        sums += 1
        total = sum(f.amount for f in sight.feeders) + (sight.rest or 0) + sight.bias
        assert total == pytest.approx(sight.activation, abs=2e-3 * max(1, abs(sight.activation))), sight.node
    assert sums >= sum(s.node.kind in ("Conv2d", "Linear", "BatchNorm2d") for s in found.values())


def test_a_convolution_by_hand(made):
    """Two inputs of which one is weighed by 2 at the middle, at the place where the sum is largest."""
    predictor = made("resnet8", side=8, width=8)
    conv = predictor.network.body.layer1[0].conv1
    with torch.no_grad():
        conv.weight.zero_()
        conv.weight[4, 2, 1, 1] = 2
        conv.weight[4, 6, 1, 2] = -1
    nodes, pixels, found = sights(predictor, unit=4)
    body = predictor.network.body
    with torch.no_grad():
        x = body.act1(body.bn1(body.conv1(predictor.network.input(torch.from_numpy(pixels[None])))))[0].numpy()
    sight = found["body.layer1.0.conv1"]
    row, column = sight.place
    first = {f.unit: f.amount for f in sight.feeders}
    assert first[2] == pytest.approx(2 * x[2, row, column], abs=1e-5)
    right = x[6, row, column + 1] if column < 7 else 0.0
    assert first[6] == pytest.approx(-right, abs=1e-5)
    assert sum(abs(a) for u, a in first.items() if u not in (2, 6)) == 0
    assert {nodes[f.node].name for f in sight.feeders} == {"body.act1"}
    assert sight.inputs == 8


def test_the_strongest_place_and_what_it_sees(small):
    _, pixels, found = sights(small, unit=2)
    sight = found["body.layer1.0.act2"]
    assert sight.activation == pytest.approx(np.abs(sight.values).max())
    top, left, bottom, right = sight.window
    assert (bottom - top, right - left) == (7, 7)
    assert (top + 3, left + 3) == sight.place
    inside = np.zeros(pixels.shape, bool)
    inside[:, max(0, top) : bottom, max(0, left) : right] = True
    nodes = wiring(small.network, small.shape)
    again = unit_inputs(small, np.where(inside, pixels, 1 - pixels), nodes, sight.node.number, 2)
    assert again.values[sight.place] == pytest.approx(sight.activation, abs=1e-5)


@pytest.mark.long
def test_a_sum_names_both_ways_and_a_row_of_channels_the_one(made):
    nodes, _, found = sights(made("googlenet", channels=3, side=64), unit=70)
    sight = found["body.inception3a"]
    (feeder,) = sight.feeders  # 64 channels of the first branch, so unit 70 is the second's number 6
    assert nodes[feeder.node].name.startswith("body.inception3a.branch2")
    assert feeder.unit == 6


def test_maps_and_vectors_are_units_at_places():
    assert as_units(torch.zeros(2, 5)).shape == (2, 5, 1, 1)
    assert as_units(torch.zeros(2, 5, 3, 3)).shape == (2, 5, 3, 3)
    assert as_units(torch.zeros(2, 10, 5)).shape == (2, 5, 3, 3)


def test_numbers_that_are_wrong(small):
    nodes = wiring(small.network, small.shape)
    pixels = np.zeros(small.shape, np.float32)
    for node, words in (
        (len(nodes), f"unknown layer number {len(nodes)}; expected a number from 0 to {len(nodes) - 1}"),
        (0, "layer number 0 cannot be visualised; found the image"),
    ):
        with pytest.raises(ConfigError, match=words):
            unit_inputs(small, pixels, nodes, node, 0)
    with pytest.raises(ConfigError, match="unknown unit 8 in conv1; expected a number from 0 to 7"):
        unit_inputs(small, pixels, nodes, 1, 8)
