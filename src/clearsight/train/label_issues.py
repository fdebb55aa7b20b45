"""The labels of a data set that are probably wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.result import Result
from clearsight.wording import count, percent


@dataclass(frozen=True)
class LabelIssue:
    """An image whose label is doubted. index: its position in the data set. Beliefs: by machines new to it."""

    index: int
    image: str
    label: str
    suggested: str
    belief_in_label: float
    belief_in_suggested: float

    def words(self) -> str:
        """The label and the suggestion, with the probability of each."""
        return (
            f"labelled {self.label} ({percent(self.belief_in_label)}), rather {self.suggested} "
            f"({percent(self.belief_in_suggested)})"
        )


@dataclass(frozen=True, repr=False, eq=False)
class LabelIssues(Result):
    """The images whose labels are probably wrong.

    rows: positions of the images examined (M,). by: what examined them. found: the issues, the least probable label
    first. pictures: small images (H, W) or (H, W, 3), uint8, of the first of them, by their positions in the data set.

    Example:
        >>> cs.fit("photos/").label_issues.save("issues/")  # doctest: +SKIP
    """

    rows: NDArray[np.int64]
    by: str
    found: tuple[LabelIssue, ...]
    pictures: Mapping[int, NDArray[np.uint8]] = field(default_factory=dict)

    def summary(self) -> str:
        """How many images were examined, and how many labels may be wrong."""
        found = f"{len(self.found):,} may be labelled wrongly." if self.found else "none seems to be labelled wrongly."
        return f"Of {count(len(self.rows), 'image')} examined by {self.by}, {found}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"examined": len(self.rows), "by": self.by, "found": [asdict(one) for one in self.found]}

    def text(self) -> str:
        """The summary, and a line for each issue."""
        return "\n".join([self.summary(), *(f"{one.image}  {one.words()}" for one in self.found)])
