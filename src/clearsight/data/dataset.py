"""A labelled collection of images, before a pixel is read: where each image is, what it is called, what it shows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from clearsight.data.decode import decode, read_header
from clearsight.data.geometry import Geometry
from clearsight.data.pixels import Header, PixelFormat, PixelOptions, Pixels, digest, from_array, read_bytes
from clearsight.data.targets import Stated
from clearsight.errors import DataError, ImageError

if TYPE_CHECKING:
    from clearsight.data.audit import Finding
    from clearsight.data.boxed import BoxedImages


class Source(Protocol):
    """N images that can be read separately; every method may raise ImageError for an image."""

    def __len__(self) -> int: ...

    def name(self, i: int) -> str:
        """The name of an image in messages and lists.

        Args:
            i: position of the image.

        Returns:
            Its path below the folder of the data set, or `#i`.
        """

    def inspect(self, i: int) -> tuple[str, Header, int]:
        """Digest and header of an image, without decoding its pixels.

        Args:
            i: position of the image.

        Returns:
            Digest of the content, header, and size in bytes.
        """

    def decode(self, i: int, form: PixelFormat, geometry: Geometry, expected: str = "") -> Pixels:
        """Decode an image.

        Args:
            i: position of the image.
            form: channels and bits of the result.
            geometry: size of the result, and how the image is resized to it.
            expected: digest that the content must have; "" accepts any.

        Returns:
            Pixels (C, H, W).

        Raises:
            DataError: the digest differs from the one expected.
        """


@dataclass(frozen=True)
class Files:
    """Images in files. called: their names, where these are not their paths."""

    paths: tuple[Path, ...]
    root: Path | None = None
    called: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, i: int) -> str:
        """The name of an image.

        Args:
            i: position of the image.

        Returns:
            Its path below the folder of the data set.
        """
        if self.called is not None:
            return printable(self.called[i])
        path = self.paths[i]
        if self.root is not None and path.is_relative_to(self.root):
            path = path.relative_to(self.root)
        return printable(path.as_posix())

    def file_name(self, i: int) -> str:
        """The name of an image's file, also where it was downloaded.

        Args:
            i: position of the image.

        Returns:
            The last part of its path or URL.
        """
        name = self.paths[i].name if self.called is None else self.called[i]
        return unquote(name.rpartition("/")[2]) if "://" in name else name.rpartition("/")[2]

    def inspect(self, i: int) -> tuple[str, Header, int]:
        """Digest and header of an image, without decoding its pixels.

        Args:
            i: position of the image.

        Returns:
            Digest of the content, header, and size in bytes.
        """
        content = read_bytes(self.paths[i])
        return digest(content), read_header(content, self.name(i)), len(content)

    def decode(self, i: int, form: PixelFormat, geometry: Geometry, expected: str = "") -> Pixels:
        """Decode an image.

        Args:
            i: position of the image.
            form: channels and bits of the result.
            geometry: size of the result, and how the image is resized to it.
            expected: digest that the content must have; "" accepts any.

        Returns:
            Pixels (C, H, W).

        Raises:
            DataError: the digest differs from the one expected.
        """
        try:
            content = read_bytes(self.paths[i])
        except ImageError as error:
            if expected:  # it could be read a moment ago
                raise changed(self.name(i), error.found) from error
            raise
        if expected and digest(content) != expected:
            raise changed(self.name(i), "different content")
        return decode(content, self.name(i), form, geometry)


@dataclass(frozen=True)
class Array:
    """Images in one array (N, H, W) or (N, C, H, W), uint8 or uint16; memory-mapped arrays stay so."""

    images: NDArray[Any]

    def __post_init__(self) -> None:
        shape = self.images.shape
        axes_fit = len(shape) in (3, 4)
        if self.images.dtype not in (np.uint8, np.uint16) or not axes_fit:
            raise ValueError(f"unsupported images of shape {shape}, {self.images.dtype}")

    def __len__(self) -> int:
        return len(self.images)

    def name(self, i: int) -> str:
        """The name of an image.

        Args:
            i: position of the image.

        Returns:
            `#i`.
        """
        return f"#{i}"

    def planes(self, i: int) -> NDArray[Any]:
        """One image of the array.

        Args:
            i: position of the image.

        Returns:
            Pixels (H, W) or (C, H, W).
        """
        return np.asarray(self.images[i])

    def inspect(self, i: int) -> tuple[str, Header, int]:
        """Digest and header of an image.

        Args:
            i: position of the image.

        Returns:
            Digest of the content, header, and size in bytes.
        """
        image = self.planes(i)
        bits: Any = 8 if image.dtype == np.uint8 else 16
        channels = image.shape[0] if image.ndim == 3 else 1
        mode = {1: "L", 3: "RGB"}.get(channels, f"{channels} channels")
        header = Header(image.shape[-1], image.shape[-2], mode, "array", bits, channels=channels)
        content = np.ascontiguousarray(image).tobytes()
        return digest(content + str(image.shape).encode()), header, len(content)

    def decode(self, i: int, form: PixelFormat, geometry: Geometry, expected: str = "") -> Pixels:
        """Convert an image.

        Args:
            i: position of the image.
            form: channels and bits of the result.
            geometry: size of the result, and how the image is resized to it.
            expected: digest that the content must have; "" accepts any.

        Returns:
            Pixels (C, H, W).

        Raises:
            DataError: the digest differs from the one expected.
        """
        return from_array(self.planes(i), self.name(i), form, geometry)


@dataclass(frozen=True)
class Listing:
    """N images as a source lists them, and what it states about them; `clearsight.tasks.read` makes a `Dataset` of it.

    given (N,): the split the data itself states: "train", "val", "test", or "" where it states none.
    groups (N,): images of one group never stand on both sides of a split; None where nothing is grouped. group_names
    (N,): what the groups are called, where they have names.
    notes: what the user should know of it. losses: what was left out, which the audit warns of.
    metadata: what else is known of each image, such as its site or camera, by name (N,).
    boxed: images with boxes, of which these are crops; None for whole images.
    """

    name: str
    source: Source
    given: NDArray[np.str_]
    stated: Stated
    groups: NDArray[np.int64] | None = None
    notes: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()
    metadata: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)
    group_names: NDArray[np.str_] | None = None
    added_to: tuple[str, ...] = ()
    """Origins of images that those of the stated origin were added to."""
    boxed: BoxedImages | None = None


class TaskKind(Protocol):
    """What the data layer asks a task; `clearsight.tasks.Task` says what each means."""

    name: str
    words_used: Any
    training: Any
    counted: tuple[str, str]
    imbalance_advice: str
    needs_classes: bool

    def learnable(self, dataset: Dataset) -> NDArray[np.bool_]: ...

    def only_tested(self, dataset: Dataset) -> NDArray[np.bool_]: ...

    def words(self, dataset: Dataset, i: int) -> str: ...

    def describe(self, dataset: Dataset) -> str: ...

    def balance(self, dataset: Dataset, known: NDArray[np.int64]) -> tuple[tuple[str, ...], NDArray[np.int64]]: ...

    def findings(self, dataset: Dataset) -> list[Finding]: ...

    def notes(self, dataset: Dataset, config: Any) -> list[tuple[str, str, str]]: ...

    def check(self, dataset: Dataset, config: Any) -> None: ...


@dataclass(frozen=True)
class Dataset:
    """N images and their targets.

    task: the task, a class of `clearsight.tasks`. labels (N,): indices of classes; -1 if the data states none. If
    images do not have one class each, classes are groups of similar images, which are spread evenly over the splits.
    given, groups, notes, losses, metadata, boxed: as in `Listing`. weights (N,): weight of each label, in (0, 1]; None
    means 1 for all. names: names of the targets; by default the classes. values (N, T): targets in their own unit, or
    soft labels (N, K) whose rows sum to 1; None if labels suffice. origin: how the user named the data, so that it can
    be found again. added_to: the same for images that those of `origin` were added to. known_part (N,): the part of
    each image in the run that training continues ("train", "val", "test", "unused"), "" for a new image; None if no run
    is continued. contents (N,): digests of the pixels whose order the images are in (`data.content_order`); None for
    images in the order of their source. pixels: what the user states about their values, size and channels.
    """

    name: str
    source: Source
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    given: NDArray[np.str_]
    origin: str
    task: TaskKind
    groups: NDArray[np.int64] | None = None
    weights: NDArray[np.float32] | None = None
    notes: tuple[str, ...] = field(default=())
    losses: tuple[str, ...] = field(default=())
    names: tuple[str, ...] = ()
    values: NDArray[np.float32] | None = None
    metadata: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)
    added_to: tuple[str, ...] = ()
    known_part: NDArray[np.str_] | None = None
    boxed: BoxedImages | None = None
    contents: tuple[str, ...] | None = None
    pixels: PixelOptions = field(default_factory=PixelOptions)

    def __post_init__(self) -> None:
        if not self.names:
            object.__setattr__(self, "names", self.classes)

    def __len__(self) -> int:
        return len(self.source)

    @property
    def targets(self) -> NDArray[np.float32]:
        """The targets (N, T) of a task whose labels alone do not say them."""
        assert self.values is not None, f"the task {self.task.name} has no numeric targets"
        return self.values

    @property
    def learnable(self) -> NDArray[np.bool_]:
        """Which images may be learned from (N,)."""
        return self.task.learnable(self)

    def words(self, i: int) -> str:
        """The targets of one image in words.

        Args:
            i: position of the image.

        Returns:
            Its class, labels or numbers; "" if the data does not say.
        """
        return self.task.words(self, i)

    def rows(self, source: Source, chosen: NDArray[np.int64]) -> Dataset:
        """The data set of some of the images.

        Args:
            source: a source of these images alone.
            chosen: their positions in this data set (n,).

        Returns:
            The smaller data set.
        """

        def of(values: NDArray[Any] | None) -> NDArray[Any] | None:
            return None if values is None else values[chosen]

        return replace(
            self, source=source, labels=self.labels[chosen], given=self.given[chosen], groups=of(self.groups),
            weights=of(self.weights), values=of(self.values), known_part=of(self.known_part),
            metadata={name: column[chosen] for name, column in self.metadata.items()},
            contents=None if self.contents is None else tuple(self.contents[i] for i in chosen.tolist()),
        )  # fmt: skip

    @cached_property
    def splits_given(self) -> frozenset[str]:
        """The splits that the data states.

        Returns:
            Their names, some of "train", "val" and "test".
        """
        return frozenset(str(s) for s in np.unique(self.given) if s)


def encode_labels(names: Sequence[str]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Class names to indices; classes are in natural order, so "class 10" follows "class 9".

    Args:
        names: class name of each image.

    Returns:
        Indices (N,), int64, and the sorted class names.

    Example:
        >>> encode_labels(["cat 10", "cat 9", "cat 10"])
        (array([1, 0, 1]), ('cat 9', 'cat 10'))
    """
    classes = tuple(sorted(set(names), key=natural_key))
    index = {name: i for i, name in enumerate(classes)}
    return np.array([index[name] for name in names], dtype=np.int64), classes


def natural_key(text: str) -> tuple[list[tuple[int, int, str]], str]:
    """Sort key that compares runs of digits as numbers.

    Args:
        text: a name.

    Returns:
        The key; names that differ only in leading zeros are compared as text.
    """
    parts = [part for part in re.split(r"(\d+)", text) if part]
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts], text


def printable(text: str) -> str:
    """A file name as text that can be printed and saved.

    Args:
        text: name, which may contain surrogates for bytes that are not UTF-8.

    Returns:
        The name, with such bytes written as \\udc...
    """
    return text.encode("utf-8", "backslashreplace").decode()


def changed(name: str, found: object) -> DataError:
    """The error for an image that is not what it was when the data set was inspected.

    Args:
        name: of the image.
        found: what is there now.

    Returns:
        The error, to be raised.
    """
    return DataError(
        f"{name} changed while the data set was being read",
        found=found,
        fix="make sure that no process writes to these files, then run again",
    )
