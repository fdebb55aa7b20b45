"""GoogLeNet, Inception v1 [Szegedy et al. 2014, "Going deeper with convolutions", arXiv:1409.4842].

Nine modules of parallel 1x1, 3x3, "5x5" and pooling branches, with 1x1 convolutions that squeeze the input
first, and two auxiliary classifiers for training (aux=True; `models.layers.auxiliary_logits` reads them). In
torchvision's form, which departs from the paper: the "5x5" branch has 3x3 filters (an old slip that the
published weights keep), every convolution has batch normalisation and no bias, local response normalisation
is gone, pooling in the auxiliary heads is adaptive to 4x4, and their dropout is 0.7 in the paper's place
before the last layer. Without auxiliary heads 6,624,904 parameters, with them 13,004,888. The published
weights were trained on pixels in [-1, 1].

`googlenet_original` is the paper's own form: 5x5 filters in the third branch, local response normalisation, biases and
no batch normalisation, average pooling of 5x5 with stride 3 in the auxiliary heads (aux=True), 3x3 in every pooling,
dropout 0.4. 6,998,552 parameters follow from the widths of the paper's table 1, 13,378,280 with the auxiliary heads.
The column of parameters in that table (thousands are 1,024, biases left out) agrees within 1 K for conv2, the modules
3a, 3b and 4b and the last layer; it has other numbers for the first convolution (2.7 K, where 7*7*3*64 weights are
9.2 K) and for 4a, 4c to 5b (364 K for 4a, where its own widths make 367 K), and we follow the widths, as Caffe's form
did. The paper leaves local response normalisation's numbers out: they are AlexNet's, but for a k of 1, as in Caffe's.
Weights are drawn after He, where the paper does not say how.

`reduce=false` builds the naive module (figure 2a): 3x3 and 5x5 filters see all maps of the input, and the pooling
branch hands all of them on, so that the number of maps grows from module to module.

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

from clearsight.models.ablations import POOLED, ConvDesign, with_maxout
from clearsight.models.arithmetic import output_size, same_padding
from clearsight.models.layers import (
    POOLS,
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
    layer. original: the paper's filters, pooling and local response normalisation where torchvision's form departs from
    them. reduce: 1x1 convolutions in front of the larger filters and behind the pooling; without them the module is the
    naive one. downsample: max or average pooling where maps shrink.
    """

    rules = with_maxout() | POOLED
    unsupported: ClassVar[dict[str, str]] = {
        "residual": "the modules change the number of feature maps",
        "kernel": "the network is defined by parallel filters of several sizes",
    }

    dropout: float = 0.2
    aux: bool = False
    original: bool = False
    reduce: bool = True
    downsample: str = "maxpool"


class Inception(nn.Module):
    """Branches side by side: 1x1; 1x1, 3x3; 1x1, 3x3 (5x5 in the original); pooling, 1x1. (N, inputs, S, S) -> (N,
    outputs, S, S).

    widths: filters of branch 1, the two layers of branch 2, the two of branch 3, and branch 4, as in table 1. Without
    `reduce` the naive module of figure 2a: the layers of 1x1 in branches 2, 3 and 4 are left out.
    """

    def __init__(self, inputs: int, widths: tuple[int, int, int, int, int, int], design: GoogLeNetDesign) -> None:
        super().__init__()
        one, squeeze3, three, squeeze5, five, pooled = (design.scaled(w, 64) for w in widths)
        pooled = pooled if design.reduce else inputs
        self.outputs = one + three + five + pooled
        self.branch1 = ConvNormAct(inputs, one, 1, design=design)
        self.branch2 = _branch(inputs, squeeze3, three, 3, design)
        self.branch3 = _branch(inputs, squeeze5, five, 5 if design.original else 3, design)
        project = [ConvNormAct(inputs, pooled, 1, design=design)] if design.reduce else []
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1, ceil_mode=True), *project)
        self.se = SqueezeExcitation(self.outputs) if design.se else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        branches = (self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x))
        return self.se(torch.cat(branches, 1))  # type: ignore[no-any-return]


def _branch(inputs: int, squeezed: int, outputs: int, side: int, design: GoogLeNetDesign) -> nn.Sequential:
    """A convolution of some side, behind one of 1x1 that squeezes its input unless the module is naive."""
    squeeze = [ConvNormAct(inputs, squeezed, 1, design=design)] if design.reduce else []
    inputs = squeezed if design.reduce else inputs
    return nn.Sequential(*squeeze, ConvNormAct(inputs, outputs, side, design=design, padding=same_padding(side)))


class AuxiliaryHead(AuxiliaryClassifier):
    """Pooling to 4x4, a 1x1 convolution, two dense layers: (N, inputs, S, S) -> (N, classes).

    side: of the maps; those of 14x14 the original pools by 5x5 with stride 3.
    """

    def __init__(self, inputs: int, classes: int, side: int, design: GoogLeNetDesign) -> None:
        super().__init__()
        maps, units = design.scaled(128, 64), design.scaled(1024, 64)
        self.pool = nn.AvgPool2d(5, 3) if design.original and side == 14 else nn.AdaptiveAvgPool2d(4)
        self.conv = ConvNormAct(inputs, maps, 1, design=design)
        self.fc1 = nn.Linear(maps * 16, units * pieces(design.activation))
        self.act = activation(design.activation, design.slope)
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
        self.maxpool1, at = (nn.Identity(), at) if small else _pool(3, at, design)
        self.lrn1, self.lrn2 = _response_norm(design), _response_norm(design)
        self.conv2 = ConvNormAct(w, w, 1, design=design)
        self.conv3 = ConvNormAct(w, 3 * w, 3, design=design, padding=1)
        self.maxpool2, at = _pool(3, at, design)
        self.inception3a = Inception(3 * w, (64, 96, 128, 16, 32, 32), design)
        self.inception3b = Inception(self.inception3a.outputs, (128, 128, 192, 32, 96, 64), design)
        self.maxpool3, at = _pool(3, at, design)
        self.inception4a = Inception(self.inception3b.outputs, (192, 96, 208, 16, 48, 64), design)
        self.inception4b = Inception(self.inception4a.outputs, (160, 112, 224, 24, 64, 64), design)
        self.inception4c = Inception(self.inception4b.outputs, (128, 128, 256, 24, 64, 64), design)
        self.inception4d = Inception(self.inception4c.outputs, (112, 144, 288, 32, 64, 64), design)
        self.inception4e = Inception(self.inception4d.outputs, (256, 160, 320, 32, 128, 128), design)
        aux_side = at
        self.maxpool4, at = _pool(3 if design.original else 2, at, design)
        self.inception5a = Inception(self.inception4e.outputs, (256, 160, 320, 32, 128, 128), design)
        self.inception5b = Inception(self.inception5a.outputs, (384, 192, 384, 48, 128, 128), design)
        self.aux1 = AuxiliaryHead(self.inception4a.outputs, classes, aux_side, design) if design.aux else None
        self.aux2 = AuxiliaryHead(self.inception4d.outputs, classes, aux_side, design) if design.aux else None
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(design.dropout)
        self.fc = dense(self.inception5b.outputs, classes, design.dropconnect)
        he_normal(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.lrn1(self.maxpool1(self.conv1(x)))
        x = self.maxpool2(self.lrn2(self.conv3(self.conv2(x))))
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


def _pool(window: int, side: int, design: GoogLeNetDesign) -> tuple[nn.Module, int]:
    """Pooling of stride 2, left out below 4 px; and the side of the map behind it."""
    if side < 4:
        return nn.Identity(), side
    pool = POOLS[design.downsample](window, 2, ceil_mode=True)
    return pool, output_size(side, window, stride=2, rounding="up")


def _response_norm(design: GoogLeNetDesign) -> nn.Module:
    """Local response normalisation over 5 maps where the original has it and no other normalisation is asked for."""
    # PyTorch and Caffe divide alpha by the maps.
    return (
        nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0) if design.original and not design.norm else nn.Identity()
    )


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


@register(
    img_size=224,
    min_size=1,
    year=2014,
    paper=PAPER,
    top5=89.93,
    design=GoogLeNetDesign(original=True, norm=False, dropout=0.4),
)
def googlenet_original(*, classes: int, channels: int, img_size: int, design: GoogLeNetDesign) -> nn.Module:
    """The paper's own form. Accuracy: table 3, one network and one crop."""
    return GoogLeNet(classes, channels, img_size, design)
