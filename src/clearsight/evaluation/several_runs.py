"""Several runs on the same test images: their scores, what differs between them, and the images on which they differ.

The first run is the one that the others are compared with. The images are paired, so the intervals are those of
differences.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.evaluation.run_comparison import ScoreChange
from clearsight.result import Result
from clearsight.tasks.evaluation import Evaluation
from clearsight.wording import count

EXAMPLES = 12
"""Images of each kind of change that are shown at most."""


@dataclass(frozen=True)
class ComparedRun:
    """One of the runs. evaluation: on the shared images. options: those of its training that are not the defaults.
    change: against the first run, None for the first. classes: the same for each class, where each image has one.
    """

    name: str
    model: str
    seconds: float | None
    evaluation: Evaluation
    options: Mapping[str, Any]
    change: ScoreChange | None = None
    classes: tuple[ScoreChange, ...] = ()


@dataclass(frozen=True)
class ChangedImage:
    """An image on which two runs differ. run: the number of the second. before, after: predictions in words. gain: how
    much better the second is, by the score of the comparison.
    """

    index: int
    image: str
    run: int
    label: str
    before: str
    after: str
    notes: tuple[str, str]
    gain: float

    @property
    def sign(self) -> int:
        """1 if the second run is better, -1 if it is worse, 0 if it is neither."""
        return (self.gain > 0) - (self.gain < 0)


@dataclass(frozen=True, repr=False)
class RunsComparison(Result):
    """Runs on the same n images. score: what is compared; share: whether it is a share of 1. differences: options that
    are not the same for all runs, with the value of each. changed: images whose predictions differ, the largest change
    first; pictures: some of these, by position.
    """

    n: int
    score: str
    share: bool
    runs: tuple[ComparedRun, ...]
    differences: Mapping[str, tuple[str, ...]]
    changed: tuple[ChangedImage, ...]
    thing: str = "image"
    pictures: Mapping[int, NDArray[np.uint8]] = field(default_factory=dict, compare=False)

    def examples(self) -> list[int]:
        """Positions of the images to show: of each run some that are better, worse and neither.

        Returns:
            Positions in the data set, each once.
        """
        found: dict[int, None] = {}
        kinds = dict.fromkeys((image.run, image.sign) for image in self.changed)
        for kind in kinds:
            some = [image.index for image in self.changed if (image.run, image.sign) == kind]
            found |= dict.fromkeys(some[:EXAMPLES])
        return list(found)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON.

        Returns:
            Scores of each run, differences, and the images whose prediction changed.
        """
        return {
            "n": self.n, "score": self.score,
            "runs": [
                {
                    "name": run.name, "model": run.model, "train_seconds": run.seconds, "options": dict(run.options),
                    "scores": run.evaluation.summary(), "change": None if run.change is None else asdict(run.change),
                    "classes": [asdict(row) for row in run.classes],
                }
                for run in self.runs
            ],
            "differences": {name: list(values) for name, values in self.differences.items()},
            "changed": [asdict(image) for image in self.changed],
        }  # fmt: skip

    def text(self) -> str:
        """Scores of each run and the change against the first.

        Returns:
            Text of several lines.
        """
        lines = [f"{count(self.n, f'test {self.thing}')} that no run was trained on"]
        for run in self.runs:
            lines.append(f"{run.name}: {run.evaluation.headline(run.evaluation.summary(), self.thing)}")
            if run.change is not None:
                lines.append(f"  {self.score} against {self.runs[0].name}: {run.change.words(self.share)}")
        for name, values in self.differences.items():
            lines.append(f"  {name}: {' | '.join(values)}")
        lines.append(f"predictions that differ from those of {self.runs[0].name}: {len(self.changed):,}")
        return "\n".join(lines)
