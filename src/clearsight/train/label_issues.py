"""The labels of a data set that are probably wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class LabelIssue:
    """An image whose label is doubted. index: its position in the data set. Beliefs: by machines new to it."""

    index: int
    image: str
    label: str
    suggested: str
    belief_in_label: float
    belief_in_suggested: float


@dataclass(frozen=True)
class LabelIssues:
    """The doubted images, the least believed label first; positions of the images looked at (M,), and by what."""

    rows: NDArray[np.int64]
    by: str
    found: tuple[LabelIssue, ...]
