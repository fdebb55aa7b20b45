"""What was found where: boxes, maps and labels per pixel, in pixels of the image as it came."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1; the far edges are not included."""


@dataclass(frozen=True)
class Found:
    """A box, what is in it, and how much is to be said for it, from 0 to 1."""

    box: Box
    label: str
    score: float


@dataclass(frozen=True)
class Located:
    """What one image shows where.

    method: cam or window. found: best score first. labels (T,): the classes that were looked for. heat (T, H, W) in
    [0, 1]: the soft mask of each, 1 where most speaks for it. share: of its maximum from which a place belongs to the
    class. pixels (C, H, W): the image at its own size. facts: what else there is to say, such as how windows were
    judged.
    """

    image: str
    method: str
    found: tuple[Found, ...]
    labels: tuple[str, ...]
    heat: NDArray[np.float32]
    share: float
    pixels: NDArray[Any]
    facts: dict[str, Any]
    seconds: float

    @property
    def segments(self) -> NDArray[np.int64]:
        """A label for each pixel (H, W): 0 for background, t + 1 for `labels[t]`, the class that speaks loudest where
        any reaches its share.
        """
        if not len(self.labels):
            return np.zeros(self.pixels.shape[1:], np.int64)
        return np.where(self.heat.max(0) >= self.share, self.heat.argmax(0) + 1, 0)

    def mask(self, label: str) -> NDArray[np.bool_]:
        """The binary mask of one class (H, W)."""
        return np.asarray(self.heat[self.labels.index(label)] >= self.share)

    def peak(self, label: str) -> tuple[int, int]:
        """x and y of the place that speaks loudest for a class; of several, the one nearest to their middle."""
        heat = self.heat[self.labels.index(label)]
        places = np.argwhere(heat == heat.max())
        y, x = places[np.square(places - places.mean(0)).sum(1).argmin()]
        return int(x), int(y)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the arrays."""
        height, width = self.pixels.shape[1:]
        boxes = [{**asdict(f), "box": [round(v, 2) for v in f.box]} for f in self.found]
        return {
            "image": self.image, "method": self.method, "width": width, "height": height, "boxes": boxes,
            "looked_for": list(self.labels), "facts": self.facts, "seconds": self.seconds,
        }  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """How to locate.

    threshold: least belief in a class; unless given, the answer's is enough for cam and 1/2 for windows, and labels
    have their own. share: of a map's maximum from which a place belongs to the class. iou: overlap from which two
    boxes are of one thing. layer: whose maps are used; the last that has any unless given. scales: by which the image
    is scaled before windows are laid on it; 1 and ever smaller ones unless given. stride: from window to window in
    pixels of the scaled image, an eighth of a window unless given. background: a class that is no thing. tight: draw
    boxes closer than their windows, by the map within; for labels that is always so. strange: keep windows that are
    unlike all the model learned from.
    """

    threshold: float | None = None
    share: float = 0.5
    iou: float = 0.3
    layer: str = ""
    scales: tuple[float, ...] | None = None
    stride: int | None = None
    background: str | None = None
    tight: bool = False
    strange: bool = False
