"""What a run may cost. Operations are counted, not seconds, so that a run makes the same choices on any machine."""

from __future__ import annotations

from dataclasses import dataclass

from clearsight.train.config import TrainConfig
from clearsight.train.option_field import seconds

LIMIT = 2e13
"""Operations that the choice of a network and a size, and their features, may cost without --budget. A multiply-add is
two operations; a training step costs three times as much as a prediction."""

SPEED = 2e13 / 300
"""Operations per second of two cores, by which a --budget is counted in operations."""

HEAD_ONLY = 60.0
"""Seconds of budget below which only a head is trained, on the default network."""


@dataclass
class Work:
    """Operations that a run may still spend, and those it has spent."""

    limit: float = LIMIT
    spent: float = 0.0

    @property
    def left(self) -> float:
        """Operations that are left."""
        return max(0.0, self.limit - self.spent)


def work_of(config: TrainConfig) -> Work:
    """The operations that a run may cost."""
    return Work() if config.run.budget is None else Work(limit=SPEED * seconds(config.run.budget))


def head_only(config: TrainConfig) -> bool:
    """Whether the budget is so short that only a head is trained. Without one, options decide."""
    budget = config.run.budget
    return budget is None or seconds(budget) < HEAD_ONLY


def searches(config: TrainConfig) -> bool:
    """Whether the options leave it to measurement how a pretrained network is used."""
    short = config.run.budget is not None and head_only(config)
    return config.model.freeze == "auto" and not config.transfer.given() and not short
