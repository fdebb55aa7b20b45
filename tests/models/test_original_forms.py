"""Networks as they were published, and the options of residual networks: hand-worked numbers, PyTorch's own sums."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from clearsight.errors import ModelError
from clearsight.models.anatomy import anatomy
from clearsight.models.block_removal import residual_blocks, without_blocks
from clearsight.models.families.lenet import CONNECTIONS
from clearsight.models.shape_tracing import no_data
from clearsight.models.zoo import build_model, entry

TABLE_1 = """
X...XXX..XXXX.XX
XX...XXX..XXXX.X
XXX...XXX..X.XXX
.XXX..XXXX..X.XX
..XXX..XXXX.XX.X
...XXX..XXXX.XXX
"""
"""LeCun et al. 1998, table I: rows are the maps of S2, columns those of C3."""


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_lenet5_has_the_papers_parameters() -> None:
    """Section II.B: 156, 12, 1,516, 32, 48,120 and 10,164, which are 60,000; the dense output layer adds 850."""
    network = build_model("lenet5_original", classes=10, channels=1)
    layers = [getattr(network, name) for name in ("c1", "s2", "c3", "s4", "c5", "f6")]
    assert [parameters(layer) for layer in layers] == [156, 12, 1_516, 32, 48_120, 10_164]
    assert sum(parameters(layer) for layer in layers) == 60_000
    assert anatomy("lenet5_original").parameters == 60_850
    assert parameters(build_model("lenet5_original", classes=10, channels=1, table=False).c3) == 6 * 16 * 25 + 16
    assert anatomy("lenet5").parameters == 61_706


def test_lenet5_reads_the_maps_of_table_1() -> None:
    rows = TABLE_1.split()
    expected = tuple(tuple(m for m in range(6) if rows[m][column] == "X") for column in range(16))
    assert tuple(tuple(sorted(maps)) for maps in CONNECTIONS) == expected
    assert sum(map(len, CONNECTIONS)) == 60
    layer = build_model("lenet5_original", classes=10, channels=1).c3
    images = torch.randn(1, 6, 14, 14, requires_grad=True)
    maps = layer(images)
    assert maps.shape == (1, 16, 10, 10)
    for column in range(16):
        (gradient,) = torch.autograd.grad(maps[0, column].sum(), images, retain_graph=True)
        assert tuple(gradient[0].abs().sum((1, 2)).nonzero().flatten().tolist()) == expected[column]


def test_lenet5_subsampling_and_squashing_by_hand() -> None:
    network = build_model("lenet5_original", classes=10, channels=1)
    with torch.no_grad():
        network.s2.coefficient.fill_(0.5)
        network.s2.bias.fill_(-1.0)
        image = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).expand(1, 6, 2, 2)
        assert network.s2(image).flatten().tolist() == [4.0] * 6  # 0.5 * 10 - 1
        one = network.act1(torch.tensor([1.0, -1.0, 0.0])).tolist()
    assert one == pytest.approx([1.7159 * np.tanh(2 / 3), -1.7159 * np.tanh(2 / 3), 0])
    assert one[0] == pytest.approx(1, abs=1e-4)


WIDTHS = {
    "3a": (192, 64, 96, 128, 16, 32, 32), "3b": (256, 128, 128, 192, 32, 96, 64), "4a": (480, 192, 96, 208, 16, 48, 64),
    "4b": (512, 160, 112, 224, 24, 64, 64), "4c": (512, 128, 128, 256, 24, 64, 64),
    "4d": (512, 112, 144, 288, 32, 64, 64), "4e": (528, 256, 160, 320, 32, 128, 128),
    "5a": (832, 256, 160, 320, 32, 128, 128), "5b": (832, 384, 192, 384, 48, 128, 128),
}  # fmt: skip
"""Szegedy et al. 2014, table 1: maps that come in, and filters of each layer."""


def test_googlenet_has_the_parameters_of_table_1() -> None:
    """From the widths by hand: 6,998,552, and 13,378,280 with both auxiliary classifiers."""
    with no_data():
        network = build_model("googlenet_original", classes=1000)
    total = 7 * 7 * 3 * 64 + 64 + 64 * 64 + 64 + 9 * 64 * 192 + 192 + 1024 * 1000 + 1000
    for name, (inputs, one, s3, three, s5, five, pooled) in WIDTHS.items():
        by_hand = inputs * (one + s3 + s5 + pooled) + 9 * s3 * three + 25 * s5 * five
        module = getattr(network, f"inception{name}")
        assert sum(p.numel() for p in module.parameters() if p.ndim > 1) == by_hand
        total += by_hand + one + s3 + three + s5 + five + pooled
    assert parameters(network) == total == 6_998_552
    heads = sum(maps * 128 + 128 + 2048 * 1024 + 1024 + 1024 * 1000 + 1000 for maps in (512, 528))
    assert anatomy("googlenet_original", aux=True).parameters == total + heads == 13_378_280


def test_googlenets_table_agrees_within_a_thousand_where_the_docstring_says_so() -> None:
    with no_data():
        network = build_model("googlenet_original", classes=1000)
    stated = {"3a": 159, "3b": 380, "4a": 364, "4b": 437, "4c": 463, "4d": 580, "4e": 840, "5a": 1072, "5b": 1388}
    ours = {
        name: sum(p.numel() for p in getattr(network, f"inception{name}").parameters() if p.ndim > 1) / 1024
        for name in stated
    }
    assert {name for name in stated if abs(ours[name] - stated[name]) <= 1.1} == {"3a", "3b", "4b"}
    assert ours["4a"] == pytest.approx(367, abs=0.5)
    assert (64 * 64 + 9 * 64 * 192) / 1024 == 112


def test_googlenets_shapes_and_response_norms() -> None:
    """Table 1: 28x28x192, 28x28x256, 14x14x480, 14x14x832, 7x7x1024."""
    rows = {layer.name: layer for layer in anatomy("googlenet_original").layers}
    sides = [rows[name].output for name in ("conv3.act", "maxpool2", "maxpool3", "maxpool4")]
    assert sides == [(192, 56, 56), (192, 28, 28), (480, 14, 14), (832, 7, 7)]
    network = build_model("googlenet_original", classes=10, width=8)
    assert sum(isinstance(m, nn.LocalResponseNorm) for m in network.modules()) == 2
    assert not any(isinstance(m, nn.BatchNorm2d) for m in network.modules())
    maps = torch.rand(1, 8, 3, 3)
    squares = F.pad(maps**2, (0, 0, 0, 0, 2, 2))
    sums = sum(squares[:, i : i + 8] for i in range(5))
    torch.testing.assert_close(network.lrn1(maps), maps / (1 + 1e-4 / 5 * sums) ** 0.75)
    aux = build_model("googlenet_original", classes=10, aux=True, width=8).aux1
    assert aux.pool(torch.zeros(1, 1, 14, 14)).shape == (1, 1, 4, 4)
    assert isinstance(aux.pool, nn.AvgPool2d)


def test_the_naive_module_and_its_cost() -> None:
    """3b on 28x28 maps of 256: 854,196,224 multiply-adds, 2.8 times those with reductions."""
    with_five = anatomy("googlenet_original", reduce=False)
    with no_data():
        network = build_model("googlenet_original", classes=10, reduce=False)
    module = network.inception3a
    assert [tuple(m.weight.shape) for m in module.modules() if isinstance(m, nn.Conv2d)] == [
        (64, 192, 1, 1), (128, 192, 3, 3), (32, 192, 5, 5)
    ]  # fmt: skip
    assert module.outputs == 64 + 128 + 32 + 192
    cost = {layer.name.split(".")[0]: 0 for layer in with_five.layers}
    for layer in with_five.layers:
        cost[layer.name.split(".")[0]] += layer.multiply_adds
    assert cost["inception3a"] == 28 * 28 * 192 * (64 + 9 * 128 + 25 * 32)
    assert with_five.parameters == 97_526_008
    assert 28 * 28 * 256 * (128 + 9 * 192 + 25 * 96) == 854_196_224
    assert with_five.multiply_adds / anatomy("googlenet_original").multiply_adds == pytest.approx(7.94, abs=0.01)


@pytest.mark.parametrize("name", ["resnet20", "resnet18", "resnet50", "seresnet18"])
def test_blocks_that_start_at_zero_are_their_shortcuts(name: str) -> None:
    torch.manual_seed(0)
    network = build_model(name, classes=4, img_size=32, width=8, zero_init=True).eval()
    changed, seen = dict.fromkeys(residual_blocks(network), 0.0), {}
    for block in changed:
        module = network.get_submodule(block)
        module.register_forward_hook(lambda m, i, o: seen.__setitem__(m, (i[0], o)))
    network(torch.randn(2, 3, 32, 32))
    for block in changed:
        module = network.get_submodule(block)
        given, out = seen[module]
        if module.downsample is None:
            assert (out - given).abs().max() <= 1e-6
    assert len(changed) == {"resnet20": 9, "resnet18": 8, "resnet50": 16, "seresnet18": 8}[name]


@pytest.mark.parametrize("name", ["resnet20", "resnet50"])
def test_a_block_taken_out_is_the_identity(name: str) -> None:
    """To 1e-6, as where all its filters are zero; and the network is as before afterwards."""
    torch.manual_seed(0)
    network = build_model(name, classes=4, img_size=32, width=8).eval()
    images = torch.randn(2, 3, 32, 32)
    before = network(images)
    maps: list[torch.Tensor] = []
    block = network.get_submodule("layer2.1")
    with without_blocks(network, ["layer2.1"]):
        handle = block.register_forward_hook(lambda _m, i, o: maps.extend((i[0], o)))
        without = network(images)
        handle.remove()
    assert (maps[0] - maps[1]).abs().max() <= 1e-6
    assert not torch.allclose(without, before)
    assert torch.equal(network(images), before)
    with torch.no_grad():
        for tensor in (block.last[0].weight, block.last[0].bias, block.last[0].running_mean):
            tensor.zero_()
    torch.testing.assert_close(network(images), without, atol=1e-6, rtol=0)
    with without_blocks(network, ["layer2.0"]):  # its shortcut changes the shape
        assert network(images).shape == (2, 4)


def test_blocks_without_a_shortcut_cannot_be_taken_out() -> None:
    network = build_model("resnet20", classes=4)
    with pytest.raises(ModelError, match=r"'layer2.9' is not a block with a shortcut. Did you mean"):
        without_blocks(network, ["layer2.9"]).__enter__()
    with pytest.raises(ModelError, match="expected a block of a residual network from Clearsight's registry"):
        without_blocks(build_model("plain20", classes=4), ["layer2.1"]).__enter__()
    with pytest.raises(ModelError, match="so that the block starts as its shortcut"):
        build_model("plain20", classes=4, zero_init=True)


def test_the_stem_of_three_small_filters() -> None:
    """By hand: 3*9*32 + 32*9*32 + 32*9*64 weights for 3*49*64, scales and shifts of the two inner normalisations."""
    with_seven, with_three = (anatomy("resnet18", stem=stem) for stem in ("7x7", "3x3"))
    stem = 27 * 32 + 32 * 9 * 32 + 32 * 9 * 64 + 4 * 32
    assert with_three.parameters - with_seven.parameters == stem - 3 * 49 * 64
    sees = {layer.name: layer.receptive_field for layer in with_three.layers}
    assert (sees["conv1.0.conv"], sees["conv1.1.conv"], sees["conv1.2"]) == (3, 7, 11)
    outputs = {layer.name: layer.output for layer in with_three.layers}
    assert outputs["maxpool"] == (64, 56, 56)
    assert "stem" not in entry("resnet20").model_args


@pytest.mark.parametrize("name", ["mlp", "lenet5", "vgg11", "resnet20", "densenet121", "googlenet"])
def test_the_slope_of_leaky_relu(name: str) -> None:
    for slope in (0.01, 0.1):
        network = build_model(name, classes=2, channels=1, img_size=32, activation="leaky_relu", slope=slope)
        slopes = {m.negative_slope for m in network.modules() if isinstance(m, nn.LeakyReLU)}
        assert slopes == {slope}
        assert next(m for m in network.modules() if isinstance(m, nn.LeakyReLU))(torch.tensor(-2.0)) == -2 * slope
    with pytest.raises(ModelError, match="Set activation=leaky_relu"):
        build_model(name, classes=2, channels=1, img_size=32, slope=0.1)


@pytest.mark.parametrize(
    "name",
    ["lenet5", "alexnet", "vgg11", "googlenet", "inception_v2", "inception_v3", "resnet18", "resnet20", "densenet121"],
)
def test_maps_may_shrink_by_averages(name: str) -> None:
    """Where maxima were taken to shrink maps, means are; the sizes stay."""
    network = build_model(name, classes=2, img_size=96, width=8, downsample="avgpool").eval()
    largest = build_model(name, classes=2, img_size=96, width=8, downsample="maxpool").eval()
    kinds = [
        [type(m).__name__ for m in model.modules() if isinstance(m, nn.MaxPool2d | nn.AvgPool2d) and m.stride != 1]
        for model in (network, largest)
    ]
    kept = {"resnet18": 1, "densenet121": 1}.get(name, 0)  # the stem's own
    assert kinds[0].count("MaxPool2d") == kept
    assert kinds[0].count("AvgPool2d") == kinds[1].count("MaxPool2d") - kept > 0
    assert {k: v.shape for k, v in network.state_dict().items()} == {
        k: v.shape for k, v in largest.state_dict().items()
    }
    assert network(torch.zeros(1, 3, 96, 96)).shape == (1, 2)
