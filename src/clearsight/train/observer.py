"""What watches a training run, of which the loop knows nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


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


UNOBSERVED = Observer()
"""The observer of a training that nobody watches."""


def ignore(*_: object) -> None:
    """The callback that does nothing."""
