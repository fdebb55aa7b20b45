"""Small networks whose answers can be worked out, as predictors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from clearsight.bundle import Bundle
from clearsight.data.cached_pixels import PixelView
from clearsight.data.geometry import Geometry
from clearsight.data.pixels import PixelFormat
from clearsight.models.network import Network
from clearsight.predictor import Predictor
from clearsight.tasks import Classification


def _made(name, channels=1, side=16, classes=3, mean=0.0, std=1.0, **model_args):
    """A predictor of an untrained network of the registry, the same every time."""
    torch.manual_seed(0)
    spec = {
        "kind": "network", "name": name, "classes": classes, "img_size": side, "model_args": model_args,
        "input": {"mean": [mean] * channels, "std": [std] * channels},
    }  # fmt: skip
    names = tuple(f"class {i}" for i in range(classes))
    network = Network(spec)
    for module in network.modules():  # statistics as after some training, so that no layer is the identity
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 1.5)
    return Predictor(Bundle(network, Classification(names), PixelFormat(channels, 8), Geometry(side, side)))


@pytest.fixture(scope="session")
def made():
    """The function that makes a predictor of an untrained network."""
    return _made


@pytest.fixture(scope="module")
def small():
    """A residual network for gray images of 16x16 pixels."""
    return _made("resnet8", width=8)


@pytest.fixture(scope="module")
def noise():
    """30 gray images of 16x16, labels and names."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (30, 1, 16, 16), dtype=np.uint8)
    return PixelView(images, np.arange(30)), np.arange(30) % 3, [f"image {i}" for i in range(30)]
