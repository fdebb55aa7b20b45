"""Our networks with torchvision's or timm's weights give torchvision's or timm's answers."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import pytest
import timm
import torch
import torchvision
from timm.layers import SEModule
from torch import nn

from clearsight.models.layers import auxiliary_logits
from clearsight.models.shape_tracing import no_data
from clearsight.models.zoo import build_model

TORCHVISION = {
    "alexnet": 96,
    "vgg11": 64,
    "vgg13": 64,
    "vgg16": 64,
    "vgg19": 64,
    "vgg11_bn": 64,
    "vgg13_bn": 64,
    "vgg16_bn": 64,
    "vgg19_bn": 64,
    "googlenet": 96,
    "inception_v3": 107,
    "resnet18": 96,
    "resnet34": 96,
    "resnet50": 96,
    "resnet101": 64,
    "resnet152": 64,
    "densenet121": 96,
    "densenet161": 64,
    "densenet169": 64,
    "densenet201": 64,
}
"""Side of the images each is compared on, at or above the threshold of the small-image rule."""

DEEPER = {
    "vgg11", "vgg13", "vgg16", "vgg19", "vgg13_bn", "vgg16_bn", "vgg19_bn", "resnet101", "resnet152", "densenet161",
    "densenet169", "densenet201", "seresnet101", "seresnet152", "vit_s_16", "vit_b_16",
}  # fmt: skip
"""More of the blocks of a network beside them, and slow to draw: in the long tier."""


def tiers(names: Iterable[str]) -> list[Any]:
    """Networks as parameters, those of DEEPER in the long tier."""
    return [pytest.param(name, marks=pytest.mark.long) if name in DEEPER else name for name in names]


WITHOUT_RULE = {"googlenet": {"init_weights": False}, "inception_v3": {"init_weights": False}}
TIMM_VIT = {
    "vit_ti_16": "vit_tiny_patch16_224",
    "vit_s_16": "vit_small_patch16_224",
    "vit_b_16": "vit_base_patch16_224",
}


def without_dropout(network: nn.Module) -> nn.Module:
    """Dropout draws its own random numbers in each network, so it is set to zero in both."""
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return network


def with_weights_of(theirs: nn.Module, name: str, **options: object) -> nn.Module:
    """Our network around the very tensors of theirs; strict, so every name and shape must agree."""
    with no_data():
        ours = build_model(name, **options)  # type: ignore[arg-type]
    ours.load_state_dict(theirs.state_dict(), strict=True, assign=True)
    return without_dropout(ours)


def largest_difference(ours: nn.Module, theirs: nn.Module, side: int) -> float:
    """Over both modes. Running statistics are shared and move in the first training pass only, which uses
    none.
    """
    images = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    differences = []
    with torch.no_grad():
        for training in (False, True):
            ours.train(training)
            theirs.train(training)
            differences.append((ours(images) - theirs(images)).abs().max().item())
    return max(differences)


@pytest.mark.parametrize("name", tiers(TORCHVISION))
def test_torchvision(name: str) -> None:
    torch.manual_seed(0)
    extra = {"aux_logits": False} if name in WITHOUT_RULE else {}
    theirs = torchvision.models.get_model(name, weights=None, num_classes=7, **WITHOUT_RULE.get(name, {}), **extra)
    ours = with_weights_of(theirs, name, classes=7, img_size=TORCHVISION[name])
    assert largest_difference(ours, without_dropout(theirs), TORCHVISION[name]) <= 1e-4


@pytest.mark.parametrize(
    ("name", "side"), [("googlenet", 96), pytest.param("inception_v3", 299, marks=pytest.mark.long)]
)
def test_torchvision_with_auxiliary_heads(name: str, side: int) -> None:
    torch.manual_seed(0)
    theirs = torchvision.models.get_model(name, weights=None, num_classes=7, init_weights=False, aux_logits=True)
    ours = with_weights_of(theirs, name, classes=7, img_size=side, aux=True).train()
    without_dropout(theirs).train()
    images = torch.randn(2, 3, side, side)
    with torch.no_grad(), auxiliary_logits(ours) as extra:
        logits = ours(images)
        expected = theirs(images)
    torch.testing.assert_close(logits, expected.logits, atol=1e-4, rtol=0)
    others = [value for key, value in expected._asdict().items() if key != "logits"]
    assert len(extra) == len(others) == (2 if name == "googlenet" else 1)
    for ours_extra, theirs_extra in zip(extra, reversed(others), strict=True):  # theirs: last head first
        torch.testing.assert_close(ours_extra, theirs_extra, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", tiers(f"seresnet{depth}" for depth in (18, 34, 50, 101, 152)))
def test_timm_se_resnet(name: str) -> None:
    torch.manual_seed(0)
    # timm rounds the gates of basic blocks up to multiples of 8, the paper does not
    basic = name in ("seresnet18", "seresnet34")
    gates = {"attn_layer": partial(SEModule, rd_divisor=1)} if basic else {"attn_layer": "se"}
    theirs = timm.create_model(name, num_classes=7, block_args=gates, zero_init_last=False)
    assert largest_difference(with_weights_of(theirs, name, classes=7, img_size=64), theirs, 64) <= 1e-4


@pytest.mark.parametrize("name", tiers(TIMM_VIT))
def test_timm_vit(name: str) -> None:
    torch.manual_seed(0)
    theirs = timm.create_model(TIMM_VIT[name], num_classes=7, img_size=64)
    ours = with_weights_of(theirs, name, classes=7, img_size=64)
    assert largest_difference(ours, theirs, 64) <= 1e-4


def test_torchvision_vit_has_the_same_size() -> None:
    with torch.device("meta"):
        theirs = sum(p.numel() for p in torchvision.models.vit_b_16(weights=None).parameters())
        ours = sum(p.numel() for p in build_model("vit_b_16", classes=1000).parameters())
    assert ours == theirs
