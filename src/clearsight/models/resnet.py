"""Residual networks for small images [He, Zhang, Ren, Sun 2015, "Deep residual learning for image recognition", 4.2].

A 3x3 stem, then three stages of n basic blocks with w, 2w and 4w filters, the second and third starting with stride 2,
global average pooling and one dense layer: depth 6n+2. Departures from the paper: where a stage widens, the shortcut
is a 1x1 convolution (the paper's option B) and not a padded identity, and `width` may differ from 16.

Shapes: x (N, channels, S, S) -> (N, w, S, S) -> (N, 2w, S/2, S/2) -> (N, 4w, S/4, S/4) -> (N, 4w) -> (N, classes).
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from clearsight.models.registry import register

PAPER = "He et al. 2015, arXiv:1512.03385, section 4.2"


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch normalisation, and a shortcut around both."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(x)) + shortcut)


class CifarResNet(nn.Module):
    """The three-stage network of depth 6n+2."""

    def __init__(self, classes: int, channels: int, blocks: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = _stage(width, width, blocks, stride=1)
        self.layer2 = _stage(width, 2 * width, blocks, stride=2)
        self.layer3 = _stage(2 * width, 4 * width, blocks, stride=2)
        self.fc = nn.Linear(4 * width, classes)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):  # He initialisation, equation 10 of arXiv:1502.01852
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(x.mean((2, 3)))  # type: ignore[no-any-return]


def _stage(inputs: int, outputs: int, blocks: int, stride: int) -> nn.Sequential:
    first = BasicBlock(inputs, outputs, stride)
    return nn.Sequential(first, *(BasicBlock(outputs, outputs, 1) for _ in range(blocks - 1)))


@register(img_size=32, min_size=4, year=2015, paper=PAPER)
def resnet8(*, classes: int, channels: int = 3, img_size: int = 32, width: int = 16) -> nn.Module:
    """One block a stage: the smallest of the family, for tiny images."""
    return CifarResNet(classes, channels, 1, width)


@register(img_size=32, min_size=4, year=2015, paper=PAPER)
def resnet20(*, classes: int, channels: int = 3, img_size: int = 32, width: int = 16) -> nn.Module:
    """Three blocks a stage: the paper's smallest."""
    return CifarResNet(classes, channels, 3, width)
