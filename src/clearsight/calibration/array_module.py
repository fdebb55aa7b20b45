"""An array function in PyTorch, for export and for gradients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from clearsight.calibration.array_function import ArrayFunction


class ArrayModule(nn.Module):
    """An array function as a module: outputs (N, O) to a tuple of tensors (N, ...).

    Args:
        function: the function; its constants become buffers, in float64.
    """

    def __init__(self, function: ArrayFunction) -> None:
        super().__init__()
        self.function = function
        for name, values in function.constants.items():
            self.register_buffer(name, torch.from_numpy(values.copy()))

    def forward(self, outputs: Tensor) -> tuple[Tensor, ...]:
        return self.function.compute(TorchOps, self, outputs)


class TorchOps:
    """The operations of `NumpyOps` in PyTorch."""

    exp, minimum, maximum, where = torch.exp, torch.minimum, torch.maximum, torch.where
    arctan2, ones_like, zeros_like, sqrt = torch.atan2, torch.ones_like, torch.zeros_like, torch.sqrt

    @staticmethod
    def at_least(x: Tensor, low: float) -> Tensor:
        """Values below low become low."""
        return x.clamp(min=low)

    @staticmethod
    def within(x: Tensor, low: float, high: float) -> Tensor:
        """Values outside low to high become the nearest of these."""
        limits = {name: end for name, end in (("min", low), ("max", high)) if math.isfinite(end)}
        return x.clamp(**limits) if limits else x

    @staticmethod
    def share(count: Tensor, total: int) -> Tensor:
        """Counts over their total, in float32."""
        return count / total

    @staticmethod
    def largest(x: Tensor) -> Tensor:
        """The largest value of each row (N, 1)."""
        return x.amax(dim=1, keepdim=True)

    @staticmethod
    def total(x: Tensor) -> Tensor:
        """The sum of each row (N, 1)."""
        return x.sum(1, keepdim=True)

    @staticmethod
    def beside(parts: Sequence[Tensor]) -> Tensor:
        """Tensors (N, K) side by side."""
        return torch.cat(list(parts), 1)

    @staticmethod
    def sigmoid(x: Tensor) -> Tensor:
        """1 / (1 + exp(-x))."""
        return x.sigmoid()

    @staticmethod
    def log_softmax(x: Tensor) -> Tensor:
        """Logarithm of the softmax of each row."""
        return x.log_softmax(dim=1)

    @staticmethod
    def softmax(x: Tensor) -> Tensor:
        """Softmax of each row."""
        return x.softmax(dim=1)
