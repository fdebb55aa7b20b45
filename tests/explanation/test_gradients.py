"""Gradient heatmaps equal Captum's at the same settings, on networks of every kind of rectifier, and a ViT."""

import captum.attr as attr
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from clearsight.errors import ModelError
from clearsight.explanation.gradients import (
    as_maps,
    depth_cam,
    fast_gradients,
    gaussian,
    grad_cam,
    guided_backprop,
    integrated_gradients,
    last_maps,
    saliency,
    smoothgrad,
)
from clearsight.models.network import Network, Probe

pytestmark = pytest.mark.filterwarnings("ignore:Input Tensor:UserWarning", "ignore:Setting:UserWarning")


def network(name, size=32, channels=3, **model_args):
    torch.manual_seed(0)
    spec = {
        "kind": "network", "name": name, "classes": 5, "img_size": size, "model_args": model_args,
        "input": {"mean": [0.5] * channels, "std": [0.25] * channels},
    }  # fmt: skip
    return Network(spec).eval().double()  # so that no rectifier flips between two ways to round


NETWORKS = {
    "resnet": lambda: network("resnet8"),
    "relu6": lambda: network("resnet8", activation="relu6"),
    "efficientnet": lambda: network("efficientnet_lite0", 32),
    "vit": lambda: network("vit_ti_16", 64, depth=3),
}


@pytest.fixture(params=["resnet", "relu6", "vit", pytest.param("efficientnet", marks=pytest.mark.long)], scope="module")
def case(request):
    net = NETWORKS[request.param]()
    size = net.spec["img_size"]
    x = torch.rand(3, 3, size, size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return net, x, torch.tensor([0, 3, 1])


def close(ours, theirs):
    theirs = theirs.detach()
    scale = theirs.abs().max()
    np.testing.assert_allclose(ours.detach() / scale, theirs / scale, atol=1e-4)


def test_saliency(case):
    net, x, classes = case
    close(saliency(net, x, classes, batch=2), attr.Saliency(net).attribute(x.clone(), target=classes))


def test_smoothgrad_is_captums_saliency_of_the_same_noisy_copies(case):
    net, x, classes = case
    ours = smoothgrad(net, x, classes, samples=5, noise=0.15, seed=3, batch=4)
    total = torch.zeros_like(x)
    for number in range(5):
        spread = 0.15 * (x.amax((1, 2, 3), keepdim=True) - x.amin((1, 2, 3), keepdim=True))
        copies = x + spread * gaussian(x.shape[1:], 3, number).double()
        total += attr.Saliency(net).attribute(copies, target=classes)
    close(ours, total / 5)


@pytest.mark.long
def test_smoothgrad_equals_the_noise_tunnel_within_noise():
    net, x, classes = network("resnet8"), torch.rand(1, 3, 32, 32, dtype=torch.float64), torch.tensor([2])
    ours = smoothgrad(net, x, classes, samples=200, noise=0.1)
    torch.manual_seed(0)
    spread = 0.1 * float(x.max() - x.min())
    theirs = attr.NoiseTunnel(attr.Saliency(net)).attribute(x, target=2, nt_samples=200, stdevs=spread)
    assert np.corrcoef(ours.flatten(), theirs.detach().flatten())[0, 1] > 0.98
    assert float(ours.mean() / theirs.mean()) == pytest.approx(1, abs=0.03)


def test_integrated_gradients(case):
    net, x, classes = case
    theirs = attr.IntegratedGradients(net).attribute(x, baselines=0.0, target=classes, n_steps=32)
    close(integrated_gradients(net, x, classes, steps=32, batch=7), theirs)


def test_integrated_gradients_add_up_to_the_difference_of_logits(case):
    net, x, classes = case
    x, classes = x[:1], classes[:1]
    found = integrated_gradients(net, x, classes, steps=200, batch=32)
    with torch.no_grad():
        gap = (net(x) - net(torch.zeros_like(x))).gather(1, classes[:, None])[:, 0]
    sums = found.flatten(1).sum(1)
    assert ((sums - gap).abs() <= 0.01 * found.abs().flatten(1).sum(1)).all()
    half = torch.full((3, 1, 1), 0.5)
    other = integrated_gradients(net, x, classes, baseline=half, steps=16)
    theirs = attr.IntegratedGradients(net).attribute(x, baselines=half.expand_as(x), target=classes, n_steps=16)
    close(other, theirs)


@pytest.mark.parametrize(("name", "layer"), [("resnet8", "layer3"), ("resnet8", "layer1"), ("vgg11", "features")])
def test_grad_cam(name, layer):
    net, x, classes = network(name), torch.rand(3, 3, 32, 32, dtype=torch.float64), torch.tensor([0, 3, 1])
    module = net.body.get_submodule(layer)
    theirs = attr.LayerGradCam(net, module).attribute(x, target=classes, relu_attributions=True)
    close(grad_cam(net, x, classes, layer=layer, batch=2), theirs[:, 0])


def test_grad_cam_takes_the_last_maps_by_default():
    net = network("resnet8")
    x, classes = torch.rand(1, 3, 32, 32, dtype=torch.float64), torch.tensor([1])
    last = last_maps(net, x)
    assert last.startswith("body.layer3")
    torch.testing.assert_close(grad_cam(net, x, classes), grad_cam(net, x, classes, layer=last))


def test_the_last_maps_resolve_enough_places():
    """Of an image of 8x8 pixels the last maps are 2x2; those before them 4x4."""
    net, x = network("resnet8"), torch.rand(1, 3, 8, 8, dtype=torch.float64)
    assert last_maps(net, x).startswith("body.layer2")
    assert last_maps(net, x, enough=2).startswith("body.layer3")


def test_grad_cam_of_a_transformer_lays_its_tokens_on_their_grid():
    net = network("vit_ti_16", 64)
    x, classes = torch.rand(2, 3, 64, 64, dtype=torch.float64), torch.tensor([1, 2])
    assert "norm1" in last_maps(net, x)
    maps = grad_cam(net, x, classes)
    assert maps.shape == (2, 4, 4)
    assert maps.max() > 0
    tokens = torch.arange(17.0).view(1, 17, 1)
    np.testing.assert_array_equal(as_maps(tokens)[0, 0], np.arange(1, 17).reshape(4, 4))


def test_grad_cam_needs_maps():
    net = network("mlp")
    with pytest.raises(ModelError, match="no layer with feature maps"):
        grad_cam(net, torch.rand(1, 3, 32, 32, dtype=torch.float64), torch.tensor([0]))
    with pytest.raises(ModelError, match=r"unknown layer 'layr3'.*[Dd]id you mean layer3"):
        grad_cam(network("resnet8"), torch.rand(1, 3, 32, 32, dtype=torch.float64), torch.tensor([0]), layer="layr3")


def probe(parts, taps=("layer1", "layer2")):
    """A dense head on ResNet-8's features: of each tap mean, maximum and deviation, then the last, 64 channels wide."""
    torch.manual_seed(0)
    spec = {
        "kind": "probe", "name": "resnet8", "taps": list(taps), "img_size": 32, "model_args": {}, "parts": list(parts),
        "input": {"mean": [0.5] * 3, "std": [0.25] * 3},
    }  # fmt: skip
    net = Probe(spec).eval()
    width = net.embed(torch.rand(1, 3, 32, 32)).shape[1]
    net.set_head({"kind": "softmax", "features": width, "classes": 5}, nn.Linear(width, 5), parts)
    return net.double()


def test_the_map_of_one_depth_pooled_by_its_mean_is_grad_cam():
    net, x, classes = probe([2]), torch.rand(3, 3, 32, 32, dtype=torch.float64), torch.tensor([0, 3, 1])
    maps = depth_cam(net, x, classes, batch=2)
    close(maps, maps.shape[1] ** 2 * grad_cam(net, x, classes))


def test_the_maps_of_all_depths_add_up_to_the_logit():
    """Mean, maximum and deviation of maps that are twice as large are twice as large; so, of a dense head, gradients
    times maps add up to the logit without its bias. All weights are above 0 here, so that nothing is cut off at 0.
    """
    net, x, classes = probe([0, 1, 2]), torch.rand(3, 3, 32, 32, dtype=torch.float64), torch.tensor([0, 3, 1])
    with torch.no_grad():
        net.head.weight.abs_()
        logits = (net(x) - net.head.bias)[range(3), classes]
    maps = depth_cam(net, x, classes, batch=2)
    assert maps.shape[1:] == (32, 32)
    assert maps.min() > 0
    torch.testing.assert_close(maps.mean((1, 2)), logits, rtol=1e-4, atol=0)


def test_depths_the_head_does_not_see_are_not_shown():
    x, classes = torch.rand(1, 3, 32, 32, dtype=torch.float64), torch.tensor([3])
    assert depth_cam(probe([1]), x, classes).shape == (1, 16, 16)
    assert depth_cam(probe([1, 2]), x, classes).shape == (1, 16, 16)


class Rectified(nn.Module):
    """The same network with its rectifiers as modules or as functions."""

    def __init__(self, rectify):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.last = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Linear(8 * 16, 4)
        self.one, self.two = nn.ReLU(), nn.ReLU()
        self.rectify = rectify

    def forward(self, x):
        one, two = (self.one, self.two) if self.rectify is None else (self.rectify, self.rectify)
        return self.last(two(self.second(one(self.first(x)))).flatten(1))


@pytest.mark.parametrize(
    "rectify", [None, F.relu, torch.relu, lambda x: x.relu(), lambda x: x.relu_(), nn.ReLU(inplace=True)],
)  # fmt: skip
def test_guided_backprop_sees_every_kind_of_rectifier(rectify):
    x, classes = torch.rand(2, 3, 8, 8), torch.tensor([0, 3])
    theirs = attr.GuidedBackprop(Rectified(None)).attribute(x.clone(), target=classes)
    close(guided_backprop(Rectified(rectify), x, classes, batch=1), theirs)
    plain = attr.Saliency(Rectified(None)).attribute(x.clone(), target=classes, abs=False)
    assert (theirs - plain).abs().max() > 1e-3


@pytest.mark.parametrize("rectify", [nn.ReLU6(), F.relu6, nn.Hardtanh(0, 6)])
def test_guided_backprop_sees_relu6(rectify):
    """Below six ReLU6 is ReLU."""
    x, classes = torch.rand(2, 3, 8, 8), torch.tensor([0, 3])
    theirs = attr.GuidedBackprop(Rectified(None)).attribute(x.clone(), target=classes)
    close(guided_backprop(Rectified(rectify), x, classes), theirs)


def test_no_batch_size_changes_the_answer(case):
    net, x, classes = case
    for method, options in ((saliency, {}), (smoothgrad, {"samples": 4}), (integrated_gradients, {"steps": 6})):
        one, many = (method(net, x, classes, batch=b, **options) for b in (1, 64))
        close(one, many)


def test_the_network_is_left_as_it_was(case):
    net, x, classes = case
    net.train()
    before = {name: p.clone() for name, p in net.state_dict().items()}
    wanted = [p.requires_grad for p in net.parameters()]
    for method in (saliency, guided_backprop, grad_cam):
        method(net, x, classes)
    assert net.training
    assert wanted == [p.requires_grad for p in net.parameters()]
    assert all(p.grad is None for p in net.parameters())
    assert all(torch.equal(before[name], p) for name, p in net.state_dict().items())
    net.eval()


def test_modules_held_in_evaluation_mode_stay_there():
    net = network("resnet8").train()
    net.body.bn1.eval()
    saliency(net, torch.rand(1, 3, 32, 32, dtype=torch.float64), torch.tensor([0]))
    assert net.body.conv1.training
    assert not net.body.bn1.training


@pytest.mark.parametrize("name", ["resnet8", "efficientnet_lite0"])
def test_fast_gradients_are_the_plain_ones_and_leave_every_bit_and_stride(name):
    net = network(name, 64).float()
    x, classes = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(2)), torch.tensor([1, 2])
    before = {k: (v.clone(), v.stride()) for k, v in net.state_dict().items()}
    in_place = [m.inplace for m in net.modules() if hasattr(m, "inplace")]
    plain = saliency(net.double(), x.double(), classes)
    net.float()
    with fast_gradients(net, x[:1]):
        assert not any(getattr(m, "inplace", False) for m in net.modules())
        assert any(v.is_contiguous(memory_format=torch.channels_last) for v in net.state_dict().values() if v.ndim == 4)
        found = saliency(net, x, classes)
    assert np.corrcoef(found.ravel(), plain.ravel())[0, 1] > 0.999  # a rectifier may flip between two ways to round
    assert [m.inplace for m in net.modules() if hasattr(m, "inplace")] == in_place
    for k, v in net.state_dict().items():
        assert torch.equal(v, before[k][0])
        assert v.stride() == before[k][1]
