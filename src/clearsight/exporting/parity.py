"""Whether an exported file says what its model says, image by image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.exporting.runtime import Exported
from clearsight.exporting.told import BAR, Told


@dataclass(frozen=True)
class Parity:
    """Of so many images: how many get the same answer from both, the largest difference, as `exporting.told` measures
    it, and the image that has it. answer, quantity: words for what is the same and what is apart.
    """

    images: int
    same_answer: int
    largest: float
    worst: str
    answer: str
    quantity: str

    @property
    def holds(self) -> bool:
        return self.largest <= BAR and self.same_answer == self.images

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "bar": BAR, "holds": self.holds}


def compare(
    told: Told,
    outputs: NDArray[np.floating],
    exported: Exported,
    batches: Iterable[NDArray[Any]],
    names: Sequence[str],
) -> Parity | None:
    """A file's answers to raw images, batches (B, C, H, W) of any sizes, against those that follow from the network's
    outputs (N, O); None where there are none. names: of the images, in the batches' order.
    """
    same, largest, worst, done = 0, -1.0, "", 0
    for images in batches:
        expected, found = told.expected(outputs[done : done + len(images)]), exported(images)
        apart = told.apart(expected, found)
        apart[~np.isfinite(apart)] = np.inf
        same += int((told.agree(expected, found) | told.undecided(expected)).sum())
        if len(apart) and apart.max() > largest:
            largest, worst = float(apart.max()), names[done + int(apart.argmax())]
        done += len(images)
    return Parity(done, same, largest, worst, told.answer, told.quantity) if done else None
