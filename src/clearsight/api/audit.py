"""Audit a data set without training."""

from __future__ import annotations

from typing import Any

from clearsight.console import Console, Silent
from clearsight.data.audit import Audit
from clearsight.tasks import read
from clearsight.train.config import TrainConfig
from clearsight.train.task_options import task_options


def check(data: Any, *, console: Console | None = None, **options: Any) -> Audit:
    """Audit a data set without training: what `train` would find, at the size it would use."""
    from clearsight.train.recipe import planned

    config = TrainConfig.from_options(**options)
    dataset = read(data, data_dir=config.data.data_dir, task=config.data.task, options=task_options(config))
    return planned(dataset, config, console or Silent())[0].audit
