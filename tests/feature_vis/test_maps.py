"""Maps of a layer, the choice of layers, and names that are wrong."""

import numpy as np
import pytest
import torch

from clearsight.errors import ConfigError, ModelError
from clearsight.feature_vis import feature_maps, layers_of, named, overview, within_image
from clearsight.models.anatomy import views


def test_maps_of_a_convolution_by_hand(made):
    """A filter that takes the left neighbour from the right one, on an image with one edge."""
    predictor = made("resnet8", side=8, width=8)
    predictor.network.body.conv1.weight.data[5, 0] = torch.tensor([[0.0, 0, 0], [-1, 0, 1], [0, 0, 0]])
    image = np.zeros((1, 8, 8), np.float32)
    image[:, :, 4:] = 1
    (found,) = feature_maps(predictor, image, [named(predictor, "conv1")], units=[5])
    expected = np.zeros((8, 8))
    expected[:, 3:5] = 1  # the edge lies between the columns 3 and 4
    expected[:, 7] = -1  # beyond the border are zeros
    np.testing.assert_allclose(found.values[0], expected, atol=1e-6)
    assert found.total == 8


def test_units_that_vary_most_are_shown_and_silent_ones_counted(small):
    layer = named(small, "layer1")
    image = np.random.default_rng(0).random((1, 16, 16), np.float32)
    with torch.no_grad():
        body = small.network.body
        maps = body.layer1(body.act1(body.bn1(body.conv1(small.network.input(torch.from_numpy(image[None]))))))[0]
    spread = maps.numpy().std((1, 2))
    (found,) = feature_maps(small, image, [layer], most=3)
    assert set(found.units) == set(np.argsort(-spread)[:3])
    np.testing.assert_allclose(found.values, maps.numpy()[found.units], atol=1e-6)
    assert found.silent == int((spread == 0).sum())


def test_the_overview_goes_from_the_first_maps_to_the_last(small):
    layers = layers_of(small)
    names = [layer.short for layer in layers]
    assert names[0] == "conv1"
    assert len(set(names)) == len(names)
    shown = [layer.short for layer in overview(layers)]
    assert shown[0] == "act1"
    assert {"layer1", "layer2", "layer3"} <= set(shown)
    assert shown == sorted(shown, key=names.index)


def test_patches_come_from_the_deepest_layer_that_sees_no_more_than_the_image(small):
    layer = within_image(small.network, layers_of(small), small.shape)
    seen = views(small.network, small.shape)
    assert seen[layer.name].side <= 16
    assert seen[named(small, "layer3").name].side > 16


def test_tokens_are_laid_on_their_grid(made):
    """Without a norm behind it, the patches' tokens are the maps of the convolution that made them."""
    predictor = made("vit_ti_16", channels=3, side=32, depth=2)
    image = np.random.default_rng(0).random((3, 32, 32), np.float32)
    maps, tokens = feature_maps(predictor, image, [named(predictor, n) for n in ("patch_embed.proj", "patch_embed")])
    np.testing.assert_array_equal(maps.values, tokens.values)
    deep = named(predictor, "blocks.1")  # which has a class token too
    assert (deep.units, deep.height, deep.width) == (192, 8, 8)


def test_names_and_numbers_that_are_wrong(made, small):
    with pytest.raises(ModelError, match=r"unknown layer 'layr1'.*Did you mean layer1"):
        named(small, "layr1")
    with pytest.raises(ModelError, match="'fc' has no feature maps; found 3 numbers"):
        named(small, "fc")
    with pytest.raises(ConfigError, match=r"unknown unit 8 in layer1; expected a number from 0 to 7"):
        feature_maps(small, np.zeros((1, 16, 16), np.float32), [named(small, "layer1")], units=[8])
    with pytest.raises(ModelError, match="no layer with feature maps"):
        layers_of(made("mlp"))
