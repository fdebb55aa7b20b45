"""Judging what is not one class: labels or numbers, each by its own scores."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.answers import Answer, Labels, Numbers
from clearsight.evaluation.labels import LabelsEvaluation, evaluate_labels
from clearsight.evaluation.numbers import NumbersEvaluation, evaluate_numbers


def evaluate_answers(
    answer: Answer, outputs: NDArray[np.floating], targets: NDArray[np.float32], **names: Any
) -> LabelsEvaluation | NumbersEvaluation:
    """Judge outputs (N, O) against targets (N, T). names: `indices` and `images` of the N, to list mistakes by."""
    if isinstance(answer, Labels):
        return evaluate_labels(answer, outputs, targets, **names)
    assert isinstance(answer, Numbers)
    return evaluate_numbers(answer, outputs, targets, **names)
