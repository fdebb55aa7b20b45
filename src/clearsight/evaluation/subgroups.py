"""Scores by metadata: does a model do as well for every site, camera or module?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from clearsight.errors import ConfigError, did_you_mean
from clearsight.evaluation.ood import check_ood
from clearsight.metrics import wilson_interval
from clearsight.tasks import OODScores, Task
from clearsight.tasks.evaluation import Evaluation
from clearsight.tasks.panel import PanelEntry
from clearsight.tasks.subgroups import Measured, SubgroupScore, SubgroupTable

MOST = 50
"""Values of a column that are scored at most, the most common ones."""

FEWEST = 5
"""Images below which a value is only counted."""


def subgroups(
    task: Task,
    outputs: NDArray[np.floating],
    truth: NDArray[np.generic],
    values: NDArray[np.str_],
    by: str,
    ood: OODScores | None = None,
    groups: list[str] | None = None,
) -> SubgroupTable:
    """Scores of the images of each value.

    Args:
        task: what the outputs mean.
        outputs: of the network (N, O).
        truth: as the task evaluates it.
        values: the metadata of each image (N,); "" where it has none.
        by: name of the column.
        ood: how unlike the training images each is; None where the model has no detector.
        groups: the class of each image, where the task needs it.
    """
    names, counts = np.unique(values, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    known = [str(names[i]) for i in order if counts[i] >= FEWEST][:MOST]
    rows, titles = [], []
    for value in known:
        own = np.flatnonzero(values == value)
        found = task.evaluate(outputs[own], truth[own], groups=None if groups is None else [groups[i] for i in own])
        rows.append(_score(task, found, outputs[own], truth[own], value, None if ood is None else ood.at(own)))
        titles += [entry.checks[0].what for entry in found.promises() if entry.name == "accuracy"]
    title = titles[0] if titles else "accuracy"
    return SubgroupTable(by, title[0].upper() + title[1:], tuple(rows), FEWEST, len(names) - len(known))


def column_of(metadata: Mapping[str, NDArray[np.str_]], by: str) -> NDArray[np.str_]:
    """The values of a column of metadata; ConfigError where the data has no such column."""
    if by not in metadata:
        raise ConfigError(
            f"the data has no column {by!r} to group by",
            found=", ".join(metadata) or "no columns other than image and label",
            expected="a column of the table that lists the images",
            fix=did_you_mean(by, metadata),
        )
    return metadata[by]


def _score(
    task: Task,
    found: Evaluation,
    outputs: NDArray[np.floating],
    truth: NDArray[np.generic],
    value: str,
    ood: OODScores | None,
) -> SubgroupScore:
    entries = {entry.name: entry for entry in found.promises()}
    coverage = alarms = None
    if ood is not None:
        check = check_ood(task, ood, outputs, truth)
        alarms = Measured(check.false_alarms, check.false_alarms_interval)
        if check.sets is not None:
            coverage = Measured(check.sets.coverage, check.sets.coverage_interval)
    elif entry := entries.get("ood"):  # false alarms of a model of anomalies
        alarms = _share(entry, found.n)
    if coverage is None and (entry := entries.get("coverage")):
        coverage = _share(entry, found.n)
    return SubgroupScore(
        value or "(none)", found.n, _interval(entries.get("accuracy")), _interval(entries.get("calibration")), coverage,
        alarms,
    )  # fmt: skip


def _interval(entry: PanelEntry | None) -> Measured | None:
    check = entry.checks[0] if entry else None
    if check is None or check.value is None or check.interval is None:
        return None
    return Measured(check.value, check.interval)


def _share(entry: PanelEntry, n: int) -> Measured | None:
    value = entry.checks[0].value
    return None if value is None else Measured(value, wilson_interval(round(value * n), n))
