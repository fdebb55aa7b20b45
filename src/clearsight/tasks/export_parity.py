"""How the outputs of an exported file are compared with those of the model: the part of `tasks.task.Task` for export.

Shapes: N images; a decoded output is what `Task.decoded` returns, one array (N, ...) per output name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from clearsight.tasks.task_parts import Outputs

BAR = 1e-4
"""Largest difference between two computations of one output that counts as rounding."""


class ExportParity(ABC):
    """Agreement of two computations of a task's outputs."""

    @property
    @abstractmethod
    def output_names(self) -> tuple[str, ...]:
        """Names of what `activation` gives, which are those of an exported file's outputs."""

    @property
    def parity_words(self) -> tuple[str, str]:
        """What two computations must agree on, and the quantity whose difference is measured."""
        return "prediction", self.output_names[0]

    def difference(self, expected: tuple[Outputs, ...], found: tuple[Outputs, ...]) -> Outputs:
        """The largest difference between two decoded outputs of each image.

        Args:
            expected: decoded outputs of the model.
            found: decoded outputs of the exported file.

        Returns:
            Differences (N,); up to 1e-4 counts as rounding.
        """
        return np.asarray(np.abs(expected[0] - found[0]).max(axis=1))

    def same(self, expected: tuple[Outputs, ...], found: tuple[Outputs, ...]) -> NDArray[np.bool_]:
        """For which images both computations make the same prediction.

        Args:
            expected: decoded outputs of the model.
            found: decoded outputs of the exported file.

        Returns:
            Boolean array (N,).
        """
        return np.asarray(self.difference(expected, found) <= BAR)

    def undecided(self, expected: tuple[Outputs, ...]) -> NDArray[np.bool_]:
        """For which images rounding may change the prediction.

        Args:
            expected: decoded outputs of the model.

        Returns:
            Boolean array (N,).
        """
        return np.zeros(len(expected[0]), bool)

    int8_measure: ClassVar[tuple[str, bool] | None] = None
    """By what the loss of int8 is measured, and whether more is better; None where it cannot be."""

    def int8_score(self, found: tuple[Outputs, ...], truth: NDArray[Any]) -> float:
        """The metric that `int8_measure` names.

        Args:
            found: decoded outputs of the int8 file.
            truth: the true targets, as `Task.evaluate` takes them.

        Returns:
            Its value.

        Raises:
            NotImplementedError: the task has no such metric.
        """
        raise NotImplementedError

    def export_facts(self) -> dict[str, Any]:
        """What a program needs to use the outputs of an exported file.

        Returns:
            Plain values for the file's card.
        """
        return {}
