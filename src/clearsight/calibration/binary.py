"""Calibrated probabilities of K independent binary questions: the labels of an image, or whether its grade lies above
each boundary.

With outputs z (N, K), each question has an own a, b, share f of positives, weight w, and largest probability m:

    p = (1 - w) sigmoid(a z + b) + w f, kept within 1 - m and m

chosen by nested log loss (`calibration.selection`): as it is, a temperature, or Platt scaling. Outputs of a head that
was fitted by least squares are no log-odds, so leaving them as they are is not preferred.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from clearsight.calibration.selection import calibrate


@dataclass(frozen=True)
class BinaryCalibration:
    """The numbers of each question (K,), by the names above; weight, share and largest may be left out."""

    scale: tuple[float, ...]
    shift: tuple[float, ...]
    weight: tuple[float, ...] = ()
    share: tuple[float, ...] = ()
    largest: tuple[float, ...] = ()

    @classmethod
    def identity(cls, questions: int) -> BinaryCalibration:
        """The sigmoid of each output."""
        return cls(*((value,) * questions for value in (1.0, 0.0, 0.0, 0.5, 1.0)))

    @classmethod
    def of(cls, outputs: NDArray[np.floating], truth: NDArray[Any]) -> BinaryCalibration:
        """From outputs (M, K) and answers (M, K), above 0 for yes, of images that the network was not fitted to; a
        question that all images answer alike stays as it is.
        """
        rows = []
        for z, positive in zip(np.asarray(outputs, np.float64).T, (truth > 0).T, strict=True):
            if positive.all() or not positive.any():
                rows.append((1.0, 0.0, 0.0, 0.5, 1.0))
                continue
            two = np.stack([np.zeros_like(z), z], 1)
            made = calibrate(two, positive.astype(np.int64), ("identity", "temperature", "platt"), clearly=0)
            rows.append((made.scale[1], made.shift[1] - made.shift[0], made.weight, made.frequencies[1], made.largest))
        return cls(*(tuple(map(float, column)) for column in zip(*rows, strict=True)))

    def module(self) -> Sigmoids:
        """The same in torch, outputs (N, K) to probabilities (N, K)."""
        return Sigmoids(self)

    def card(self) -> dict[str, Any]:
        """Plain values, which `load` takes."""
        return {name: list(row) for name, row in vars(self).items()}

    @classmethod
    def load(cls, card: Mapping[str, Any]) -> BinaryCalibration:
        """From what `card` gave; older cards have scale and shift alone."""
        return cls(*(tuple(card.get(name, ())) for name in ("scale", "shift", "weight", "share", "largest")))


class Sigmoids(nn.Module):
    """Outputs (N, K) to probabilities (N, K), and the outputs."""

    scale: Tensor
    shift: Tensor
    weight: Tensor
    share: Tensor
    largest: Tensor

    def __init__(self, calibration: BinaryCalibration) -> None:
        super().__init__()
        questions = len(calibration.scale)
        usual: dict[str, Sequence[float]] = {"weight": (0.0,), "share": (0.5,), "largest": (1.0,)}
        for name, row in vars(calibration).items():
            values = row or tuple(usual[name]) * questions
            self.register_buffer(name, torch.tensor(values, dtype=torch.float64))
        self.mixed = any(calibration.weight)
        self.limited = any(m < 1 for m in calibration.largest)

    def forward(self, logits: Tensor) -> tuple[Tensor, ...]:
        found = (logits * self.scale + self.shift).sigmoid()
        if self.mixed:
            found = (1 - self.weight) * found + self.weight * self.share
        if self.limited:
            found = torch.minimum(torch.maximum(found, 1 - self.largest), self.largest)
        return found, logits
