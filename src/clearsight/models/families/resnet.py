"""Residual networks for photographs [He, Zhang, Ren, Sun 2015, "Deep residual learning for image
recognition"].

ResNet-18/34 of basic blocks, 50/101/152 of bottlenecks, in torchvision's form (v1.5): a bottleneck's stride
is in its 3x3 convolution where the paper has it in the first 1x1. Shortcuts that widen are 1x1 convolutions
(the paper's option B). `plain18`, `plain34` are the paper's plain networks: the same layers without
shortcuts. `seresnet*` carry squeeze-and-excitation gates [Hu et al. 2018, arXiv:1709.01507] of ratio 16
before each addition; the tensor names are timm's. timm rounds the gates of seresnet18 and seresnet34 up to
multiples of 8 units, here they are the paper's.

Small images: below 64 px the stem, a 7x7 convolution of stride 2 and max pooling, becomes a 3x3 convolution
of stride 1 without pooling, so 32 px end as 4x4 maps.

Shapes at 224: x (N, channels, 224, 224) -> conv1 112 -> maxpool 56 -> layer1 (N, 64 e, 56, 56) -> layer2 (N,
128 e, 28, 28) -> layer3 (N, 256 e, 14, 14) -> layer4 (N, 512 e, 7, 7) -> (N, 512 e) -> classes, with e = 1 in
basic blocks, 4 in bottlenecks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import nn

from clearsight.errors import ModelError
from clearsight.models.ablations import ConvDesign
from clearsight.models.arithmetic import same_padding
from clearsight.models.layers import (
    POOLS,
    SMALL,
    ConvNormAct,
    SqueezeExcitation,
    activation,
    batch_norm,
    conv,
    dense,
    he_normal,
)
from clearsight.models.published import TimmWeights, TorchvisionWeights
from clearsight.models.registry import register

PAPER = "He et al. 2015, arXiv:1512.03385"
SE_PAPER = "Hu et al. 2018, arXiv:1709.01507"


@dataclass(frozen=True)
class BlockDesign(ConvDesign):
    """residual: shortcuts around the blocks. kernel: side of the blocks' 3x3 filters.

    norm_position "after" puts each normalisation behind its activation, and then the sum has no activation of
    its own. downsample: convolutions of stride 2, or 2x2 pooling, maxpool or avgpool, in front of a stage's first
    block. zero_init: the last normalisation of each block starts with a scale of zero, so that every block starts as
    its shortcut [Goyal et al. 2017, arXiv:1706.02677, section 5.1]. dropout, dropconnect: of the units before and the
    weights of the last dense layer.
    """

    unsupported: ClassVar[dict[str, str]] = {}

    residual: bool = True
    kernel: int = 3
    downsample: str = "stride"
    zero_init: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.zero_init and not (self.residual and self.norm):
            raise ModelError(
                "zero_init needs shortcuts and normalisation: it sets the scale of the last normalisation "
                "in every block to 0, so that the block starts as its shortcut",
                found=f"residual={self.residual}, norm={self.norm}",
                fix="omit zero_init, or keep shortcuts and normalisation",
            )


@dataclass(frozen=True)
class ResNetDesign(BlockDesign):
    """stem: one 7x7 convolution of stride 2, or three of 3x3, the first of stride 2, the first two of half the width
    [He et al. 2018, arXiv:1812.01187, "ResNet-C"]; of small images 3x3 of stride 1, or three of these.
    """

    stem: str = "7x7"


RESIDUAL = ResNetDesign()
PLAIN = ResNetDesign(residual=False)
WITH_GATES = ResNetDesign(se=True)


class Block(nn.Module):
    """What basic blocks and bottlenecks share: pooling, the order of layers, the gate, the shortcut.

    downsample: the layer on the shortcut where the shape changes, None where it does not.
    """

    expansion = 1
    downsample: nn.Module | None

    def __init__(self, inputs: int, outputs: int, stride: int, design: BlockDesign) -> None:
        super().__init__()
        pooled = stride > 1 and design.downsample in POOLS
        self.pool = POOLS[design.downsample](stride, ceil_mode=True) if pooled else nn.Identity()
        self.stride = 1 if pooled else stride
        self.norm_first = design.norm_position == "before"
        self.residual = design.residual
        self.downsample = None
        if design.residual and (stride > 1 or inputs != outputs):
            self.downsample = self.shortcut(inputs, outputs, design)

    def shortcut(self, inputs: int, outputs: int, design: BlockDesign) -> nn.Module:
        """The layer that fits the input to the output: a 1x1 convolution, the paper's option B."""
        projection = conv(inputs, outputs, 1, design=design, stride=self.stride, bias=not design.norm)
        return nn.Sequential(projection, batch_norm(outputs, design=design))

    def unit(self, x: torch.Tensor, conv: nn.Module, bn: nn.Module, act: nn.Module) -> torch.Tensor:
        """Convolution, normalisation and activation in the design's order."""
        x = conv(x)
        return act(bn(x)) if self.norm_first else bn(act(x))  # type: ignore[no-any-return]

    @property
    def last(self) -> tuple[nn.Module, nn.Module]:
        """The last normalisation and activation."""
        raise NotImplementedError

    def shortcut_alone(self, x: torch.Tensor) -> torch.Tensor:
        """What the block makes of x where its residual branch gives out zeros."""
        x = self.pool(x)
        kept: torch.Tensor = x if self.downsample is None else self.downsample(x)
        return self.last[1](kept) if self.norm_first else kept

    def join(
        self, x: torch.Tensor, y: torch.Tensor, conv: nn.Module, bn: nn.Module, act: nn.Module, se: nn.Module
    ) -> torch.Tensor:
        """The last unit of a block applied to y, the gate, and the shortcut from the block's input x."""
        y = conv(y)
        y = se(bn(y) if self.norm_first else bn(act(y)))
        if self.residual:
            y = y + (x if self.downsample is None else self.downsample(x))
        return act(y) if self.norm_first else y


class BasicBlock(Block):
    """Two 3x3 convolutions and a shortcut around both."""

    def __init__(self, inputs: int, width: int, stride: int, design: BlockDesign) -> None:
        super().__init__(inputs, width, stride, design)
        k, z = design.kernel, same_padding(design.kernel)
        bias = not design.norm
        self.conv1 = conv(inputs, width, k, design=design, stride=self.stride, padding=z, bias=bias)
        self.bn1 = batch_norm(width, design=design)
        self.act1 = activation(design.activation, design.slope)
        self.conv2 = conv(width, width, k, design=design, padding=z, bias=bias)
        self.bn2 = batch_norm(width, design=design)
        self.se = SqueezeExcitation(width) if design.se else nn.Identity()
        self.act2 = activation(design.activation, design.slope)

    @property
    def last(self) -> tuple[nn.Module, nn.Module]:
        return self.bn2, self.act2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(x)
        y = self.unit(x, self.conv1, self.bn1, self.act1)
        return self.join(x, y, self.conv2, self.bn2, self.act2, self.se)


class Bottleneck(Block):
    """1x1 down to `width`, 3x3, 1x1 up to four times `width`, and a shortcut around the three."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int, design: BlockDesign) -> None:
        outputs = width * self.expansion
        super().__init__(inputs, outputs, stride, design)
        k, z = design.kernel, same_padding(design.kernel)
        bias = not design.norm
        self.conv1 = conv(inputs, width, 1, design=design, bias=bias)
        self.bn1 = batch_norm(width, design=design)
        self.act1 = activation(design.activation, design.slope)
        self.conv2 = conv(width, width, k, design=design, stride=self.stride, padding=z, bias=bias)
        self.bn2 = batch_norm(width, design=design)
        self.act2 = activation(design.activation, design.slope)
        self.conv3 = conv(width, outputs, 1, design=design, bias=bias)
        self.bn3 = batch_norm(outputs, design=design)
        self.se = SqueezeExcitation(outputs) if design.se else nn.Identity()
        self.act3 = activation(design.activation, design.slope)

    @property
    def last(self) -> tuple[nn.Module, nn.Module]:
        return self.bn3, self.act3

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(x)
        y = self.unit(x, self.conv1, self.bn1, self.act1)
        y = self.unit(y, self.conv2, self.bn2, self.act2)
        return self.join(x, y, self.conv3, self.bn3, self.act3, self.se)


def stage(block: type[Block], inputs: int, width: int, blocks: int, stride: int, design: BlockDesign) -> nn.Sequential:
    """`blocks` blocks in a row, the first with the stride."""
    outputs = width * block.expansion
    return nn.Sequential(
        block(inputs, width, stride, design), *(block(outputs, width, 1, design) for _ in range(blocks - 1))
    )


def start_as_shortcuts(network: nn.Module, design: BlockDesign) -> None:
    """Set the scale of every block's last normalisation to zero, where the design asks for it."""
    for block in network.modules():
        if design.zero_init and isinstance(block, Block):
            norm = block.last[0]
            assert isinstance(norm, nn.BatchNorm2d)
            nn.init.zeros_(norm.weight)


def _stem(channels: int, side: int, stride: int, design: ResNetDesign) -> nn.Module:
    """The first convolution, or three of 3x3 instead; the last one's normalisation stands in the network."""
    bias, w = not design.norm, design.width
    if design.stem == "7x7":
        return conv(channels, w, side, design=design, stride=stride, padding=same_padding(side), bias=bias)
    half = max(1, w // 2)
    return nn.Sequential(
        ConvNormAct(channels, half, 3, design=design, stride=stride, padding=1, eps=1e-5),
        ConvNormAct(half, half, 3, design=design, padding=1, eps=1e-5),
        conv(half, w, 3, design=design, padding=1, bias=bias),
    )


class ResNet(nn.Module):
    """A stem, four stages, global average pooling and one dense layer."""

    def __init__(
        self,
        block: type[Block],
        blocks: Sequence[int],
        classes: int,
        channels: int,
        img_size: int,
        design: ResNetDesign,
    ) -> None:
        super().__init__()
        small = img_size < SMALL
        w, e = design.width, block.expansion
        side, stride = (3, 1) if small else (7, 2)
        self.norm_first = design.norm_position == "before"
        self.conv1 = _stem(channels, side, stride, design)
        self.bn1 = batch_norm(w, design=design)
        self.act1 = activation(design.activation, design.slope)
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, 2, 1)
        self.layer1 = stage(block, w, w, blocks[0], 1, design)
        self.layer2 = stage(block, w * e, 2 * w, blocks[1], 2, design)
        self.layer3 = stage(block, 2 * w * e, 4 * w, blocks[2], 2, design)
        self.layer4 = stage(block, 4 * w * e, 8 * w, blocks[3], 2, design)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(design.dropout)
        self.fc = dense(8 * w * e, classes, design.dropconnect)
        he_normal(self)
        start_as_shortcuts(self, design)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv1(x)
        x = self.act1(self.bn1(x)) if self.norm_first else self.bn1(self.act1(x))
        x = self.layer2(self.layer1(self.maxpool(x)))
        x = self.avgpool(self.layer4(self.layer3(x)))
        return self.fc(self.dropout(x.flatten(1)))  # type: ignore[no-any-return]


VARIANTS = (  # name, blocks in each stage, top1, top5
    ("resnet18", BasicBlock, (2, 2, 2, 2), 69.758, 89.078),  # 11,689,512 parameters
    ("resnet34", BasicBlock, (3, 4, 6, 3), 73.314, 91.420),  # 21,797,672
    ("resnet50", Bottleneck, (3, 4, 6, 3), 76.130, 92.862),  # 25,557,032
    ("resnet101", Bottleneck, (3, 4, 23, 3), 77.374, 93.546),  # 44,549,160
    ("resnet152", Bottleneck, (3, 8, 36, 3), 78.312, 94.046),  # 60,192,808
)

for name, block, blocks, top1, top5 in VARIANTS:
    register(
        name=name,
        img_size=224,
        min_size=4,
        year=2015,
        paper=PAPER,
        top1=top1,
        top5=top5,
        design=RESIDUAL,
        weights=TorchvisionWeights(f"{name.replace('resnet', 'ResNet')}_Weights.IMAGENET1K_V1"),
    )(partial(ResNet, block, blocks))

PLAIN_VARIANTS = (  # the same without shortcuts: name, blocks in each stage, table of the paper, top1, top5
    ("plain18", (2, 2, 2, 2), "table 2", 72.06, None),
    ("plain34", (3, 4, 6, 3), "table 3", 71.46, 89.98),
)

for name, blocks, table, top1, top5_or_none in PLAIN_VARIANTS:
    register(
        name=name,
        img_size=224,
        min_size=4,
        year=2015,
        paper=f"{PAPER}, {table} (10 crops)",
        top1=top1,
        top5=top5_or_none,
        design=PLAIN,
    )(partial(ResNet, BasicBlock, blocks))

SE_VARIANTS = (  # the same with gates: name, blocks in each stage, top1, top5; the accuracies are timm's
    ("seresnet18", BasicBlock, (2, 2, 2, 2), 71.742, 90.340),  # 11,778,592 parameters; timm's legacy_seresnet18
    ("seresnet34", BasicBlock, (3, 4, 6, 3), 74.788, 92.134),  # 21,958,868; legacy_seresnet34
    ("seresnet50", Bottleneck, (3, 4, 6, 3), 80.260, 95.068),  # 28,088,024; SE_WEIGHTS; the paper: 76.71 and 93.38
    ("seresnet101", Bottleneck, (3, 4, 23, 3), 78.370, 94.264),  # 49,326,872; legacy_seresnet101
    ("seresnet152", Bottleneck, (3, 8, 36, 3), 78.662, 94.370),  # 66,821,848; legacy_seresnet152
)
SE_WEIGHTS = {"seresnet50": TimmWeights("seresnet50.ra2_in1k")}

for name, block, blocks, top1, top5 in SE_VARIANTS:
    register(
        name=name,
        img_size=224,
        min_size=4,
        year=2017,
        paper=SE_PAPER,
        top1=top1,
        top5=top5,
        design=WITH_GATES,
        weights=SE_WEIGHTS.get(name),
    )(partial(ResNet, block, blocks))
