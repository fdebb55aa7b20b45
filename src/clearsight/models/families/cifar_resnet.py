"""Residual networks for small images [He, Zhang, Ren, Sun 2015, "Deep residual learning for image
recognition", 4.2].

A 3x3 stem, then three stages of n basic blocks with w, 2w and 4w filters, the second and third starting with
stride 2, global average pooling and one dense layer: depth 6n+2. Departures from the paper: where a stage
widens, the shortcut is a 1x1 convolution (the paper's option B); shortcut="A" gives the paper's own choice
here, a padded identity without parameters. `width` may differ from 16. `plain20` and `plain56` are the
paper's plain networks, without shortcuts.

Small images need no other stem, this one is made for them. `patch` gives it a coarser one.

Shapes: x (N, channels, S, S) -> (N, w, S, S) -> (N, 2w, S/2, S/2) -> (N, 4w, S/4, S/4) -> (N, 4w) -> (N,
classes).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

from clearsight.models.families.resnet import BasicBlock, BlockDesign, stage, start_as_shortcuts
from clearsight.models.layers import activation, batch_norm, conv, dense, he_normal
from clearsight.models.registry import register

PAPER = "He et al. 2015, arXiv:1512.03385, section 4.2"


@dataclass(frozen=True)
class CifarDesign(BlockDesign):
    """shortcut: what carries a block's input over a change of shape, "A" a padded identity or "B" a 1x1
    convolution. patch: side of the square of pixels that the stem takes in one step. With 2 the stem equals a 3x3
    convolution over squares of 2x2 pixels as channels (space to depth), and every stage works at half the side: a
    quarter of the work, for images whose details are larger than a pixel.
    """

    width: int = 16
    shortcut: str = "B"
    patch: int = 1


RESIDUAL = CifarDesign()
PLAIN = CifarDesign(residual=False)


class PaddedIdentity(nn.Module):
    """Every `stride`-th pixel, with channels of zeros behind the others: the paper's option A.

    (N, inputs, S, S) -> (N, outputs, S/stride, S/stride).
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.extra, self.stride = outputs - inputs, stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.extra))


class PaddedBlock(BasicBlock):
    """A basic block with the parameter-free shortcut."""

    def shortcut(self, inputs: int, outputs: int, design: BlockDesign) -> nn.Module:
        return PaddedIdentity(inputs, outputs, self.stride)


class CifarResNet(nn.Module):
    """The three-stage network of depth 6 * blocks + 2. It is the same for every img_size."""

    def __init__(self, depth: int, classes: int, channels: int, img_size: int, design: CifarDesign) -> None:
        super().__init__()
        blocks, w = (depth - 2) // 6, design.width
        block = PaddedBlock if design.shortcut == "A" else BasicBlock
        self.norm_first = design.norm_position == "before"
        p = design.patch
        self.conv1 = conv(channels, w, 3 * p, design=design, stride=p, padding=p, bias=not design.norm)
        self.bn1 = batch_norm(w, design=design)
        self.act1 = activation(design.activation, design.slope)
        self.layer1 = stage(block, w, w, blocks, 1, design)
        self.layer2 = stage(block, w, 2 * w, blocks, 2, design)
        self.layer3 = stage(block, 2 * w, 4 * w, blocks, 2, design)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(design.dropout)
        self.fc = dense(4 * w, classes, design.dropconnect)
        he_normal(self)
        start_as_shortcuts(self, design)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv1(x)
        x = self.act1(self.bn1(x)) if self.norm_first else self.bn1(self.act1(x))
        x = self.avgpool(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.dropout(x.flatten(1)))  # type: ignore[no-any-return]


VARIANTS = (  # name, depth, design
    ("resnet8", 8, RESIDUAL),  # one block a stage: the smallest of the family, for tiny images
    ("resnet20", 20, RESIDUAL),  # three: the paper's smallest
    ("resnet32", 32, RESIDUAL),
    ("resnet44", 44, RESIDUAL),
    ("resnet56", 56, RESIDUAL),
    ("resnet110", 110, RESIDUAL),  # the paper warms it up at a learning rate of 0.01 before 0.1
    ("resnet1202", 1202, RESIDUAL),  # 200 blocks a stage: the paper's proof that depth alone no longer stops training
    ("plain20", 20, PLAIN),
    ("plain56", 56, PLAIN),  # trains worse than plain20
)

for name, depth, design in VARIANTS:
    register(name=name, img_size=32, min_size=4, year=2015, paper=PAPER, classes=10, design=design)(
        partial(CifarResNet, depth)
    )
