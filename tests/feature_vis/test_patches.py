"""Exciting patches against passes of the network on the very images."""

import numpy as np
import pytest
import torch

from clearsight.data.loader import to_float
from clearsight.feature_vis import exciting_patches, named


@pytest.fixture(scope="module")
def noise(noise):
    """The images with words for what they show, and names."""
    images, labels, names = noise
    return images, [f"class {k}" for k in labels], names


@pytest.fixture(scope="module")
def found(small, noise):
    return exciting_patches(small, named(small, "layer1"), *noise, units=[2, 6], patches=5, batch=7)


def layer1(predictor, pixels):
    body = predictor.network.body
    with torch.no_grad():
        return body.layer1(body.act1(body.bn1(body.conv1(predictor.network.input(pixels)))))


def test_activations_and_places_are_those_of_the_network(small, noise, found):
    maps = layer1(small, to_float(noise[0][:]))  # (30, 8, 16, 16)
    for unit in found.units:
        best = maps[:, unit.unit].flatten(1).max(1).values
        assert unit.mean == pytest.approx(float(best.mean()), abs=1e-5)
        order = best.argsort(descending=True)[:5]
        assert [p.image for p in unit.patches] == [f"image {int(i)}" for i in order]
        assert [p.label for p in unit.patches] == [f"class {int(i) % 3}" for i in order]
        for patch, i in zip(unit.patches, order, strict=True):
            assert patch.activation == pytest.approx(float(best[i]), abs=1e-5)
            assert float(maps[i, unit.unit][patch.place]) == pytest.approx(patch.activation, abs=1e-5)
            np.testing.assert_array_equal(patch.pixels, to_float(noise[0][:])[i])


def test_nothing_beyond_the_window_matters_and_its_inside_does(small, found):
    assert found.side == (7, 7)
    for unit in found.units:
        for patch in unit.patches:
            top, left, bottom, right = patch.window
            assert (bottom - top, right - left) == (7, 7)
            assert (top + 3, left + 3) == patch.place
            inside = np.zeros((1, 16, 16), bool)
            inside[:, max(0, top) : bottom, max(0, left) : right] = True
            for changed, same in ((~inside, True), (inside, False)):
                pixels = torch.from_numpy(np.where(changed, 1 - patch.pixels, patch.pixels)[None])
                value = float(layer1(small, pixels)[0, unit.unit][patch.place])
                assert (abs(value - patch.activation) < 1e-5) == same
            y0, x0, y1, x1 = patch.looked_at
            assert top <= y0 < y1 <= bottom
            assert left <= x0 < x1 <= right


def test_units_are_drawn_by_the_seed_from_those_that_are_not_silent(made, noise):
    predictor = made("resnet8", width=8)
    with torch.no_grad():  # units 0 to 3 of the first activation are always zero
        predictor.network.body.bn1.weight[:4] = 0
        predictor.network.body.bn1.bias[:4] = -1
    layer = named(predictor, "act1")
    first, again, other = (exciting_patches(predictor, layer, *noise, most=2, seed=s) for s in (0, 0, 3))
    assert first.silent == 4
    assert all(u.unit >= 4 for u in (*first.units, *other.units))
    assert first.to_dict() == again.to_dict()
    assert len(exciting_patches(predictor, layer, *noise, most=8).units) == 4
    with torch.no_grad():
        predictor.network.body.bn1.weight[:] = 0
        predictor.network.body.bn1.bias[:] = -1
    assert exciting_patches(predictor, layer, *noise).units == ()


def test_the_batch_changes_nothing(small, noise, found):
    again = exciting_patches(small, named(small, "layer1"), *noise, units=[2, 6], patches=5, batch=30)
    for a, b in zip(found.units, again.units, strict=True):
        assert [p.place for p in a.patches] == [p.place for p in b.patches]


def test_gates_before_a_layer_are_reported(made, noise):
    predictor = made("resnet8", width=8, se=True)
    assert not exciting_patches(predictor, named(predictor, "act1"), *noise, most=1).gated
    assert exciting_patches(predictor, named(predictor, "layer2"), *noise, most=1).gated


def test_a_dense_unit_sees_the_whole_image(made, noise):
    predictor = made("mlp", widths=(20, 10))
    layer = named(predictor, "hidden.1.act")
    found = exciting_patches(predictor, layer, *noise, units=[4], patches=3)
    assert found.side == (16, 16)
    with torch.no_grad():
        inputs = predictor.network.input(to_float(noise[0][:])).flatten(1)
        values = predictor.network.body.hidden(inputs)[:, 4]
    order = values.argsort(descending=True)[:3]
    assert [p.image for p in found.units[0].patches] == [f"image {int(i)}" for i in order]
    for patch, i in zip(found.units[0].patches, order, strict=True):
        assert patch.activation == pytest.approx(float(values[i]), abs=1e-5)
        assert patch.window == (0, 0, 16, 16)
