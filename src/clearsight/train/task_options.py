"""What the options of a run say about its targets."""

from __future__ import annotations

from clearsight.data.pixel_format import PixelOptions
from clearsight.tasks import TaskOptions
from clearsight.train.config import TrainConfig
from clearsight.train.option_field import bands_of, low_high


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
        pixels=pixel_options(config),
    )


def pixel_options(config: TrainConfig) -> PixelOptions:
    """The options about the values, size and channels of images."""
    data = config.data
    return PixelOptions(
        value_range=low_high(data.value_range, "--value-range") if data.value_range else None,
        max_pixels=round(data.max_pixels * 1e6),
        bands=bands_of(data.bands) if data.bands else (),
    )
