"""A probe whose features are the mean over mirror images."""

import numpy as np
import pytest
import torch

from clearsight.bundle import Bundle
from clearsight.data.geometry import Geometry
from clearsight.data.pixels import PixelFormat
from clearsight.models.base import capture
from clearsight.models.network import VIEWS, Probe, from_spec
from clearsight.predictor import Predictor
from clearsight.tasks import Classification

SPEC = {
    "kind": "probe", "name": "resnet8", "img_size": 16, "model_args": {}, "taps": ["layer1", "layer2"],
    "parts": [0, 1, 2],
    "input": {"mean": [0.5], "std": [0.25], "mode": "fixed"},
    "head": {"kind": "softmax", "features": 3 * 16 + 3 * 32 + 64, "classes": 3},
}  # fmt: skip


@pytest.fixture
def probe():
    torch.manual_seed(0)
    return Probe(SPEC).eval()


@torch.inference_mode()
def test_features_are_the_mean_over_the_views(probe):
    images = torch.rand(5, 1, 16, 16)
    turned = [images, images.flip(-1), images.flip(-2), images.rot90(2, (-2, -1))]
    expected = torch.stack([probe.embed(x) for x in turned]).mean(0)
    probe.set_views(tuple(VIEWS))
    torch.testing.assert_close(probe.embed(images), expected)


@torch.inference_mode()
def test_answers_do_not_change_when_the_image_is_mirrored(probe):
    images = torch.rand(5, 1, 16, 16)
    assert not torch.allclose(probe(images), probe(images.flip(-1)), atol=1e-4)
    probe.set_views(("as it is", "left-right"))
    torch.testing.assert_close(probe(images), probe(images.flip(-1)))
    assert not torch.allclose(probe(images), probe(images.flip(-2)), atol=1e-4)


@torch.inference_mode()
def test_hooks_see_the_image_as_it_is_last(probe):
    images = torch.rand(2, 1, 16, 16)
    with capture(probe.backbone, ["layer2"]) as plain:
        probe(images)
    probe.set_views(tuple(VIEWS))
    with capture(probe.backbone, ["layer2"]) as seen:
        probe(images)
    torch.testing.assert_close(seen["layer2"], plain["layer2"])


@pytest.mark.parametrize("engine", ["torch", pytest.param("openvino", marks=pytest.mark.long)])
def test_a_saved_one_predicts_the_same(tmp_path, probe, engine):
    probe.set_views(tuple(VIEWS))
    Bundle(probe, Classification(("a", "b", "c")), PixelFormat(1, 8), Geometry(16, 16)).save(tmp_path / "model")
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 16), np.uint8)
    predictor = Predictor(Bundle.load(tmp_path / "model"), engine=engine)
    assert predictor.network.views == tuple(VIEWS)
    with torch.inference_mode():
        expected = probe(torch.from_numpy(images)[:, None] / 255)
    np.testing.assert_allclose(predictor.logits(images), expected.numpy(), atol=1e-4)


def test_a_spec_without_views_sees_the_image_as_it_is():
    assert from_spec(SPEC).views == ("as it is",)
