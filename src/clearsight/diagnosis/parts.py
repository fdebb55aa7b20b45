"""The parts of a network worth watching: layers with weights, nonlinearities, normalisation, dropout.

Knows modules only; what is measured on them is `vitals`' affair.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from torch import nn

from clearsight.models.layers import AuxiliaryClassifier, Maxout

Kind = Literal["weights", "relu", "sigmoid", "tanh", "nonlinear", "norm", "dropout", "softmax"]

MOST = 64
"""Layers watched at most of each kind, spread evenly over the depth: a network of 1,200 layers costs no more."""

_KINDS: tuple[tuple[Kind, tuple[type[nn.Module], ...]], ...] = (
    ("weights", (nn.Linear, nn.modules.conv._ConvNd)),
    ("relu", (nn.ReLU, nn.ReLU6)),
    ("sigmoid", (nn.Sigmoid,)),
    ("tanh", (nn.Tanh,)),
    (
        "nonlinear",
        (
            nn.LeakyReLU,
            nn.PReLU,
            nn.ELU,
            nn.SELU,
            nn.CELU,
            nn.SiLU,
            nn.GELU,
            nn.Mish,
            nn.Hardswish,
            nn.Softplus,
            Maxout,
        ),
    ),
    ("norm", (nn.modules.batchnorm._BatchNorm,)),
    ("dropout", (nn.modules.dropout._DropoutNd,)),
    ("softmax", (nn.Softmax, nn.Softmax2d)),
)


@dataclass(frozen=True)
class Part:
    """A module by its path in the network, and what kind of part it is."""

    name: str
    kind: Kind
    module: nn.Module


def parts(network: nn.Module) -> list[Part]:
    """Every part, in the order in which the network registers them, which is close to the order of the forward pass.

    Left out: auxiliary classifiers, which are side branches, frozen weights, dropout with share 0, and the sigmoid of a
    gate (of squeeze and excitation), which is meant to saturate.
    """
    found = []
    gates = {id(m.gate) for m in network.modules() if isinstance(getattr(m, "gate", None), nn.Module)}
    aside = {id(m) for a in network.modules() if isinstance(a, AuxiliaryClassifier) for m in a.modules()}
    for name, module in network.named_modules():
        if id(module) in aside:
            continue
        kind = next((kind for kind, types in _KINDS if isinstance(module, types)), None)
        if kind is None or id(module) in gates:
            continue
        if kind == "weights" and not _trainable(module):
            continue
        if kind == "dropout" and not getattr(module, "p", 0):
            continue
        found.append(Part(name or "network", kind, module))
    return found


def of_kind(found: list[Part], *kinds: Kind) -> list[Part]:
    """The parts of these kinds, thinned evenly to `MOST`, first and last kept."""
    some = [part for part in found if part.kind in kinds]
    if len(some) <= MOST:
        return some
    return [some[i] for i in np.linspace(0, len(some) - 1, MOST).round().astype(int)]


def _trainable(module: nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    return isinstance(weight, nn.Parameter) and weight.requires_grad
