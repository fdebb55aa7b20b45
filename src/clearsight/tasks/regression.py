"""Numbers to predict: plain ones, angles, or directions in the plane, each with an interval.

A network learns plain numbers at zero mean and unit deviation; angles as cosine and sine, so that 359 degrees and 1 are
near; directions as they are. The interval around an answer is as wide as the errors on validation images say: half its
width is the ceil((n + 1) coverage)-th smallest of n errors (split conformal regression [Lei et al. 2018, algorithm 2]).
A network trained with `gaussian-nll` says itself how sure it is of each image, and errors are taken over that.

Shapes: N images, T numbers; outputs (N, O): T for plain numbers, twice as many with their logarithmic variances, 2 T
for angles, 2 for a direction.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from clearsight.data.targets import TargetTable, Task, is_direction
from clearsight.errors import DataError
from clearsight.tasks.predictions import ANGLES, NumbersPrediction, half_widths, numbers_said

Floats = NDArray[np.float64]
Kind = Literal["number", "angle", "direction"]

LEAST = -7.0
"""Smallest logarithmic variance, in deviations of the training numbers, that is taken from a network: a deviation of
0.03.
"""

KEPT = 2000
"""Validation errors that are kept for the intervals at most, evenly by rank."""


@dataclass(frozen=True)
class Numbers:
    """Numbers and how outputs become them.

    unit: of angles, degrees or radians. mean, std (T,): of plain numbers in the training split. low, high: the range
    that answers are kept in. spread: the network gives variances too. errors (T, n), or (1, n) for a direction, in
    degrees: sorted errors of validation images, over the deviation where there are variances. ends (T, 2): the lowest
    and the highest of plain numbers in the training split.
    """

    names: tuple[str, ...]
    kind: Kind
    unit: str = ""
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    low: float = -math.inf
    high: float = math.inf
    spread: bool = False
    errors: tuple[tuple[float, ...], ...] = ()
    ends: tuple[tuple[float, float], ...] = ()

    @classmethod
    def of(
        cls,
        table: TargetTable,
        train: NDArray[np.int64],
        *,
        angle: str | None = None,
        within: tuple[float, float] | None = None,
        spread: bool = False,
    ) -> Numbers:
        """Before anything is learned. train: positions of the images that mean and deviation are taken of. angle: the
        unit, where the numbers are angles. within: the range of the numbers. Raises DataError for numbers outside.
        """
        values = table.values.astype(np.float64)
        if angle is not None:
            if wrong := wrong_unit(values, angle):
                other = "degrees" if angle == "radians" else "radians"
                raise DataError(wrong, found=reach(values), fix=f"use --angle {other}")
            return cls(table.names, "angle", unit=angle)
        if is_direction(values):
            return cls(table.names, "direction", unit="degrees")
        low, high = within or (-math.inf, math.inf)
        if values.min() < low or values.max() > high:
            raise DataError(
                "targets lie outside the range they are said to have",
                found=f"{values.min():g} to {values.max():g}",
                expected=f"{low:g} to {high:g}, as --within says",
            )
        mean, std = values[train].mean(0), values[train].std(0)
        std = np.where(std > 0, std, 1.0)
        ends = tuple(zip(values[train].min(0).tolist(), values[train].max(0).tolist(), strict=True))
        return cls(
            table.names, "number", mean=tuple(mean.tolist()), std=tuple(std.tolist()), low=low, high=high,
            spread=spread, ends=ends,
        )  # fmt: skip

    @property
    def task(self) -> Task:
        return "regression"

    @property
    def outputs(self) -> int:
        return len(self.names) * (2 if self.kind == "angle" or self.spread else 1)

    def encode(self, targets: NDArray[np.float32]) -> NDArray[np.float32]:
        """What a network learns (N, E): standardised numbers, cosines and sines, or unit vectors."""
        if self.kind == "number":
            return np.asarray((targets - np.array(self.mean)) / np.array(self.std), np.float32)
        if self.kind == "direction":
            return np.asarray(targets / np.hypot(*targets.T)[:, None], np.float32)
        turned = targets.astype(np.float64) * (2 * math.pi / ANGLES[self.unit])
        return np.concatenate([np.cos(turned), np.sin(turned)], axis=1).astype(np.float32)

    def values(self, outputs: NDArray[np.floating]) -> Floats:
        """Numbers in the user's unit (N, T): angles in [0, one turn)."""
        z, t = np.asarray(outputs, np.float64), len(self.names)
        if self.kind == "number":
            return np.asarray(np.clip(z[:, :t] * np.array(self.std) + np.array(self.mean), self.low, self.high))
        if self.kind == "direction":
            length = np.hypot(*z.T)
            return np.where(length[:, None] > 0, z / np.where(length > 0, length, 1)[:, None], [1.0, 0.0])
        turn = ANGLES[self.unit]
        return np.asarray(np.arctan2(z[:, t:], z[:, :t]) / (2 * math.pi) * turn % turn)

    def deviations(self, outputs: NDArray[np.floating]) -> Floats:
        """How far off the network says it may be, in the user's unit (N, T); ones where it says nothing, (N, 1) for a
        direction.
        """
        t = len(self.names)
        if not self.spread:
            return np.ones((len(outputs), 1 if self.kind == "direction" else t))
        return np.asarray(np.exp(0.5 * np.maximum(np.asarray(outputs[:, t:], np.float64), LEAST)) * np.array(self.std))

    def pull(self, outputs: NDArray[np.floating], target: int) -> Floats:
        """Of a plain number its own output, in deviations; of an angle or direction how far the vector that it is read
        from reaches towards the answer, as cosine or sine alone would not move at 0 or 90 degrees.
        """
        z, t = np.asarray(outputs, np.float64), len(self.names)
        places = {"number": [target], "angle": [target, t + target], "direction": [0, 1]}[self.kind]
        length = float(np.linalg.norm(z[places]))
        weights = np.zeros(len(z))
        weights[places] = z[places] / length if self.kind != "number" and length else 1
        return weights

    def pulled(self, outputs: NDArray[np.floating], target: int, pull: Floats) -> Floats:
        """The sum (N,)."""
        return np.asarray(np.asarray(outputs, np.float64) @ pull)

    def differences(self, values: Floats, targets: NDArray[np.floating]) -> Floats:
        """Answer less truth (N, T); for angles the short way round; for directions the degrees between them (N, 1)."""
        if self.kind == "number":
            return np.asarray(values - targets)
        if self.kind == "direction":
            a, b = np.asarray(values, np.float64), np.asarray(targets, np.float64)
            cross, dot = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0], (a * b).sum(1)
            return np.asarray(np.degrees(np.abs(np.arctan2(cross, dot)))[:, None])
        turn = ANGLES[self.unit]
        return np.asarray((values - targets + turn / 2) % turn - turn / 2)

    def fitted(self, outputs: NDArray[np.floating], targets: NDArray[np.float32]) -> Numbers:
        """The same with the errors of images the network had not seen."""
        wrong = np.abs(self.differences(self.values(outputs), targets)) / self.deviations(outputs)
        ordered = np.sort(wrong, axis=0).T
        if ordered.shape[1] > KEPT:
            ordered = ordered[:, np.linspace(0, ordered.shape[1] - 1, KEPT).round().astype(int)]
        return replace(self, errors=tuple(tuple(row.tolist()) for row in ordered))

    def widths(self, outputs: NDArray[np.floating], coverage: float) -> Floats:
        """Half the width of each interval (N, T), or (N, 1) degrees for a direction; infinite where so few images were
        kept that so much cannot be promised.
        """
        return half_widths(self.errors, coverage) * self.deviations(outputs)

    def predictions(
        self, outputs: NDArray[np.floating], names: list[str], known: list[dict[str, Any]], coverage: float
    ) -> list[NumbersPrediction]:
        """The answer for each image, its intervals with a coverage in (0, 1)."""
        values, widths = self.values(outputs), self.widths(outputs, coverage)
        within = self.low, self.high
        return numbers_said(values, widths, self.names, self.kind, self.unit, within, names, known)

    def card(self) -> dict[str, Any]:
        """Plain values for the bundle; null stands for no limit."""
        return {
            "task": self.task, "names": list(self.names), "kind": self.kind, "unit": self.unit,
            "mean": list(self.mean), "std": list(self.std), "spread": self.spread,
            "low": self.low if math.isfinite(self.low) else None,
            "high": self.high if math.isfinite(self.high) else None,
            "errors": [list(row) for row in self.errors], "ends": [list(pair) for pair in self.ends],
        }  # fmt: skip

    @classmethod
    def load(cls, card: Mapping[str, Any]) -> Numbers:
        """From what `card` gave."""
        low, high = card["low"], card["high"]
        return cls(
            tuple(card["names"]), cast(Kind, card["kind"]), card["unit"], tuple(card["mean"]), tuple(card["std"]),
            -math.inf if low is None else low, math.inf if high is None else high, card["spread"],
            tuple(tuple(row) for row in card["errors"]), tuple((a, b) for a, b in card.get("ends", [])),
        )  # fmt: skip


def wrong_unit(values: Floats, unit: str) -> str:
    """What is wrong with angles (N, T) in this unit; "" where nothing is."""
    largest = float(np.abs(values).max())
    if unit == "radians" and largest > 2 * ANGLES[unit]:
        return "these angles are no radians"
    if unit == "degrees" and largest <= ANGLES["radians"] and (values % 1 != 0).any():
        return "these angles are hardly degrees"
    return ""


def reach(values: NDArray[np.floating]) -> str:
    """How far numbers go, in words."""
    return f"values up to {float(np.abs(values).max()):.4g}"


def like_angles(table: TargetTable) -> tuple[str, str] | None:
    """The first column of numbers that fills a full turn, and in which unit; None where there is none."""
    if table.task != "regression" or is_direction(table.values):
        return None
    for name, column in zip(table.names, table.values.T.astype(np.float64), strict=True):
        for unit, turn in ANGLES.items():
            low, high = column.min(), column.max()
            fills = 0.95 * turn <= high - low <= 1.001 * turn
            if fills and (low >= 0 or (-0.501 * turn <= low and high <= 0.501 * turn)):
                return name, unit
    return None
