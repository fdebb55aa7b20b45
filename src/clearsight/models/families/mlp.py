"""The multi-layer perceptron [Rumelhart, Hinton, Williams 1986, "Learning representations by back-propagating
errors"].

Dense layers of any widths, each with an activation; ReLU by default where the paper has the logistic sigmoid
(activation="sigmoid" restores it).

Shapes: x (N, channels, S, S) -> (N, channels * S * S) -> (N, widths[0]) -> ... -> (N, classes).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import nn

from clearsight.errors import ModelError
from clearsight.models.ablations import SLOPE, Design, with_maxout
from clearsight.models.layers import activation, dense, pieces
from clearsight.models.registry import register

NO_CONVOLUTION = "the layers are dense and have no feature maps"


@dataclass(frozen=True)
class MLPDesign(Design):
    """widths: units of each hidden layer. dropout: of the units of every hidden layer. dropconnect: of their
    weights.
    """

    rules = with_maxout()
    unsupported: ClassVar[dict[str, str]] = {
        "residual": "a shortcut cannot connect layers of different widths",
        "se": NO_CONVOLUTION,
        "padding_mode": NO_CONVOLUTION,
        "kernel": NO_CONVOLUTION,
        "downsample": NO_CONVOLUTION,
    }

    widths: tuple[int, ...] = (256, 128)
    activation: str = "relu"
    slope: float = SLOPE
    norm: bool = False
    norm_position: str = "before"
    dropout: float = 0.0
    dropconnect: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.norm_position == "after" and not self.norm:
            raise ModelError("norm_position='after' contradicts norm=False", fix="enable normalisation with norm=True")


class MLP(nn.Module):
    """Hidden layers, then one dense layer of logits."""

    def __init__(self, classes: int, channels: int, img_size: int, design: MLPDesign) -> None:
        super().__init__()
        sides = (channels * img_size * img_size, *design.widths)
        self.hidden = nn.Sequential(*(_hidden(inputs, outputs, design) for inputs, outputs in pairwise(sides)))
        self.fc = nn.Linear(sides[-1], classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.hidden(x.flatten(1)))  # type: ignore[no-any-return]


def _hidden(inputs: int, outputs: int, design: MLPDesign) -> nn.Sequential:
    """One hidden layer: dense, normalisation and activation in the design's order, dropout last."""
    wide = outputs * pieces(design.activation)
    layers: OrderedDict[str, nn.Module] = OrderedDict(fc=dense(inputs, wide, design.dropconnect))
    if design.norm and design.norm_position == "before":
        layers["bn"] = nn.BatchNorm1d(wide)
    layers["act"] = activation(design.activation, design.slope)
    if design.norm and design.norm_position == "after":
        layers["bn"] = nn.BatchNorm1d(outputs)
    if design.dropout:
        layers["dropout"] = nn.Dropout(design.dropout)
    return nn.Sequential(layers)


@register(
    img_size=28,
    min_size=1,
    year=1986,
    paper="Rumelhart et al. 1986, Nature 323",
    channels=1,
    classes=10,
    design=MLPDesign(),
)
def mlp(*, classes: int, channels: int, img_size: int, design: MLPDesign) -> nn.Module:
    """Two hidden layers of 256 and 128 units; `widths` sets any others."""
    return MLP(classes, channels, img_size, design)
