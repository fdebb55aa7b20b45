"""Evaluation of predicted numbers: how far off they are, and whether their intervals hold the truth.

Shapes: N images, T numbers; outputs (N, O), targets (N, T).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from clearsight.metrics import wilson_interval
from clearsight.metrics.ranking import explained_interval, r_squared
from clearsight.tasks.error_evaluation import ErrorMistake
from clearsight.tasks.evaluation import Evaluation
from clearsight.tasks.panel import PanelEntry, chance_entry, coverage_entry
from clearsight.tasks.predictions import ANGLES
from clearsight.tasks.sections import Bar, Card, Cards, Charts, ParityChart, ReportParts, Section, Table, Tile
from clearsight.wording import count, percent

if TYPE_CHECKING:
    from clearsight.tasks.regression import Regression

SHOWN = 24
"""Images furthest off in the report at most."""

DOTS = 800
"""Dots of a parity plot at most."""


@dataclass(frozen=True)
class NumberScore:
    """One number, or a direction. Errors in its own unit, of a direction in degrees. explained: R^2, None for angles
    and directions. usual_error: the median error of a constant prediction: the mean of the training numbers, or the
    mean angle or direction of the evaluated images. covered: share of intervals that hold the truth; width: half of an
    interval's, median.
    """

    name: str
    mean_error: float
    median_error: float
    root_mean_square: float
    explained: float | None
    usual_error: float
    covered: float
    covered_interval: tuple[float, float]
    width: float


@dataclass(frozen=True, repr=False)
class NumbersEvaluation(Evaluation):
    """Scores of N images, and what they are computed from: predicted, truth (N, T), errors (N, E) with sign, widths (N,
    E). calibrated_on: images whose errors the intervals follow from.
    """

    task: ClassVar[str] = "regression"
    n: int
    unit: str
    coverage: float
    per_number: tuple[NumberScore, ...]
    mistakes: tuple[ErrorMistake, ...]
    names: tuple[str, ...]
    predicted: NDArray[np.float64]
    truth: NDArray[np.float64]
    errors: NDArray[np.float64]
    widths: NDArray[np.float64]
    calibrated_on: int = 0

    def promises(self) -> tuple[PanelEntry, ...]:
        """Of plain numbers, that the one explained worst is predicted better than by its mean; that intervals hold the
        truth as often as stated, for the number whose coverage is furthest off.
        """
        found = []
        explained = [(s.explained, k) for k, s in enumerate(self.per_number) if s.explained is not None]
        if explained and self.n > 1:
            value, k = min(explained)
            deviations = self.truth[:, k] - self.truth[:, k].mean()
            interval = explained_interval(self.errors[:, k], deviations)
            meaning = "the value of always predicting the mean"
            found.append(chance_entry(value, interval, "Explained variance", 0.0, meaning, self.n))
        if self.calibrated_on:
            worst = max(self.per_number, key=lambda s: abs(s.covered - self.coverage))
            covered = round(worst.covered * self.n)
            found.append(coverage_entry(self.coverage, covered, self.n, self.calibrated_on, what="intervals"))
        return tuple(found)

    def summary(self) -> dict[str, Any]:
        """The numbers that go into metrics.json; several numbers, whose units may differ, have no error in common."""
        first = self.per_number[0]
        return {
            "n": self.n,
            "median_error": first.median_error if len(self.per_number) == 1 else None,
            "mean_error": first.mean_error if len(self.per_number) == 1 else None,
            "covered": float(np.mean([s.covered for s in self.per_number])),
            "coverage": self.coverage,
            "unit": self.unit,
            "per_number": {s.name: {k: v for k, v in vars(s).items() if k != "name"} for s in self.per_number},
        }

    @staticmethod
    def headline(summary: dict[str, Any], thing: str = "image", new: str = "") -> str:
        """How far off each number is, and how often intervals hold the truth."""
        unit = f" {summary['unit']}" if summary["unit"] else ""
        lines = [
            f"{name}: median error {s['median_error']:.3g}{unit} on {count(summary['n'], thing)}{new} "
            f"(always predicting the mean: {s['usual_error']:.3g}{unit})"
            for name, s in summary["per_number"].items()
        ]
        return "\n".join(
            [*lines, f"coverage of the {percent(summary['coverage'], 0)} intervals: {percent(summary['covered'])}"]
        )

    def mistake_line(self, mistake: ErrorMistake) -> str:
        """The truth and what was predicted."""
        return mistake.line()

    def report(self, thing: str = "image", validation: Self | None = None) -> ReportParts:
        """Errors and intervals, predictions against the truth, and the images furthest off."""
        unit = {"degrees": "°", "radians": " rad", "": ""}[self.unit]
        first = self.per_number[0]
        held = float(np.mean([s.covered for s in self.per_number]))
        return ReportParts(
            verdict=f"Median error **{first.median_error:.3g}{unit}** on "
            f"**{count(self.n, f'test {thing}')}** that were not used in training"
            + (f"; this is the error of {first.name}" if len(self.per_number) > 1 else "")
            + f". Coverage of the {percent(self.coverage)} intervals: **{percent(held)}**.",
            tiles=tuple(self._tiles(thing, unit, held)),
            table=self._table(),
            charts=Charts(
                tuple(self._charts()),
                f"Each dot is a test {thing}; on the dashed line, the prediction equals the true value. The histogram "
                "below shows the errors, with the width of the intervals in gray.",
            ),
            sections=(
                Section(
                    "mistakes",
                    "The largest errors",
                    (Cards(tuple(map(_card, self.mistakes[:SHOWN])), none=f"There are no test {thing}s."),),
                ),
            ),
        )

    def _tiles(self, thing: str, unit: str, held: float) -> Iterator[Tile]:
        first = self.per_number[0]
        for s in self.per_number[:4]:
            yield Tile(
                s.name,
                f"{s.median_error:.3g}{unit}",
                f"median error; always predicting the mean gives {s.usual_error:.3g}{unit}"
                + (f". R² is {s.explained:.3f}" if s.explained is not None else ""),
            )
        yield Tile(
            "Interval coverage",
            percent(held),
            f"of the test {thing}s; stated coverage {percent(self.coverage)}. Half-width: {first.width:.3g}{unit}"
            + ("" if len(self.per_number) == 1 else f" for {first.name}"),
            Bar(first.covered, first.covered_interval, self.coverage),
        )

    def _table(self) -> Table:
        return Table(
            (
                "Number", "Median error", "Mean error", "RMSE", "R²", "Baseline error", "Interval coverage",
                "Half width",
            ),
            tuple(
                (
                    s.name, f"{s.median_error:.4g}", f"{s.mean_error:.4g}", f"{s.root_mean_square:.4g}",
                    f"{s.explained:.3f}" if s.explained is not None else "–", f"{s.usual_error:.4g}",
                    percent(s.covered), f"± {s.width:.4g}",
                )
                for s in self.per_number
            ),
            "Errors are in the unit of the data"
            + (f" ({self.unit}, along the shorter arc)" if self.unit else "")
            + ". Baseline error: the median error of always predicting the mean.",
        )  # fmt: skip

    def _charts(self) -> Iterator[ParityChart]:
        """Predictions against the truth, a chart for each number; of a direction, its angle."""
        predicted, truth, names = self.predicted, self.truth, list(self.names)
        if len(names) != self.errors.shape[1]:
            predicted, truth = (np.degrees(np.arctan2(x[:, 1], x[:, 0]))[:, None] for x in (predicted, truth))
            names = ["direction in degrees"]
        some = np.linspace(0, len(predicted) - 1, min(DOTS, len(predicted))).round().astype(int)
        for k, name in enumerate(names):
            width = float(np.median(self.widths[:, k]))
            yield ParityChart(name, truth[some, k], predicted[some, k], self.errors[:, k], width)


def _card(mistake: ErrorMistake) -> Card:
    lines = [("predicted", mistake.predicted), ("true", mistake.truth)]
    words = tuple((word, ", ".join(f"{v:.4g}" for v in values)) for word, values in lines)
    return Card(mistake.index, mistake.image, words, explained=True)


def evaluate_numbers(
    task: Regression,
    outputs: NDArray[np.floating],
    targets: NDArray[np.float32],
    *,
    coverage: float = 0.9,
    indices: NDArray[np.integer] | None = None,
    images: Sequence[str] | None = None,
) -> NumbersEvaluation:
    """Metrics of predicted numbers and of their intervals.

    Args:
        task: the task, which decodes outputs.
        outputs: raw outputs of the network (N, O).
        targets: true numbers (N, T), in the user's unit.
        coverage: coverage of the intervals, 0 to 1.
        indices: positions of the images in the data set (N,); None counts from 0.
        images: names of the N images, for the list of the largest errors.

    Returns:
        The evaluation.
    """
    truth = targets.astype(np.float64)
    predicted = task.decode(outputs)
    errors, widths = task.differences(predicted, truth), task.widths(outputs, coverage)
    names = task.names if task.kind != "direction" else (" and ".join(task.names),)
    scores = []
    for k, name in enumerate(names):
        wrong = np.abs(errors[:, k])
        held = int((wrong <= widths[:, k]).sum())
        scores.append(
            NumberScore(
                name,
                float(wrong.mean()),
                float(np.median(wrong)),
                float(np.sqrt(np.square(wrong).mean())),
                r_squared(truth[:, k], predicted[:, k]) if task.kind == "number" else None,
                _usual(task, truth, k),
                held / len(wrong),
                wilson_interval(held, len(wrong)),
                float(np.median(widths[:, k])),
            )
        )
    scale = np.maximum([s.root_mean_square for s in scores], 1e-12)
    far = (np.abs(errors) / scale).max(1)
    where = np.arange(len(truth)) if indices is None else indices
    worst = np.argsort(-far, kind="stable")[:100]
    return NumbersEvaluation(
        n=len(truth),
        unit=task.unit,
        coverage=coverage,
        per_number=tuple(scores),
        mistakes=tuple(
            ErrorMistake(
                int(where[i]),
                images[i] if images is not None else f"#{where[i]}",
                tuple(predicted[i].tolist()),
                tuple(truth[i].tolist()),
                float(np.abs(errors[i]).max()),
            )
            for i in worst.tolist()
        ),
        names=task.names,
        predicted=predicted,
        truth=truth,
        errors=errors,
        widths=widths,
        calibrated_on=len(task.errors[0]) if task.errors else 0,
    )


def _usual(task: Regression, truth: NDArray[np.float64], k: int) -> float:
    """Median error of always saying the same: the mean of the training numbers; of angles and directions the mean of
    them in `truth` itself, as that of the training is not kept; what is compared with it has the harder task.
    """
    if task.kind == "number":
        return float(np.median(np.abs(truth[:, k] - task.mean[k])))
    if task.kind == "direction":
        centre = truth.mean(0)
        middle = np.tile(centre / max(float(np.hypot(*centre)), 1e-12), (len(truth), 1))
        return float(np.median(np.abs(task.differences(middle, truth))))
    turn = ANGLES[task.unit]
    mean = np.angle(np.exp(2j * np.pi * truth / turn).mean(0)) / (2 * np.pi) * turn
    return float(np.median(np.abs(task.differences(np.broadcast_to(mean, truth.shape), truth))[:, k]))
