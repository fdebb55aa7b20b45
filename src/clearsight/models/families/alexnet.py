"""AlexNet [Krizhevsky, Sutskever, Hinton 2012, "ImageNet classification with deep convolutional neural
networks"].

`alexnet` is the single tower of the follow-up [Krizhevsky 2014, arXiv:1404.5997, "one weird trick"] as
torchvision has it: no groups, 64-192-384-256-256 filters, no local response normalisation, adaptive pooling
to 6x6 before the dense layers. `alexnet_grouped` is the network of 2012: 96-256-384-384-256 filters, the
second, fourth and fifth convolution in two groups (the paper's two GPUs), and local response normalisation
after the first two. It departs from the paper in one number: the paper says 224x224 pixels, but (224-11)/4+1
is not a whole number; 227 is, and gives its 55x55 maps.

Both depart in their initial weights, which are He's here (the paper: Gaussian of deviation 0.01, some biases
1).

Small images: below 64 px the 11x11 convolution of stride 4 becomes 5x5 of stride 1, a pooling that finds a
map below 4 px is left out, and the dense layers fit the map, so 32 px end as 3x3 maps.

Shapes at 224: x (N, channels, 224, 224) -> 55 -> pool 27 -> 27 -> pool 13 -> 13 -> 13 -> 13 -> pool 6 -> (N,
256 * 6 * 6) -> 4096 -> 4096 -> classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from clearsight.models.ablations import ConvDesign, with_maxout
from clearsight.models.arithmetic import output_size
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

PAPER = "Krizhevsky et al. 2012, NIPS 25"
SINGLE_TOWER = "Krizhevsky 2014, arXiv:1404.5997"


@dataclass(frozen=True)
class AlexNetDesign(ConvDesign):
    """kernel: side of the first layer's filters (11, for small images 5).

    downsample: 3x3 pooling of stride 2, maxpool or avgpool, or twice the stride of the convolution before it.
    dropout: before the first two dense layers. dropconnect: of the hidden dense layers' weights.
    """

    rules = with_maxout()
    unsupported: ClassVar[dict[str, str]] = {"residual": "the convolutions change the shape of the feature maps"}

    norm: bool = False
    dropout: float = 0.5
    kernel: int | None = None
    downsample: str = "maxpool"


SINGLE = AlexNetDesign()
GROUPED = AlexNetDesign(width=96)


class AlexNet(nn.Module):
    """Five convolutions and three dense layers; `widths`, `groups` and `padding` distinguish the two forms.

    widths, groups: filters and groups of each convolution. padding: of the first. response_norm: local
    response normalisation after the first two activations (left out where batch normalisation takes its
    place).
    """

    def __init__(
        self,
        widths: tuple[int, ...],
        groups: tuple[int, ...],
        padding: int,
        *,
        response_norm: bool,
        classes: int,
        channels: int,
        img_size: int,
        design: AlexNetDesign,
    ) -> None:
        super().__init__()
        small = img_size < SMALL
        first = design.kernel or (5 if small else 11)
        stem_stride = 1 if small else 4
        stem_padding = first // 2 if small else max(0, padding + (first - 11) // 2)
        kernels, strides = (first, 5, 3, 3, 3), (stem_stride, 1, 1, 1, 1)
        paddings = (stem_padding, 2, 1, 1, 1)
        layers: list[nn.Module] = []
        inputs, side = channels, img_size
        for i, published in enumerate(widths):
            outputs = design.scaled(published, widths[0], multiple=max(groups))
            p, z, stride = kernels[i], paddings[i], strides[i]
            kept = output_size(side, p, stride=stride, padding=z, rounding="down")
            shrinks = i in (0, 1, 4) and kept >= (4 if small else 3)
            if shrinks and design.downsample == "stride":
                stride = 2 * stride
            layers += conv_norm_act(
                inputs, outputs, p, design=design, stride=stride, padding=z, groups=groups[i]
            ).values()
            if design.se:
                layers.append(SqueezeExcitation(outputs))
            if response_norm and i < 2 and not design.norm:
                # PyTorch divides alpha by the 5 channels, the paper does not
                layers.append(nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0))
            if shrinks and design.downsample in POOLS:
                layers.append(POOLS[design.downsample](3, 2))
                side = output_size(kept, 3, stride=2, rounding="down")
            else:
                side = output_size(side, p, stride=stride, padding=z, rounding="down")
            inputs = outputs
        self.features = nn.Sequential(*layers)
        side = min(6, side) if small else 6
        self.avgpool = nn.AdaptiveAvgPool2d(side)
        units, many = design.scaled(4096, widths[0]), pieces(design.activation)
        self.classifier = nn.Sequential(
            nn.Dropout(design.dropout),
            dense(inputs * side * side, units * many, design.dropconnect),
            activation(design.activation, design.slope),
            nn.Dropout(design.dropout),
            dense(units, units * many, design.dropconnect),
            activation(design.activation, design.slope),
            nn.Linear(units, classes),
        )
        he_normal(self, (nn.Conv2d, nn.Linear))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.avgpool(self.features(x))
        return self.classifier(x.flatten(1))  # type: ignore[no-any-return]


@register(
    img_size=224,
    min_size=4,
    year=2014,
    paper=SINGLE_TOWER,
    top1=56.522,
    top5=79.066,
    design=SINGLE,
    weights=TorchvisionWeights("AlexNet_Weights.IMAGENET1K_V1"),
)
def alexnet(*, classes: int, channels: int, img_size: int, design: AlexNetDesign) -> nn.Module:
    """The single tower, torchvision's: 61,100,840 parameters."""
    return AlexNet(
        (64, 192, 384, 256, 256),
        (1, 1, 1, 1, 1),
        2,
        response_norm=False,
        classes=classes,
        channels=channels,
        img_size=img_size,
        design=design,
    )


@register(img_size=227, min_size=4, year=2012, paper=PAPER, top1=59.3, top5=81.8, design=GROUPED)
def alexnet_grouped(*, classes: int, channels: int, img_size: int, design: AlexNetDesign) -> nn.Module:
    """The paper's network in two groups: 60,965,224 parameters."""
    return AlexNet(
        (96, 256, 384, 384, 256),
        (1, 2, 1, 2, 2),
        0,
        response_norm=True,
        classes=classes,
        channels=channels,
        img_size=img_size,
        design=design,
    )
