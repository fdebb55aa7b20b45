"""The rate of false alarms of each class or group: 5 % on average may be 29 % of one camera and none of another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.metrics import wilson_interval


@dataclass(frozen=True)
class FalseAlarmRate:
    """Of n images of a class or group that all belong to the data: how many are flagged as out of distribution, and the
    95 % interval of their rate [Wilson 1927].
    """

    name: str
    n: int
    flagged: int
    interval: tuple[float, float]

    @property
    def rate(self) -> float:
        """Share of the images that is flagged."""
        return self.flagged / self.n

    def summary(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return {"name": self.name, "n": self.n, "rate": self.rate, "interval": list(self.interval)}


def false_alarm_rates(
    flagged: NDArray[np.bool_], groups: NDArray[Any], names: Sequence[str] | None = None
) -> tuple[FalseAlarmRate, ...]:
    """The rate of each group that has images, the highest first.

    Args:
        flagged: (N,) which images are flagged; all of them belong to the data.
        groups: (N,) the class, or the value of a metadata column, of each image.
        names: what to call groups, where these are positions in it.
    """
    found = []
    for group in np.unique(groups):
        mine = flagged[groups == group]
        name = str(group) if names is None else names[int(group)]
        found.append(FalseAlarmRate(name, len(mine), int(mine.sum()), wilson_interval(int(mine.sum()), len(mine))))
    return tuple(sorted(found, key=lambda one: -one.rate))
