"""Heads: from a feature vector (N, D) to logits (N, K), as part of the network, so that gradients reach the pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn


class KernelHead(nn.Module):
    """A support vector machine with the radial basis kernel, one against the rest; its support vectors are weights.

    f_k(x) = sum_s dual[k, s] exp(-gamma |z - support_s|²) + intercept[k],  z = (x - mean) / std   [Cortes, Vapnik 1995]

    For two classes f_0 = -f_1. Support vectors S x D are shared by the classes.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, features: int, classes: int, support: int, gamma: float) -> None:
        super().__init__()
        self.gamma = gamma
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("std", torch.ones(features))
        self.support = nn.Parameter(torch.zeros(support, features))
        self.dual = nn.Parameter(torch.zeros(classes, support))
        self.intercept = nn.Parameter(torch.zeros(classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = (x - self.mean) / self.std
        squared = (z**2).sum(1, keepdim=True) - 2 * z @ self.support.T + (self.support**2).sum(1)
        kernel = torch.exp(-self.gamma * squared.clamp_min(0))  # (N, S)
        return kernel @ self.dual.T + self.intercept


def build_head(spec: dict[str, Any]) -> nn.Module:
    """The head a spec describes: {"kind": "softmax"|"kernel", ...}, with empty weights."""
    if spec["kind"] == "softmax":
        return nn.Linear(spec["features"], spec["classes"])
    return KernelHead(spec["features"], spec["classes"], spec["support"], spec["gamma"])


def softmax_head(
    weight: NDArray[Any], bias: NDArray[Any], mean: NDArray[Any], std: NDArray[Any]
) -> tuple[dict[str, Any], nn.Linear]:
    """A dense layer (K, D) learned on standardised features, standardisation folded in: W/std, b - W mean/std."""
    head = nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(weight / std))
        head.bias.copy_(torch.from_numpy(bias - (weight * (mean / std)).sum(axis=1)))
    return {"kind": "softmax", "features": weight.shape[1], "classes": weight.shape[0]}, head


def kernel_head(
    support: NDArray[Any],
    dual: NDArray[Any],
    intercept: NDArray[Any],
    gamma: float,
    mean: NDArray[Any],
    std: NDArray[Any],
) -> tuple[dict[str, Any], KernelHead]:
    """A kernel head from its support vectors (S, D), already standardised, and dual coefficients (K, S)."""
    spec = {
        "kind": "kernel",
        "features": support.shape[1],
        "classes": dual.shape[0],
        "support": support.shape[0],
        "gamma": gamma,
    }
    head = KernelHead(support.shape[1], dual.shape[0], support.shape[0], gamma)
    with torch.no_grad():
        for tensor, values in (
            (head.support, support),
            (head.dual, dual),
            (head.intercept, intercept),
            (head.mean, mean),
            (head.std, std),
        ):
            tensor.copy_(torch.from_numpy(np.asarray(values, dtype=np.float32)))
    return spec, head
