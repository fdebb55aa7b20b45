"""Inception v2, BN-Inception [Ioffe, Szegedy 2015, "Batch normalization: accelerating deep network training
by reducing internal covariate shift", arXiv:1502.03167, appendix and figure 5].

GoogLeNet with batch normalisation, each 5x5 convolution as two of 3x3, average pooling in most modules, and
modules of stride 2 (3c, 4e) between the stages. It departs from the paper's table in what the released Caffe
network also does: the first convolution is an ordinary one where the paper's is separable, 4c pools to 128
and 4d has 192-wide 3x3 filters in place of the numbers that do not add up there; and there are no auxiliary
heads. Two departures are ours: convolutions have no bias (batch normalisation takes it away; with biases the
count is the known 11,295,240), and the pooling of stride 2 is padded like the convolutions beside it, so that
odd sizes fit.

Small images: below 64 px the first convolution, 7x7 of stride 2, becomes 3x3 of stride 1 and the first
pooling is left out, so 32 px end as 4x4 maps.

Shapes at 224: x (N, channels, 224, 224) -> conv1 112 -> 56 -> conv3 (N, 192, 56, 56) -> 28 -> 3c (N, 576, 14,
14) -> 4e (N, 1056, 7, 7) -> 5b (N, 1024, 7, 7) -> (N, 1024) -> classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from clearsight.models.ablations import POOLED, ConvDesign, with_maxout
from clearsight.models.arithmetic import same_padding
from clearsight.models.layers import POOLS, SMALL, ConvNormAct, SqueezeExcitation, dense, he_normal
from clearsight.models.registry import register

PAPER = "Ioffe and Szegedy 2015, arXiv:1502.03167"


@dataclass(frozen=True)
class InceptionV2Design(ConvDesign):
    """se: a gate after each module. dropout, dropconnect: at the last dense layer. downsample: max pooling where maps
    shrink, as published, or average pooling; the modules' strided convolutions beside it stay.
    """

    rules = with_maxout() | POOLED
    unsupported: ClassVar[dict[str, str]] = {
        "residual": "the modules change the number of feature maps",
        "kernel": "the network is defined by parallel filters of several sizes",
    }

    downsample: str = "maxpool"


class Inception(nn.Module):
    """Branches side by side: 1x1; 1x1 and 3x3; 1x1, 3x3 and 3x3; pooling and 1x1.

    widths: filters of branch 1, the two layers of branch 2, the two widths of branch 3, and branch 4, in the
    order of figure 5. A width of 0 for branch 1 makes the module halve the map: branch 1 is gone, branches 2
    and 3 end in stride 2 and branch 4 pools alone. (N, inputs, S, S) -> (N, outputs, S, S) or (N, outputs,
    S/2, S/2).
    """

    def __init__(
        self,
        inputs: int,
        widths: tuple[int, int, int, int, int, int],
        design: InceptionV2Design,
        *,
        pooling: str = "average",
    ) -> None:
        super().__init__()
        one, squeeze3, three, squeeze5, five, pooled = (design.scaled(w, 64) if w else 0 for w in widths)
        stride = 1 if one else 2
        self.outputs = one + three + five + (pooled or inputs)
        self.branch1 = ConvNormAct(inputs, one, 1, design=design) if one else None
        self.branch2 = nn.Sequential(
            ConvNormAct(inputs, squeeze3, 1, design=design),
            ConvNormAct(squeeze3, three, 3, design=design, padding=1, stride=stride),
        )
        self.branch3 = nn.Sequential(
            ConvNormAct(inputs, squeeze5, 1, design=design),
            ConvNormAct(squeeze5, five, 3, design=design, padding=1),
            ConvNormAct(five, five, 3, design=design, padding=1, stride=stride),
        )
        shrinking = POOLS[design.downsample] if stride > 1 else nn.MaxPool2d
        pool = nn.AvgPool2d(3, stride, 1) if pooling == "average" else shrinking(3, stride, 1)
        project = ConvNormAct(inputs, pooled, 1, design=design) if pooled else nn.Identity()
        self.branch4 = nn.Sequential(pool, project)
        self.se = SqueezeExcitation(self.outputs) if design.se else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        branches = [self.branch2(x), self.branch3(x), self.branch4(x)]
        if self.branch1 is not None:
            branches.insert(0, self.branch1(x))
        return self.se(torch.cat(branches, 1))  # type: ignore[no-any-return]


# Figure 5: module, (1x1, 3x3 reduce, 3x3, double 3x3 reduce, double 3x3, pool projection), pooling.
MODULES: tuple[tuple[str, tuple[int, int, int, int, int, int], str], ...] = (
    ("3a", (64, 64, 64, 64, 96, 32), "average"),
    ("3b", (64, 64, 96, 64, 96, 64), "average"),
    ("3c", (0, 128, 160, 64, 96, 0), "max"),
    ("4a", (224, 64, 96, 96, 128, 128), "average"),
    ("4b", (192, 96, 128, 96, 128, 128), "average"),
    ("4c", (160, 128, 160, 128, 160, 128), "average"),
    ("4d", (96, 128, 192, 160, 192, 128), "average"),
    ("4e", (0, 128, 192, 192, 256, 0), "max"),
    ("5a", (352, 192, 320, 160, 224, 128), "average"),
    ("5b", (352, 192, 320, 192, 224, 128), "max"),
)


class InceptionV2(nn.Module):
    """Three convolutions, ten inception modules, global average pooling, one dense layer."""

    def __init__(self, classes: int, channels: int, img_size: int, design: InceptionV2Design) -> None:
        super().__init__()
        w, small = design.width, img_size < SMALL
        side, stride = (3, 1) if small else (7, 2)
        self.conv1 = ConvNormAct(channels, w, side, design=design, stride=stride, padding=same_padding(side))
        self.maxpool1 = nn.Identity() if small else POOLS[design.downsample](3, 2, 1)
        self.conv2 = ConvNormAct(w, w, 1, design=design)
        self.conv3 = ConvNormAct(w, 3 * w, 3, design=design, padding=1)
        self.maxpool2 = POOLS[design.downsample](3, 2, 1)
        self.inceptions = nn.Sequential()
        maps = 3 * w
        for name, widths, pooling in MODULES:
            module = Inception(maps, widths, design, pooling=pooling)
            self.inceptions.add_module(name, module)
            maps = module.outputs
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(design.dropout)
        self.fc = dense(maps, classes, design.dropconnect)
        he_normal(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.maxpool1(self.conv1(x))
        x = self.maxpool2(self.conv3(self.conv2(x)))
        x = self.avgpool(self.inceptions(x))
        return self.fc(self.dropout(x.flatten(1)))  # type: ignore[no-any-return]


@register(img_size=224, min_size=1, year=2015, paper=PAPER, top1=74.8, top5=92.18, design=InceptionV2Design())
def inception_v2(*, classes: int, channels: int, img_size: int, design: InceptionV2Design) -> nn.Module:
    """BN-Inception. Accuracy: the paper's single crop."""
    return InceptionV2(classes, channels, img_size, design)
