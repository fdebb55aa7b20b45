"""The labels of a data set that are probably wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.result import Result
from clearsight.wording import count, percent, probability


@dataclass(frozen=True)
class LabelIssue:
    """An image whose label may be wrong.

    index: its position in the data set. suggested: the most probable other class. probability_of_label,
    probability_of_suggested: by classifiers not fitted to the image. probability_wrong: that the label is wrong.
    """

    index: int
    image: str
    label: str
    suggested: str
    probability_of_label: float
    probability_of_suggested: float
    probability_wrong: float | None = None

    def words(self) -> str:
        """The label and the suggestion, with the probability of each, and how probably the label is wrong."""
        wrong = (
            ""
            if self.probability_wrong is None
            else f"; probability that the label is wrong: {probability(self.probability_wrong)}"
        )
        return (
            f"labelled {self.label} ({probability(self.probability_of_label)}), suggested label {self.suggested} "
            f"({probability(self.probability_of_suggested)}){wrong}"
        )


@dataclass(frozen=True)
class ConfusedClasses:
    """Two classes, and how many of their `images` are more probable to be of the other."""

    classes: tuple[str, str]
    confused: int
    images: int


@dataclass(frozen=True)
class LabelConflict:
    """Two images with different labels that are the same (exact), or nearly so. indices: positions in the data set."""

    indices: tuple[int, int]
    images: tuple[str, str]
    labels: tuple[str, str]
    exact: bool


@dataclass(frozen=True, repr=False, eq=False)
class LabelIssues(Result):
    """Label issues, the most probably wrong label first; none is a valid result.

    rows: positions of the images examined (M,). by: what examined them. pictures: small images (H, W) or (H, W, 3),
    uint8, of the first of them, by their positions in the data set. expected_false_share: of `found`, how many are
    expected to be labelled correctly; 0 if there are none, None where it is not known. noise: expected share of wrong
    labels among all examined, found or not. confused: pairs of classes, the most confused first. conflicts: duplicates
    with different labels. labels (M,), probabilities (M, K): of the images, by classifiers not fitted to them.

    Example:
        >>> issues = cs.fit("digits", model="linear", epochs=1).label_issues
        >>> folder = issues.save("issues/")
    """

    rows: NDArray[np.int64]
    by: str
    found: tuple[LabelIssue, ...]
    expected_false_share: float | None = None
    noise: float | None = None
    confused: tuple[ConfusedClasses, ...] = ()
    conflicts: tuple[LabelConflict, ...] = ()
    labels: NDArray[np.int64] | None = field(default=None, repr=False)
    probabilities: NDArray[np.float64] | None = field(default=None, repr=False)
    pictures: Mapping[int, NDArray[np.uint8]] = field(default_factory=dict)

    def renumbered(self, places: NDArray[np.int64]) -> LabelIssues:
        """The same with other positions of the images.

        Args:
            places: the new position of each image of the data set (N,).

        Returns:
            New label issues.
        """
        return replace(
            self, rows=places[self.rows], found=tuple(replace(one, index=int(places[one.index])) for one in self.found),
            conflicts=tuple(
                replace(one, indices=(int(places[one.indices[0]]), int(places[one.indices[1]])))
                for one in self.conflicts
            ),
            pictures={int(places[i]): picture for i, picture in self.pictures.items()},
        )  # fmt: skip

    def summary(self) -> str:
        """How many images were examined, how many labels may be wrong, and how many of these are expected to be."""
        words = f"{count(len(self.rows), 'image was', 'images were')} examined by {self.by}: "
        if not self.found:
            return words + "no label was flagged, which does not prove that all labels are correct."
        words += f"{count(len(self.found), 'label')} may be wrong."
        if self.expected_false_share is None:
            return words
        wrong, right = round((1 - self.expected_false_share) * len(self.found)), percent(self.expected_false_share)
        return f"{words} About {wrong:,} of these labels are expected to be wrong; {right} are expected to be correct."

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        parts = {name: [asdict(one) for one in getattr(self, name)] for name in ("found", "confused", "conflicts")}
        shares = {"expected_false_share": self.expected_false_share, "noise": self.noise}
        return {"examined": len(self.rows), "by": self.by, **shares, **parts}

    def text(self) -> str:
        """The summary, and a line for each issue."""
        return "\n".join([self.summary(), *(f"{one.image}  {one.words()}" for one in self.found)])
