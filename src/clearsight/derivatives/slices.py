"""Slices through a loss: along a line, and over a plane, in random directions with every filter at its own scale.

Shapes: P weights; S steps along an axis.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from clearsight.derivatives.objective import Objective

Floats = NDArray[np.float64]
Value = Callable[[torch.Tensor], tuple[float, float]]
"""Weights (P,) to loss and accuracy."""


def filter_normalised(objective: Objective, seed: int) -> torch.Tensor:
    """A random direction (P,) in which each filter is as long as the network's own [Li et al. 2018, arXiv:1712.09913,
    section 4]:

        d_ij <- d_ij / ||d_ij|| ||w_ij||,   d Gaussian, i the layer, j its filter

    A filter is what makes one output: a row of a dense layer, the weights of one output channel of a convolution.
    Biases and the scales and shifts of normalisations do not move, as in the paper. So a network whose filters are
    scaled up, which a rectifier or a normalisation behind them undoes, has the same slice.

    Args:
        objective: the loss, with the weights at the centre.
        seed: random seed.

    Returns:
        float32 (P,).
    """
    generator = torch.Generator().manual_seed(seed)
    parts = []
    for own in objective.split(objective.weights):
        direction = torch.randn(own.shape, generator=generator, dtype=own.dtype)
        if own.ndim < 2:
            parts.append(torch.zeros(own.numel(), dtype=own.dtype))
            continue
        rows, filters = direction.flatten(1), own.flatten(1)
        length = rows.norm(dim=1, keepdim=True).clamp_min(torch.finfo(own.dtype).tiny)
        parts.append((rows * (filters.norm(dim=1, keepdim=True) / length)).flatten())
    return torch.cat(parts)


def line(value: Value, centre: torch.Tensor, direction: torch.Tensor, steps: Floats) -> tuple[Floats, Floats]:
    """Loss and accuracy (S,), (S,) at centre + a direction, for each a of the steps (S,).

    Args:
        value: function of weights (P,) that returns loss and accuracy.
        centre: weights (P,).
        direction: direction (P,).
        steps: factors (S,) of the direction.

    Returns:
        Losses and accuracies, each (S,).
    """
    found = [value(centre + float(a) * direction) for a in steps]
    return np.array([loss for loss, _ in found]), np.array([right for _, right in found])


def plane(
    value: Value, centre: torch.Tensor, directions: Sequence[torch.Tensor], steps: Floats
) -> tuple[Floats, Floats]:
    """Loss and accuracy (S, S), (S, S) at centre + a first + b second: row i, column j have b = steps[i], a = steps[j].

    Args:
        value: function of weights (P,) that returns loss and accuracy.
        centre: weights (P,).
        directions: two directions (P,).
        steps: factors (S,) of the directions.

    Returns:
        Losses and accuracies, each (S, S).
    """
    first, second = directions
    losses, rights = [], []
    for b in steps:
        loss, right = line(value, centre + float(b) * second, first, steps)
        losses.append(loss)
        rights.append(right)
    return np.stack(losses), np.stack(rights)
