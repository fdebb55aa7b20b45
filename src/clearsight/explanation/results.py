"""Explanations of several images as one result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, overload

from clearsight.disk import own_name
from clearsight.explanation.explain import METHOD_WORDS, Explanation
from clearsight.result import Result


@dataclass(frozen=True, repr=False, eq=False)
class Explanations(Result, Sequence[Explanation]):
    """Heatmaps: a sequence of `Explanation`, grouped by image.

    by_image: the explanations of each image, one for each method. method: the one that was asked for, "all" included.
    """

    by_image: tuple[tuple[Explanation, ...], ...]
    method: str

    @overload
    def __getitem__(self, place: int) -> Explanation: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[Explanation, ...]: ...

    def __getitem__(self, place: int | slice) -> Explanation | tuple[Explanation, ...]:
        return tuple(self)[place]

    def __iter__(self) -> Iterator[Explanation]:
        return chain.from_iterable(self.by_image)

    def __len__(self) -> int:
        return sum(map(len, self.by_image))

    @property
    def stems(self) -> tuple[str, ...]:
        """A file name for each image, without its ending; no two are the same."""
        return image_stems([maps[0].image for maps in self.by_image])

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the maps."""
        return {"explanations": [one.to_dict() for one in self]}

    def text(self) -> str:
        """The prediction of each image, and the faithfulness of each method's map."""
        return "\n".join(line for maps in self.by_image for line in image_lines(maps))


def image_stems(names: Sequence[str]) -> tuple[str, ...]:
    """A file name for each of several images, without its ending; no two are the same."""
    return tuple(own_name(name, number, names) for number, name in enumerate(names))


def image_lines(maps: Sequence[Explanation]) -> list[str]:
    """What the terminal prints of the explanations of one image."""
    lines = [f"{maps[0].image}  {maps[0].heading}"]
    for e in maps:
        lines.append(f"  {e.method} ({METHOD_WORDS[e.method]}), {e.seconds:.1f} s")
        lines += [f"    {e.remarks}"] if e.remarks else []
    return lines
