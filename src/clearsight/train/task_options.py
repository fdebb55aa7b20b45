"""What the options of a run say about its targets."""

from __future__ import annotations

from clearsight.tasks import TaskOptions
from clearsight.train.config import TrainConfig
from clearsight.train.option_field import low_high


def task_options(config: TrainConfig, *, variances: bool = False) -> TaskOptions:
    """The options that tasks read. variances: the network gives a variance for each number."""
    data = config.data
    return TaskOptions(
        normal=data.normal,
        false_alarms=config.model.false_alarms,
        angle=data.angle,
        within=low_high(data.within) if data.within else None,
        variances=variances,
        grades=data.grades,
        hierarchy=config.decision.hierarchy,
    )
