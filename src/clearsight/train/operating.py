"""From the options on decisions to the operating point of a trained task."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.calibration.operating_points import Wishes, known_name
from clearsight.data.dataset import Dataset
from clearsight.errors import ConfigError
from clearsight.json_values import from_json
from clearsight.tasks import Task, task_named
from clearsight.tasks.classification import Classification
from clearsight.tasks.multilabel import Multilabel
from clearsight.train.config import TrainConfig
from clearsight.train.recipe import Decision


def wishes_of(config: TrainConfig) -> Wishes:
    """What the options want of decisions; ConfigError for a file of costs that cannot be read."""
    decision = config.decision
    costs = None if decision.costs is None else read_costs(Path(decision.costs).expanduser())
    return Wishes(costs, decision.min_precision, decision.min_recall)


def check_wishes(wishes: Wishes, dataset: Dataset) -> None:
    """ConfigError, before training, for a class or label that the data does not have."""
    if issubclass(task_named(dataset.task.name), Classification | Multilabel):  # others refuse all wishes
        for name in sorted(wishes.names):
            known_name(name, dataset.names)


def with_operating_point(
    task: Task, outputs: NDArray[np.floating], truth: NDArray[Any], wishes: Wishes
) -> tuple[Task, list[Decision]]:
    """The task with the operating point that validation images with outputs (M, O) give, and what was decided; itself
    where nothing is wished for.
    """
    if not wishes:
        return task, []
    found, rules = task.with_operating_point(outputs, truth, wishes)
    return found, [Decision("predicted class", rule, "as specified; measured on validation images") for rule in rules]


def read_costs(path: Path) -> Mapping[str, Mapping[str, float]]:
    """Costs by true and predicted class: JSON {"true": {"predicted": cost}}, or CSV whose first row names the predicted
    classes and whose first column the true ones. Cells that are left out cost 0 on the diagonal, else 1.
    """
    expected = (
        "a CSV table with predicted classes in the first row and true classes in the first column, or the same table "
        "as JSON"
    )
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() == ".json":
            content = from_json(text)
            return {str(k): {str(d): float(c) for d, c in row.items()} for k, row in content.items()}
        head, *rows = [row for row in csv.reader(text.splitlines()) if any(cell.strip() for cell in row)]
        names = [cell.strip() for cell in head[1:]]
        return {row[0].strip(): {n: float(c) for n, c in zip(names, row[1:], strict=True) if c.strip()} for row in rows}
    except (OSError, ValueError, AttributeError, TypeError, IndexError) as error:
        raise ConfigError(f"--costs {path} cannot be read", found=str(error), expected=expected) from error
