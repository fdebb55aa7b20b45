"""A kind of network is one registered class: what it does not declare has a default that every caller understands."""

import numpy as np
import pytest
import torch
from torch import nn

from clearsight.bundle import Bundle
from clearsight.data.geometry import Geometry
from clearsight.data.pixels import PixelFormat
from clearsight.errors import ModelError
from clearsight.models import base
from clearsight.models.base import ModelNetwork, from_spec, register_kind
from clearsight.models.network import Probe
from clearsight.predictor import Predictor
from clearsight.tasks import Classification


@pytest.fixture
def mean_kind(monkeypatch):
    """A kind that a test registers: logits from the mean colour."""
    monkeypatch.setattr(base, "_KINDS", dict(base._KINDS))

    @register_kind("mean")
    class Mean(ModelNetwork):
        def __init__(self, spec):
            super().__init__(spec)
            self.dense = nn.Linear(3, spec["classes"])

        def with_features(self, x):
            means = x.mean((2, 3))
            return self.dense(means), means

        def forward(self, x):
            return self.with_features(x)[0]

    return Mean


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_a_new_kind_is_saved_and_predicts(mean_kind, tmp_path, engine):
    network = from_spec({"kind": "mean", "classes": 2}).eval()
    assert isinstance(network, mean_kind)
    Bundle(network, Classification(("a", "b")), PixelFormat(3, 8), Geometry(4, 4)).save(tmp_path / "model")
    predictor = Predictor(Bundle.load(tmp_path / "model"), engine=engine)
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 3), np.uint8)
    x = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
    np.testing.assert_allclose(predictor.logits(images), network(x).detach().numpy(), atol=1e-5)
    np.testing.assert_allclose(predictor.embed(images), x.mean((2, 3)).numpy(), atol=1e-5)
    assert predictor.has_gradients
    assert not predictor.localises
    with pytest.raises(ModelError, match="does not compute anomaly maps"):
        network.anomaly_map(x)


def test_a_kind_is_registered_once():
    with pytest.raises(AssertionError, match="'probe' is registered twice"):
        register_kind("probe")(Probe)


def test_an_unknown_kind_suggests_near_ones():
    with pytest.raises(ModelError, match=r"unknown kind of network 'prob'. Did you mean .*probe"):
        from_spec({"kind": "prob"})
