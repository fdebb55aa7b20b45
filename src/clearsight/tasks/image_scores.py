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

from clearsight.data.dataset import Dataset
from clearsight.errors import DataError
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


def comparable_targets(
    old: Task, new: Task, dataset: Dataset
) -> tuple[tuple[NDArray[Any], NDArray[Any]], tuple[list[int], list[int]] | None]:
    """The targets of a data set, read for the newer of two models, as both of them evaluate them.

    Also returns the columns of the labels that both know, None for all; DataError for other targets, or no such label.
    """
    truth = new.truth(dataset)
    if new.exclusive:
        return (truth, truth), None
    if not (isinstance(old, Multilabel) and isinstance(new, Multilabel)) or set(old.names) == set(new.names):
        return (old.aligned(dataset), truth), None
    shared = [name for name in old.names if name in new.names]
    if not shared:
        raise DataError(
            "the two runs have no label in common",
            found=", ".join(new.names[:8]), expected=f"some of {', '.join(old.names[:8])}",
        )  # fmt: skip
    columns = [old.names.index(name) for name in shared], [new.names.index(name) for name in shared]
    then = np.zeros((len(truth), len(old.names)), truth.dtype)
    then[:, columns[0]] = truth[:, columns[1]]
    return (then, truth), columns


@singledispatch
def image_scores(task: Task, outputs: Outputs, truth: NDArray[Any], columns: list[int] | None = None) -> Floats:
    """How right the prediction of each image is (N,): minus its mean absolute error. columns: labels that count, None
    for all.
    """
    return np.asarray(-np.abs(task.decode(outputs) - truth).mean(1))


@image_scores.register
def _(task: Regression, outputs: Outputs, truth: NDArray[Any], columns: list[int] | None = None) -> Floats:
    return np.asarray(-np.abs(task.differences(task.decode(outputs), truth)).mean(1))


@image_scores.register
def _(task: Multilabel, outputs: Outputs, truth: NDArray[Any], columns: list[int] | None = None) -> Floats:
    """The share of the labels that are right."""
    right = task.given(task.decode(outputs)) == (truth > 0)
    return np.asarray((right if columns is None else right[:, columns]).mean(1))


@image_scores.register
def _(task: Anomaly, outputs: Outputs, truth: NDArray[Any], columns: list[int] | None = None) -> Floats:
    """1 where anomalies, and they alone, are called so."""
    return np.asarray(task.given(outputs) == (truth[:, 0] > 0), np.float64)


def own_scores(task: Task, outputs: Outputs, shown: NDArray[np.str_], truth: NDArray[Any]) -> Floats:
    """How right each prediction is (N,), by names where each image has one. shown: these names; truth: the targets."""
    if task.exclusive:
        return names_right(task, outputs, shown, {name: name for name in task.names})
    return image_scores(task, outputs, truth)


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
