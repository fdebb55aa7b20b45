"""An index that was built, and what a search found in one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from clearsight.result import Result
from clearsight.retrieval.index import Index, Retrieval
from clearsight.wording import count, percent, visible


@dataclass(frozen=True, repr=False, eq=False)
class IndexResult(Result):
    """An index, its folder, and how well neighbours share their query's class; scores are None where no image could be
    a query.
    """

    index: Index
    scores: Retrieval | None
    folder: Path

    @property
    def bytes(self) -> int:
        """Size of the index file."""
        return (self.folder / "index.faiss").stat().st_size

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "images": len(self.index), "width": self.index.card.width, "bytes": self.bytes, "folder": str(self.folder),
            "scores": self.scores.to_dict() if self.scores else None,
        }  # fmt: skip

    def text(self) -> str:
        """Size and scores."""
        size = f"{self.bytes / 1e6:.1f} MB"
        text = (
            f"{count(len(self.index), 'image')}, {self.index.card.width}-dimensional embeddings, {size}: {self.folder}"
        )
        if s := self.scores:
            text += (
                f"\n{count(s.queries, 'query', 'queries')}, {count(s.k, 'neighbour')} each: "
                f"{percent(s.precision)} of the neighbours have the class of the query; "
                f"recall {percent(s.recall)}, mAP {percent(s.mean_average_precision)}"
            )
        return text


@dataclass(frozen=True)
class Neighbour:
    """An indexed image: its name, its label in words, and the cosine of its embedding and the query's. other_class: its
    class is not the one predicted for the query; None where there is none of the two.
    """

    image: str
    label: str
    likeness: float
    other_class: bool | None = None


@dataclass(frozen=True, repr=False, eq=False)
class SearchResult(Result, Sequence[Neighbour]):
    """The indexed images most similar to one: a sequence of `Neighbour`, best first.

    query: the name of the image. pixels (3, S, S) uint8: the query. pictures: the neighbours, of the same shape; None
    where the indexed images are gone or changed, or the index holds no digests of them. prediction: the class predicted
    for the query; None where the model does not predict one class.
    """

    query: str
    neighbours: tuple[Neighbour, ...]
    pixels: NDArray[np.uint8] = field(repr=False)
    pictures: tuple[NDArray[np.uint8], ...] | None = field(repr=False, default=None)
    prediction: str | None = None

    @overload
    def __getitem__(self, place: int) -> Neighbour: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[Neighbour, ...]: ...

    def __getitem__(self, place: int | slice) -> Neighbour | tuple[Neighbour, ...]:
        return self.neighbours[place]

    def __len__(self) -> int:
        return len(self.neighbours)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        found = [
            {"image": n.image, "label": n.label, "likeness": n.likeness, "other_class": n.other_class} for n in self
        ]
        return {"prediction": self.prediction, "neighbours": found}

    def text(self) -> str:
        """A line for each neighbour; those of another class than the predicted one are marked."""
        width = min(60, max((len(n.image) for n in self), default=0))
        lines = [f"{n.likeness:.3f}  {n.image:<{width}}  {n.label}{'  *' if n.other_class else ''}" for n in self]
        if any(n.other_class for n in self):
            lines.append(f"* another class than the one predicted for {self.query}: {self.prediction}")
        return "\n".join(visible(line) for line in lines)
