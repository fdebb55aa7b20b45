"""How right each single prediction is: what two models are compared by, image by image.

Images of one name each count as right or wrong, by the names themselves: two models may number them differently, or one
may call several names by one. Other tasks have a score for each image, of which more is better.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import singledispatch
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.tasks.anomaly import Anomaly
from clearsight.tasks.multilabel import Multilabel
from clearsight.tasks.regression import Regression
from clearsight.tasks.task import Floats, Outputs, Task


def names_right(task: Task, outputs: Outputs, shown: NDArray[np.str_], renamed: Mapping[str, str]) -> Floats:
    """1 for each image (N,) whose predicted name is the one that it shows, else 0. renamed: what the names that the
    model predicts are called in `shown`.
    """
    names = np.array([renamed.get(name, "") for name in task.names])
    return np.asarray(names[task.decided(task.decode(outputs))] == shown, np.float64)


@singledispatch
def image_scores(task: Task, outputs: Outputs, truth: NDArray[Any]) -> Floats:
    """How right the prediction of each image is (N,): minus its mean absolute error."""
    return np.asarray(-np.abs(task.decode(outputs) - truth).mean(1))


@image_scores.register
def _(task: Regression, outputs: Outputs, truth: NDArray[Any]) -> Floats:
    return np.asarray(-np.abs(task.differences(task.decode(outputs), truth)).mean(1))


@image_scores.register
def _(task: Multilabel, outputs: Outputs, truth: NDArray[Any]) -> Floats:
    """The share of the labels that are right."""
    return np.asarray((task.given(task.decode(outputs)) == (truth > 0)).mean(1))


@image_scores.register
def _(task: Anomaly, outputs: Outputs, truth: NDArray[Any]) -> Floats:
    """1 where anomalies, and they alone, are called so."""
    return np.asarray(task.given(outputs) == (truth[:, 0] > 0), np.float64)


@singledispatch
def score_words(task: Task) -> str:
    """What the mean of the scores is called."""
    return "accuracy" if task.exclusive else "minus the mean error"


@score_words.register
def _(task: Multilabel) -> str:
    return "share of correct labels"


@score_words.register
def _(task: Anomaly) -> str:
    return "share of correctly classified images"
