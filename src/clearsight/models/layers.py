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
    """A new activation layer.

    No layer works in place, so what a hook recorded stays as it was.

    Args:
        name: name of the activation, such as "relu".
        slope: slope of leaky_relu below zero.

    Returns:
        The layer.
    """
    return nn.LeakyReLU(slope) if name == "leaky_relu" else _ACTIVATIONS[name]()


POOLS: dict[str, Callable[..., nn.Module]] = {"maxpool": nn.MaxPool2d, "avgpool": nn.AvgPool2d}
"""Pooling layers that replace a stride, by the value of `downsample`."""


def pieces(name: str) -> int:
    """Number of linear outputs that an activation reads for one output.

    Args:
        name: name of the activation.

    Returns:
        1; for maxout more.
    """
    return MAXOUT_PIECES if name == "maxout" else 1


class Maxout(nn.Module):
    """The largest of each `pieces` neighbouring channels: (N, C * pieces, ...) to (N, C, ...).

    Args:
        pieces: number of channels per output, 2 or more.

    Reference:
        Goodfellow et al., "Maxout networks", 2013, arXiv:1302.4389.
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
    """Scale each channel by a gate computed from the means of all channels: (N, C, S, S) to (N, C, S, S).

    gate = sigmoid(W2 relu(W1 mean(x))), with C / ratio hidden units (at least one). The dense layers are 1x1
    convolutions named fc1 and fc2, as in torchvision and timm.

    Args:
        channels: number of channels C.
        ratio: channels per hidden unit.

    Reference:
        Hu et al., "Squeeze-and-excitation networks", 2018, arXiv:1709.01507.
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
    """A dense layer that drops weights in training: (N, inputs) to (N, outputs).

    Each weight is kept with probability 1 - p and then divided by it, so its mean is unchanged. Two things differ from
    the paper: one mask serves the whole batch, where the paper draws one per image, and evaluation uses the mean
    weights, where the paper samples a Gaussian.

    Args:
        inputs: number of inputs.
        outputs: number of outputs.
        p: probability that a weight is dropped, in [0, 1).

    Reference:
        Wan et al., "Regularization of neural networks using DropConnect", ICML 2013.
    """

    def __init__(self, inputs: int, outputs: int, p: float) -> None:
        super().__init__(inputs, outputs)
        self.p = p

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, F.dropout(self.weight, self.p, self.training), self.bias)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, p={self.p}"


def dense(inputs: int, outputs: int, dropconnect: float) -> nn.Linear:
    """A dense layer, with DropConnect if its rate is above zero.

    Args:
        inputs: number of inputs.
        outputs: number of outputs.
        dropconnect: probability that a weight is dropped, in [0, 1).

    Returns:
        The layer.
    """
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
    """A convolution with the padding mode of the design.

    Args:
        inputs: input channels.
        outputs: output channels.
        kernel: side of the kernel, or (height, width).
        design: design of the network, of which the padding mode is used.
        stride: stride in pixels.
        padding: padding in pixels, or (vertical, horizontal).
        groups: number of groups.
        bias: add a bias.

    Returns:
        The layer.
    """
    borders: Any = design.padding_mode if padding not in (0, (0, 0)) else "zeros"
    return nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=bias, padding_mode=borders)


def batch_norm(channels: int, *, design: ConvDesign, eps: float = 1e-5) -> nn.Module:
    """Batch normalisation, or the identity if the design has none.

    Args:
        channels: number of channels.
        design: design of the network.
        eps: added to the variance.

    Returns:
        The layer.
    """
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
    """Convolution, normalisation and activation as layers named conv, bn and act, in the order of the design.

    Without normalisation there is no bn.

    Args:
        inputs: input channels.
        outputs: output channels.
        kernel: side of the kernel, or (height, width).
        design: design of the network.
        stride: stride in pixels.
        padding: padding in pixels, or (vertical, horizontal).
        groups: number of groups.
        bias: add a bias to the convolution; None adds one if there is no normalisation.
        eps: added to the variance by the normalisation.

    Returns:
        The layers by name.
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
    """`conv_norm_act` as one module, with the tensor names of torchvision's Inception networks.

    Args:
        inputs: input channels.
        outputs: output channels.
        kernel: side of the kernel, or (height, width).
        design: design of the network.
        stride: stride in pixels.
        padding: padding in pixels, or (vertical, horizontal).
        eps: added to the variance by the normalisation.
    """

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
    """Context manager: collect the outputs of auxiliary heads.

    Args:
        network: the network that runs in the block.

    Yields:
        A list that receives the logits (N, classes) of each auxiliary head, in order.
    """
    collected: list[torch.Tensor] = []
    heads = [(name, m) for name, m in network.named_modules() if isinstance(m, AuxiliaryClassifier)]
    with forward_hooks(heads, lambda _name, _module, _inputs, output: collected.append(output)):
        yield collected


def he_normal(network: nn.Module, kinds: tuple[type[nn.Module], ...] = (nn.Conv2d,)) -> None:
    """Draw weights from a normal distribution of variance 2 / fan, and set biases to zero.

    Convolutions use the backward form (equation 14, fan = K * P * P), dense layers the forward form (equation 10, fan =
    inputs).

    Args:
        network: the network, changed in place.
        kinds: types of the layers to draw.

    Reference:
        He et al., "Delving deep into rectifiers", 2015, arXiv:1502.01852.
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
    """The dense layer that gives the logits.

    Args:
        body: the network.

    Returns:
        Its path and the layer.

    Raises:
        ModelError: the network has no dense layer.
    """
    dense = [(name, m) for name, m in body.named_modules() if isinstance(m, nn.Linear)]
    if not dense:
        raise ModelError("the network has no dense layer from which to take features")
    return dense[-1]
