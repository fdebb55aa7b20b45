"""What a model answers where it is not one class: any number of labels, numbers, or whether it is an anomaly.

An answer object says how targets become what a network learns, what its outputs mean, and how sure that is. It is
fitted on validation images, kept in the bundle's card, and is the only place that knows which task a model has.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from clearsight.data.targets import TargetTable, Task
from clearsight.tasks.anomaly import FALSE_ALARMS, Anomaly
from clearsight.tasks.multilabel import Labels
from clearsight.tasks.predictions import AnomalyPrediction, LabelsPrediction, NumbersPrediction
from clearsight.tasks.regression import Numbers

__all__ = [
    "Anomaly",
    "AnomalyPrediction",
    "Answer",
    "Labels",
    "LabelsPrediction",
    "Numbers",
    "NumbersPrediction",
    "answer_for",
    "load_answer",
]


class Answer(Protocol):
    """names (T,): of the labels or numbers. outputs: how many numbers O the network gives for an image."""

    @property
    def task(self) -> Task: ...

    @property
    def names(self) -> tuple[str, ...]: ...

    @property
    def outputs(self) -> int: ...

    def encode(self, targets: NDArray[np.float32]) -> NDArray[np.float32]:
        """Targets (N, T) as what a network learns (N, E)."""

    def fitted(self, outputs: NDArray[np.floating], targets: NDArray[np.float32]) -> "Answer":
        """The same with its calibration, from outputs (M, O) for images the network had not seen."""

    def values(self, outputs: NDArray[np.floating]) -> NDArray[np.float64]:
        """What outputs (N, O) mean: beliefs, or numbers in the user's unit (N, T)."""

    def pull(self, outputs: NDArray[np.floating], target: int) -> NDArray[np.float64]:
        """Which weighted sum of the outputs (O,) of one image stands for its answer in a label or number (O,): what
        heatmaps explain.
        """

    def pulled(self, outputs: NDArray[np.floating], target: int, pull: NDArray[np.float64]) -> NDArray[np.float64]:
        """How far outputs (N, O) give that answer (N,): the belief in the label; of numbers the sum."""

    def predictions(
        self, outputs: NDArray[np.floating], names: list[str], known: list[dict[str, Any]], coverage: float
    ) -> list[Any]:
        """The answer for each image. known: strangeness and none_of_these of each."""

    def card(self) -> dict[str, Any]:
        """Plain values, from which `load_answer` makes it again."""


def answer_for(
    table: TargetTable, train: NDArray[np.int64], *, false_alarms: float = FALSE_ALARMS, **options: Any
) -> Answer:
    """The answer object of a data set's targets, before anything is learned. false_alarms: of anomalies. train,
    options: as of `Numbers.of`.
    """
    if table.task == "anomaly":
        return Anomaly(table.normal, false_alarms)
    return Labels.of(table.names) if table.task == "multilabel" else Numbers.of(table, train, **options)


def load_answer(card: Mapping[str, Any]) -> Answer:
    """The answer that `card` describes; KeyError or TypeError where something is missing."""
    kinds: dict[str, type[Labels] | type[Numbers] | type[Anomaly]] = {
        "multilabel": Labels, "regression": Numbers, "anomaly": Anomaly,
    }  # fmt: skip
    return kinds[card["task"]].load(card)
