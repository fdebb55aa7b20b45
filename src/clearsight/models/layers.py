"""The layers the families are built from.

Legend: N images, C channels, S the side of a square map in pixels, K filters, P the side of a filter.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from clearsight.errors import ModelError
from clearsight.models.ablations import ConvDesign
from clearsight.models.base import forward_hooks

SMALL = 64
"""Images with a side below this many pixels get a family's stem for small images."""

MAXOUT_PIECES = 2
"""Linear pieces per unit where maxout replaces an activation inside a convolutional network."""

AUXILIARY_WEIGHT = 0.3
"""What the paper weighs each auxiliary loss with (section 5)."""

_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "relu6": nn.ReLU6,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "maxout": lambda: Maxout(MAXOUT_PIECES),
}


def activation(name: str, slope: float = 0.01) -> nn.Module:
    """A new activation layer. No layer works in place, so that what a hook recorded stays as it was. slope: of
    leaky_relu below zero.
    """
    return nn.LeakyReLU(slope) if name == "leaky_relu" else _ACTIVATIONS[name]()


POOLS: dict[str, Callable[..., nn.Module]] = {"maxpool": nn.MaxPool2d, "avgpool": nn.AvgPool2d}
"""Layers that halve maps in the place of a stride, by the value of `downsample`."""


def pieces(name: str) -> int:
    """How many linear outputs the activation reads for one of its own: 1, for maxout more."""
    return MAXOUT_PIECES if name == "maxout" else 1


class Maxout(nn.Module):
    """The largest of each `pieces` neighbouring channels [Goodfellow et al. 2013, arXiv:1302.4389].

    (N, C * pieces, ...) -> (N, C, ...).
    """

    def __init__(self, pieces: int) -> None:
        super().__init__()
        self.pieces = pieces

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        units = x.shape[1] // self.pieces
        return x.reshape(x.shape[0], units, self.pieces, *x.shape[2:]).amax(2)

    def extra_repr(self) -> str:
        return f"pieces={self.pieces}"


class SqueezeExcitation(nn.Module):
    """Scale each channel by a gate computed from all channels' means [Hu et al. 2018, arXiv:1709.01507].

    gate = sigmoid(W2 relu(W1 mean(x))), with C/ratio hidden units (at least one). (N, C, S, S) -> (N, C, S,
    S). The dense layers are 1x1 convolutions named fc1 and fc2, as in torchvision and timm.
    """

    def __init__(self, channels: int, ratio: int = 16) -> None:
        super().__init__()
        hidden = max(1, channels // ratio)
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.act = nn.ReLU()
        self.fc2 = nn.Conv2d(hidden, channels, 1)
        self.gate = nn.Sigmoid()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        means = x.mean((2, 3), keepdim=True)  # (N, C, 1, 1)
        gate: torch.Tensor = self.gate(self.fc2(self.act(self.fc1(means))))
        return x * gate


class DropConnect(nn.Linear):
    """A dense layer that drops weights in training [Wan et al. 2013, ICML, "DropConnect"].

    Each weight is kept with probability 1 - p and then divided by it, so its mean stays. Departures from the
    paper: one mask serves the whole batch where the paper draws one per image, and evaluation uses the mean
    weights where the paper samples a Gaussian. (N, inputs) -> (N, outputs).
    """

    def __init__(self, inputs: int, outputs: int, p: float) -> None:
        super().__init__(inputs, outputs)
        self.p = p

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, F.dropout(self.weight, self.p, self.training), self.bias)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, p={self.p}"


def dense(inputs: int, outputs: int, dropconnect: float) -> nn.Linear:
    """A dense layer, with DropConnect where its share is above zero."""
    return DropConnect(inputs, outputs, dropconnect) if dropconnect else nn.Linear(inputs, outputs)


def conv(
    inputs: int,
    outputs: int,
    kernel: int | tuple[int, int],
    *,
    design: ConvDesign,
    stride: int = 1,
    padding: int | tuple[int, int] = 0,
    groups: int = 1,
    bias: bool = False,
) -> nn.Conv2d:
    """A convolution with the design's border rule."""
    borders: Any = design.padding_mode if padding not in (0, (0, 0)) else "zeros"
    return nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=bias, padding_mode=borders)


def batch_norm(channels: int, *, design: ConvDesign, eps: float = 1e-5) -> nn.Module:
    """Batch normalisation, or nothing where the design switches it off."""
    return nn.BatchNorm2d(channels, eps=eps) if design.norm else nn.Identity()


def conv_norm_act(
    inputs: int,
    outputs: int,
    kernel: int | tuple[int, int],
    *,
    design: ConvDesign,
    stride: int = 1,
    padding: int | tuple[int, int] = 0,
    groups: int = 1,
    bias: bool | None = None,
    eps: float = 1e-5,
) -> OrderedDict[str, nn.Module]:
    """Convolution, normalisation and activation as layers named conv, bn and act, in the design's order.

    Without normalisation there is no bn. The convolution has a bias where no normalisation replaces it, or as
    `bias` says.
    """
    wide = outputs * pieces(design.activation)
    bias = not design.norm if bias is None else bias
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["conv"] = conv(inputs, wide, kernel, design=design, stride=stride, padding=padding, groups=groups, bias=bias)
    if design.norm and design.norm_position == "before":
        layers["bn"] = nn.BatchNorm2d(wide, eps=eps)
    layers["act"] = activation(design.activation, design.slope)
    if design.norm and design.norm_position == "after":
        layers["bn"] = nn.BatchNorm2d(outputs, eps=eps)
    return layers


class ConvNormAct(nn.Sequential):
    """`conv_norm_act` as one module, with the tensor names of torchvision's inception networks."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int | tuple[int, int],
        *,
        design: ConvDesign,
        stride: int = 1,
        padding: int | tuple[int, int] = 0,
        eps: float = 1e-3,
    ) -> None:
        layers = conv_norm_act(inputs, outputs, kernel, design=design, stride=stride, padding=padding, eps=eps)
        super().__init__(layers)


class AuxiliaryClassifier(nn.Module):
    """A head on an inner layer that helps a deep network train [Szegedy et al. 2014, arXiv:1409.4842]: the base that
    marks them for `auxiliary_logits`. (N, C, S, S) -> (N, classes).

    A network returns the logits of its last layer alone, in training too. Where it was built with aux=True, its
    auxiliary heads also run in training mode, and `auxiliary_logits` hands over what they returned, through any
    wrapper around the network:

        with auxiliary_logits(network) as extra:
            loss = cross_entropy(network(x), y)
            loss = loss + AUXILIARY_WEIGHT * sum(cross_entropy(logits, y) for logits in extra)
    """


@contextmanager
def auxiliary_logits(network: nn.Module) -> Iterator[list[torch.Tensor]]:
    """Collect the outputs (N, classes) of the auxiliary heads that run inside the block, in order."""
    collected: list[torch.Tensor] = []
    heads = [(name, m) for name, m in network.named_modules() if isinstance(m, AuxiliaryClassifier)]
    with forward_hooks(heads, lambda _name, _module, _inputs, output: collected.append(output)):
        yield collected


def he_normal(network: nn.Module, kinds: tuple[type[nn.Module], ...] = (nn.Conv2d,)) -> None:
    """Draw weights by He et al. 2015, arXiv:1502.01852: variance 2 / fan, biases zero.

    Convolutions use the backward form (equation 14, fan = K * P * P), dense layers the forward form (equation
    10, fan = inputs).
    """
    for module in network.modules():
        if isinstance(module, kinds) and isinstance(module, nn.Conv2d | nn.Linear):
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            else:
                nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def last_dense(body: nn.Module) -> tuple[str, nn.Linear]:
    """Path and module of the dense layer that gives the logits."""
    dense = [(name, m) for name, m in body.named_modules() if isinstance(m, nn.Linear)]
    if not dense:
        raise ModelError("the network has no dense layer to take features from")
    return dense[-1]
