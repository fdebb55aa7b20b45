"""A classifier whose weights are set by hand, so that what it must find where is known."""

import pytest
import torch
from torch import nn

from clearsight.bundle import Bundle
from clearsight.calibration.binary import BinaryCalibration
from clearsight.data.geometry import Geometry
from clearsight.data.pixels import PixelFormat
from clearsight.models.base import ModelNetwork
from clearsight.predictor import Predictor
from clearsight.tasks import Classification, Multilabel


class Colours(ModelNetwork):
    """How red, how green, and how dark an image is on the average: maps of single pixels, global pooling, a dense
    layer.
    """

    def __init__(self):
        super().__init__({"kind": "network", "name": "colours"})
        self.maps, self.act = nn.Conv2d(3, 3, 1), nn.ReLU()
        self.fc = nn.Linear(3, 3, bias=False)
        with torch.no_grad():
            self.maps.weight[:, :, 0, 0] = torch.tensor([[1.0, -1, -1], [-1, 1, -1], [-1, -1, -1]])
            self.maps.bias[:] = torch.tensor([0.0, 0, 1])
            self.fc.weight[:] = torch.diag(torch.tensor([20.0, 20, 20]))
        self.requires_grad_(True)

    def with_features(self, x):
        features = self.act(self.maps(x)).mean((2, 3))
        return self.fc(features), features

    def forward(self, x):
        return self.with_features(x)[0]


@pytest.fixture
def colour_network():
    """Makes one."""
    return Colours


@pytest.fixture
def predictor_of():
    """Makes a predictor of a network."""
    return made_of


def made_of(network, classes=("red", "green", "dark"), side=16, fit="squash", task=None, channels=3):
    task = task or Classification(tuple(classes))
    return Predictor(Bundle(network.eval(), task, PixelFormat(channels, 8), Geometry(side, side, fit)))


@pytest.fixture
def colours():
    """Gives one class per image."""
    return made_of(Colours())


@pytest.fixture
def labels():
    """Gives red and green as labels of their own, from a sixteenth of the image on."""
    names = ("red", "green", "dark")
    calibration = BinaryCalibration((1.0, 1.0, 1e-6), (-1.0, -1.0, -9.0))
    return made_of(Colours(), task=Multilabel(names, calibration, (0.5, 0.5, 0.9)))
