"""What several images show where, as one result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

from clearsight.disk import own_name
from clearsight.localisation.detections import Located
from clearsight.result import Result
from clearsight.wording import percent


@dataclass(frozen=True, repr=False, eq=False)
class Locations(Result, Sequence[Located]):
    """Boxes and masks: a sequence of `Located`, one for each image."""

    located: tuple[Located, ...]

    @overload
    def __getitem__(self, place: int) -> Located: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[Located, ...]: ...

    def __getitem__(self, place: int | slice) -> Located | tuple[Located, ...]:
        return self.located[place]

    def __len__(self) -> int:
        return len(self.located)

    @property
    def pictures(self) -> tuple[str, ...]:
        """The file name of each image's picture; no two are the same."""
        return picture_names([one.image for one in self])

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the masks."""
        return {"located": [one.to_dict() for one in self]}

    def text(self) -> str:
        """The boxes in each image."""
        return "\n".join(line for one in self for line in image_lines(one))


def picture_names(names: Sequence[str]) -> tuple[str, ...]:
    """A file name for the picture of each of several images; no two are the same."""
    return tuple(f"{own_name(name, number, names)}.located.png" for number, name in enumerate(names))


def image_lines(one: Located) -> list[str]:
    """What the terminal prints of one image."""
    scored = f", window scores from {one.facts['scored by']}" if "scored by" in one.facts else ""
    lines = [f"{one.image}  {one.method}{scored}, {one.seconds:.1f} s"]
    lines += [f"    {f.label} {percent(f.score)}  [{', '.join(f'{v:.0f}' for v in f.box)}]" for f in one.found]
    if not one.found:
        lines.append("    nothing found")
    elif one.facts.get("is_ood"):
        lines.append("    warning: the image is out of distribution")
    return lines
