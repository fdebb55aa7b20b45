"""How far off are predicted numbers, and do their intervals hold?

Shapes: N images, T numbers; outputs (N, O), targets (N, T).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from clearsight.data.targets import Task
from clearsight.metrics import wilson_interval
from clearsight.metrics.ranking import r_squared
from clearsight.ood.detector import COVERAGE
from clearsight.tasks import Numbers
from clearsight.tasks.predictions import ANGLES


@dataclass(frozen=True)
class NumberScore:
    """One number, or a direction. Errors in its own unit, of a direction in degrees. explained: R^2, None for angles
    and directions. usual_error: the median error of what always says the same: the mean of the training numbers, or the
    mean angle or direction of those judged. covered: share of intervals that hold the truth; width: half of an
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


@dataclass(frozen=True)
class NumberMistake:
    """An image far off. said, truth (T,)."""

    index: int
    image: str
    said: tuple[float, ...]
    truth: tuple[float, ...]
    error: float


@dataclass(frozen=True)
class NumbersEvaluation:
    """Scores of N images, and what they stand on: said, truth (N, T), errors (N, E) with sign, widths (N, E)."""

    task: ClassVar[Task] = "regression"
    n: int
    unit: str
    coverage: float
    per_number: tuple[NumberScore, ...]
    mistakes: tuple[NumberMistake, ...]
    names: tuple[str, ...]
    said: NDArray[np.float64]
    truth: NDArray[np.float64]
    errors: NDArray[np.float64]
    widths: NDArray[np.float64]

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


def evaluate_numbers(
    answer: Numbers,
    outputs: NDArray[np.floating],
    targets: NDArray[np.float32],
    *,
    coverage: float = COVERAGE,
    indices: NDArray[np.integer] | None = None,
    images: Sequence[str] | None = None,
) -> NumbersEvaluation:
    """Judge outputs (N, O). indices, images: positions and names, for the list of the furthest off."""
    truth = targets.astype(np.float64)
    said = answer.values(outputs)
    errors, widths = answer.differences(said, truth), answer.widths(outputs, coverage)
    names = answer.names if answer.kind != "direction" else (" and ".join(answer.names),)
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
                r_squared(truth[:, k], said[:, k]) if answer.kind == "number" else None,
                _usual(answer, truth, k),
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
        unit=answer.unit,
        coverage=coverage,
        per_number=tuple(scores),
        mistakes=tuple(
            NumberMistake(
                int(where[i]),
                images[i] if images is not None else f"#{where[i]}",
                tuple(said[i].tolist()),
                tuple(truth[i].tolist()),
                float(np.abs(errors[i]).max()),
            )
            for i in worst.tolist()
        ),
        names=answer.names,
        said=said,
        truth=truth,
        errors=errors,
        widths=widths,
    )


def _usual(answer: Numbers, truth: NDArray[np.float64], k: int) -> float:
    """Median error of always saying the same: the mean of the training numbers; of angles and directions the mean of
    them in `truth` itself, as that of the training is not kept; what is compared with it has the harder task.
    """
    if answer.kind == "number":
        return float(np.median(np.abs(truth[:, k] - answer.mean[k])))
    if answer.kind == "direction":
        centre = truth.mean(0)
        middle = np.tile(centre / max(float(np.hypot(*centre)), 1e-12), (len(truth), 1))
        return float(np.median(np.abs(answer.differences(middle, truth))))
    turn = ANGLES[answer.unit]
    mean = np.angle(np.exp(2j * np.pi * truth / turn).mean(0)) / (2 * np.pi) * turn
    return float(np.median(np.abs(answer.differences(np.broadcast_to(mean, truth.shape), truth))[:, k]))
