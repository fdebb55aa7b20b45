"""The labels of a data set that are probably wrong."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


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


@dataclass(frozen=True)
class LabelIssues:
    """Label issues, the most probably wrong label first; none is a valid result.

    rows: positions of the images examined (M,). by: what examined them. expected_false_share: of `found`, how many are
    expected to be labelled correctly; 0 if there are none, None where it is not known. noise: expected share of wrong
    labels among all examined, found or not. confused: pairs of classes, the most confused first. conflicts: duplicates
    with different labels. labels (M,), probabilities (M, K): of the images, by classifiers not fitted to them.
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
