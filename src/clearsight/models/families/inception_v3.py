"""Inception v3 [Szegedy, Vanhoucke, Ioffe, Shlens, Wojna 2015, "Rethinking the Inception architecture for
computer vision", arXiv:1512.00567].

Large filters are factorised: 5x5 into two 3x3 in the stem, nxn into 1xn and nx1 (n = 7 on the 17x17 maps, 3
on the 8x8 maps), and maps shrink in modules whose convolutions and pooling run side by side. One auxiliary
classifier with batch normalisation for training (aux=True; `models.layers.auxiliary_logits` reads it). In
torchvision's form with its tensor names, which keeps a 5x5 branch in the 35x35 modules, as the authors'
released network does. 27,161,264 parameters with the auxiliary head, 23,834,568 without. The published
weights were trained on pixels in [-1, 1].

Small images: below 75 px, the least the published layout survives, the first convolution has stride 1, the
first pooling is left out and the stem's convolutions are padded, so 32 px give 15x15, 7x7 and 3x3 maps in the
three stages.

Shapes at 299: x (N, channels, 299, 299) -> 149 -> 147 -> 147 -> pool 73 -> 71 -> pool 35 -> Mixed_5d (N, 288,
35, 35) -> Mixed_6e (N, 768, 17, 17) -> Mixed_7c (N, 2048, 8, 8) -> (N, 2048) -> classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import nn

from clearsight.models.ablations import POOLED, ConvDesign, with_maxout
from clearsight.models.arithmetic import output_size
from clearsight.models.layers import POOLS, AuxiliaryClassifier, ConvNormAct, SqueezeExcitation, dense, he_normal
from clearsight.models.published import PLUS_MINUS_ONE, TorchvisionWeights
from clearsight.models.registry import register

PAPER = "Szegedy et al. 2015, arXiv:1512.00567"
SMALLEST_PUBLISHED = 75


@dataclass(frozen=True)
class InceptionV3Design(ConvDesign):
    """aux: the auxiliary classifier. se: a gate after each module. dropout, dropconnect: at the last dense
    layer. downsample: max pooling where maps shrink, as published, or average pooling; the modules' strided
    convolutions beside it stay.
    """

    rules = with_maxout() | POOLED
    unsupported: ClassVar[dict[str, str]] = {
        "residual": "the modules change the number of feature maps",
        "kernel": "the network is defined by parallel filters of several sizes and shapes",
    }

    width: int = 32
    dropout: float = 0.5
    aux: bool = False
    downsample: str = "maxpool"


class Mixed(nn.Module):
    """Base of the modules: joins branches, applies the gate. (N, inputs, S, S) -> (N, outputs, S', S')."""

    def __init__(self, outputs: int, design: InceptionV3Design) -> None:
        super().__init__()
        self.outputs = outputs
        self.se = SqueezeExcitation(outputs) if design.se else nn.Identity()

    def join(self, *branches: torch.Tensor) -> torch.Tensor:
        return self.se(torch.cat(branches, 1))  # type: ignore[no-any-return]


class InceptionA(Mixed):
    """Figure 5, 35x35 maps: 1x1; 1x1 and 5x5; 1x1 and two 3x3; average pooling and 1x1."""

    def __init__(self, inputs: int, pooled: int, design: InceptionV3Design) -> None:
        w = partial(design.scaled, base=32)
        super().__init__(w(64) + w(64) + w(96) + w(pooled), design)
        conv = partial(ConvNormAct, design=design)
        self.branch1x1 = conv(inputs, w(64), 1)
        self.branch5x5_1 = conv(inputs, w(48), 1)
        self.branch5x5_2 = conv(w(48), w(64), 5, padding=2)
        self.branch3x3dbl_1 = conv(inputs, w(64), 1)
        self.branch3x3dbl_2 = conv(w(64), w(96), 3, padding=1)
        self.branch3x3dbl_3 = conv(w(96), w(96), 3, padding=1)
        self.pool = nn.AvgPool2d(3, 1, 1)
        self.branch_pool = conv(inputs, w(pooled), 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.join(
            self.branch1x1(x),
            self.branch5x5_2(self.branch5x5_1(x)),
            self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x))),
            self.branch_pool(self.pool(x)),
        )


class InceptionB(Mixed):
    """Figure 10, from 35x35 to 17x17 maps: 3x3 of stride 2; 1x1, 3x3 and 3x3 of stride 2; max pooling."""

    def __init__(self, inputs: int, design: InceptionV3Design) -> None:
        w = partial(design.scaled, base=32)
        super().__init__(w(384) + w(96) + inputs, design)
        conv = partial(ConvNormAct, design=design)
        self.branch3x3 = conv(inputs, w(384), 3, stride=2)
        self.branch3x3dbl_1 = conv(inputs, w(64), 1)
        self.branch3x3dbl_2 = conv(w(64), w(96), 3, padding=1)
        self.branch3x3dbl_3 = conv(w(96), w(96), 3, stride=2)
        self.pool = POOLS[design.downsample](3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.join(
            self.branch3x3(x),
            self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x))),
            self.pool(x),
        )


class InceptionC(Mixed):
    """Figure 6, 17x17 maps: 7x7 as 1x7 and 7x1, once and twice. inner: width inside the branches."""

    def __init__(self, inputs: int, inner: int, design: InceptionV3Design) -> None:
        w = partial(design.scaled, base=32)
        super().__init__(4 * w(192), design)
        conv = partial(ConvNormAct, design=design)
        k, out = w(inner), w(192)
        self.branch1x1 = conv(inputs, out, 1)
        self.branch7x7_1 = conv(inputs, k, 1)
        self.branch7x7_2 = conv(k, k, (1, 7), padding=(0, 3))
        self.branch7x7_3 = conv(k, out, (7, 1), padding=(3, 0))
        self.branch7x7dbl_1 = conv(inputs, k, 1)
        self.branch7x7dbl_2 = conv(k, k, (7, 1), padding=(3, 0))
        self.branch7x7dbl_3 = conv(k, k, (1, 7), padding=(0, 3))
        self.branch7x7dbl_4 = conv(k, k, (7, 1), padding=(3, 0))
        self.branch7x7dbl_5 = conv(k, out, (1, 7), padding=(0, 3))
        self.pool = nn.AvgPool2d(3, 1, 1)
        self.branch_pool = conv(inputs, out, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        twice = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        return self.join(
            self.branch1x1(x),
            self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x))),
            self.branch7x7dbl_5(self.branch7x7dbl_4(twice)),
            self.branch_pool(self.pool(x)),
        )


class InceptionD(Mixed):
    """From 17x17 to 8x8 maps: 1x1 and 3x3 of stride 2; 1x1, 1x7, 7x1 and 3x3 of stride 2; max pooling."""

    def __init__(self, inputs: int, design: InceptionV3Design) -> None:
        w = partial(design.scaled, base=32)
        super().__init__(w(320) + w(192) + inputs, design)
        conv = partial(ConvNormAct, design=design)
        self.branch3x3_1 = conv(inputs, w(192), 1)
        self.branch3x3_2 = conv(w(192), w(320), 3, stride=2)
        self.branch7x7x3_1 = conv(inputs, w(192), 1)
        self.branch7x7x3_2 = conv(w(192), w(192), (1, 7), padding=(0, 3))
        self.branch7x7x3_3 = conv(w(192), w(192), (7, 1), padding=(3, 0))
        self.branch7x7x3_4 = conv(w(192), w(192), 3, stride=2)
        self.pool = POOLS[design.downsample](3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seven = self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x)))
        return self.join(self.branch3x3_2(self.branch3x3_1(x)), self.branch7x7x3_4(seven), self.pool(x))


class InceptionE(Mixed):
    """Figure 7, 8x8 maps: the last 3x3 of two branches split into 1x3 beside 3x1."""

    def __init__(self, inputs: int, design: InceptionV3Design) -> None:
        w = partial(design.scaled, base=32)
        super().__init__(w(320) + 4 * w(384) + w(192), design)
        conv = partial(ConvNormAct, design=design)
        self.branch1x1 = conv(inputs, w(320), 1)
        self.branch3x3_1 = conv(inputs, w(384), 1)
        self.branch3x3_2a = conv(w(384), w(384), (1, 3), padding=(0, 1))
        self.branch3x3_2b = conv(w(384), w(384), (3, 1), padding=(1, 0))
        self.branch3x3dbl_1 = conv(inputs, w(448), 1)
        self.branch3x3dbl_2 = conv(w(448), w(384), 3, padding=1)
        self.branch3x3dbl_3a = conv(w(384), w(384), (1, 3), padding=(0, 1))
        self.branch3x3dbl_3b = conv(w(384), w(384), (3, 1), padding=(1, 0))
        self.pool = nn.AvgPool2d(3, 1, 1)
        self.branch_pool = conv(inputs, w(192), 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        once = self.branch3x3_1(x)
        twice = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        return self.join(
            self.branch1x1(x),
            self.branch3x3_2a(once),
            self.branch3x3_2b(once),
            self.branch3x3dbl_3a(twice),
            self.branch3x3dbl_3b(twice),
            self.branch_pool(self.pool(x)),
        )


class AuxiliaryHead(AuxiliaryClassifier):
    """Pooling, 1x1 and 5x5 convolutions, one dense layer: (N, inputs, side, side) -> (N, classes).

    The published pooling makes 5x5 of 17x17 maps; smaller maps are pooled to 5x5 whatever their side.
    """

    def __init__(self, inputs: int, classes: int, side: int, design: InceptionV3Design) -> None:
        super().__init__()
        maps, units = design.scaled(128, 32), design.scaled(768, 32)
        self.pool = nn.AvgPool2d(5, 3) if side >= 17 else nn.AdaptiveAvgPool2d(5)
        self.conv0 = ConvNormAct(inputs, maps, 1, design=design)
        self.conv1 = ConvNormAct(maps, units, 5, design=design)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(units, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.avgpool(self.conv1(self.conv0(self.pool(x))))
        return self.fc(x.flatten(1))  # type: ignore[no-any-return]


class InceptionV3(nn.Module):
    """A stem of five convolutions, eleven mixed modules, global average pooling, one dense layer."""

    AuxLogits: AuxiliaryHead | None

    def __init__(self, classes: int, channels: int, img_size: int, design: InceptionV3Design) -> None:
        super().__init__()
        w, small = partial(design.scaled, base=32), img_size < SMALLEST_PUBLISHED
        z, stride = (1, 1) if small else (0, 2)
        conv = partial(ConvNormAct, design=design)
        self.Conv2d_1a_3x3 = conv(channels, w(32), 3, stride=stride, padding=z)
        self.Conv2d_2a_3x3 = conv(w(32), w(32), 3, padding=z)
        self.Conv2d_2b_3x3 = conv(w(32), w(64), 3, padding=1)
        self.maxpool1 = nn.Identity() if small else POOLS[design.downsample](3, 2)
        self.Conv2d_3b_1x1 = conv(w(64), w(80), 1)
        self.Conv2d_4a_3x3 = conv(w(80), w(192), 3, padding=z)
        self.maxpool2 = POOLS[design.downsample](3, 2)
        self.Mixed_5b = InceptionA(w(192), 32, design)
        self.Mixed_5c = InceptionA(self.Mixed_5b.outputs, 64, design)
        self.Mixed_5d = InceptionA(self.Mixed_5c.outputs, 64, design)
        self.Mixed_6a = InceptionB(self.Mixed_5d.outputs, design)
        self.Mixed_6b = InceptionC(self.Mixed_6a.outputs, 128, design)
        self.Mixed_6c = InceptionC(self.Mixed_6b.outputs, 160, design)
        self.Mixed_6d = InceptionC(self.Mixed_6c.outputs, 160, design)
        self.Mixed_6e = InceptionC(self.Mixed_6d.outputs, 192, design)
        self.AuxLogits = None
        if design.aux:
            self.AuxLogits = AuxiliaryHead(self.Mixed_6e.outputs, classes, _middle_side(img_size), design)
        self.Mixed_7a = InceptionD(self.Mixed_6e.outputs, design)
        self.Mixed_7b = InceptionE(self.Mixed_7a.outputs, design)
        self.Mixed_7c = InceptionE(self.Mixed_7b.outputs, design)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(design.dropout)
        self.fc = dense(self.Mixed_7c.outputs, classes, design.dropconnect)
        he_normal(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(self.maxpool1(x)))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(self.maxpool2(x))))
        x = self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))
        x = self.Mixed_6e(self.Mixed_6d(x))
        if self.training and self.AuxLogits is not None:
            self.AuxLogits(x)  # read by auxiliary_logits
        x = self.avgpool(self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x))))
        return self.fc(self.dropout(x.flatten(1)))  # type: ignore[no-any-return]


def _middle_side(img_size: int) -> int:
    """Side of the maps in the Mixed_6 modules, 17 for images of 299 px."""
    small = img_size < SMALLEST_PUBLISHED
    z, stride = (1, 1) if small else (0, 2)
    steps = [(stride, z), (1, z), (1, 1)] + ([] if small else [(2, 0)]) + [(1, z), (2, 0), (2, 0)]
    side = img_size
    for step, padding in steps:  # every filter and window is 3 px wide
        side = output_size(side, 3, stride=step, padding=padding, rounding="down")
    return side


WEIGHTS = TorchvisionWeights(
    "Inception_V3_Weights.IMAGENET1K_V1", img_size=299, mean=PLUS_MINUS_ONE[0], std=PLUS_MINUS_ONE[1]
)
"""Pixels in [-1, 1] take the place of torchvision's `transform_input`. The file holds an auxiliary head too."""


@register(
    img_size=299,
    min_size=15,
    year=2015,
    paper=PAPER,
    top1=77.294,
    top5=93.450,
    design=InceptionV3Design(),
    weights=WEIGHTS,
)
def inception_v3(*, classes: int, channels: int, img_size: int, design: InceptionV3Design) -> nn.Module:
    """Inception v3 in torchvision's form."""
    return InceptionV3(classes, channels, img_size, design)
