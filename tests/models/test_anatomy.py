"""Anatomy and catalogue against published counts, fvcore, torchvision's own figures, and gradients."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator

import pytest
import torch
import torchvision
from timm.layers import set_fused_attn
from torch import nn

from clearsight.errors import ModelError
from clearsight.models.anatomy import Anatomy, anatomy, views
from clearsight.models.catalogue import catalogue, measure
from clearsight.models.shape_tracing import no_data
from clearsight.models.zoo import build_model, entry, model_names, published

PUBLISHED_PARAMETERS = {
    "alexnet": 61_100_840,
    "alexnet_grouped": 60_965_224,
    "vgg11": 132_863_336,
    "vgg13": 133_047_848,
    "vgg16": 138_357_544,
    "vgg19": 143_667_240,
    "vgg11_bn": 132_868_840,
    "vgg13_bn": 133_053_736,
    "vgg16_bn": 138_365_992,
    "vgg19_bn": 143_678_248,
    "googlenet": 6_624_904,
    "inception_v3": 23_834_568,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "densenet121": 7_978_856,
    "densenet161": 28_681_000,
    "densenet169": 14_149_480,
    "densenet201": 20_013_928,
    "seresnet18": 11_778_592,
    "seresnet34": 21_958_868,
    "seresnet50": 28_088_024,
    "seresnet101": 49_326_872,
    "seresnet152": 66_821_848,
    "vit_ti_16": 5_717_416,
    "vit_s_16": 22_050_664,
    "vit_b_16": 86_567_656,
    "lenet5": 61_706,
    "efficientnet_lite0": 4_652_008,
    "efficientnet_lite2": 6_092_072,
}

OF_EVERY_KIND = (
    "linear", "mlp", "maxout", "lenet5", "alexnet", "alexnet_grouped", "vgg11", "vgg11_bn", "googlenet", "inception_v2",
    "inception_v3", "resnet8", "resnet18", "resnet50", "plain20", "seresnet18", "densenet121", "vit_ti_16",
    "efficientnet_lite0",
)  # fmt: skip
"""A network of every kind of block. The others have more of the same blocks."""

ALL = [name if name in OF_EVERY_KIND else pytest.param(name, marks=pytest.mark.long) for name in model_names()]
"""All networks, in the long tier where another stands for them."""

OPTION_A = {20: 269_722, 32: 464_154, 44: 658_586, 56: 853_018, 110: 1_727_962, 1202: 19_421_274}
"""CIFAR networks with the paper's shortcuts; its table 6 says 0.27, 0.46, 0.66, 0.85, 1.7 and 19.4 M."""

RECEPTIVE_FIELDS = {  # Araujo, Norris, Sim 2019, "Computing receptive fields of ... networks", Distill
    "alexnet": 195,
    "vgg16": 212,
    "inception_v2": 699,
    "inception_v3": 1311,
}


@pytest.mark.parametrize(("name", "count"), PUBLISHED_PARAMETERS.items())
def test_published_parameters(name: str, count: int) -> None:
    assert anatomy(name).parameters == count


@pytest.mark.parametrize(("depth", "count"), OPTION_A.items())
def test_published_parameters_on_cifar(depth: int, count: int) -> None:
    with no_data():
        network = build_model(f"resnet{depth}", classes=10, shortcut="A")
    assert sum(p.numel() for p in network.parameters()) == count


def test_published_parameters_with_auxiliary_heads() -> None:
    assert anatomy("googlenet", aux=True).parameters == 13_004_888
    assert anatomy("inception_v3", aux=True).parameters == 27_161_264


def test_bn_inception_has_caffes_parameters_but_for_biases() -> None:
    with no_data():
        network = build_model("inception_v2", classes=1000)
    biases = sum(m.out_channels for m in network.modules() if isinstance(m, nn.Conv2d))
    assert sum(p.numel() for p in network.parameters()) + biases == 11_295_240


@pytest.mark.parametrize(
    "name", sorted(set(PUBLISHED_PARAMETERS) & set(torchvision.models.list_models()) - {"vit_b_16"})
)
def test_torchvisions_own_figures(name: str) -> None:
    """torchvision states the multiply-adds (in billions), accuracy and parameters of its weights.

    Its vit_b_16 has other weights than timm's, which we load.
    """
    weights = torchvision.models.get_model_weights(name).IMAGENET1K_V1
    accuracy = weights.meta["_metrics"]["ImageNet-1K"]
    known, body = entry(name), anatomy(name)
    assert body.multiply_adds / 1e9 == pytest.approx(weights.meta["_ops"], abs=6e-4)
    assert (known.top1, known.top5) == (accuracy["acc@1"], accuracy["acc@5"])
    aux = name == "inception_v3"
    assert anatomy(name, **({"aux": True} if aux else {})).parameters == weights.meta["num_params"]


@pytest.fixture
def plain_attention() -> Iterator[None]:
    """fvcore counts products of matrices and does not know the fused attention, which does the same."""
    set_fused_attn(False)
    yield
    set_fused_attn(True)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.usefixtures("plain_attention")
def test_counts_are_fvcores(name: str) -> None:
    """Parameters, and multiply-adds of convolutions, dense layers and matrix products, on images of at most
    80 px.

    fvcore also counts normalisation and pooling, as operators of their own, which are left out on both sides.
    """
    with warnings.catch_warnings():  # fvcore still uses torch.jit
        warnings.simplefilter("ignore")
        from fvcore import nn as analysis

        known = entry(name)
        side = min(known.img_size, 80)
        with no_data():
            network = build_model(name, classes=known.classes, channels=known.channels, img_size=side)
        network = network.to_empty(device="cpu").eval()
        counter = analysis.FlopCountAnalysis(network, torch.zeros(1, known.channels, side, side))
        counter.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        by_operator = counter.by_operator()
    counted = sum(by_operator[kind] for kind in ("conv", "linear", "addmm", "matmul", "bmm"))
    body = anatomy(name, img_size=side)
    assert body.multiply_adds == counted
    assert body.parameters == analysis.parameter_count(network)[""]


@pytest.mark.parametrize(("name", "side"), RECEPTIVE_FIELDS.items())
def test_published_receptive_fields(name: str, side: int) -> None:
    assert anatomy(name).receptive_field == side


def all_positive(network: nn.Module) -> None:
    """Give the network weights with which every unit has a gradient at every pixel it sees."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.constant_(module.weight, 1.0 / module.weight[0].numel())
        if module.__class__.__name__ == "SqueezeExcitation":
            module.forward = lambda x: x  # the gate sees everything and is left out of the field
        if isinstance(module, nn.MaxPool2d):  # a maximum has a gradient at one pixel, a mean at all
            size, step, pad = module.kernel_size, module.stride, module.padding
            mean = nn.AvgPool2d(size, step, pad, module.ceil_mode)
            module.forward = mean.forward


@pytest.mark.parametrize(
    ("name", "layer", "model_args"),
    [
        ("resnet18", "layer2", {}),
        ("resnet18", "layer1", {"se": True, "kernel": 5}),
        ("resnet20", "layer2", {"downsample": "maxpool"}),
        ("densenet121", "features.denseblock1", {"growth": 2}),
        ("googlenet", "inception3b", {}),
        ("lenet5", "stage2", {}),
    ],
)
def test_receptive_field_is_where_the_gradient_reaches(name: str, layer: str, model_args: dict[str, object]) -> None:
    """The gradient of one central unit is non-zero on a window of the stated side, with weights all
    positive.
    """
    network = build_model(name, classes=2, channels=1, img_size=160, width=4, **model_args).eval().double()
    body = anatomy(network, img_size=160, channels=1)
    side = next(row for row in reversed(body.layers) if row.name.startswith(layer)).receptive_field
    assert side is not None
    assert side < 130
    all_positive(network)
    image = torch.rand(1, 1, 160, 160, dtype=torch.float64).requires_grad_()
    maps: list[torch.Tensor] = []
    network.get_submodule(layer).register_forward_hook(lambda _m, _i, output: maps.append(output))
    network(image)
    middle = maps[0].shape[-1] // 2
    maps[0][0, :, middle, middle].sum().backward()
    assert image.grad is not None
    rows = image.grad[0, 0].abs().sum(1).nonzero().flatten()
    assert int(rows[-1] - rows[0]) + 1 == side


@pytest.mark.parametrize(
    ("name", "layer", "size"),
    [
        ("resnet18", "layer1", 96),
        ("resnet20", "layer2", 33),
        ("densenet121", "features.denseblock1", 161),
        ("inception_v3", "Mixed_5b", 139),  # a size that all its strides fit
        ("efficientnet_lite0", "blocks.2", 160),  # pads one side more than the other
        ("timm/vit_tiny_patch16_224", "patch_embed.proj", 224),
    ],
)
def test_a_units_window_is_where_its_gradient_reaches(name: str, layer: str, size: int) -> None:
    """At the corner, at the far border and in between."""
    network = build_model(name, classes=2, channels=1, img_size=size).eval().double()
    all_positive(network)
    view = views(network, (1, size, size))[layer]
    image = torch.rand(1, 1, size, size, dtype=torch.float64).requires_grad_()
    maps: list[torch.Tensor] = []
    network.get_submodule(layer).register_forward_hook(lambda _m, _i, output: maps.append(output))
    network(image)
    height, width = maps[0].shape[2:]
    for row, column in ((0, 1), (height // 2, width - 1), (height - 1, width // 2)):
        (gradient,) = torch.autograd.grad(maps[0][0, :, row, column].sum(), image, retain_graph=True)
        for reached, (first, last) in (
            (gradient[0, 0].abs().sum(1).nonzero().flatten(), view.height.window(row)),
            (gradient[0, 0].abs().sum(0).nonzero().flatten(), view.width.window(column)),
        ):
            assert (int(reached[0]), int(reached[-1]) + 1) == (max(0, first), min(size, last))


def test_behind_attention_every_unit_sees_the_whole_image() -> None:
    network = build_model("timm/vit_tiny_patch16_224", classes=2, channels=3, img_size=224)
    view = views(network, (3, 224, 224))["blocks.1"]
    assert view.height.window(0) == view.height.window(13) == (0, 224)


@pytest.mark.parametrize("name", ALL)
def test_shapes_are_those_of_a_real_pass(name: str) -> None:
    """Every row's output is what the layer returns on data, at a size where little is whole."""
    known = entry(name)
    side = 44 if known.img_size <= 299 else known.img_size
    narrow = {k: v for k, v in {"width": 8, "growth": 4, "depth": 2, "heads": 2}.items() if k in known.model_args}
    network = build_model(name, classes=3, channels=2, img_size=side, **narrow)
    seen: dict[str, tuple[int, ...]] = {}
    for path, module in network.named_modules():
        module.register_forward_hook(lambda _m, _i, output, path=path: seen.__setitem__(path, tuple(output.shape[1:])))
    with torch.no_grad():
        network.eval()(torch.zeros(1, 2, side, side))
    body = anatomy(network, img_size=side, channels=2)
    assert body.layers
    for row in body.layers:
        assert row.output == seen["" if row.name == "(network)" else row.name], row.name
    assert body.parameters == sum(p.numel() for p in network.parameters())


def test_rows_show_the_arithmetic() -> None:
    stem, norm, *_ = anatomy("resnet18").layers
    assert (stem.name, stem.kind, stem.output) == ("conv1", "Conv2d", (64, 112, 112))
    assert (stem.parameters, stem.multiply_adds, stem.receptive_field) == (9_408, 118_013_952, 7)
    assert stem.arithmetic == (
        "(224-7+2*3)/2+1 = 112.5, rounded to 112; 7*7*3*64 = 9,408 parameters; "
        "7*7*3*64*112*112 = 118,013,952 multiply-adds"
    )
    assert (norm.kind, norm.parameters, norm.arithmetic) == ("BatchNorm2d", 128, "2*64 = 128 parameters")


def test_totals_are_the_sums_of_the_rows_and_become_json() -> None:
    body = anatomy("googlenet", aux=True, classes=5, img_size=64, channels=1)
    assert isinstance(body, Anatomy)
    assert body.multiply_adds == sum(row.multiply_adds for row in body.layers)
    assert {row.arithmetic for row in body.layers if not row.output} == {"only active in training"}
    assert json.loads(json.dumps(body.to_dict()))["layers"][0]["output"] == [64, 32, 32]


def test_a_module_is_left_as_it_was() -> None:
    network = build_model("resnet8", classes=3).train()
    network.layer1.eval()
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    anatomy(network, img_size=32)
    assert network.training
    assert not network.layer1.training
    assert all(torch.equal(before[key], tensor) for key, tensor in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())


def test_hooks_are_gone_after_a_failure_too() -> None:
    network = build_model("resnet8", classes=3, channels=1)
    with pytest.raises(ModelError, match=r"cannot process images of this shape.*3 channels, but the filters expect 1"):
        anatomy(network, img_size=32, channels=3)
    assert not any(module._forward_hooks for module in network.modules())


def test_modules_need_a_size_and_take_no_model_args() -> None:
    network = build_model("linear", classes=3)
    with pytest.raises(ModelError, match="needs the image size"):
        anatomy(network)
    with pytest.raises(ModelError, match="already built; found se"):
        anatomy(network, img_size=28, se=True)


def test_timm_networks_too() -> None:
    assert anatomy("timm/resnet18", classes=1000).parameters == 11_689_512


def test_the_catalogue_has_every_network_and_is_what_some_of_them_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = catalogue()
    assert [row.name for row in rows] == model_names()
    monkeypatch.setattr("clearsight.models.zoo.model_names", lambda: sorted(OF_EVERY_KIND))
    assert sorted((row for row in rows if row.name in OF_EVERY_KIND), key=lambda row: row.name) == measure()


@pytest.mark.long
def test_the_catalogue_is_what_the_networks_measure() -> None:
    rows = catalogue()
    assert rows == measure(), "run: python -m clearsight.models.catalogue > src/clearsight/models/catalogue.csv"


def test_published_weights_have_catalogued_accuracy() -> None:
    assert all(entry(name).top1 is not None for name in model_names() if published(name))
