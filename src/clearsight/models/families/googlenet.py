"""GoogLeNet, Inception v1 [Szegedy et al. 2014, "Going deeper with convolutions", arXiv:1409.4842].

Nine modules of parallel 1x1, 3x3, "5x5" and pooling branches, with 1x1 convolutions that squeeze the input
first, and two auxiliary classifiers for training (aux=True; `models.layers.auxiliary_logits` reads them). In
torchvision's form, which departs from the paper: the "5x5" branch has 3x3 filters (an old slip that the
published weights keep), every convolution has batch normalisation and no bias, local response normalisation
is gone, pooling in the auxiliary heads is adaptive to 4x4, and their dropout is 0.7 in the paper's place
before the last layer. Without auxiliary heads 6,624,904 parameters, with them 13,004,888. The published
weights were trained on pixels in [-1, 1].

Small images: below 64 px the first convolution, 7x7 of stride 2, becomes 3x3 of stride 1 and the first
pooling is left out, so 32 px end as 4x4 maps; a pooling that finds a map below 4 px is left out.

Shapes at 224: x (N, channels, 224, 224) -> conv1 112 -> 56 -> conv3 (N, 192, 56, 56) -> 28 -> inception3b (N,
480, 28, 28) -> 14 -> inception4e (N, 832, 14, 14) -> 7 -> inception5b (N, 1024, 7, 7) -> (N, 1024) ->
classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from clearsight.models.ablations import ConvDesign, with_maxout
from clearsight.models.arithmetic import output_size, same_padding
from clearsight.models.layers import (
    SMALL,
    AuxiliaryClassifier,
    ConvNormAct,
    SqueezeExcitation,
    activation,
    dense,
    he_normal,
    pieces,
)
from clearsight.models.published import PLUS_MINUS_ONE, TorchvisionWeights
from clearsight.models.registry import register

PAPER = "Szegedy et al. 2014, arXiv:1409.4842"


@dataclass(frozen=True)
class GoogLeNetDesign(ConvDesign):
    """aux: two auxiliary classifiers. se: a gate after each module. dropout, dropconnect: at the last dense
    layer.
    """

    rules = with_maxout()
    unsupported: ClassVar[dict[str, str]] = {
        "residual": "its modules change the number of maps",
        "kernel": "filters of several sizes side by side are its idea",
        "downsample": "its stages end in parallel branches, none of which could take the stride",
    }

    dropout: float = 0.2
    aux: bool = False


class Inception(nn.Module):
    """Branches side by side: 1x1; 1x1, 3x3; 1x1, 3x3; pooling, 1x1. (N, inputs, S, S) -> (N, outputs, S, S).

    widths: filters of branch 1, the two layers of branch 2, the two of branch 3, and branch 4, as in table 1.
    """

    def __init__(self, inputs: int, widths: tuple[int, int, int, int, int, int], design: GoogLeNetDesign) -> None:
        super().__init__()
        one, squeeze3, three, squeeze5, five, pooled = (design.scaled(w, 64) for w in widths)
        self.outputs = one + three + five + pooled
        self.branch1 = ConvNormAct(inputs, one, 1, design=design)
        self.branch2 = nn.Sequential(
            ConvNormAct(inputs, squeeze3, 1, design=design),
            ConvNormAct(squeeze3, three, 3, design=design, padding=1),
        )
        self.branch3 = nn.Sequential(
            ConvNormAct(inputs, squeeze5, 1, design=design),
            ConvNormAct(squeeze5, five, 3, design=design, padding=1),
        )
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(3, 1, 1, ceil_mode=True), ConvNormAct(inputs, pooled, 1, design=design)
        )
        self.se = SqueezeExcitation(self.outputs) if design.se else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        branches = (self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x))
        return self.se(torch.cat(branches, 1))  # type: ignore[no-any-return]


class AuxiliaryHead(AuxiliaryClassifier):
    """Pooling to 4x4, a 1x1 convolution, two dense layers: (N, inputs, S, S) -> (N, classes)."""

    def __init__(self, inputs: int, classes: int, design: GoogLeNetDesign) -> None:
        super().__init__()
        maps, units = design.scaled(128, 64), design.scaled(1024, 64)
        self.pool = nn.AdaptiveAvgPool2d(4)
        self.conv = ConvNormAct(inputs, maps, 1, design=design)
        self.fc1 = nn.Linear(maps * 16, units * pieces(design.activation))
        self.act = activation(design.activation)
        self.dropout = nn.Dropout(0.7)
        self.fc2 = nn.Linear(units, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(self.pool(x)).flatten(1)  # (N, 128 * 4 * 4)
        return self.fc2(self.dropout(self.act(self.fc1(x))))  # type: ignore[no-any-return]


class GoogLeNet(nn.Module):
    """Three convolutions, nine inception modules, global average pooling, one dense layer."""

    aux1: AuxiliaryHead | None
    aux2: AuxiliaryHead | None

    def __init__(self, classes: int, channels: int, img_size: int, design: GoogLeNetDesign) -> None:
        super().__init__()
        w, small = design.width, img_size < SMALL
        side, stride = (3, 1) if small else (7, 2)
        padding = same_padding(side)
        self.conv1 = ConvNormAct(channels, w, side, design=design, stride=stride, padding=padding)
        at = output_size(img_size, side, stride=stride, padding=padding, rounding="down")
        self.maxpool1, at = (nn.Identity(), at) if small else _pool(3, at)
        self.conv2 = ConvNormAct(w, w, 1, design=design)
        self.conv3 = ConvNormAct(w, 3 * w, 3, design=design, padding=1)
        self.maxpool2, at = _pool(3, at)
        self.inception3a = Inception(3 * w, (64, 96, 128, 16, 32, 32), design)
        self.inception3b = Inception(self.inception3a.outputs, (128, 128, 192, 32, 96, 64), design)
        self.maxpool3, at = _pool(3, at)
        self.inception4a = Inception(self.inception3b.outputs, (192, 96, 208, 16, 48, 64), design)
        self.inception4b = Inception(self.inception4a.outputs, (160, 112, 224, 24, 64, 64), design)
        self.inception4c = Inception(self.inception4b.outputs, (128, 128, 256, 24, 64, 64), design)
        self.inception4d = Inception(self.inception4c.outputs, (112, 144, 288, 32, 64, 64), design)
        self.inception4e = Inception(self.inception4d.outputs, (256, 160, 320, 32, 128, 128), design)
        self.maxpool4, at = _pool(2, at)
        self.inception5a = Inception(self.inception4e.outputs, (256, 160, 320, 32, 128, 128), design)
        self.inception5b = Inception(self.inception5a.outputs, (384, 192, 384, 48, 128, 128), design)
        self.aux1 = AuxiliaryHead(self.inception4a.outputs, classes, design) if design.aux else None
        self.aux2 = AuxiliaryHead(self.inception4d.outputs, classes, design) if design.aux else None
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(design.dropout)
        self.fc = dense(self.inception5b.outputs, classes, design.dropconnect)
        he_normal(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.maxpool1(self.conv1(x))
        x = self.maxpool2(self.conv3(self.conv2(x)))
        x = self.maxpool3(self.inception3b(self.inception3a(x)))
        x = self.inception4a(x)
        if self.training and self.aux1 is not None:
            self.aux1(x)  # read by auxiliary_logits
        x = self.inception4d(self.inception4c(self.inception4b(x)))
        if self.training and self.aux2 is not None:
            self.aux2(x)
        x = self.maxpool4(self.inception4e(x))
        x = self.avgpool(self.inception5b(self.inception5a(x)))
        return self.fc(self.dropout(x.flatten(1)))  # type: ignore[no-any-return]


def _pool(window: int, side: int) -> tuple[nn.Module, int]:
    """Max pooling of stride 2, left out below 4 px; and the side of the map behind it."""
    if side < 4:
        return nn.Identity(), side
    return nn.MaxPool2d(window, 2, ceil_mode=True), output_size(side, window, stride=2, rounding="up")


WEIGHTS = TorchvisionWeights("GoogLeNet_Weights.IMAGENET1K_V1", mean=PLUS_MINUS_ONE[0], std=PLUS_MINUS_ONE[1])
"""torchvision's `transform_input` turns ImageNet-normalised pixels into [-1, 1]; mean and deviation of 0.5 do the same.
The file holds auxiliary heads too, which were never trained.
"""


@register(
    img_size=224,
    min_size=1,
    year=2014,
    paper=PAPER,
    top1=69.778,
    top5=89.530,
    design=GoogLeNetDesign(),
    weights=WEIGHTS,
)
def googlenet(*, classes: int, channels: int, img_size: int, design: GoogLeNetDesign) -> nn.Module:
    """Inception v1 in torchvision's form."""
    return GoogLeNet(classes, channels, img_size, design)
