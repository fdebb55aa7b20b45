"""DenseNet [Huang, Liu, van der Maaten, Weinberger 2016, "Densely connected convolutional networks",
arXiv:1608.06993].

DenseNet-BC: inside a block every layer reads the maps of all layers before it and adds `growth` maps of its
own; between blocks a transition halves channels and side. Each layer is normalisation, activation, 1x1
convolution to 4 * growth maps, then normalisation, activation, 3x3 convolution. Tensor names are
torchvision's. Departure from the paper: none in the network; weights of convolutions are He's as there.

Small images: below 64 px the stem, a 7x7 convolution of stride 2 and max pooling, becomes a 3x3 convolution
of stride 1 without pooling, so 32 px end as 4x4 maps.

Shapes at 224, growth 32: x (N, channels, 224, 224) -> conv0 112 -> pool0 56 -> denseblock1 (N, 256, 56, 56)
-> transition (N, 128, 28, 28) -> ... -> denseblock4 (N, 1024, 7, 7) -> (N, 1024) -> classes.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from clearsight.models.ablations import ConvDesign
from clearsight.models.arithmetic import same_padding
from clearsight.models.layers import (
    POOLS,
    SMALL,
    SqueezeExcitation,
    activation,
    batch_norm,
    conv,
    dense,
    he_normal,
)
from clearsight.models.published import TorchvisionWeights
from clearsight.models.registry import register

PAPER = "Huang et al. 2016, arXiv:1608.06993"
BOTTLENECK = 4
"""Maps between the two convolutions of a layer, in units of the growth."""


@dataclass(frozen=True)
class DenseNetDesign(ConvDesign):
    """growth: maps each layer adds. width: maps of the stem. kernel: side of the layers' 3x3 filters.

    norm_position: "before" is the paper's normalisation, activation, convolution; "after" swaps the first
    two. se: a gate on the maps each layer adds. dropout: of the maps each layer adds. dropconnect: of the
    last dense layer. downsample: average pooling in the transitions as published, max pooling, or a stride of
    2 in their convolution. memory_efficient: recompute the concatenated maps in the backward pass instead of
    storing them.
    """

    unsupported: ClassVar[dict[str, str]] = {
        "residual": "the layers are connected by concatenation, which cannot be removed"
    }

    growth: int = 32
    kernel: int = 3
    downsample: str = "avgpool"
    memory_efficient: bool = False


PUBLISHED = DenseNetDesign()
WIDE = DenseNetDesign(growth=48, width=96)


class DenseLayer(nn.Module):
    """Reads (N, C, S, S), the maps of all layers before it, and returns its own (N, growth, S, S)."""

    def __init__(self, inputs: int, design: DenseNetDesign) -> None:
        super().__init__()
        inner, k, bias = BOTTLENECK * design.growth, design.kernel, not design.norm
        self.norm_first = design.norm_position == "before"
        self.norm1 = batch_norm(inputs, design=design)
        self.act1 = activation(design.activation, design.slope)
        self.conv1 = conv(inputs, inner, 1, design=design, bias=bias)
        self.norm2 = batch_norm(inner, design=design)
        self.act2 = activation(design.activation, design.slope)
        self.conv2 = conv(inner, design.growth, k, design=design, padding=same_padding(k), bias=bias)
        self.se = SqueezeExcitation(design.growth) if design.se else nn.Identity()
        self.dropout = nn.Dropout(design.dropout)

    def squeeze(self, *earlier: torch.Tensor) -> torch.Tensor:
        """All earlier maps, concatenated and brought down to 4 * growth: the part worth recomputing."""
        x = torch.cat(earlier, 1)
        return self.conv1(self._prepare(x, self.norm1, self.act1))  # type: ignore[no-any-return]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv2(self._prepare(x, self.norm2, self.act2))
        return self.dropout(self.se(x))  # type: ignore[no-any-return]

    def _prepare(self, x: torch.Tensor, norm: nn.Module, act: nn.Module) -> torch.Tensor:
        return act(norm(x)) if self.norm_first else norm(act(x))  # type: ignore[no-any-return]


def _statistics_once(norm: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Contexts of the forward pass and of its repetition, which must not count the batch a second time."""
    return nullcontext(), _without_statistics(norm)


@contextmanager
def _without_statistics(norm: nn.Module) -> Iterator[None]:
    """Let a BatchNorm normalise by its batch without updating its running mean and variance."""
    if not isinstance(norm, nn.BatchNorm2d):
        yield
        return
    momentum, norm.momentum = norm.momentum, 0.0
    batches = norm.num_batches_tracked.clone() if norm.num_batches_tracked is not None else None
    try:
        yield
    finally:
        norm.momentum = momentum
        if batches is not None and norm.num_batches_tracked is not None:
            norm.num_batches_tracked.copy_(batches)


class DenseBlock(nn.ModuleDict):
    """Dense layers named denselayer1, denselayer2, ...; (N, C, S, S) -> (N, C + layers * growth, S, S)."""

    def __init__(self, layers: int, inputs: int, design: DenseNetDesign) -> None:
        super().__init__({f"denselayer{i + 1}": DenseLayer(inputs + i * design.growth, design) for i in range(layers)})
        self.memory_efficient = design.memory_efficient

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = [x]
        for layer in self.values():
            assert isinstance(layer, DenseLayer)
            if self.memory_efficient and torch.is_grad_enabled():
                again = partial(_statistics_once, layer.norm1)
                inner = checkpoint(layer.squeeze, *maps, use_reentrant=False, context_fn=again)
            else:
                inner = layer.squeeze(*maps)
            maps.append(layer(inner))
        return torch.cat(maps, 1)


def _norm_and_act(maps: int, number: str, design: DenseNetDesign) -> OrderedDict[str, nn.Module]:
    """Normalisation and activation in the design's order, under the names norm and act with a number."""
    norm = (f"norm{number}", batch_norm(maps, design=design))
    act = (f"act{number}", activation(design.activation, design.slope))
    return OrderedDict([norm, act] if design.norm_position == "before" else [act, norm])


def _transition(inputs: int, outputs: int, design: DenseNetDesign) -> nn.Sequential:
    """Normalisation, activation, 1x1 convolution, and half the side."""
    layers = _norm_and_act(inputs, "", design)
    stride = 2 if design.downsample == "stride" else 1
    layers["conv"] = conv(inputs, outputs, 1, design=design, stride=stride, bias=not design.norm)
    if design.downsample in POOLS:
        layers["pool"] = POOLS[design.downsample](2)
    return nn.Sequential(layers)


class DenseNet(nn.Module):
    """A stem, dense blocks with transitions between, normalisation, average pooling, one dense layer."""

    def __init__(
        self, blocks: tuple[int, ...], classes: int, channels: int, img_size: int, design: DenseNetDesign
    ) -> None:
        super().__init__()
        small = img_size < SMALL
        maps = design.width
        side, stride = (3, 1) if small else (7, 2)
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        layers["conv0"] = conv(
            channels, maps, side, design=design, stride=stride, padding=side // 2, bias=not design.norm
        )
        layers.update(_norm_and_act(maps, "0", design))
        if not small:
            layers["pool0"] = nn.MaxPool2d(3, 2, 1)
        for i, count in enumerate(blocks, start=1):
            layers[f"denseblock{i}"] = DenseBlock(count, maps, design)
            maps += count * design.growth
            if i < len(blocks):
                layers[f"transition{i}"] = _transition(maps, maps // 2, design)
                maps //= 2
        layers.update(_norm_and_act(maps, "5", design))
        self.features = nn.Sequential(layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = dense(maps, classes, design.dropconnect)
        he_normal(self)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.avgpool(self.features(x))
        return self.classifier(x.flatten(1))  # type: ignore[no-any-return]


def _renamed(key: str) -> str:
    """The published files write `denselayer1.norm.1.weight` where the network has `denselayer1.norm1.weight`."""
    return re.sub(r"(denselayer\d+\.(?:norm|conv))\.(\d)\.", r"\1\2.", key)


VARIANTS = (  # name, layers in each block, design, top1, top5
    ("densenet121", (6, 12, 24, 16), PUBLISHED, 74.434, 91.972),  # 7,978,856 parameters
    ("densenet161", (6, 12, 36, 24), WIDE, 77.138, 93.560),  # 28,681,000
    ("densenet169", (6, 12, 32, 32), PUBLISHED, 75.600, 92.806),  # 14,149,480
    ("densenet201", (6, 12, 48, 32), PUBLISHED, 76.896, 93.370),  # 20,013,928
)

for name, layers, design, top1, top5 in VARIANTS:
    register(
        name=name,
        img_size=224,
        min_size=8,
        year=2016,
        paper=PAPER,
        top1=top1,
        top5=top5,
        design=design,
        weights=TorchvisionWeights(f"{name.replace('densenet', 'DenseNet')}_Weights.IMAGENET1K_V1", renamed=_renamed),
    )(partial(DenseNet, layers))
