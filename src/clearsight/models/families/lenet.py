"""LeNet-5 [LeCun, Bottou, Bengio, Haffner 1998, "Gradient-based learning applied to document recognition"].

The common modern form: 5x5 convolutions with 6 and 16 filters, 2x2 max pooling, 120 and 84 hidden units,
ReLU. It departs from the paper in four ways: ReLU for the scaled tanh, max pooling for the trainable average,
every map connected to every other where the paper's table I leaves some out, and a softmax layer for the
Gaussian connections.

Shapes at 32x32 input: 32 -> conv 28 -> pool 14 -> conv 10 -> pool 5 -> 400 -> 120 -> 84 -> classes. Smaller
images, such as MNIST's 28x28, are padded to 32 as in the paper; larger ones make the first dense layer
larger.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from clearsight.models.ablations import ConvDesign, with_maxout
from clearsight.models.arithmetic import output_size
from clearsight.models.layers import SqueezeExcitation, activation, conv_norm_act, dense, pieces
from clearsight.models.registry import register

BORDERS = {
    "zeros": nn.ZeroPad2d,
    "reflect": nn.ReflectionPad2d,
    "replicate": nn.ReplicationPad2d,
}


@dataclass(frozen=True)
class LeNetDesign(ConvDesign):
    """kernel: side of both filters. downsample: 2x2 max pooling, or convolutions of stride 2 instead.

    dropout: of the hidden dense layers' units. dropconnect: of their weights.
    """

    rules = with_maxout()
    unsupported: ClassVar[dict[str, str]] = {"residual": "both convolutions change the shape of the map"}

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
        self.act1 = activation(design.activation)
        self.dropout1 = nn.Dropout(design.dropout)
        self.fc2 = dense(hidden[0], hidden[1] * many, design.dropconnect)
        self.act2 = activation(design.activation)
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
    pooled = design.downsample == "maxpool"
    stride = 1 if pooled else 2
    layers = conv_norm_act(inputs, outputs, design.kernel, design=design, stride=stride)
    side = output_size(side, design.kernel, stride=stride, rounding="down")
    if design.se:
        layers["se"] = SqueezeExcitation(outputs)
    if pooled:
        layers["pool"] = nn.MaxPool2d(2)
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
