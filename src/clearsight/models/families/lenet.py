"""LeNet-5 [LeCun, Bottou, Bengio, Haffner 1998, "Gradient-based learning applied to document recognition"].

`lenet5` is the common modern form: 5x5 convolutions with 6 and 16 filters, 2x2 max pooling, 120 and 84 hidden units,
ReLU. It departs from the paper in four ways: ReLU for the scaled tanh, max pooling for the trainable average,
every map connected to every other where the paper's table I leaves some out, and a softmax layer for the
Gaussian connections.

`lenet5_original` is the published form: the scaled tanh f(a) = 1.7159 tanh(2/3 a) behind every layer but the last,
subsampling that adds up 2x2 units and has a trainable coefficient and bias for each map, and the connections of table I
between the second and the third layer (table=false connects all). Its layers up to the 84 units have the 60,000
parameters of the paper: 156, 12, 1,516, 32, 48,120 and 10,164. The last layer departs from the paper: there it holds
no parameters but distances to bitmaps of the ten digits, drawn by hand, which other classes do not have; here it is a
dense layer, 850 parameters for ten classes, so 60,850 in all. Weights are drawn uniformly in +-2.4 / fan in, as in
appendix A; the coefficients start at 1/4, so that subsampling begins as the mean.

Shapes at 32x32 input: 32 -> conv 28 -> pool 14 -> conv 10 -> pool 5 -> 400 -> 120 -> 84 -> classes. Smaller
images, such as MNIST's 28x28, are padded to 32 as in the paper; larger ones make the first dense layer
larger.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import ClassVar

import torch
from torch import nn

from clearsight.models.ablations import ABLATIONS, ConvDesign, Design, with_maxout
from clearsight.models.arithmetic import output_size
from clearsight.models.layers import POOLS, SqueezeExcitation, activation, conv_norm_act, dense, pieces
from clearsight.models.registry import register

BORDERS = {
    "zeros": nn.ZeroPad2d,
    "reflect": nn.ReflectionPad2d,
    "replicate": nn.ReplicationPad2d,
}


@dataclass(frozen=True)
class LeNetDesign(ConvDesign):
    """kernel: side of both filters. downsample: 2x2 pooling, maxpool or avgpool, or convolutions of stride 2 instead.

    dropout: of the hidden dense layers' units. dropconnect: of their weights.
    """

    rules = with_maxout()
    unsupported: ClassVar[dict[str, str]] = {"residual": "both convolutions change the shape of the feature maps"}

    norm: bool = False
    width: int = 6
    kernel: int = 5
    downsample: str = "maxpool"


class LeNet5(nn.Module):
    """Two convolutions, three dense layers: 61,706 parameters for 10 classes of 32x32 gray images."""

    def __init__(self, classes: int, channels: int, img_size: int, design: LeNetDesign) -> None:
        super().__init__()
        short = max(0, 32 - img_size)
        before, after = short // 2, short - short // 2
        self.margin = BORDERS[design.padding_mode]((before, after, before, after)) if short else None
        maps = design.width, design.scaled(16, 6)
        self.stage1, side = _stage(channels, maps[0], img_size + short, design)
        self.stage2, side = _stage(maps[0], maps[1], side, design)
        hidden = design.scaled(120, 6), design.scaled(84, 6)
        many = pieces(design.activation)
        self.fc1 = dense(maps[1] * side * side, hidden[0] * many, design.dropconnect)
        self.act1 = activation(design.activation, design.slope)
        self.dropout1 = nn.Dropout(design.dropout)
        self.fc2 = dense(hidden[0], hidden[1] * many, design.dropconnect)
        self.act2 = activation(design.activation, design.slope)
        self.dropout2 = nn.Dropout(design.dropout)
        self.fc3 = nn.Linear(hidden[1], classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.margin is not None:
            x = self.margin(x)
        x = self.stage2(self.stage1(x))  # (N, 6, 14, 14), then (N, 16, 5, 5)
        x = self.dropout1(self.act1(self.fc1(x.flatten(1))))
        x = self.dropout2(self.act2(self.fc2(x)))
        return self.fc3(x)  # type: ignore[no-any-return]


def _stage(inputs: int, outputs: int, side: int, design: LeNetDesign) -> tuple[nn.Sequential, int]:
    """One convolution that halves the map, by pooling or by its stride; and the side of the map it leaves."""
    pooled = design.downsample in POOLS
    stride = 1 if pooled else 2
    layers = conv_norm_act(inputs, outputs, design.kernel, design=design, stride=stride)
    side = output_size(side, design.kernel, stride=stride, rounding="down")
    if design.se:
        layers["se"] = SqueezeExcitation(outputs)
    if pooled:
        layers["pool"] = POOLS[design.downsample](2)
        side = output_size(side, 2, stride=2, rounding="down")
    return nn.Sequential(layers), side


@register(
    img_size=32,
    min_size=1,
    year=1998,
    paper="LeCun et al. 1998, Proc. IEEE 86(11)",
    channels=1,
    classes=10,
    design=LeNetDesign(),
)
def lenet5(*, classes: int, channels: int, img_size: int, design: LeNetDesign) -> nn.Module:
    """LeNet-5 in its common modern form."""
    return LeNet5(classes, channels, img_size, design)


CONNECTIONS: tuple[tuple[int, ...], ...] = (
    *(tuple((first + i) % 6 for i in range(3)) for first in range(6)),
    *(tuple((first + i) % 6 for i in range(4)) for first in range(6)),
    (0, 1, 3, 4),
    (1, 2, 4, 5),
    (0, 2, 3, 5),
    (0, 1, 2, 3, 4, 5),
)
"""Table I: the maps of the second layer that each of the 16 maps of the third reads."""


@dataclass(frozen=True)
class OriginalDesign(Design):
    """table: the connections of table I, rather than all."""

    unsupported: ClassVar[dict[str, str]] = dict.fromkeys(
        ABLATIONS, "this is the network as published; lenet5 has options"
    )

    table: bool = True


class ScaledTanh(nn.Module):
    """f(a) = 1.7159 tanh(2/3 a), which leaves 1 and -1 nearly as they are (equation 6 and appendix A)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 1.7159 * torch.tanh(2 / 3 * x)


class Subsampling(nn.Module):
    """The sum of 2x2 units times a coefficient of its map, plus a bias: (N, C, S, S) -> (N, C, S/2, S/2)."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(2)
        self.coefficient = nn.Parameter(torch.full((maps, 1, 1), 0.25))
        self.bias = nn.Parameter(torch.zeros(maps, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        sums: torch.Tensor = 4 * self.pool(x)
        return sums * self.coefficient + self.bias


class PartlyConnected(nn.Module):
    """Convolutions each of which reads some maps of the input: (N, 6, S, S) -> (N, 16, S - 4, S - 4).

    connections: the maps that each filter reads. Neighbouring filters that read equally many are one grouped
    convolution.
    """

    def __init__(self, connections: Sequence[tuple[int, ...]], side: int) -> None:
        super().__init__()
        rows = [list(group) for _, group in groupby(connections, key=len)]
        self.reads = [[m for maps in group for m in maps] for group in rows]
        self.convs = nn.ModuleList(
            nn.Conv2d(sum(map(len, group)), len(group), side, groups=len(group)) for group in rows
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = [conv(x[:, maps]) for conv, maps in zip(self.convs, self.reads, strict=True)]
        return torch.cat(found, 1)


class OriginalLeNet5(nn.Module):
    """The published layers by their names there: C1, S2, C3, S4, C5, F6, and a dense output layer."""

    def __init__(self, classes: int, channels: int, img_size: int, design: OriginalDesign) -> None:
        super().__init__()
        short = max(0, 32 - img_size)
        before, after = short // 2, short - short // 2
        self.margin = nn.ZeroPad2d((before, after, before, after)) if short else None
        side = ((img_size + short - 4) // 2 - 4) // 2
        self.c1, self.act1 = nn.Conv2d(channels, 6, 5), ScaledTanh()
        self.s2, self.act2 = Subsampling(6), ScaledTanh()
        self.c3, self.act3 = PartlyConnected(CONNECTIONS, 5) if design.table else nn.Conv2d(6, 16, 5), ScaledTanh()
        self.s4, self.act4 = Subsampling(16), ScaledTanh()
        self.c5, self.act5 = nn.Linear(16 * side * side, 120), ScaledTanh()
        self.f6, self.act6 = nn.Linear(120, 84), ScaledTanh()
        self.output = nn.Linear(84, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                bound = 2.4 / module.weight[0].numel()
                nn.init.uniform_(module.weight, -bound, bound)
                assert module.bias is not None
                nn.init.uniform_(module.bias, -bound, bound)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.margin is not None:
            x = self.margin(x)
        x = self.act2(self.s2(self.act1(self.c1(x))))  # (N, 6, 14, 14)
        x = self.act4(self.s4(self.act3(self.c3(x))))  # (N, 16, 5, 5)
        x = self.act6(self.f6(self.act5(self.c5(x.flatten(1)))))
        return self.output(x)  # type: ignore[no-any-return]


@register(
    img_size=32,
    min_size=1,
    year=1998,
    paper="LeCun et al. 1998, Proc. IEEE 86(11)",
    channels=1,
    classes=10,
    design=OriginalDesign(),
)
def lenet5_original(*, classes: int, channels: int, img_size: int, design: OriginalDesign) -> nn.Module:
    """LeNet-5 as published."""
    return OriginalLeNet5(classes, channels, img_size, design)
