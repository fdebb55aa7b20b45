"""Whether what a model promises of unknown images and of prediction sets holds on images that belong to the data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.metrics import wilson_interval
from clearsight.tasks import OODScores, PredictOptions, Task
from clearsight.tasks.task import COVERAGE


@dataclass(frozen=True)
class SetsCheck:
    """Prediction sets on n images. Intervals hold with 95 % confidence.

    stated, coverage: the share of sets that should, and that do, hold the truth. sizes: how many sets have 0, 1, 2, ...
    members. mean_size: of all sets. empty: share of sets without a member. calibrated_on: images that the sets follow
    from.
    """

    stated: float
    coverage: float
    coverage_interval: tuple[float, float]
    mean_size: float
    empty: float
    sizes: tuple[int, ...]
    calibrated_on: int = 0


@dataclass(frozen=True)
class OODCheck:
    """False alarms and prediction sets on n in-distribution images.

    sets: coverage of prediction sets, if the task has them. allowed: share of images that may be flagged as out of
    distribution. false_alarms: share that is flagged, with its 95 % interval. most_ood: positions of the flagged
    images, highest score first. calibrated_on: number of images behind the threshold.
    """

    n: int
    sets: SetsCheck | None
    allowed: float
    false_alarms: float
    false_alarms_interval: tuple[float, float]
    most_ood: tuple[int, ...]
    calibrated_on: int = 0

    def summary(self) -> dict[str, Any]:
        """The numbers that go into metrics.json.

        Returns:
            Plain values for JSON.
        """
        if self.sets is None:
            return {"false_alarms": self.false_alarms}
        alarms = {name: getattr(self, name) for name in ("allowed", "false_alarms", "false_alarms_interval")}
        return {**asdict(self.sets), **alarms}


def check_ood(
    task: Task, ood: OODScores, outputs: NDArray[np.floating], truth: NDArray[Any], coverage: float = COVERAGE
) -> OODCheck:
    """Count false alarms and measure prediction sets on images that the model was not trained on.

    Args:
        task: the task of the model.
        ood: OOD scores of the images.
        outputs: outputs of the network (N, O).
        truth: the true targets as `Task.evaluate` takes them.
        coverage: coverage of the prediction sets, in (0, 1).

    Returns:
        False alarm rate with its interval, and coverage.
    """
    n = len(outputs)
    in_set = task.prediction_sets(outputs, ood, PredictOptions(coverage))
    return OODCheck(
        n=n,
        sets=None if in_set is None else _sets(in_set, truth, coverage, task.calibration_images),
        allowed=ood.detector.false_alarms,
        false_alarms=float(ood.flagged.mean()),
        false_alarms_interval=wilson_interval(int(ood.flagged.sum()), n),
        most_ood=tuple(int(i) for i in np.argsort(-ood.percentile, kind="stable") if ood.flagged[i]),
        calibrated_on=len(ood.detector.reference),
    )


def _sets(in_set: NDArray[np.bool_], truth: NDArray[np.integer], stated: float, calibrated_on: int) -> SetsCheck:
    right, size = in_set[np.arange(len(truth)), truth], in_set.sum(1)
    return SetsCheck(
        stated=stated,
        coverage=float(right.mean()),
        coverage_interval=wilson_interval(int(right.sum()), len(truth)),
        mean_size=float(size.mean()),
        empty=float((size == 0).mean()),
        sizes=tuple(int(c) for c in np.bincount(size)),
        calibrated_on=calibrated_on,
    )
