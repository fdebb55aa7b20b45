"""Experiment trackers that receive a run as it is trained: MLflow, Weights & Biases."""

from __future__ import annotations

from importlib import import_module

from clearsight.errors import ConfigError
from clearsight.train.observer import Logger

TRACKERS = {
    "mlflow": ("clearsight.trackers.mlflow_logger", "MlflowLogger"),
    "wandb": ("clearsight.trackers.wandb_logger", "WandbLogger"),
}
"""The module and the class of each tracker."""


def trackers(names: str, *, by_step: bool) -> list[Logger]:
    """The loggers for the trackers of `--track`.

    Args:
        names: names joined by +, or none.
        by_step: count steps, as an epoch may be validated several times.

    Returns:
        A logger for each.

    Raises:
        ConfigError: the library of a tracker is not installed.

    Example:
        >>> trackers("none", by_step=False)
        []
    """
    found = []
    for name in names.split("+"):
        if name == "none":
            continue
        module, kind = TRACKERS[name]
        try:
            found.append(getattr(import_module(module), kind)(by_step=by_step))
        except ImportError as error:
            raise ConfigError(
                f"--track {name} needs a library that is not installed", found=str(error),
                fix=f"install it with `pip install 'clearsight[{name}]'`", page="tracking",
            ) from error  # fmt: skip
    return found


FILES = ("report.html", "config.json", "metrics.json", "history.csv", "audit.json", "predictions.csv")
"""Files of a run that trackers keep beside the model."""
