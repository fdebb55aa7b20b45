"""A labelled collection of images, before a pixel is read: where each image is, what it is called, what it shows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from clearsight.data.decode import decode, read_header
from clearsight.data.geometry import Geometry
from clearsight.data.pixels import Header, PixelFormat, Pixels, digest, from_array, read_bytes
from clearsight.data.targets import TargetTable, Task
from clearsight.errors import DataError, ImageError


class Source(Protocol):
    """N images that can be looked at one by one; every method may raise ImageError for the image asked."""

    def __len__(self) -> int: ...

    def name(self, i: int) -> str:
        """What to call image i in front of the user: its path below the data set's folder, or `#i`."""

    def inspect(self, i: int) -> tuple[str, Header, int]:
        """(digest of the content, header, size in bytes) of image i, its pixels not decoded."""

    def decode(self, i: int, form: PixelFormat, geometry: Geometry, expected: str = "") -> Pixels:
        """Image i as (C, H, W); DataError when its digest is no longer the one expected ("" expects nothing)."""


@dataclass(frozen=True)
class Files:
    """Images in files."""

    paths: tuple[Path, ...]
    root: Path | None = None

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, i: int) -> str:
        path = self.paths[i]
        if self.root is not None and path.is_relative_to(self.root):
            path = path.relative_to(self.root)
        return printable(path.as_posix())

    def inspect(self, i: int) -> tuple[str, Header, int]:
        content = read_bytes(self.paths[i])
        return digest(content), read_header(content, self.name(i)), len(content)

    def decode(self, i: int, form: PixelFormat, geometry: Geometry, expected: str = "") -> Pixels:
        try:
            content = read_bytes(self.paths[i])
        except ImageError as error:
            if expected:  # it could be read a moment ago
                raise _changed(self.name(i), error.found) from error
            raise
        if expected and digest(content) != expected:
            raise _changed(self.name(i), "other bytes than before")
        return decode(content, self.name(i), form, geometry)


@dataclass(frozen=True)
class Array:
    """Images in one array (N, H, W), (N, C, H, W) or (N, H, W, C), uint8 or uint16; memory-mapped arrays stay so."""

    images: NDArray[Any]

    def __post_init__(self) -> None:
        shape = self.images.shape
        if self.images.dtype not in (np.uint8, np.uint16) or len(shape) not in (3, 4):
            raise ValueError(f"images of shape {shape}, {self.images.dtype}")

    def __len__(self) -> int:
        return len(self.images)

    def name(self, i: int) -> str:
        return f"#{i}"

    def planes(self, i: int) -> NDArray[Any]:
        """Image i as (H, W) or (C, H, W)."""
        image = self.images[i]
        if image.ndim == 3 and image.shape[0] not in (1, 3) and image.shape[2] in (1, 3):
            return np.asarray(image.transpose(2, 0, 1))
        return np.asarray(image)

    def inspect(self, i: int) -> tuple[str, Header, int]:
        image = self.planes(i)
        bits: Any = 8 if image.dtype == np.uint8 else 16
        mode = "RGB" if image.ndim == 3 and image.shape[0] == 3 else "L"
        header = Header(image.shape[-1], image.shape[-2], mode, "array", bits)
        content = np.ascontiguousarray(image).tobytes()
        return digest(content + str(image.shape).encode()), header, len(content)

    def decode(self, i: int, form: PixelFormat, geometry: Geometry, expected: str = "") -> Pixels:
        return from_array(self.planes(i), self.name(i), form, geometry)


@dataclass(frozen=True)
class Dataset:
    """N images with their labels.

    labels (N,): index into classes; -1 where the data gives none.
    given (N,): the split the data itself states: "train", "val", "test", or "" where it states none.
    groups (N,): images of one group never stand on both sides of a split; None where nothing is grouped.
    weights (N,): how far each label is believed, above 0 up to 1; None means all fully.
    targets: what to predict where it is not one class: several labels, or numbers. Then labels and classes are the
    groups that are spread evenly over the splits. Of anomalies, labels and classes are the data's own.
    soft (N, K): soft labels, how far an image is believed to be of each class, rows that add up to 1; then labels are
    the likeliest and weights how far that is believed, for what learns from one class each. None where there are none.
    origin: what the user asked for, in words that find it again.
    """

    name: str
    source: Source
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    given: NDArray[np.str_]
    origin: str
    groups: NDArray[np.int64] | None = None
    weights: NDArray[np.float32] | None = None
    notes: tuple[str, ...] = field(default=())
    targets: TargetTable | None = None
    soft: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.source)

    @property
    def task(self) -> Task:
        """What is to be predicted."""
        return self.targets.task if self.targets else "classification"

    @property
    def learned(self) -> NDArray[np.bool_]:
        """Which images may be learned from (N,): all but anomalies, which are for the test alone."""
        if self.targets is None or self.task != "anomaly":
            return np.ones(len(self), bool)
        return np.asarray(self.targets.values[:, 0] == 0)

    @property
    def answers(self) -> tuple[str, ...]:
        """Names of what is predicted: classes, labels or numbers."""
        return self.targets.names if self.targets else self.classes

    def words(self, i: int) -> str:
        """What image i shows, in words: its class, its labels or its numbers; "" where the data does not say."""
        if self.targets and self.task != "anomaly":
            return self.targets.words(i)
        return self.classes[self.labels[i]] if self.labels[i] >= 0 else ""

    @cached_property
    def splits_given(self) -> frozenset[str]:
        return frozenset(str(s) for s in np.unique(self.given) if s)


def encode_labels(names: Sequence[str]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Class names to indices (N,) and the classes, in natural order, so that "class 10" follows "class 9"."""
    classes = tuple(sorted(set(names), key=natural_key))
    index = {name: i for i, name in enumerate(classes)}
    return np.array([index[name] for name in names], dtype=np.int64), classes


def softly(names: Sequence[str], columns: Sequence[str], rows: NDArray[Any]) -> dict[str, Any]:
    """What a `Dataset` holds of soft labels (N, K): columns, their names; names (N,), the likeliest of each row."""
    labels, classes = encode_labels(names)
    soft = rows[:, [list(columns).index(name) for name in classes]].astype(np.float32)
    soft /= soft.sum(1, keepdims=True)
    note = "soft labels: networks learn how far each class is believed, all else the likeliest class, weighed by that"
    return {"labels": labels, "classes": classes, "soft": soft, "weights": soft.max(1), "notes": (note,)}


def natural_key(text: str) -> tuple[list[tuple[int, int, str]], str]:
    """Sort key that compares runs of digits as numbers, and texts alike but for leading zeros as they are."""
    parts = [part for part in re.split(r"(\d+)", text) if part]
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts], text


def printable(text: str) -> str:
    """A file's name as text that can be printed and saved: bytes that are no UTF-8 are written as \\udc..."""
    return text.encode("utf-8", "backslashreplace").decode()


def _changed(name: str, found: object) -> DataError:
    return DataError(
        f"{name} changed while the data set was being read",
        found=found,
        fix="run again when nothing writes to these files",
    )
