"""One step looked at closely: what it holds, and how tensors become its numbers.

Shapes: L layers with weights, A nonlinearities, both in the order of the forward pass; U units (channels) of one
nonlinearity; K classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from clearsight.diagnosis.parts import Part

ELEMENTS = 1 << 16
"""Numbers of one nonlinearity's output that a look reads, about: it takes as few images as that needs, 16 or more."""

FLAT = 0.05
"""A sigmoid or tanh is saturated where its slope is below this share of its largest."""


@dataclass(frozen=True)
class StepStats:
    """One step looked at closely.

    gradient, weight, update (L,): norms per layer; the gradient before clipping, the weight before the update, the
    update what was added to it. mean, std, zeros, saturated (A,): of a nonlinearity's outputs; zeros: share that is
    exactly 0; saturated: share whose slope is below 5 % of the largest, nan where the kind has none. alive: per
    nonlinearity (U,), whether any image made the unit other than 0. inputs: mean, standard deviation, least and
    largest number that reached the first layer. sums: largest distance of a row sum of the logits from 1; low, high:
    of the logits. confidence: mean of the largest softmax. spread: standard deviation of the images' cross-entropy.
    predicted, wanted (K,): images per class; right: share of images.
    """

    step: int
    lr: float
    loss: float
    gradient: NDArray[np.float64]
    weight: NDArray[np.float64]
    update: NDArray[np.float64]
    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    zeros: NDArray[np.float64]
    saturated: NDArray[np.float64]
    alive: tuple[NDArray[np.bool_], ...]
    inputs: tuple[float, float, float, float]
    sums: float
    low: float
    high: float
    confidence: float
    spread: float
    predicted: NDArray[np.int64]
    targets: NDArray[np.int64]
    right: float

    def total_gradient(self) -> float:
        """Norm of the gradient of all watched layers together."""
        return float(np.sqrt(np.nansum(self.gradient**2)))

    def ratios(self) -> NDArray[np.float64]:
        """Length of the update as a share of the weight's, per layer that has both (<= L,)."""
        known = (self.weight > 0) & np.isfinite(self.update)
        return np.asarray(self.update[known] / self.weight[known], np.float64)


@dataclass(frozen=True)
class Break:
    """The step whose loss, or validation's after it, was no finite number; whether pixels and weights still were."""

    step: int
    loss: float
    pixels_finite: bool
    weights_finite: bool


def norm(tensor: torch.Tensor) -> torch.Tensor:
    norm: torch.Tensor = torch.linalg.vector_norm(tensor.detach())
    return norm


def summary(x: torch.Tensor) -> torch.Tensor:
    """Mean, standard deviation, least and largest (4,) of a layer's input."""
    with torch.no_grad():
        x = _some(x)
        return torch.stack([*_moments(x), x.amin(), x.amax()])


def activity(part: Part, output: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Mean, deviation, share of zeros and of saturation of an output, and which units (U,) are not 0 throughout.

    Units are dimension 1 of maps (N, U, H, W) and the last of (N, U) and tokens (N, T, U).
    """
    with torch.no_grad():
        x = _some(output)
        mean, std = _moments(x)
        nothing = torch.full_like(mean, math.nan)
        zeros, saturated = nothing, nothing
        alive = torch.zeros(0, dtype=torch.bool, device=x.device)
        if part.kind == "relu":
            zero = x == 0
            zeros = zero.sum() / zero.numel()
            unit = 1 if x.ndim == 4 else x.ndim - 1
            alive = ~zero.all(dim=tuple(d for d in range(x.ndim) if d != unit))
        elif part.kind == "sigmoid":
            saturated = (4 * x * (1 - x) < FLAT).float().mean()
        elif part.kind == "tanh":
            saturated = (1 - x * x < FLAT).float().mean()
        return [mean, std, zeros, saturated], alive


def _moments(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation, three times as fast on a CPU as `torch.std_mean`."""
    mean = x.mean()
    return mean, (norm(x) ** 2 / x.numel() - mean**2).clamp_min(0).sqrt()


def _some(x: torch.Tensor) -> torch.Tensor:
    """As many of the images as a look can afford, in float32."""
    each = max(1, x[0].numel())
    return x.detach()[: max(16, ELEMENTS // each)].float()
