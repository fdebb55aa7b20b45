"""What was found where: boxes, maps and labels per pixel, in pixels of the image as it came."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.errors import ConfigError, nearest

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1; the far edges are not included."""


@dataclass(frozen=True)
class Found:
    """A box, its class, and its score, from 0 to 1. mask: the pixels of the object (H, W), None without a map."""

    box: Box
    label: str
    score: float
    mask: NDArray[np.bool_] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Located:
    """The located objects of one image.

    method: cam or window. found: best score first. labels (T,): the classes that were looked for. numbers (T,): their
    places among the model's classes. heat (T, H, W) in [0, 1]: the soft mask of each, 1 where most speaks for it.
    share: of its maximum from which a place belongs to the class. pixels (C, H, W): the image at its own size. facts:
    other facts, such as how windows were scored. shown: positions of the channels that pages show; empty for the first
    three.
    """

    image: str
    method: str
    found: tuple[Found, ...]
    labels: tuple[str, ...]
    numbers: tuple[int, ...]
    heat: NDArray[np.float32]
    share: float
    pixels: NDArray[Any]
    facts: dict[str, Any]
    seconds: float
    shown: tuple[int, ...] = ()

    @property
    def segments(self) -> NDArray[np.int64]:
        """A label for each pixel (H, W): 0 for background, k + 1 for the model's class k that speaks loudest where
        any reaches its share.
        """
        if not len(self.labels):
            return np.zeros(self.pixels.shape[1:], np.int64)
        loudest = np.array(self.numbers)[self.heat.argmax(0)]
        return np.where(self.heat.max(0) >= self.share, loudest + 1, 0)

    @property
    def instances(self) -> NDArray[np.bool_]:
        """The mask of each detection (P, H, W), in the order of `found`; False everywhere for one without a mask."""
        nothing = np.zeros(self.pixels.shape[1:], bool)
        return np.array([nothing if f.mask is None else f.mask for f in self.found], bool).reshape(-1, *nothing.shape)

    def mask(self, label: str) -> NDArray[np.bool_]:
        """The binary mask of one class (H, W);

        Args:
            label: name of the class.

        Returns:
            bool (H, W).

        Raises:
            ConfigError: one that was not looked for.
        """
        return np.asarray(self._heat(label) >= self.share)

    def peak(self, label: str) -> tuple[int, int]:
        """x and y of the place that speaks loudest for a class, of several the one nearest to their middle;

        Args:
            label: name of the class.

        Returns:
            x and y in pixels.

        Raises:
            ConfigError: one that was not looked for.
        """
        heat = self._heat(label)
        places = np.argwhere(heat == heat.max())
        y, x = places[np.square(places - places.mean(0)).sum(1).argmin()]
        return int(x), int(y)

    def _heat(self, label: str) -> NDArray[np.float32]:
        if label not in self.labels:
            raise ConfigError(
                f"{label!r} is not one of the classes searched for in {self.image}",
                fix=nearest(label, self.labels, "labels") if self.labels else "pass it as the target",
            )
        return np.asarray(self.heat[self.labels.index(label)])

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the arrays.

        Returns:
            Plain values for JSON.
        """
        height, width = self.pixels.shape[1:]
        boxes = [{"box": [round(v, 2) for v in f.box], "label": f.label, "score": f.score} for f in self.found]
        return {
            "image": self.image, "method": self.method, "width": width, "height": height, "boxes": boxes,
            "looked_for": list(self.labels), "facts": self.facts, "seconds": self.seconds,
        }  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """Options of localisation.

    threshold: least probability of a class; by default none for cam and for a class that is requested,
    1/2 for windows, and labels have their own. share: of a map's maximum from which a place belongs to the class; 1/2
    by default, and 0.4 for the segments of a model trained on boxes. layer: whose maps are used; the last that has any
    unless given. background: a class that is no thing, where none is asked for. Of windows alone: iou: overlap from
    which two boxes are of one thing. scales: by which images are scaled before windows are laid on it; 1 and ever
    smaller ones unless given. stride: from window to window in pixels of the scaled image, an eighth of a window
    unless given. tight: draw boxes closer than their windows, by the map within; for labels that is always so.
    keep_ood: keep windows that are out of distribution.
    """

    threshold: float | None = None
    share: float | None = None
    iou: float = 0.3
    layer: str = ""
    scales: tuple[float, ...] | None = None
    stride: int | None = None
    background: str | None = None
    tight: bool = False
    keep_ood: bool = False
