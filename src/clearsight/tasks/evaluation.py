"""What every task's evaluation has: numbers for metrics.json, lines for the terminal, parts of the report."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from clearsight.metrics.detection import DetectionScores
from clearsight.result import Result
from clearsight.tasks.image_counts import ImageCounts
from clearsight.tasks.panel import PanelEntry, TrustPanel
from clearsight.tasks.sections import ReportParts
from clearsight.tasks.subgroups import SubgroupTable

NEW = " not used in training"
"""Added to the number of test images in the headline."""


@dataclass(frozen=True)
class Mistake:
    """An image that is predicted wrongly. index: its position in the data set. image: its name."""

    index: int
    image: str


@dataclass(frozen=True, kw_only=True, repr=False)
class Evaluation(Result):
    """Metrics of N images. Subclasses are frozen dataclasses with `n` and `mistakes`, the worst first, and
    `repr=False`.

    images: what became of the images given; panel: what the model promises and whether it is kept; subgroups: scores
    by metadata; detection: of a model trained on boxes, average precision in the whole images. None where metrics were
    computed of outputs alone. pictures: small images (H, W) or (H, W, 3), uint8,
    of the mistakes that `report` shows, by their positions in the data set.
    """

    images: ImageCounts | None = None
    panel: TrustPanel | None = None
    subgroups: tuple[SubgroupTable, ...] = ()
    detection: DetectionScores | None = None
    pictures: Mapping[int, NDArray[np.uint8]] = field(default_factory=dict, compare=False)

    task: ClassVar[str]
    n: int
    mistakes: tuple[Any, ...]

    def renumbered(self, places: NDArray[np.int64]) -> Self:
        """The same with other positions of the images.

        Args:
            places: the new position of each image of the data set (N,).

        Returns:
            A new evaluation.
        """
        moved = [replace(m, index=int(places[m.index])) if isinstance(m, Mistake) else m for m in self.mistakes]
        pictures = {int(places[i]): picture for i, picture in self.pictures.items()}
        return replace(self, mistakes=tuple(moved), pictures=pictures)

    @abstractmethod
    def summary(self) -> dict[str, Any]:
        """The numbers that go into metrics.json.

        Returns:
            Plain values for JSON.
        """

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values for JSON."""
        mistakes = [asdict(m) if is_dataclass(m) else m for m in self.mistakes]  # type: ignore[arg-type]
        return {**self.summary(), "mistakes": mistakes, **self.counted()}

    def counted(self) -> dict[str, Any]:
        """The counts of images, the trust panel, the scores by metadata and those of detection.

        Returns:
            Plain values for JSON; parts that were not computed are left out.
        """
        found: dict[str, Any] = {"images": self.images.to_dict()} if self.images else {}
        if self.panel is not None:
            found["panel"] = self.panel.to_dict()
        if self.subgroups:
            found["subgroups"] = [table.to_dict() for table in self.subgroups]
        if self.detection is not None:
            found["detection"] = self.detection.to_dict()
        return found

    def beside(self) -> list[str]:
        """Lines of the trust panel, of the scores by metadata and of detection.

        Returns:
            Lines of text, empty if there is neither.
        """
        found = [] if self.panel is None else [self.panel.text(), ""]
        for table in self.subgroups:
            found += [*table.lines(), ""]
        if self.detection is not None:
            found += [*self.detection.lines(), ""]
        return found

    @staticmethod
    @abstractmethod
    def headline(summary: dict[str, Any], thing: str = "image", new: str = "") -> str:
        """A summary in a line or two.

        Args:
            summary: numbers as `summary` returns them.
            thing: what was evaluated, "image" or "sound".
            new: text added to the number of images.

        Returns:
            Text for the terminal and the report.
        """

    def text(self, thing: str = "image", new: str = "") -> str:
        """What the terminal prints of an evaluation.

        Args:
            thing: what was evaluated, "image" or "sound".
            new: text added to the number of images.

        Returns:
            Text of several lines.
        """
        lines = [*self.beside(), self.headline(self.summary(), thing, new), *self.details(thing)]
        return "\n".join([*lines, *(self.mistake_line(m) for m in self.mistakes[:10])])

    def promises(self) -> tuple[PanelEntry, ...]:
        """The entries of the trust panel that follow from these numbers.

        Returns:
            The entries, none by default.
        """
        return ()

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval of the first score; None where it has none."""
        return None

    def details(self, thing: str) -> list[str]:
        """Lines for each class, label or number.

        Args:
            thing: what was evaluated, "image" or "sound".

        Returns:
            Lines of text, none by default.
        """
        return []

    def mistake_line(self, mistake: Any) -> str:
        """A mistake in one line.

        Args:
            mistake: an element of `mistakes`.

        Returns:
            One line of text.
        """
        return f"wrong: {mistake.image}"

    @abstractmethod
    def report(self, thing: str = "image", validation: Self | None = None) -> ReportParts:
        """The part of the report about the test split.

        Args:
            thing: what was evaluated, "image" or "sound".
            validation: evaluation of the validation images to compare with; None for no comparison.

        Returns:
            Sections, figures and tables of the report.
        """
