"""Each option changes what it says it changes, and says so where it cannot."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from clearsight.errors import ModelError
from clearsight.models.layers import DropConnect, Maxout, SqueezeExcitation
from clearsight.models.shape_tracing import no_data
from clearsight.models.zoo import build_model, entry, model_names

ONE_PER_FAMILY = [
    "linear",
    "mlp",
    "maxout",
    "lenet5",
    "lenet5_original",
    "alexnet",
    "alexnet_grouped",
    "vgg11",
    "googlenet",
    "inception_v2",
    "inception_v3",
    "resnet18",
    "resnet50",
    "resnet8",
    "densenet121",
    "vit_ti_16",
    "efficientnet_lite0",
]

OTHER_VALUES: dict[str, list[Any]] = {
    "residual": [False],
    "norm": [False, True],
    "norm_position": ["after"],
    "activation": ["sigmoid", "tanh", "relu", "leaky_relu", "elu", "silu", "gelu", "relu6"],
    "se": [True],
    "padding_mode": ["reflect", "replicate"],
    "kernel": [5],
    "downsample": ["stride", "maxpool", "avgpool"],
    "dropout": [0.5],
    "dropconnect": [0.5],
    "zero_init": [True],
    "stem": ["3x3"],
    "reduce": [False],
    "original": [True],
    "table": [False],
}

CASES = [
    (name, arg, value)
    for name in ONE_PER_FAMILY
    for arg, values in OTHER_VALUES.items()
    if arg in entry(name).model_args
    for value in values
    if not (value == "stride" and "nception" in name.replace("googlenet", "inception"))  # they pool
]
"""Every value in every family."""

STANDS_FOR_ALL = {"sigmoid"}
SEVERAL = {"mlp", "vgg11", "googlenet", "resnet8", "resnet50", "densenet121", "vit_ti_16"}
"""In the long tier: activations that another one stands for, as they share their code; and families whose way to take
options, given by name to the layers, one of these has too.
"""


def small(name: str, **model_args: Any) -> nn.Module:
    narrow = {"width": 8, "widths": (16,), "growth": 4, "depth": 2, "heads": 2}
    narrow = {k: v for k, v in narrow.items() if k in entry(name).model_args}
    torch.manual_seed(0)
    if model_args.get("norm_position") == "after":
        model_args["norm"] = True
    if name == "vit_ti_16":
        narrow["width"] = 16
    if name in ("mlp", "maxout"):
        model_args = {k: v for k, v in model_args.items() if k in entry(name).model_args}
    return build_model(name, classes=3, channels=2, img_size=44, **narrow, **model_args)


@pytest.mark.parametrize(
    ("name", "arg", "value"),
    [
        pytest.param(*case, marks=pytest.mark.long)
        if case[0] not in SEVERAL or (case[1] == "activation" and case[2] not in STANDS_FOR_ALL)
        else case
        for case in CASES
    ],
)
def test_every_option_of_every_family_runs_forward_and_backward(name: str, arg: str, value: Any) -> None:
    network = small(name, **{arg: value}).train()
    logits = network(torch.randn(3, 2, 44, 44))
    assert logits.shape == (3, 3)
    F.cross_entropy(logits, torch.arange(3)).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_the_ablation_of_the_manual_in_one_line() -> None:
    network = build_model("resnet18", classes=10, residual=False, activation="elu", norm_position="after")
    names = [type(m).__name__ for m in network.modules()]
    assert names.count("ELU") == 17
    assert "ReLU" not in names
    assert not any("downsample" in key for key in network.state_dict())


def order_of_calls(network: nn.Module, side: int = 32) -> list[str]:
    calls: list[str] = []
    for module in network.modules():
        if not list(module.children()):
            module.register_forward_hook(lambda m, _i, _o: calls.append(type(m).__name__))
    with torch.no_grad():
        network.eval()(torch.zeros(1, 3, side, side))
    return [c for c in calls if c in ("Conv2d", "BatchNorm2d", "ReLU", "SqueezeExcitation")]


@pytest.mark.parametrize("name", ["resnet8", "vgg11_bn", "googlenet", "inception_v2", "inception_v3"])
def test_norm_position_moves_every_normalisation(name: str) -> None:
    before = order_of_calls(build_model(name, classes=2, img_size=32, width=8))
    after = order_of_calls(build_model(name, classes=2, img_size=32, width=8, norm_position="after"))
    for calls, follower in ((before, "BatchNorm2d"), (after, "ReLU")):
        followers = {b for a, b in pairwise(calls) if a == "Conv2d"}
        allowed = {"BatchNorm2d"} if name.startswith("resnet") else set()  # projections have no activation
        assert follower in followers
        assert followers <= {follower} | allowed


def test_without_residual_it_is_the_plain_network() -> None:
    for residual, plain in (("resnet18", "plain18"), ("resnet34", "plain34"), ("resnet20", "plain20")):
        with no_data():
            switched = build_model(residual, classes=10, residual=False).state_dict()
            named = build_model(plain, classes=10).state_dict()
        assert {k: v.shape for k, v in switched.items()} == {k: v.shape for k, v in named.items()}


def test_gates_make_the_se_resnet() -> None:
    with no_data():
        switched = build_model("resnet50", classes=1000, se=True).state_dict()
        named = build_model("seresnet50", classes=1000).state_dict()
    assert {k: v.shape for k, v in switched.items()} == {k: v.shape for k, v in named.items()}


def test_norm_makes_the_vgg_with_norm() -> None:
    with no_data():
        switched = build_model("vgg16", classes=10, norm=True).state_dict()
        named = build_model("vgg16_bn", classes=10).state_dict()
    assert {k: v.shape for k, v in switched.items()} == {k: v.shape for k, v in named.items()}


def test_without_norm_convolutions_have_biases() -> None:
    network = build_model("resnet8", classes=2, norm=False)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in network.modules())
    assert all(m.bias is not None for m in network.modules() if isinstance(m, nn.Conv2d))


@pytest.mark.parametrize("name", ["resnet8", "resnet18", "vgg11", "densenet121", "lenet5", "alexnet"])
def test_both_ways_to_shrink_give_maps_of_one_size(name: str) -> None:
    for value in ("stride", "avgpool", "maxpool"):
        network = build_model(name, classes=2, img_size=44, width=8, downsample=value)
        assert network.eval()(torch.zeros(1, 3, 44, 44)).shape == (1, 2)
    strided = [m for m in network.modules() if isinstance(m, nn.Conv2d) and max(m.stride) > 1]
    assert not strided  # maxpool was the last


def test_borders_reach_the_convolutions() -> None:
    network = build_model("resnet8", classes=2, padding_mode="reflect")
    modes = {m.padding_mode for m in network.modules() if isinstance(m, nn.Conv2d) and m.padding != (0, 0)}
    assert modes == {"reflect"}


def test_lenet_pads_mnist_by_its_border_rule() -> None:
    network = build_model("lenet5", classes=2, channels=1, img_size=28, padding_mode="replicate").eval()
    ones = torch.ones(1, 1, 28, 28)
    padded: list[torch.Tensor] = []
    network.stage1.register_forward_pre_hook(lambda _m, inputs: padded.append(inputs[0]))
    network(ones)
    assert torch.equal(padded[0], torch.ones(1, 1, 32, 32))


def test_reflection_needs_maps_larger_than_the_padding() -> None:
    with pytest.raises(ModelError, match="resnet18 are too small for reflection padding; found images of 8x8"):
        build_model("resnet18", classes=2, img_size=8, padding_mode="reflect")


def test_maxout_takes_the_largest_of_neighbouring_channels() -> None:
    x = torch.tensor([[1.0, 5.0, -2.0, -7.0]])
    assert Maxout(2)(x).tolist() == [[5.0, -2.0]]
    image = torch.randn(2, 6, 3, 3)
    assert torch.equal(Maxout(3)(image)[:, 1], image[:, 3:].amax(1))


@pytest.mark.parametrize("name", ["mlp", "lenet5", "alexnet", "vgg11", "googlenet", "inception_v2", "inception_v3"])
def test_maxout_as_an_activation(name: str) -> None:
    network = small(name, activation="maxout")
    assert network(torch.randn(2, 2, 44, 44)).shape == (2, 3)
    assert any(isinstance(m, Maxout) for m in network.modules())


def test_gate_by_hand() -> None:
    """Two channels with means 1 and 3, one hidden unit: gate = sigmoid(w2 * relu(w1 . means))."""
    gate = SqueezeExcitation(2)
    with torch.no_grad():
        gate.fc1.weight.copy_(torch.tensor([1.0, 2.0]).view(1, 2, 1, 1))
        gate.fc1.bias.fill_(-5.0)  # relu(1 + 6 - 5) = 2
        gate.fc2.weight.copy_(torch.tensor([0.5, -1.0]).view(2, 1, 1, 1))
        gate.fc2.bias.zero_()  # sigmoid(1), sigmoid(-2)
        image = torch.stack([torch.full((2, 2), 1.0), torch.full((2, 2), 3.0)])[None]
        scaled = gate(image)
    assert scaled[0, 0, 0, 0].item() == pytest.approx(1 / (1 + 2.718281828**-1))
    assert scaled[0, 1, 0, 0].item() == pytest.approx(3 / (1 + 2.718281828**2))


def test_gates_have_ratio_16() -> None:
    assert SqueezeExcitation(256).fc1.out_channels == 16
    assert SqueezeExcitation(8).fc1.out_channels == 1


def test_dropconnect_drops_weights_in_training_only() -> None:
    torch.manual_seed(0)
    layer = DropConnect(200, 100, p=0.25)
    nn.init.ones_(layer.weight)
    nn.init.zeros_(layer.bias)
    pixels = torch.eye(200)
    weights = layer.train()(pixels)
    assert weights.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert (weights == 0).float().mean().item() == pytest.approx(0.25, abs=0.02)
    assert torch.equal(layer.eval()(pixels), torch.ones(200, 100))


def test_dropout_and_dropconnect_rest_in_evaluation() -> None:
    for name in ("mlp", "lenet5", "vgg11", "resnet8", "googlenet", "densenet121"):
        network = small(name, dropout=0.5, dropconnect=0.5).eval()
        images = torch.randn(2, 2, 44, 44)
        assert torch.equal(network(images), network(images))


@pytest.mark.parametrize("name", model_names())
def test_unsupported_options_give_the_reason(name: str) -> None:
    for arg, reason in entry(name).unsupported.items():
        with pytest.raises(ModelError) as caught:
            build_model(name, classes=2, **{arg: OTHER_VALUES[arg][0]})
        assert f"{arg!r}" in str(caught.value)
        assert "is not supported: " + reason in str(caught.value)


@pytest.mark.parametrize(
    ("name", "model_args", "text"),
    [
        (
            "resnet18",
            {"activation": "swish"},
            "'activation' has an invalid value; found 'swish'; expected one of",
        ),
        ("resnet18", {"activation": "maxout"}, "found 'maxout'"),
        ("resnet18", {"norm_position": "between"}, "expected one of before, after"),
        ("resnet18", {"kernel": 4}, "found 4; expected a positive odd integer"),
        ("resnet18", {"dropout": 1.0}, r"found 1.0; expected a share in \[0, 1\)"),
        ("resnet18", {"residual": 1}, "found 1; expected True or False"),
        ("resnet18", {"norm": False, "norm_position": "after"}, "contradicts norm=False"),
        ("mlp", {"widths": ()}, r"found \(\); expected one or more positive integers"),
        ("mlp", {"norm_position": "after"}, "contradicts norm=False"),
        ("densenet121", {"downsample": "pool"}, "expected one of stride, maxpool, avgpool"),
        ("vit_ti_16", {"heads": 5}, "a width of 192 cannot be divided among 5 heads"),
        (
            "vit_ti_16",
            {"patch": 15},
            r"\(224-15\)/15\+1 is not an integer; .* 210 or 225, or patch=14 or 16",
        ),
        ("lenet5", {"kernel": 17}, "is below 1"),
    ],
)
def test_bad_values_are_explained(name: str, model_args: dict[str, Any], text: str) -> None:
    with pytest.raises(ModelError, match=text):
        build_model(name, classes=2, **model_args)


def test_a_patch_stem_is_a_3x3_convolution_over_squares_as_channels() -> None:
    coarse = build_model("resnet8", classes=4, channels=2, img_size=28, patch=2)
    kernel = coarse.conv1.weight  # (w, 2, 6, 6)
    squares = kernel.unflatten(3, (3, 2)).unflatten(2, (3, 2))  # (w, 2, 3, 2, 3, 2): place, then pixel in the square
    squares = squares.permute(0, 1, 3, 5, 2, 4).flatten(1, 3)  # (w, 2 * 4, 3, 3), as pixel_unshuffle orders channels
    images = torch.rand(3, 2, 28, 28)
    expected = F.conv2d(F.pixel_unshuffle(images, 2), squares, padding=1)
    torch.testing.assert_close(coarse.conv1(images), expected)
    assert coarse(images).shape == (3, 4)
