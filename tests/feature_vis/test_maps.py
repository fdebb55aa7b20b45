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


def hooked(predictor, image):
    """What every module of the body gives out, by PyTorch's own hooks."""
    seen, handles = {}, []
    for name, module in predictor.network.body.named_modules():
        handles.append(module.register_forward_hook(lambda m, i, o, name=name: seen.update({name: o[0].numpy()})))
    with torch.no_grad():
        predictor.network(torch.from_numpy(image[None]))
    for handle in handles:
        handle.remove()
    return seen


@pytest.mark.parametrize(
    ("network", "shown"),
    [
        ("mlp", ["hidden.0.act", "hidden.1.act", "fc"]),
        ("lenet5", ["stage2.pool", "act1", "act2", "fc3"]),
        ("linear", ["fc"]),
    ],
)
def test_dense_layers_are_shown_and_equal_forward_hooks(made, network, shown):
    predictor = made(network)
    image = np.random.default_rng(0).random((1, 16, 16), np.float32)
    layers = overview(layers_of(predictor))
    assert [layer.short for layer in layers][-len(shown) :] == shown
    values = hooked(predictor, image)
    for found in feature_maps(predictor, image, layers, most=10**6):
        expected = values[found.layer.short]
        np.testing.assert_array_equal(found.values, expected.reshape(found.values.shape))
        assert found.layer.dense == (expected.ndim == 1)
        if found.layer.dense:
            assert found.total == len(expected) == len(found.units)
            assert found.silent == int((expected == 0).sum())


def test_of_a_network_with_one_dense_layer_that_is_shown_where_it_is_named(small):
    assert all(not layer.dense for layer in overview(layers_of(small)))
    layer = named(small, "fc")
    assert (layer.units, layer.height, layer.width) == (3, 1, 1)
    image = np.random.default_rng(0).random((1, 16, 16), np.float32)
    (found,) = feature_maps(small, image, [layer])
    np.testing.assert_allclose(found.values[:, 0, 0], small.logits(image[None])[0], atol=1e-5)


def test_names_and_numbers_that_are_wrong(made, small):
    with pytest.raises(ModelError, match=r"unknown layer 'layr1'.*Did you mean layer1"):
        named(small, "layr1")
    with pytest.raises(ConfigError, match=r"unknown unit 8 in layer1; expected a number from 0 to 7"):
        feature_maps(small, np.zeros((1, 16, 16), np.float32), [named(small, "layer1")], units=[8])
