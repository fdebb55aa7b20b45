"""The evaluation of a task without metrics of its own: how far decoded outputs are from the truth.

Shapes: N images, T names; predicted and truth (N, T).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from clearsight.tasks.evaluation import Evaluation, Mistake
from clearsight.tasks.sections import ReportParts, Table, Tile
from clearsight.wording import count


@dataclass(frozen=True)
class ErrorScore:
    """Of one name: the mean absolute error, and that of always predicting the mean of the evaluated images."""

    name: str
    mean_error: float
    usual_error: float


@dataclass(frozen=True)
class ErrorMistake(Mistake):
    """An image far off. predicted, truth (T,). error: the largest of its errors, over each name's deviation."""

    predicted: tuple[float, ...]
    truth: tuple[float, ...]
    error: float

    def line(self) -> str:
        """The truth and the prediction."""
        predicted, truth = (", ".join(f"{v:.4g}" for v in row) for row in (self.predicted, self.truth))
        return f"large error: {self.image}, true {truth}, predicted {predicted}"


@dataclass(frozen=True, repr=False)
class ErrorEvaluation(Evaluation):
    """Scores of N images by name."""

    n: int
    per_name: tuple[ErrorScore, ...]
    mistakes: tuple[ErrorMistake, ...]

    def summary(self) -> dict[str, Any]:
        """The numbers that go into metrics.json; several numbers, whose units may differ, have no error in common."""
        first = self.per_name[0].mean_error if len(self.per_name) == 1 else None
        return {"n": self.n, "mean_error": first, "per_name": {s.name: asdict(s) for s in self.per_name}}

    @staticmethod
    def headline(summary: dict[str, Any], thing: str = "image", new: str = "") -> str:
        """The mean error of each name."""
        return "\n".join(
            f"{name}: mean error {s['mean_error']:.3g} on {count(summary['n'], thing)}{new} "
            f"({s['usual_error']:.3g} for always predicting the mean)"
            for name, s in summary["per_name"].items()
        )

    def mistake_line(self, mistake: ErrorMistake) -> str:
        """The truth and the prediction."""
        return mistake.line()

    def report(self, thing: str = "image", validation: Self | None = None) -> ReportParts:
        """What the report says about the test split."""
        words = "mean error; always predicting the mean gives {:.3g}"
        tiles = tuple(Tile(s.name, f"{s.mean_error:.3g}", words.format(s.usual_error)) for s in self.per_name[:4])
        rows = tuple((s.name, f"{s.mean_error:.4g}", f"{s.usual_error:.4g}") for s in self.per_name)
        first = self.per_name[0]
        return ReportParts(
            verdict=f"{first.name}: mean error {first.mean_error:.3g} on {count(self.n, f'test {thing}')}.",
            tiles=tiles,
            table=Table(("Name", "Mean error", "Always predicting the mean"), rows, "Mean absolute errors."),
        )


def evaluate_errors(
    predicted: NDArray[np.floating],
    truth: NDArray[Any],
    names: Sequence[str],
    *,
    indices: NDArray[np.integer] | None = None,
    images: Sequence[str] | None = None,
) -> ErrorEvaluation:
    """The errors of predictions. indices, images: positions and names of the images, to list mistakes by."""
    target = np.asarray(truth, np.float64)
    errors = np.abs(predicted - target)
    usual = np.abs(target - target.mean(0)).mean(0)
    scores = tuple(map(ErrorScore, names, errors.mean(0).tolist(), usual.tolist()))
    largest = (errors / np.where(target.std(0) > 0, target.std(0), 1)).max(1)
    mistakes = [
        ErrorMistake(
            int(i if indices is None else indices[i]),
            f"#{i}" if images is None else images[i],
            tuple(predicted[i].tolist()),
            tuple(target[i].tolist()),
            float(largest[i]),
        )
        for i in np.argsort(-largest, kind="stable")
        if largest[i] > 0
    ]
    return ErrorEvaluation(n=len(target), per_name=scores, mistakes=tuple(mistakes))
