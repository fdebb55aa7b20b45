"""Judging what is not one class: labels, numbers or anomalies, each by its own scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.evaluation.anomaly import AnomalyEvaluation, evaluate_anomalies
from clearsight.evaluation.labels import LabelsEvaluation, evaluate_labels
from clearsight.evaluation.numbers import NumbersEvaluation, evaluate_numbers
from clearsight.tasks import Anomaly, Answer, Labels, Numbers

AnswersEvaluation = LabelsEvaluation | NumbersEvaluation | AnomalyEvaluation


def evaluate_answers(
    answer: Answer,
    outputs: NDArray[np.floating],
    targets: NDArray[np.float32],
    *,
    groups: Sequence[str] | None = None,
    **names: Any,
) -> AnswersEvaluation:
    """Judge outputs (N, O) against targets (N, T). names: `indices` and `images` of the N, to list mistakes by. groups:
    the class of each, by which anomalies are judged.
    """
    if isinstance(answer, Anomaly):
        return evaluate_anomalies(answer, outputs, targets, groups=groups, **names)
    if isinstance(answer, Labels):
        return evaluate_labels(answer, outputs, targets, **names)
    assert isinstance(answer, Numbers)
    return evaluate_numbers(answer, outputs, targets, **names)
