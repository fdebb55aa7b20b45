"""--normalize: the scale of the pixels, from the option to the network's input layer."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from clearsight.errors import ConfigError
from clearsight.models.network import InputLayer
from clearsight.train.config import TrainConfig
from clearsight.train.recipe import plan
from clearsight.train.strategies.from_scratch import _input


def recipe(short_side=16, **options):
    scanned = SimpleNamespace(short_side=short_side, digests=("",) * 100)
    return plan(TrainConfig.from_options(**options), scanned)


@pytest.fixture
def data():
    pixels = np.random.default_rng(0).integers(20, 90, (40, 3, 8, 8), dtype=np.uint8)
    return SimpleNamespace(
        pixels=SimpleNamespace(array=pixels),
        split=SimpleNamespace(train=np.arange(30)),
        form=SimpleNamespace(channels=3, bits=8),
    )


@pytest.mark.parametrize("choice", ["auto", "unit", "symmetric", "standardize", "per-image"])
def test_each_scale_is_what_its_name_says(data, choice):
    assert recipe(normalize=choice).normalize == choice
    x = torch.from_numpy(data.pixels.array[:30]) / 255
    out = InputLayer(**_input(choice, data))(x)
    channels = out.transpose(0, 1).flatten(1)
    if choice == "unit":
        assert torch.equal(out, x)
    elif choice == "symmetric":
        assert torch.allclose(out, 2 * x - 1)
    elif choice == "per-image":
        assert torch.allclose(out.flatten(1).mean(1), torch.zeros(30), atol=1e-5)
        assert torch.allclose(out.flatten(1).std(1, correction=0), torch.ones(30), atol=1e-3)
    else:
        assert torch.allclose(channels.mean(1), torch.zeros(3), atol=1e-4)
        assert torch.allclose(channels.std(1, correction=0), torch.ones(3), atol=1e-4)


@pytest.mark.parametrize("choice", ["unit", "symmetric", "standardize", "per-image"])
def test_published_weights_keep_their_own_scale(choice):
    assert recipe(300, normalize="pretrained").kind == "probe"
    with pytest.raises(ConfigError, match=r"with the published weights of efficientnet_lite0.*add --no-pretrained"):
        recipe(300, normalize=choice)
    assert recipe(300, normalize=choice, pretrained=False).kind == "scratch"


def test_what_has_no_effect_is_refused():
    with pytest.raises(ConfigError, match="resnet8 is trained from random weights"):
        recipe(normalize="pretrained")
    with pytest.raises(ConfigError, match=r"hog\+svm takes the pixels as they are"):
        recipe(model="hog+svm", normalize="unit")
