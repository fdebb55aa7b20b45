"""What watches a training run, of which the loop knows nothing else, and what records it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import nn

if TYPE_CHECKING:
    from clearsight.train.halving import Trial
    from clearsight.train.head_search import Candidate


@dataclass(frozen=True)
class Epoch:
    """One line of history.csv, written at every validation. Losses are means per image, of the kind that is
    minimised; epoch is the pass over the data that was under way; lr is the largest rate of the last step; train
    figures are those of the images seen since the last line; fold, from 1, says whose training it is where there is one
    for each fold.
    """

    epoch: int
    steps: int
    lr: float
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    seconds: float
    fold: int = 1


@dataclass(frozen=True)
class Step:
    """One step as an observer sees it.

    number counts from 1, total is how many are planned. images (N, C, H, W) in [0, 1] as the network got them,
    changed by augmentation; targets (N, K); logits (N, K), detached. With accumulated batches
    these are of the last one. wait_seconds: until the data was there; seconds: of the step so far, the wait included.
    batch: images that are normalised together, those of all processes; None: `images` are all of them.
    """

    number: int
    total: int
    epoch: int
    lr: float
    loss: float
    images: torch.Tensor
    targets: torch.Tensor
    logits: torch.Tensor
    wait_seconds: float
    seconds: float
    batch: int | None = None


class Observer:
    """Called by the loop in this order. A subclass may read everything and must change nothing; this does nothing."""

    def start(self, network: nn.Module, groups: Sequence[dict[str, Any]]) -> None:
        """Before the first step. groups: the optimiser's, each with its `params` and its peak rate `lr`."""

    def before_forward(self, number: int) -> None:
        """Before step `number` runs the network: the moment to place hooks."""

    def after_backward(self, step: Step) -> None:
        """Gradients are in place, unclipped; the weights have not moved."""

    def after_update(self, step: Step) -> None:
        """The weights have moved."""

    def after_epoch(self, epoch: Epoch) -> None:
        """After each validation."""


@dataclass(frozen=True)
class RunStart:
    """A run that begins. folder: where it is written. name: of the run. options: every option of training by name.
    origin: the data as the user named it. versions: of the libraries that affect predictions.
    """

    folder: Path
    name: str
    options: Mapping[str, Any]
    origin: str
    versions: Mapping[str, str]


class Logger(Protocol):
    """Receives what a run records: TensorBoard, history.csv, MLflow and Weights & Biases are loggers, and so is any
    object with these methods that is passed to `cs.fit(loggers=...)`.
    """

    def start(self, run: RunStart) -> None:
        """Before training."""

    def epoch(self, epoch: Epoch) -> None:
        """After each validation of each fold, with the epochs of an interrupted run first where one is resumed."""

    def search(self, candidates: Sequence[Candidate], trials: Sequence[Trial]) -> None:
        """After training: the heads that were compared, then the networks, input sizes and ways of training."""

    def finish(self, folder: Path, metrics: Mapping[str, Any]) -> None:
        """The run is complete. folder: as its user gets it. metrics: the content of metrics.json."""

    def fail(self, error: BaseException) -> None:
        """The run ends without a model."""


def scalars_of(epoch: Epoch, *, by_step: bool) -> tuple[int, dict[str, float]]:
    """An epoch as named numbers.

    Args:
        epoch: the epoch.
        by_step: count steps, as an epoch may be validated several times.

    Returns:
        The number of the step or epoch, and the values by name; those of folds after the first are `fold-2/val_loss`
        and so on.

    Example:
        >>> scalars_of(Epoch(1, 9, 0.1, 2.0, 0.5, 2.5, 0.4, 1.0, fold=2), by_step=False)[1]["fold-2/val_loss"]
        2.5
    """
    of = f"fold-{epoch.fold}/" if epoch.fold > 1 else ""
    names = ("lr", "train_loss", "train_accuracy", "val_loss", "val_accuracy")
    return epoch.steps if by_step else epoch.epoch, {of + name: getattr(epoch, name) for name in names}


def numbers_in(values: Mapping[str, Any], prefix: str) -> dict[str, float]:
    """The numbers of nested dictionaries by name.

    Args:
        values: such as the content of metrics.json.
        prefix: what stands before each name.

    Returns:
        Numbers by name; lists and texts are left out.

    Example:
        >>> numbers_in({"accuracy": 0.9, "ood_check": {"n": 3}, "interval": [0.8, 1.0]}, "test/")
        {'test/accuracy': 0.9, 'test/ood_check/n': 3.0}
    """
    found: dict[str, float] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= numbers_in(value, f"{prefix}{name}/")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found[prefix + name] = float(value)
    return found


UNOBSERVED = Observer()
"""The observer of a training that nobody watches."""


def ignore(*_: object) -> None:
    """The callback that does nothing."""
