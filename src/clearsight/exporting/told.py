"""What an exported file tells of an image, for each kind of answer: its outputs, and how near two of them are.

    classes   probabilities (N, K), logits (N, K)     softmax(logits / temperature)
    labels    beliefs (N, K), logits (N, K)           sigmoid(scale logits + shift)
    anomaly   probabilities (N, 1), p_values (N, 1), scores (N, 1)
    numbers   values (N, T), deviations (N, T) where the network gives variances, outputs (N, O)

The same twice: as a module for the graph, in float32, and from the `answers` of the model, in float64. Differences are
in beliefs, or of numbers in what is 1 to the network: a standard deviation of the training numbers, a radian; of
anomalies in scores, whose unit is their standard deviation among normal images.
"""

from __future__ import annotations

import math
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from clearsight.bundle import Bundle
from clearsight.evaluation import evaluate_answers
from clearsight.evaluation.labels import LabelsEvaluation
from clearsight.metrics import softmax
from clearsight.tasks import Anomaly, Labels, Numbers
from clearsight.tasks.predictions import ANGLES, half_widths
from clearsight.tasks.regression import LEAST

Floats = NDArray[np.floating]
Tensors = tuple[torch.Tensor, ...]

BAR = 1e-4
"""Largest difference that counts as rounding."""

COVERAGES = (0.5, 0.8, 0.9, 0.95, 0.99)
"""Of the intervals whose widths the card gives."""

NEAR = 0.1
"""Numbers that differ by less, in their spread, are the same answer to int8."""


class Told(Protocol):
    """outputs: names of what the file gives, the answer first. module: from the network's outputs (N, O) to these.
    answer, quantity: words for what is the same, and what is apart.
    """

    outputs: tuple[str, ...]
    module: nn.Module
    answer: str
    quantity: str

    def expected(self, outputs: Floats) -> tuple[Floats, ...]:
        """What the model tells, as the file does, from its network's outputs (N, O)."""

    def apart(self, expected: tuple[Floats, ...], found: tuple[Floats, ...]) -> Floats:
        """The largest difference for each image (N,)."""

    def agree(self, expected: tuple[Floats, ...], found: tuple[Floats, ...]) -> NDArray[np.bool_]:
        """For which images both are the same answer (N,)."""

    def undecided(self, expected: tuple[Floats, ...]) -> NDArray[np.bool_]:
        """For which images rounding may make another answer (N,)."""

    def facts(self) -> dict[str, Any]:
        """What a caller needs to make use of the outputs, for the card."""


@runtime_checkable
class Measured(Told, Protocol):
    """What validation images can judge, as int8 asks. measure: what by, in words; `rises` where more is better."""

    measure: str
    rises: bool

    def score(self, found: tuple[Floats, ...], truth: NDArray[Any]) -> float:
        """How good a file's answers are, by `measure`, against labels (N,) or targets (N, T)."""


def told_of(bundle: Bundle) -> Told:
    """What a file of this model tells."""
    if isinstance(bundle.answer, Labels):
        return LabelsTold(bundle.answer)
    if isinstance(bundle.answer, Numbers):
        return NumbersTold(bundle.answer)
    if isinstance(bundle.answer, Anomaly):
        return AnomalyTold(bundle.answer)
    return ClassesTold(bundle.temperature)


class ClassesTold:
    """The belief in each class."""

    outputs: tuple[str, ...] = ("probabilities", "logits")
    answer, quantity, measure, rises = "class", "probabilities", "accuracy", True

    def __init__(self, temperature: float) -> None:
        self.temperature = temperature
        self.module: nn.Module = _Softmax(temperature)

    def expected(self, outputs: Floats) -> tuple[Floats, ...]:
        return softmax(outputs, self.temperature), outputs

    def apart(self, expected: tuple[Floats, ...], found: tuple[Floats, ...]) -> Floats:
        return np.asarray(np.abs(expected[0] - found[0]).max(axis=1))

    def agree(self, expected: tuple[Floats, ...], found: tuple[Floats, ...]) -> NDArray[np.bool_]:
        return np.asarray(expected[0].argmax(1) == found[0].argmax(1))

    def undecided(self, expected: tuple[Floats, ...]) -> NDArray[np.bool_]:
        ranked = np.sort(expected[0], axis=1)  # equal beliefs, as those of a fair coin, have no class to agree on
        return np.asarray(ranked[:, -1] - ranked[:, -2] < BAR)

    def score(self, found: tuple[Floats, ...], truth: NDArray[Any]) -> float:
        return float((found[0].argmax(1) == truth).mean())

    def facts(self) -> dict[str, Any]:
        return {}


class LabelsTold:
    """The belief in each label."""

    outputs: tuple[str, ...] = ("beliefs", "logits")
    answer, quantity, measure, rises = "labels", "beliefs", "mean average precision", True

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self.module: nn.Module = _Sigmoids(labels)

    def expected(self, outputs: Floats) -> tuple[Floats, ...]:
        return self.labels.values(outputs), outputs

    def apart(self, expected: tuple[Floats, ...], found: tuple[Floats, ...]) -> Floats:
        return np.asarray(np.abs(expected[0] - found[0]).max(axis=1))

    def agree(self, expected: tuple[Floats, ...], found: tuple[Floats, ...]) -> NDArray[np.bool_]:
        given = [self.labels.given(np.asarray(told[0], np.float64)) for told in (expected, found)]
        return np.asarray((given[0] == given[1]).all(1))

    def undecided(self, expected: tuple[Floats, ...]) -> NDArray[np.bool_]:
        return np.asarray((np.abs(expected[0] - np.array(self.labels.thresholds)) < BAR).any(1))

    def score(self, found: tuple[Floats, ...], truth: NDArray[Any]) -> float:
        judged = evaluate_answers(self.labels, found[-1], truth)
        assert isinstance(judged, LabelsEvaluation)
        return judged.mean_average_precision

    def facts(self) -> dict[str, Any]:
        return {"thresholds": dict(zip(self.labels.names, self.labels.thresholds, strict=True))}


class NumbersTold:
    """The numbers in the unit of the training data, and how far off the network says that it may be."""

    answer, quantity, measure, rises = "numbers", "values, in their spread,", "mean error, in the spread,", False

    def __init__(self, numbers: Numbers) -> None:
        self.numbers = numbers
        self.outputs: tuple[str, ...] = ("values", *(["deviations"] if numbers.spread else []), "outputs")
        self.module: nn.Module = _Values(numbers)
        units = {"number": np.array(numbers.std), "direction": np.array([math.degrees(1)])}
        turn = ANGLES.get(numbers.unit, 0.0)
        self.spread = units.get(numbers.kind, np.full(len(numbers.names), turn / (2 * math.pi)))

    def expected(self, outputs: Floats) -> tuple[Floats, ...]:
        deviations = [self.numbers.deviations(outputs)] if self.numbers.spread else []
        return (self.numbers.values(outputs), *deviations, outputs)

    def apart(self, expected: tuple[Floats, ...], found: tuple[Floats, ...]) -> Floats:
        """Angles the short way round. Where an angle or direction is hardly said, the vector behind it being shorter
        than 1, a turn of it counts by that length.
        """
        off = self._off(expected[0], found[0]) * np.minimum(1, self._lengths(expected[-1]))
        if self.numbers.spread:
            off = np.maximum(off, np.abs(found[1] - expected[1]) / np.maximum(self.spread, expected[1]))
        return np.asarray(off.max(1))

    def agree(self, expected: tuple[Floats, ...], found: tuple[Floats, ...]) -> NDArray[np.bool_]:
        return np.asarray(self._off(expected[0], found[0]).max(1) < NEAR)

    def undecided(self, expected: tuple[Floats, ...]) -> NDArray[np.bool_]:
        return np.asarray((self._lengths(expected[-1]) < 1).any(1))

    def score(self, found: tuple[Floats, ...], truth: NDArray[Any]) -> float:
        return float(self._off(found[0], truth).mean())

    def facts(self) -> dict[str, Any]:
        """Half the width of an interval for each coverage, in the unit of the numbers, to be multiplied with the
        deviations where the file gives them; null where so much cannot be promised.
        """
        names = self.numbers.names if self.numbers.kind != "direction" else ("degrees",)
        rows = {c: half_widths(self.numbers.errors, c) for c in COVERAGES}
        told = {c: [w if math.isfinite(w) else None for w in row.tolist()] for c, row in rows.items()}
        return {"half_widths": {f"{c:g}": dict(zip(names, row, strict=True)) for c, row in told.items()}}

    def _off(self, values: Floats, truth: Floats) -> NDArray[np.float64]:
        """Differences in the spread (N, T), of a direction (N, 1)."""
        apart = self.numbers.differences(np.asarray(values, np.float64), np.asarray(truth, np.float64))
        return np.asarray(np.abs(apart) / self.spread)

    def _lengths(self, outputs: Floats) -> NDArray[np.float64]:
        """Of the vectors that angles (N, T) or a direction (N, 1) are read from; of plain numbers 1."""
        z, t = np.asarray(outputs, np.float64), len(self.numbers.names)
        if self.numbers.kind == "number":
            return np.ones((len(z), t))
        return np.hypot(z[:, :t], z[:, t:]) if self.numbers.kind == "angle" else np.hypot(*z.T)[:, None]


class AnomalyTold:
    """The probability of an anomaly, its p-value, and the score that both rest on."""

    outputs: tuple[str, ...] = ("probabilities", "p_values", "scores")
    answer, quantity = "answer", "scores, in their spread among normal images,"

    def __init__(self, anomaly: Anomaly) -> None:
        self.anomaly = anomaly
        self.module: nn.Module = _Rareness(anomaly)
        self.spread = float(np.std(anomaly.known)) or 1.0

    def expected(self, outputs: Floats) -> tuple[Floats, ...]:
        return self.anomaly.values(outputs), self.anomaly.p_values(outputs)[:, None], outputs

    def apart(self, expected: tuple[Floats, ...], found: tuple[Floats, ...]) -> Floats:
        return np.asarray(np.abs(expected[2] - found[2]).max(1) / self.spread)

    def agree(self, expected: tuple[Floats, ...], found: tuple[Floats, ...]) -> NDArray[np.bool_]:
        return np.asarray(self.anomaly.given(expected[2]) == self.anomaly.given(found[2]))

    def undecided(self, expected: tuple[Floats, ...]) -> NDArray[np.bool_]:
        return np.asarray(np.abs(expected[2][:, 0] - self.anomaly.threshold) < BAR * self.spread)

    def facts(self) -> dict[str, Any]:
        return {}


class _Softmax(nn.Module):
    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, logits: torch.Tensor) -> Tensors:
        return (logits / self.temperature).softmax(dim=1), logits


class _Sigmoids(nn.Module):
    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self, labels: Labels) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(labels.scale))
        self.register_buffer("shift", torch.tensor(labels.shift))

    def forward(self, logits: torch.Tensor) -> Tensors:
        return (logits * self.scale + self.shift).sigmoid(), logits


class _Rareness(nn.Module):
    """As `Anomaly.values` and `Anomaly.p_values`."""

    known: torch.Tensor

    def __init__(self, anomaly: Anomaly) -> None:
        super().__init__()
        self.odds, self.shape = anomaly.prior / (1 - anomaly.prior), anomaly.shape
        self.register_buffer("known", torch.tensor(anomaly.known))

    def forward(self, scores: torch.Tensor) -> Tensors:
        p = (1 + (self.known >= scores).sum(1, keepdim=True)) / (1 + len(self.known))
        odds = self.odds * self.shape * p ** (self.shape - 1)
        return odds / (1 + odds), p, scores


class _Values(nn.Module):
    """As `Numbers.values` and `Numbers.deviations`."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, numbers: Numbers) -> None:
        super().__init__()
        self.kind, self.t, self.spread = numbers.kind, len(numbers.names), numbers.spread
        self.low, self.high = numbers.low, numbers.high
        self.turn = ANGLES.get(numbers.unit, 0.0)
        self.register_buffer("mean", torch.tensor(numbers.mean))
        self.register_buffer("std", torch.tensor(numbers.std))

    def forward(self, outputs: torch.Tensor) -> Tensors:
        read = {"number": self._numbers, "angle": self._angles, "direction": self._direction}[self.kind]
        if not self.spread:
            return read(outputs), outputs
        deviations = (0.5 * outputs[:, self.t :].clamp(min=LEAST)).exp() * self.std
        return read(outputs), deviations, outputs

    def _numbers(self, z: torch.Tensor) -> torch.Tensor:
        values = z[:, : self.t] * self.std + self.mean
        limits = {k: v for k, v in (("min", self.low), ("max", self.high)) if math.isfinite(v)}
        return values.clamp(**limits) if limits else values

    def _angles(self, z: torch.Tensor) -> torch.Tensor:
        angle = torch.atan2(z[:, self.t :], z[:, : self.t]) * (self.turn / (2 * math.pi))
        angle = torch.where(angle < 0, angle + self.turn, angle)
        return torch.where(angle >= self.turn, torch.zeros_like(angle), angle)  # what rounding takes to a whole turn

    def _direction(self, z: torch.Tensor) -> torch.Tensor:
        length = (z * z).sum(1, keepdim=True).sqrt()
        right = torch.cat([torch.ones_like(length), torch.zeros_like(length)], 1)
        return torch.where(length > 0, z / length.clamp(min=1e-30), right)
