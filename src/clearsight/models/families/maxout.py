"""The maxout network [Goodfellow, Warde-Farley, Mirza, Courville, Bengio 2013, "Maxout networks",
arXiv:1302.4389].

Each hidden unit is the largest of several linear functions of its input, a learned convex activation, and is
trained with dropout. This is the paper's dense network for MNIST (section 5.1): two layers of 240 units with
5 pieces each, dropout of 0.2 on the pixels and 0.5 on the units. The paper also bounds the norm of each
unit's weights, which is the optimiser's matter. Maxout inside convolutional networks is `activation="maxout"`
of lenet5, alexnet, vgg and the inception networks.

Shapes: x (N, channels, S, S) -> (N, channels * S * S) -> (N, 240 * 5) -> (N, 240) -> ... -> (N, classes).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import nn

from clearsight.models.ablations import Design
from clearsight.models.layers import Maxout, dense
from clearsight.models.registry import register

NO_CONVOLUTION = "the layers are dense and have no feature maps"


@dataclass(frozen=True)
class MaxoutDesign(Design):
    """widths: units of each hidden layer, each the largest of `pieces` linear functions.

    dropout_input, dropout: shares of pixels and of hidden units dropped in training. dropconnect: of hidden
    weights.
    """

    unsupported: ClassVar[dict[str, str]] = {
        "residual": "a shortcut cannot connect layers of different widths",
        "norm": "maxout pieces compete by their scale, which normalisation would remove",
        "norm_position": "the network has no normalisation",
        "activation": "the activation is always maxout; mlp supports other activations",
        "se": NO_CONVOLUTION,
        "padding_mode": NO_CONVOLUTION,
        "kernel": NO_CONVOLUTION,
        "downsample": NO_CONVOLUTION,
    }

    widths: tuple[int, ...] = (240, 240)
    pieces: int = 5
    dropout_input: float = 0.2
    dropout: float = 0.5
    dropconnect: float = 0.0


class MaxoutNetwork(nn.Module):
    """Dense maxout layers, then one dense layer of logits."""

    def __init__(self, classes: int, channels: int, img_size: int, design: MaxoutDesign) -> None:
        super().__init__()
        sides = (channels * img_size * img_size, *design.widths)
        self.dropout = nn.Dropout(design.dropout_input)
        self.hidden = nn.Sequential(*(_hidden(inputs, outputs, design) for inputs, outputs in pairwise(sides)))
        self.fc = nn.Linear(sides[-1], classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.hidden(self.dropout(x.flatten(1))))  # type: ignore[no-any-return]


def _hidden(inputs: int, outputs: int, design: MaxoutDesign) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        fc=dense(inputs, outputs * design.pieces, design.dropconnect),
        act=Maxout(design.pieces),
        dropout=nn.Dropout(design.dropout),
    )
    return nn.Sequential(layers)


@register(
    img_size=28,
    min_size=1,
    year=2013,
    paper="Goodfellow et al. 2013, arXiv:1302.4389",
    channels=1,
    classes=10,
    design=MaxoutDesign(),
)
def maxout(*, classes: int, channels: int, img_size: int, design: MaxoutDesign) -> nn.Module:
    """The paper's dense maxout network."""
    return MaxoutNetwork(classes, channels, img_size, design)
