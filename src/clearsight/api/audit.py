"""Audit a data set without training."""

from __future__ import annotations

from typing import Any

from clearsight.console import Console, usual_console
from clearsight.data.audit import Audit
from clearsight.tasks import read
from clearsight.train.config import TrainConfig
from clearsight.train.task_options import task_options


def audit(data: Any, *, console: Console | None = None, **options: Any) -> Audit:
    """Audit a data set without training, at the image size that `fit` would use: `cs.audit("photos/")`.

    Args:
        data: as `fit` takes it.
        console: where progress is shown; by default below the cell of a notebook, nowhere elsewhere.
        **options: those of `fit` that concern the data: seed, test_fraction, folds, img_size, ...

    Returns:
        Unreadable files, duplicates, leaks between splits, imbalance and shortcuts, with the counts of images.

    Raises:
        DataError: the data cannot be used at all.
    """
    from clearsight.train.recipe import planned

    config = TrainConfig.from_options(**options)
    dataset = read(data, data_dir=config.data.data_dir, task=config.data.task, options=task_options(config))
    return planned(dataset, config, console or usual_console())[0].audit
