"""One pass over a picture says what crops say, where it can."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from clearsight.localisation.dense import crops, trunk_of
from clearsight.localisation.window_scores import WindowScorer
from clearsight.localisation.windows import pyramid
from clearsight.models.base import ModelNetwork
from clearsight.models.network import Network, Probe

INPUT = {"mean": [0.5], "std": [0.25]}


class Unpadded(ModelNetwork):
    """Convolutions that see nothing beyond the border, global pooling, a dense layer."""

    def __init__(self):
        super().__init__({"kind": "network", "name": "unpadded"})
        torch.manual_seed(0)
        self.trunk = nn.Sequential(nn.Conv2d(1, 6, 3, stride=2), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.ReLU())
        self.fc = nn.Linear(8, 3)

    def with_features(self, x):
        features = self.trunk(x).mean((2, 3))
        return self.fc(features), features

    def forward(self, x):
        return self.with_features(x)[0]


def picture(height, width):
    return np.random.default_rng(0).random((1, height, width), dtype=np.float32)


def test_without_padding_one_pass_gives_the_logits_of_every_crop():
    network, shown = Unpadded().eval(), picture(41, 33)
    window, step = (15, 15), (2, 2)
    trunk = trunk_of(network, (1, 15, 15))
    assert trunk.jump == (2, 2)
    every = crops(shown, window, step)
    assert every.shape == (14, 10, 1, 15, 15)
    assert (every[3, 4] == shown[:, 6:21, 8:23]).all()
    dense = trunk.logits(shown, window, step)
    with torch.no_grad():
        single = network(torch.from_numpy(np.ascontiguousarray(every).reshape(-1, 1, 15, 15))).reshape(14, 10, 3)
    np.testing.assert_allclose(dense, single.numpy(), atol=1e-5)
    wide = trunk.logits(shown, window, (6, 4))
    np.testing.assert_allclose(wide, single.numpy()[::3, ::2], atol=1e-5)


def spec(name, side, **model_args):
    return {
        "kind": "network", "name": name, "classes": 4, "img_size": side, "input": INPUT | {"mode": "fixed"},
        "model_args": model_args,
    }  # fmt: skip


def test_networks_that_pool_are_trunks_and_others_are_not():
    torch.manual_seed(0)
    window = (1, 32, 32)
    assert trunk_of(Network(spec("resnet8", 32)).eval(), window).jump == (4, 4)
    assert trunk_of(Network(spec("lenet5", 32)).eval(), window) is None, "its dense layers know places"
    mirrored = Network({**spec("resnet8", 32), "views": ["as it is", "left-right"]}).eval()
    assert trunk_of(mirrored, window) is None


def test_a_probe_pools_at_several_depths():
    torch.manual_seed(0)
    probe = Probe(
        {**spec("resnet8", 32), "kind": "probe", "taps": ["layer2", "layer3"], "parts": [0, 2],
         "head": {"kind": "softmax", "features": 3 * 32 + 64, "classes": 4}}
    ).eval()  # fmt: skip
    window = picture(32, 32)
    trunk = trunk_of(probe, window.shape)
    assert [layer.alone for layer in trunk.layers] == [False, False, True]
    with torch.no_grad():
        whole = probe(torch.from_numpy(window[None])).numpy()
    np.testing.assert_allclose(trunk.logits(window, (32, 32), trunk.jump)[0, 0], whole[0], atol=1e-4)


def test_a_pass_that_differs_from_crops_is_not_trusted(monkeypatch, predictor_of):
    predictor = predictor_of(Unpadded(), classes="abc", side=15, channels=1)
    image = np.rint(picture(41, 33)[0, :, :, None] * 255).astype(np.uint8)
    trusted = WindowScorer(predictor, (15, 15), 3)
    probabilities, step = trusted(image, 1.0)
    assert trusted.facts["scored by"] == "one pass"
    assert step == (4, 4), "the next step up on the network's own grid"
    np.testing.assert_allclose(probabilities.sum(2), 1)
    monkeypatch.setattr("clearsight.localisation.window_scores.APART", -1.0)
    other = WindowScorer(predictor, (15, 15), 3)
    cropped, step = other(image, 1.0)
    assert other.facts["scored by"] == "crops"
    assert step == (3, 3)
    assert cropped.shape == (10, 7, 3)


@pytest.mark.parametrize(("size", "scales"), [((15, 99), 1), ((14, 99), 0), ((31, 40), 3), ((60, 60), 5)])
def test_the_pyramid_ends_where_the_window_no_longer_fits(size, scales):
    found = pyramid(size, (15, 15))
    assert len(found) == scales
    assert all(min(size) * scale >= 15 - 1e-9 for scale in found)
    assert all(a / b == pytest.approx(2**0.5) for a, b in pairwise(found))
