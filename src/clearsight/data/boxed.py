"""Images with known boxes, and the crops that a classifier learns from them: every object, and parts without one.

A crop is a square around an object, `CONTEXT` times as long as the longer side of its box, so that a window of the
network's input shows the object as a crop did. Beyond the edge of the image its outermost pixels are repeated.

Shapes: M images, B objects, N crops; boxes (B, 4) as x0, y0, x1, y1, the far edges not included; squares (N, 3) as
left, top, side.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.data.dataset import Files
from clearsight.data.geometry import Geometry
from clearsight.data.pixels import (
    Header,
    PixelFormat,
    Pixels,
    digest,
    from_array,
    image_header,
    read_bytes,
    whole_image,
)
from clearsight.errors import BundleError, DataError
from clearsight.metrics.localisation import box_iou
from clearsight.wording import count

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

BACKGROUND = "background"
"""The class of crops that show no object."""

CONTEXT = 1.2
"""Side of a crop as a multiple of the longer side of its box."""

SHIFT, ZOOM = 0.08, 1.2
"""How far further crops of an object are moved, as a share of its side, and enlarged or reduced, at most: windows
rarely stand exactly on an object."""

BESIDE = 0.5
"""Largest overlap (IoU) of a background crop with the crop of an object: a window that overlaps an object by less has
not found it.
"""

PER_OBJECT = 3
"""Crops of each object, one of them exact; and background crops drawn for it, two beside it and one elsewhere."""

REACH = 0.6
"""How far the middle of a crop beside an object lies from the middle of the object, as a share of its crop, at most."""

TRIES = 50
"""Random places tried for each background crop."""


@dataclass(frozen=True)
class DetectionRecord:
    """What a model trained on crops needs to detect objects, kept in its bundle.

    background: the class that is no object. sides: smallest and largest side of the crops of objects, in pixels.
    shapes: for each class, width and height of a typical box as shares of its crop.
    """

    background: str
    sides: tuple[float, float]
    shapes: Mapping[str, tuple[float, float]]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON.

        Returns:
            A dictionary.
        """
        return {
            "background": self.background, "sides": list(self.sides),
            "shapes": {name: list(shape) for name, shape in self.shapes.items()},
        }  # fmt: skip

    @classmethod
    def load(cls, data: Mapping[str, Any], classes: tuple[str, ...]) -> DetectionRecord | None:
        """The record in the data of a bundle.

        Args:
            data: facts of the data that the model was trained on.
            classes: names of the model's classes.

        Returns:
            The record; None for a model that was not trained on boxes.

        Raises:
            BundleError: the record is damaged.
        """
        kept = data.get("detection")
        if kept is None:
            return None
        try:
            low, high = (float(side) for side in kept["sides"])
            shapes = {str(name): (float(shape[0]), float(shape[1])) for name, shape in kept["shapes"].items()}
            found = cls(str(kept["background"]), (low, high), shapes)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise _damaged(str(error)) from error
        known = {*found.shapes, found.background} == set(classes)
        if not (known and 1 <= low <= high < math.inf and all(0 < v <= 1 for shape in shapes.values() for v in shape)):
            raise _damaged(str(kept)[:120])
        return found


def _damaged(found: str) -> BundleError:
    return BundleError(
        "the model's detection record is invalid", found=found,
        expected="the background class, the range of crop sizes and the typical box shape of each class",
        fix="train again",
    )  # fmt: skip


@dataclass(frozen=True)
class BoxedImages:
    """M images with B known objects.

    sizes (M, 2): width and height in pixels. image (B,): the image of each object. boxes (B, 4) and labels (B,): of
    the objects. crowd (B,): regions of many objects, not marked one by one; nothing is learned from them, and what is
    found in them counts neither as right nor as wrong. masks (B,): masks as in COCO (polygons or run lengths), None for
    an object without one.
    """

    files: Files
    sizes: Indices
    image: Indices
    boxes: Floats
    labels: tuple[str, ...]
    crowd: NDArray[np.bool_]
    masks: tuple[Any, ...]

    @property
    def masked(self) -> bool:
        """Whether every object has a mask."""
        return bool(self.masks) and all(mask is not None for mask in self.masks)

    def crops(self) -> Crops:
        """The crops to learn from: `PER_OBJECT` of every object, and as many of the background.

        All crops of an object but the first are moved and scaled at random by up to `SHIFT` and `ZOOM`. A third of the
        background crops overlap no box; the others overlap the crop of an object, but by at most `BESIDE`, so that a
        part of an object, or a window much too large or small for it, is background too. The crops of an image depend
        on its name and on the boxes alone.

        Returns:
            The crops, in the order of the images.

        Raises:
            DataError: no part of any image is free of objects.
        """
        things = np.flatnonzero(~self.crowd)
        exact = squares_around(self.boxes[things])
        rows: list[tuple[int, NDArray[np.int64], str]] = []
        for i in range(len(self.files)):
            rng = np.random.default_rng(zlib.crc32(self.files.file_name(i).encode("utf-8", "backslashreplace")))
            own = np.flatnonzero(self.image[things] == i)
            own = own[np.lexsort(self.boxes[things[own]].T)]  # whatever their order in the file
            moved = [_moved(self.boxes[things[own]], rng) for _ in range(PER_OBJECT - 1)]
            for k, *squares in zip(own, exact[own], *moved, strict=True):
                rows += [(i, square, self.labels[things[k]]) for square in squares]
            sides = exact[:, 2] if len(exact) else np.array([min(self.sizes[i])])
            crowds = self.boxes[self.crowd & (self.image == i)]
            free = _free(self.sizes[i], sides, self.boxes[things[own]], crowds, rng)
            rows += [(i, square, BACKGROUND) for square in free]
        labels = tuple(label for _, _, label in rows)
        if BACKGROUND not in labels:
            raise DataError(
                "no part of these images is free of objects",
                found=f"boxes or crowd regions that fill {count(len(self.files), 'image')}",
                expected="images with some background around the objects", fix="add images without objects",
            )  # fmt: skip
        image = np.array([i for i, _, _ in rows], np.int64)
        return Crops(self.files, image, np.array([square for _, square, _ in rows], np.int64), labels)

    def record(self) -> DetectionRecord:
        """What detection needs to know of these boxes: sides of crops, but for the outermost percent, and the median
        shape of each class.

        Returns:
            The record.
        """
        things = np.flatnonzero(~self.crowd)
        size = self.boxes[things, 2:] - self.boxes[things, :2]
        sides = squares_around(self.boxes[things])[:, 2]
        shares = np.minimum(size / sides[:, None], 1.0)
        labels = np.array([self.labels[k] for k in things])
        medians = {str(name): np.median(shares[labels == name], axis=0) for name in np.unique(labels)}
        low, high = np.percentile(sides, (1, 99))
        shapes = {name: (round(float(w), 4), round(float(h), 4)) for name, (w, h) in medians.items()}
        return DetectionRecord(BACKGROUND, (float(low), float(high)), shapes)


@dataclass(frozen=True)
class Crops:
    """Square parts of image files: a source of N images.

    image (N,): the file of each crop. squares (N, 3): left, top and side in pixels, which may reach beyond the image.
    labels (N,): what each shows.
    """

    files: Files
    image: Indices
    squares: Indices
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.image)

    def name(self, i: int) -> str:
        """The name of a crop.

        Args:
            i: position of the crop.

        Returns:
            The name of its file, and its corners x0,y0,x1,y1.
        """
        left, top, side = self.squares[i].tolist()
        return f"{self.files.name(int(self.image[i]))}[{left},{top},{left + side},{top + side}]"

    def inspect(self, i: int) -> tuple[str, Header, int]:
        """Digest and header of a crop, without decoding its pixels.

        Args:
            i: position of the crop.

        Returns:
            Digest of the file and the place of the crop, header, and size of the file in bytes.
        """
        k, side = int(self.image[i]), int(self.squares[i, 2])
        content = read_bytes(self.files.paths[k])
        header = image_header(content, self.files.name(k))
        return self._digest(content, i), replace(header, width=side, height=side), len(content)

    def decode(self, i: int, form: PixelFormat, geometry: Geometry, expected: str = "") -> Pixels:
        """Decode a crop.

        Args:
            i: position of the crop.
            form: channels and bits of the result.
            geometry: size of the result.
            expected: digest that the crop must have; "" accepts any.

        Returns:
            Pixels (C, H, W).

        Raises:
            DataError: the digest differs from the one expected.
        """
        k = int(self.image[i])
        path = self.files.paths[k]
        content = read_bytes(path)
        if expected and self._digest(content, i) != expected:
            raise DataError(
                f"{self.files.name(k)} changed while the data set was being read", found="different content",
                fix="make sure that no process writes to these files, then run again",
            )  # fmt: skip
        whole = _decoded(path, digest(content), self.files.name(k), form)
        left, top, side = self.squares[i].tolist()
        part = cut(whole.transpose(1, 2, 0), left, top, side)
        return from_array(part.transpose(2, 0, 1), self.name(i), form, geometry)

    def _digest(self, content: bytes, i: int) -> str:
        return digest(f"{digest(content)} {self.squares[i].tolist()}".encode())


@lru_cache(maxsize=4)
def _decoded(path: Path, _content: str, name: str, form: PixelFormat) -> Pixels:
    """A whole image; crops of one image follow each other, so the last few are kept."""
    return whole_image(read_bytes(path), name, form)


def cut(image: NDArray[Any], left: int, top: int, side: int) -> NDArray[Any]:
    """A square part of an image; beyond the edge its outermost pixels are repeated.

    Args:
        image: array (H, W, C).
        left: left edge of the square in pixels.
        top: upper edge.
        side: length of its sides, at least 1.

    Returns:
        Array (side, side, C).

    Example:
        >>> cut(np.arange(4).reshape(2, 2, 1), -1, 0, 2)[..., 0].tolist()
        [[0, 0], [2, 2]]
    """
    rows, columns = (
        np.clip(np.arange(first, first + side), 0, n - 1)
        for first, n in ((top, image.shape[0]), (left, image.shape[1]))
    )
    return np.asarray(image[rows][:, columns])


def squares_around(boxes: Floats) -> Indices:
    """The crops of boxes.

    Args:
        boxes: boxes (B, 4).

    Returns:
        Squares (B, 3) with the centres of the boxes.

    Example:
        >>> squares_around(np.array([[10.0, 20, 20, 40]])).tolist()
        [[3, 18, 24]]
    """
    low, high = boxes[:, :2], boxes[:, 2:]
    side = np.maximum(1, np.rint(CONTEXT * (high - low).max(1)))
    corner = np.rint((low + high) / 2 - side[:, None] / 2)
    return np.concatenate([corner, side[:, None]], axis=1).astype(np.int64)


def _moved(boxes: Floats, rng: np.random.Generator) -> Indices:
    """The crops of boxes, each moved and scaled at random."""
    size = (boxes[:, 2:] - boxes[:, :2]) * ZOOM ** rng.uniform(-1, 1, (len(boxes), 1))
    reach = CONTEXT * size.max(1, keepdims=True, initial=0)
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2 + SHIFT * reach * rng.uniform(-1, 1, (len(boxes), 2))
    return squares_around(np.concatenate([middle - size / 2, middle + size / 2], axis=1))


def _free(size: Indices, sides: Indices, boxes: Floats, crowds: Floats, rng: np.random.Generator) -> list[Indices]:
    """Background crops of an image of `size` (width, height): `PER_OBJECT` for each object, two at least. boxes,
    crowds: of its objects and crowds. sides: of the crops of all objects, from which lengths are drawn.
    """
    own, found = squares_around(boxes), []
    near = _corners(own)
    for number in range(max(2, PER_OBJECT * len(own))):
        beside = bool(number % PER_OBJECT) and len(own) > 0
        for _ in range(TRIES):
            if beside:
                left, top, side = own[rng.integers(len(own))]
                length = max(1, round(float(side) * 2 ** rng.uniform(-1, 1)))
                middle = np.array([left, top]) + side / 2 + side * rng.uniform(-REACH, REACH, 2)
            else:
                length = max(1, round(float(sides[rng.integers(len(sides))]) * ZOOM ** rng.uniform(-1, 1)))
                middle = rng.uniform(0, size)
            square = np.array([*np.rint(middle - length / 2), length], np.int64)
            corners = _corners(square[None])
            overlap = box_iou(corners, near if beside else boxes).max(initial=0)
            within = ((middle >= 0) & (middle < size)).all()
            fits = 0 < overlap <= BESIDE if beside else overlap == 0
            if within and fits and not box_iou(corners, crowds).any():
                found.append(square)
                break
    return found


def _corners(squares: Indices) -> Floats:
    return np.concatenate([squares[:, :2], squares[:, :2] + squares[:, 2:]], axis=1).astype(np.float64)
