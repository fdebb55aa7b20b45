"""Whether an exported file says what its model says, image by image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.exporting.runtime import Exported

BAR = 1e-4
"""Largest difference of a probability that counts as rounding."""


@dataclass(frozen=True)
class Parity:
    """Of so many images: how many get the same class from both, the largest difference of any probability, and the
    image that has it.
    """

    images: int
    same_class: int
    largest: float
    worst: str

    @property
    def holds(self) -> bool:
        return self.largest <= BAR and self.same_class == self.images

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "bar": BAR, "holds": self.holds}


def compare(
    expected: NDArray[np.float64], exported: Exported, batches: Iterable[NDArray[Any]], names: Sequence[str]
) -> Parity | None:
    """A file's answers to raw images, batches (B, C, H, W) of any sizes, against the model's probabilities (N, K);
    None where there are none. names: of the images, in the batches' order.
    """
    same, largest, worst, done = 0, -1.0, "", 0
    for images in batches:
        beliefs, found = expected[done : done + len(images)], exported(images)[0]
        apart = np.abs(beliefs - found).max(axis=1)
        apart[~np.isfinite(apart)] = np.inf
        # equal beliefs, as those of a fair coin, have no class to agree on
        same += int(((beliefs.argmax(1) == found.argmax(1)) | (_margin(beliefs) < BAR)).sum())
        if len(apart) and apart.max() > largest:
            largest, worst = float(apart.max()), names[done + int(apart.argmax())]
        done += len(images)
    return Parity(done, same, largest, worst) if done else None


def _margin(beliefs: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far the likeliest class lies before the next (N,)."""
    ranked = np.sort(beliefs, axis=1)
    return np.asarray(ranked[:, -1] - ranked[:, -2])
