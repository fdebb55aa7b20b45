"""Gates against a pass by hand, and networks without any."""

import numpy as np
import pytest
import torch

from clearsight.data.cached_pixels import PixelView
from clearsight.data.loader import to_float
from clearsight.errors import ModelError
from clearsight.feature_vis import class_gates


def test_gates_equal_a_pass_by_hand(made, noise):
    predictor = made("resnet8", width=8, se=True)
    images, labels, _ = noise
    labels = np.where(labels == 1, 0, labels)  # class 1 has no images
    found = class_gates(predictor, images, labels, batch=7)
    assert found.classes == ("class 0", "class 2")
    assert found.images == (20, 10)
    assert [b.block for b in found.blocks] == [f"layer{i}.0.se" for i in (1, 2, 3)]

    body, block = predictor.network.body, predictor.network.body.layer1[0]
    with torch.no_grad():
        x = body.act1(body.bn1(body.conv1(to_float(images[:]))))
        x = block.bn2(block.conv2(block.act1(block.bn1(block.conv1(x)))))
        means = x.mean((2, 3))
        hidden = (means @ block.se.fc1.weight[:, :, 0, 0].T + block.se.fc1.bias).clamp_min(0)
        gates = 1 / (1 + torch.exp(-(hidden @ block.se.fc2.weight[:, :, 0, 0].T + block.se.fc2.bias)))
    own = [gates.numpy()[labels == c] for c in (0, 2)]
    np.testing.assert_allclose(found.blocks[0].mean, [g.mean(0) for g in own], atol=1e-6)
    assert found.blocks[0].within == pytest.approx(np.mean([g.std(0) for g in own]), abs=1e-5)
    assert found.blocks[0].spread == pytest.approx(np.std([g.mean(0) for g in own], axis=0).mean(), abs=1e-6)


def test_gates_of_timm(made):
    predictor = made("timm/mobilenetv3_small_050", channels=3, side=32)
    images = PixelView(np.random.default_rng(0).integers(0, 256, (4, 3, 32, 32), dtype=np.uint8), np.arange(4))
    found = class_gates(predictor, images, np.array([0, 1, 0, 1]))
    assert len(found.blocks) == 9  # of 11 bottlenecks, Howard et al. 2019, table 2
    assert all(b.mean.min() >= 0 and b.mean.max() <= 1 for b in found.blocks)


def test_a_network_without_gates_says_what_has_them(small, noise):
    with pytest.raises(ModelError, match=r"no squeeze-and-excitation gates.*--model seresnet18"):
        class_gates(small, *noise[:2])
