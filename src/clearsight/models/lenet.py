"""LeNet-5 [LeCun, Bottou, Bengio, Haffner 1998, "Gradient-based learning applied to document recognition"].

The common modern form: 5x5 convolutions with 6 and 16 filters, 2x2 max pooling, 120 and 84 hidden units, ReLU. It
departs
from the paper in four ways: ReLU for the scaled tanh, max pooling for the trainable average, every map connected to
every other where the paper's table III leaves some out, and a softmax layer for the Gaussian connections.

Shapes at 32x32 input: 32 -> conv 28 -> pool 14 -> conv 10 -> pool 5 -> 400 -> 120 -> 84 -> classes. Smaller images,
such as MNIST's 28x28, are padded with zeros to 32 as in the paper; larger ones make the first dense layer larger.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from clearsight.models.registry import register


class LeNet5(nn.Module):
    """Two convolutions, three dense layers: 61,706 parameters for 10 classes of 32x32 gray images."""

    def __init__(self, classes: int, channels: int, img_size: int) -> None:
        super().__init__()
        self.padding = max(0, 32 - img_size)
        side = ((img_size + self.padding - 4) // 2 - 4) // 2
        self.conv1 = nn.Conv2d(channels, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * side * side, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        before, after = self.padding // 2, self.padding - self.padding // 2
        x = F.pad(x, (before, after, before, after))
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)  # (N, 6, 14, 14)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)  # (N, 16, 5, 5)
        x = F.relu(self.fc1(x.flatten(1)))
        return self.fc3(F.relu(self.fc2(x)))  # type: ignore[no-any-return]


@register(img_size=32, min_size=1, year=1998, paper="LeCun et al. 1998, Proc. IEEE 86(11)")
def lenet5(*, classes: int, channels: int = 1, img_size: int = 32) -> nn.Module:
    """LeNet-5 in its common modern form."""
    return LeNet5(classes, channels, img_size)
