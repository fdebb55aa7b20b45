"""Whether an exported file predicts what its model predicts, image by image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.exporting.runtime import Exported
from clearsight.tasks.task import BAR, Task
from clearsight.wording import count


@dataclass(frozen=True)
class Parity:
    """Of so many images: how many get the same prediction from both, the largest difference, as the task measures it,
    and the image that has it. predicted, quantity: the task's words for what is the same and what is compared.
    """

    images: int
    same_predictions: int
    largest: float
    worst: str
    predicted: str
    quantity: str

    @property
    def holds(self) -> bool:
        return self.largest <= BAR and self.same_predictions == self.images

    def words(self) -> str:
        """It in words."""
        return (
            f"same {self.predicted} for {self.same_predictions:,} of {count(self.images, 'image')}; "
            f"{self.quantity} differ by at most {self.largest:.1e} (limit 1e-4)"
        )

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "bar": BAR, "holds": self.holds}


def compare(
    task: Task,
    outputs: NDArray[np.floating],
    exported: Exported,
    batches: Iterable[NDArray[Any]],
    names: Sequence[str],
) -> Parity | None:
    """What a file gives for raw images, batches (B, C, H, W) of any sizes, against what follows from the network's
    outputs (N, O); None where there are no images. names: of the images, in the batches' order.
    """
    same, largest, worst, done = 0, -1.0, "", 0
    for images in batches:
        expected, found = task.decoded(outputs[done : done + len(images)]), exported(images)
        difference = task.difference(expected, found)
        difference[~np.isfinite(difference)] = np.inf
        same += int((task.same(expected, found) | task.undecided(expected)).sum())
        if len(difference) and difference.max() > largest:
            largest, worst = float(difference.max()), names[done + int(difference.argmax())]
        done += len(images)
    return Parity(done, same, largest, worst, *task.parity_words) if done else None
