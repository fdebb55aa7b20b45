"""Ensembles: the mean of the calibrated probabilities."""

import numpy as np
import pytest
import torch
from scipy.special import softmax

from clearsight.bundle import Bundle
from clearsight.data.geometry import Geometry
from clearsight.data.pixels import PixelFormat
from clearsight.models.network import Ensemble, Network, from_spec
from clearsight.predictor import Predictor
from clearsight.tasks import Classification

SPEC = {
    "kind": "network", "name": "resnet8", "classes": 3, "img_size": 16, "model_args": {},
    "input": {"mean": [0.5], "std": [0.25], "mode": "fixed"},
}  # fmt: skip


@pytest.fixture
def pair():
    torch.manual_seed(0)
    return Ensemble.of([Network(SPEC), Network(SPEC)], [0.5, 2.0]).eval()


def test_its_probability_is_the_mean_of_the_members(pair):
    images = torch.rand(5, 1, 16, 16)
    with torch.inference_mode():
        first, second = (member(images).numpy() for member in pair.members)
        found = pair(images).numpy()
    expected = (softmax(first / 0.5, axis=1) + softmax(second / 2.0, axis=1)) / 2
    np.testing.assert_allclose(np.exp(found), expected, atol=1e-6)


def test_a_spec_and_weights_are_all_of_it(pair):
    again = from_spec(pair.spec).eval()
    again.load_state_dict(pair.state_dict())
    images = torch.rand(5, 1, 16, 16)
    with torch.inference_mode():
        assert torch.equal(again(images), pair(images))


@pytest.mark.parametrize("engine", ["torch", pytest.param("openvino", marks=pytest.mark.long)])
def test_a_saved_one_predicts_the_same(tmp_path, pair, engine):
    Bundle(pair, Classification(("a", "b", "c")), PixelFormat(1, 8), Geometry(16, 16)).save(tmp_path / "model")
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 16), np.uint8)
    predictor = Predictor(Bundle.load(tmp_path / "model"), engine=engine)
    with torch.inference_mode():
        expected = pair(torch.from_numpy(images)[:, None] / 255)
    np.testing.assert_allclose(predictor.logits(images), expected.numpy(), atol=1e-4)
    assert predictor.embed(images).shape == (5, pair.members[0].with_features(torch.rand(1, 1, 16, 16))[1].shape[1])
