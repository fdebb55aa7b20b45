"""Functions of arrays that are written once and run in NumPy and in PyTorch: the step from outputs to predictions.

NumPy computes predictions, in float64 and without importing PyTorch, which takes seconds; PyTorch computes the same in
an exported file, in float32.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import nn

Floats = NDArray[np.float64]


class ArrayFunction:
    """A function of outputs (N, O) and of constants. Subclasses define `compute`.

    constants: arrays by name, which an exported file holds.
    """

    def __init__(self, **constants: NDArray[Any] | Sequence[Any]) -> None:
        self.constants = {name: np.asarray(values, np.float64) for name, values in constants.items()}

    def compute(self, ops: Any, c: Any, x: Any) -> tuple[Any, ...]:
        """The function itself.

        Args:
            ops: `NumpyOps`, or the same operations of PyTorch.
            c: the constants, as attributes.
            x: outputs (N, O).

        Returns:
            Arrays (N, ...).

        Raises:
            NotImplementedError: a subclass has to define it.
        """
        raise NotImplementedError

    def __call__(self, x: NDArray[np.floating]) -> tuple[Floats, ...]:
        """In NumPy, in float64."""
        with np.errstate(over="ignore", under="ignore"):
            return self.compute(NumpyOps, _Constants(self.constants), np.asarray(x, np.float64))

    def module(self) -> nn.Module:
        """The same in PyTorch; its buffers, the constants, are float64.

        Returns:
            A module from outputs (N, O) to a tuple of tensors (N, ...).
        """
        from clearsight.calibration.array_module import ArrayModule

        return ArrayModule(self)


class _Constants:
    def __init__(self, constants: Mapping[str, Floats]) -> None:
        vars(self).update(constants)


class NumpyOps:
    """The operations in NumPy; `array_module.TorchOps` has the same in PyTorch."""

    exp, minimum, maximum, where = np.exp, np.minimum, np.maximum, np.where
    arctan2, ones_like, zeros_like, sqrt = np.arctan2, np.ones_like, np.zeros_like, np.sqrt

    @staticmethod
    def at_least(x: Floats, low: float) -> Floats:
        """Values below low become low."""
        return np.maximum(x, low)

    @staticmethod
    def within(x: Floats, low: float, high: float) -> Floats:
        """Values outside low to high become the nearest of these."""
        return np.clip(x, low, high)

    @staticmethod
    def share(count: NDArray[np.integer], total: int) -> NDArray[np.float32]:
        """Counts over their total, in float32."""
        return np.asarray(count, np.float32) / np.float32(total)

    @staticmethod
    def largest(x: Floats) -> Floats:
        """The largest value of each row (N, 1)."""
        return np.asarray(x.max(1, keepdims=True))

    @staticmethod
    def total(x: Any) -> Any:
        """The sum of each row (N, 1)."""
        return x.sum(1, keepdims=True)

    @staticmethod
    def beside(parts: Sequence[Floats]) -> Floats:
        """Arrays (N, K) side by side."""
        return np.concatenate(parts, axis=1)

    @staticmethod
    def sigmoid(x: Floats) -> Floats:
        """1 / (1 + exp(-x)), without overflow."""
        small = np.exp(-np.abs(x))
        return np.asarray(np.where(x >= 0, 1.0, small) / (1 + small))

    @staticmethod
    def log_softmax(x: Floats) -> Floats:
        """Logarithm of the softmax of each row."""
        away = x - x.max(1, keepdims=True)
        return np.asarray(away - np.log(np.exp(away).sum(1, keepdims=True)))

    @staticmethod
    def softmax(x: Floats) -> Floats:
        """Softmax of each row."""
        parts = np.exp(x - x.max(1, keepdims=True))
        return np.asarray(parts / parts.sum(1, keepdims=True))
