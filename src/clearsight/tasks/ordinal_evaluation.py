"""Evaluation of ordered grades: agreement, errors in grades, calibration, mistakes.

Shapes: N images, K grades; grades (N,) from 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from clearsight.tasks.evaluation import Evaluation, Mistake
from clearsight.tasks.panel import PanelEntry, accuracy_entry, calibration_entry
from clearsight.tasks.sections import Bar, Card, Cards, Confusion, ReportParts, Section, Table, Tile
from clearsight.wording import count, percent, probability

Floats = NDArray[np.float64]

RESAMPLES = 1000
"""Bootstrap samples behind an interval."""

SHOWN = 24
"""Mistakes in the report at most."""


@dataclass(frozen=True)
class GradeMistake(Mistake):
    """An image of another grade than predicted. off: by how many grades."""

    grade: str
    predicted: str
    off: int
    probability: float


@dataclass(frozen=True, repr=False)
class GradesEvaluation(Evaluation):
    """Scores of N images. kappa: Cohen's, with quadratic weights [Cohen 1968], 1 at best and 0 for chance.
    mean_absolute_error: in grades; usual_error: of always predicting the median grade. Intervals of 95 % by bootstrap,
    of accuracy Wilson's, of the debiased calibration error by test inversion. log_loss_frequencies: of always
    predicting how common each grade is.
    """

    task: ClassVar[str] = "ordinal"
    n: int
    kappa: float
    kappa_interval: tuple[float, float]
    mean_absolute_error: float
    mean_absolute_error_interval: tuple[float, float]
    accuracy: float
    accuracy_interval: tuple[float, float]
    usual_error: float
    confusion: NDArray[np.int64]
    mistakes: tuple[GradeMistake, ...]
    names: tuple[str, ...]
    log_loss: float
    brier: float
    log_loss_frequencies: float
    debiased_ece: float
    debiased_ece_interval: tuple[float, float]

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the kappa."""
        return self.kappa_interval

    def summary(self) -> dict[str, Any]:
        """The numbers that go into metrics.json."""
        left_out = ("confusion", "mistakes", "names", "images", "panel", "subgroups", "detection", "pictures")
        return {key: value for key, value in vars(self).items() if key not in left_out}

    def promises(self) -> tuple[PanelEntry, ...]:
        """Accuracy above the share of the most common grade, and calibration."""
        images = self.confusion.sum(1)
        most = int(images.argmax())
        return (
            accuracy_entry(
                self.accuracy, self.accuracy_interval, float(images[most] / self.n), self.names[most], images=self.n
            ),
            calibration_entry(
                self.debiased_ece, self.debiased_ece_interval, self.log_loss, self.log_loss_frequencies, self.n
            ),
        )

    @staticmethod
    def headline(summary: dict[str, Any], thing: str = "image", new: str = "") -> str:
        """Kappa, mean absolute error and accuracy."""
        (low, high), (least, most) = summary["kappa_interval"], summary["mean_absolute_error_interval"]
        return (
            f"quadratic weighted kappa {summary['kappa']:.3f} ({low:.3f} to {high:.3f}) on "
            f"{count(summary['n'], thing)}{new}\nmean absolute error {summary['mean_absolute_error']:.2f} grades "
            f"({least:.2f} to {most:.2f}; {summary['usual_error']:.2f} for always predicting the median grade); "
            f"{percent(summary['accuracy'])} exactly correct"
        )

    def mistake_line(self, mistake: GradeMistake) -> str:
        """A mistake in a line."""
        m = mistake
        return (
            f"off by {count(m.off, 'grade')}: {m.image} is {m.grade}, predicted as {m.predicted} "
            f"({probability(m.probability)})"
        )

    def report(self, thing: str = "image", validation: Self | None = None) -> ReportParts:
        """Agreement, mean absolute error, a row for each grade, the confusion matrix, and the furthest off."""
        (low, high), (least, most) = self.kappa_interval, self.mean_absolute_error_interval
        shown = Cards(
            tuple(
                Card(
                    m.index,
                    m.image,
                    (("true grade", m.grade), (f"predicted, {probability(m.probability)}", m.predicted)),
                    explained=True,
                )
                for m in self.mistakes[:SHOWN]
            ),
            none=f"There are no mistakes on the test {thing}s.",
        )
        return ReportParts(
            verdict=f"Mean absolute error **{self.mean_absolute_error:.2f}** grades on "
            f"**{count(self.n, f'test {thing}')}** that were not used in training. **{percent(self.accuracy)}** of the "
            "predictions are exactly correct.",
            tiles=(
                Tile(
                    "Agreement", f"{self.kappa:.3f}",
                    f"quadratic weighted kappa; 95 % interval {low:.3f} to {high:.3f}; 0 is chance, 1 is perfect",
                ),
                Tile(
                    "Mean absolute error", f"{self.mean_absolute_error:.2f}",
                    f"grades; 95 % interval {least:.2f} to {most:.2f}; always predicting the median grade gives "
                    f"{self.usual_error:.2f}",
                ),
                Tile("Accuracy", percent(self.accuracy), "exactly correct", Bar(self.accuracy, self.accuracy_interval)),
            ),
            table=Table(
                ("Grade", f"{thing.capitalize()}s", "Exactly correct", "Within one grade"), tuple(self._rows()),
                f"For each true grade, the shares of test {thing}s predicted exactly and within one grade.",
            ),
            sections=(
                Section("mistakes", "The largest errors", (shown,), link="Mistakes"),
                Section("confusion", "Confusion matrix", (Confusion(self.confusion, self.names, thing),)),
            ),
        )  # fmt: skip

    def _rows(self) -> Iterator[tuple[str, ...]]:
        for k, name in enumerate(self.names):
            n = int(self.confusion[k].sum())
            near = int(self.confusion[k, max(0, k - 1) : k + 2].sum())
            shares = [percent(hits / n) if n else "–" for hits in (int(self.confusion[k, k]), near)]
            yield (name, f"{n:,}", *shares)


def kappa(truth: NDArray[Any], predicted: NDArray[Any], axis: int = -1) -> Floats:
    """Quadratic weighted kappa: 1 less the mean squared difference, over that of truth and prediction paired at
    random; 1 where all are one grade.
    """
    by_chance = truth.var(axis) + predicted.var(axis) + (truth.mean(axis) - predicted.mean(axis)) ** 2
    off = ((truth - predicted) ** 2).mean(axis)
    return np.asarray(1 - np.divide(off, by_chance, out=np.zeros_like(by_chance), where=by_chance > 0))


def absolute_error(truth: NDArray[Any], predicted: NDArray[Any], axis: int = -1) -> Floats:
    """Mean distance between grade and prediction."""
    return np.asarray(np.abs(truth - predicted).mean(axis))


def bootstrap_interval(
    statistic: Callable[..., Floats], truth: NDArray[Any], predicted: NDArray[Any]
) -> tuple[float, float]:
    """95 % by the percentile bootstrap over images; a point where there is one image."""
    from scipy.stats import bootstrap

    if len(truth) < 2:
        value = float(statistic(truth, predicted))
        return value, value
    found = bootstrap(
        (truth, predicted), statistic, paired=True, vectorized=True, n_resamples=RESAMPLES, batch=100,
        method="percentile", random_state=np.random.default_rng(0),
    )  # fmt: skip
    return float(found.confidence_interval.low), float(found.confidence_interval.high)
