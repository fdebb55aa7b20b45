"""VGG [Simonyan, Zisserman 2014, "Very deep convolutional networks for large-scale image recognition",
arXiv:1409.1556].

Five stages of 3x3 convolutions with 64, 128, 256, 512, 512 filters, each ended by 2x2 max pooling, then three
dense layers: configurations A (11), B (13), D (16) and E (19) of the paper's table 1. The `_bn` forms with
batch normalisation came later, from torchvision. Departures from the paper: He's initial weights for the
pretraining of shallower networks, the last layer's of deviation 0.01; adaptive pooling to 7x7 before the
dense layers, so that any size fits (torchvision's form).

Small images: a pooling that finds a map below 4 px is left out, and below 64 px the dense layers fit the map,
so 32 px end as 2x2 and 28 px as 3x3 maps.

Shapes at 224: x (N, channels, 224, 224) -> 112 -> 56 -> 28 -> 14 -> (N, 512, 7, 7) -> 4096 -> 4096 ->
classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import nn

from clearsight.models.ablations import ConvDesign, with_maxout
from clearsight.models.arithmetic import same_padding
from clearsight.models.layers import (
    POOLS,
    SMALL,
    SqueezeExcitation,
    activation,
    conv_norm_act,
    dense,
    he_normal,
    pieces,
)
from clearsight.models.published import TorchvisionWeights
from clearsight.models.registry import register

PAPER = "Simonyan and Zisserman 2014, arXiv:1409.1556"


@dataclass(frozen=True)
class VGGDesign(ConvDesign):
    """kernel: side of all filters. downsample: 2x2 pooling, maxpool or avgpool, or stride 2 in each stage's last
    convolution instead.

    se: a gate after every activation. dropout: after the hidden dense layers. dropconnect: of their weights.
    """

    rules = with_maxout()
    unsupported: ClassVar[dict[str, str]] = {
        "residual": "the network has no blocks that a shortcut could bypass; compare plain34 with resnet34 instead"
    }

    norm: bool = False
    dropout: float = 0.5
    kernel: int = 3
    downsample: str = "maxpool"


PUBLISHED = VGGDesign()
WITH_NORM = VGGDesign(norm=True)


class VGG(nn.Module):
    """`convolutions[i]` convolutions in stage i."""

    channels_last = False  # its wide 3x3 convolutions train 5 to 15 % slower so on a CPU without AVX-512

    def __init__(
        self, convolutions: tuple[int, ...], classes: int, channels: int, img_size: int, design: VGGDesign
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs, side, padding = channels, img_size, same_padding(design.kernel)
        for count, published in zip(convolutions, (64, 128, 256, 512, 512), strict=True):
            outputs = design.scaled(published, 64)
            shrinks = side >= 4
            for i in range(count):
                last = shrinks and i == count - 1
                stride = 2 if last and design.downsample == "stride" else 1
                layers += conv_norm_act(  # a bias even before normalisation, as published
                    inputs,
                    outputs,
                    design.kernel,
                    design=design,
                    stride=stride,
                    padding=padding,
                    bias=True,
                ).values()
                if design.se:
                    layers.append(SqueezeExcitation(outputs))
                inputs = outputs
            if shrinks and design.downsample in POOLS:
                layers.append(POOLS[design.downsample](2))
            if shrinks:
                side = side // 2 if design.downsample in POOLS else (side + 1) // 2
        self.features = nn.Sequential(*layers)
        side = min(7, side) if img_size < SMALL else 7
        self.avgpool = nn.AdaptiveAvgPool2d(side)
        units, many = design.scaled(4096, 64), pieces(design.activation)
        self.classifier = nn.Sequential(
            dense(inputs * side * side, units * many, design.dropconnect),
            activation(design.activation, design.slope),
            nn.Dropout(design.dropout),
            dense(units, units * many, design.dropconnect),
            activation(design.activation, design.slope),
            nn.Dropout(design.dropout),
            nn.Linear(units, classes),
        )
        he_normal(self, (nn.Conv2d, nn.Linear))
        nn.init.normal_(self.classifier[-1].weight, 0, 0.01)  # type: ignore[arg-type]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.avgpool(self.features(x))
        return self.classifier(x.flatten(1))  # type: ignore[no-any-return]


VARIANTS = (  # name, convolutions in each stage, design, top1, top5
    ("vgg11", (1, 1, 2, 2, 2), PUBLISHED, 69.020, 88.628),  # configuration A
    ("vgg13", (2, 2, 2, 2, 2), PUBLISHED, 69.928, 89.246),  # configuration B
    ("vgg16", (2, 2, 3, 3, 3), PUBLISHED, 71.592, 90.382),  # configuration D: 138,357,544 parameters
    ("vgg19", (2, 2, 4, 4, 4), PUBLISHED, 72.376, 90.876),  # configuration E: 143,667,240 parameters
    ("vgg11_bn", (1, 1, 2, 2, 2), WITH_NORM, 70.370, 89.810),
    ("vgg13_bn", (2, 2, 2, 2, 2), WITH_NORM, 71.586, 90.374),
    ("vgg16_bn", (2, 2, 3, 3, 3), WITH_NORM, 73.360, 91.516),
    ("vgg19_bn", (2, 2, 4, 4, 4), WITH_NORM, 74.218, 91.842),
)

for name, convolutions, design, top1, top5 in VARIANTS:
    register(
        name=name,
        img_size=224,
        min_size=1,
        year=2014,
        paper=PAPER,
        top1=top1,
        top5=top5,
        design=design,
        weights=TorchvisionWeights(f"{name.upper()}_Weights.IMAGENET1K_V1"),
    )(partial(VGG, convolutions))
