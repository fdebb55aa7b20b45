"""Inversion: of a layer that loses nothing, of a trained network at growing depth, and what it reports."""

import numpy as np
import pytest
import torch

import clearsight as cs
from clearsight.errors import ConfigError, ModelError
from clearsight.feature_vis import invert
from clearsight.feature_vis.priors import alpha_norm, total_variation
from clearsight.models.feature_maps import output_at


@pytest.fixture(scope="module")
def digits(digits_run):
    return cs.load(digits_run).predictor


@pytest.fixture(scope="module")
def image(digits, digits_arrays):
    return next(iter(digits.pixels(digits_arrays[0][5:6])))[0]


@pytest.fixture(scope="module")
def found(digits, image):
    return invert(digits, image, ["act1", "layer3", "fc"])


def test_an_early_layer_gives_the_image_back_and_a_late_one_less(found):
    early, late, last = found
    assert early.correlation > 0.95
    assert early.correlation > late.correlation > last.correlation
    assert (early.features, last.features) == (32 * 64, 10)


def test_errors_are_those_of_the_features(digits, image, found):
    for one in found:
        assert one.error < 0.5 * one.error_before
        with torch.no_grad():
            goal, own = (
                output_at(digits.network, one.layer, torch.from_numpy(p[None])).numpy() for p in (image, one.pixels)
            )
        assert one.error == pytest.approx(np.linalg.norm(goal - own) / np.linalg.norm(goal), rel=1e-4)
        assert one.correlation == pytest.approx(np.corrcoef(one.pixels.ravel(), image.ravel())[0, 1], abs=1e-6)


def test_the_seed_decides(small):
    image = np.random.default_rng(0).random((1, 16, 16), np.float32)
    first, again, other = (invert(small, image, ["layer2"], steps=5, seed=s)[0] for s in (0, 0, 1))
    np.testing.assert_array_equal(first.pixels, again.pixels)
    assert not np.array_equal(first.pixels, other.pixels)


def test_priors_by_hand():
    x = torch.zeros(2, 1, 2, 3)
    x[0, 0, 0, 2] = 0.5  # one step across, one down
    np.testing.assert_allclose(total_variation(x, 0.1), [2 * 25 / 6, 0], rtol=1e-6)
    np.testing.assert_allclose(alpha_norm(x, torch.zeros(1, 1, 1), 0.5), [1 / 6, 0], rtol=1e-6)


def test_what_cannot_be_inverted(made, small):
    image = np.zeros((1, 16, 16), np.float32)
    with pytest.raises(ModelError, match=r"unknown layer 'layer9'"):
        invert(small, image, ["layer9"])
    with pytest.raises(ConfigError, match="the number of steps is 0"):
        invert(small, image, ["layer1"], steps=0)
    with pytest.raises(ModelError, match="'conv1' outputs only zeros"):
        invert(made("resnet8", width=8), image, ["conv1"])
