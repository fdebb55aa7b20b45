"""The linear (softmax) classifier: one score per class, a weighted sum of all pixels.

The softmax itself belongs to the loss and to `predict_proba`; the network returns its logarithm up to a
constant, as every network here does. With cross-entropy this is multinomial logistic regression [Cox 1958;
Bishop 2006, section 4.3.4].

Shapes: x (N, channels, S, S) -> (N, channels * S * S) -> (N, classes).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from clearsight.models.ablations import Design
from clearsight.models.layers import dense
from clearsight.models.registry import register

NO_HIDDEN_LAYER = "the network has no hidden layer"
NO_CONVOLUTION = "the network has no convolution"


@dataclass(frozen=True)
class LinearDesign(Design):
    """dropout: share of pixels dropped in training. dropconnect: share of weights dropped in training."""

    unsupported: ClassVar[dict[str, str]] = {
        "residual": NO_HIDDEN_LAYER,
        "norm": NO_HIDDEN_LAYER,
        "norm_position": NO_HIDDEN_LAYER,
        "activation": NO_HIDDEN_LAYER,
        "se": NO_CONVOLUTION,
        "padding_mode": NO_CONVOLUTION,
        "kernel": NO_CONVOLUTION,
        "downsample": NO_CONVOLUTION,
    }

    dropout: float = 0.0
    dropconnect: float = 0.0


class LinearClassifier(nn.Module):
    """channels * S * S weights and one bias a class."""

    def __init__(self, classes: int, channels: int, img_size: int, design: LinearDesign) -> None:
        super().__init__()
        self.image = (channels, img_size, img_size)
        self.dropout = nn.Dropout(design.dropout)
        self.fc = dense(channels * img_size * img_size, classes, design.dropconnect)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.dropout(x.flatten(1)))  # type: ignore[no-any-return]

    def templates(self) -> torch.Tensor:
        """The weights as one image a class, (classes, channels, S, S): the template of each class."""
        return self.fc.weight.detach().reshape(-1, *self.image)


@register(
    img_size=28,
    min_size=1,
    year=1958,
    paper="Cox 1958, J. R. Stat. Soc. B 20(2)",
    channels=1,
    classes=10,
    design=LinearDesign(),
)
def linear(*, classes: int, channels: int, img_size: int, design: LinearDesign) -> nn.Module:
    """The softmax linear classifier."""
    return LinearClassifier(classes, channels, img_size, design)
