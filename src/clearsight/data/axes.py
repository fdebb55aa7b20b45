"""The axes of an array of images: which readings its shape allows, and the error where there are several or none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from clearsight.errors import DataError, ImageError

Shape = tuple[int, int, int]
"""(C, H, W)"""

NARROW = 0.75
"""An axis counts other numbers of channels only if it is at most this share of the image's shorter side."""

THIN = 4
"""Pixels a side up to which a reading of an array's axes gives way to one with larger images."""

FIRST, LAST = ", channels first", ", channels last"

SHAPES = "(H, W), (H, W, C), (N, H, W), (N, H, W, C) or (N, C, H, W) with 1 or 3 channels, or 4 if they come last"
RANGES = "uint8 (0 to 255), uint16 (0 to 65535) or floats in [0, 1]"


@dataclass(frozen=True)
class _Reading:
    """What an array may mean. images (N, C, H, W): a view of it. axes: orders of its axes that may leave only this
    reading; None says that a list of the gray images does.
    """

    words: str
    images: NDArray[Any]
    axes: tuple[tuple[int, ...], ...] | None = None

    @property
    def pixels(self) -> tuple[Any, ...]:
        """Which numbers of the array are which pixels: equal for readings that are the same images."""
        used = zip(self.images.shape, self.images.strides, strict=True)
        return self.images.shape, tuple(stride for length, stride in used if length > 1)

    def large(self, shape: Shape | None) -> bool:
        height, width = self.images.shape[2:]
        return min(height, width) > THIN or (shape is not None and (height, width) == shape[1:])


def _readings(array: NDArray[Any]) -> list[_Reading]:
    """All that the shape of an array of 2 to 4 axes may mean as gray, RGB and RGBA images."""
    found: list[tuple[str, NDArray[Any], tuple[tuple[int, ...], ...] | None]] = []
    if array.ndim == 2:
        found.append(("", array[None, None], None))
    if array.ndim == 3:
        found.append(("", array[:, None], None))
        if array.shape[2] in (1, 3, 4):
            found.append((LAST, array.transpose(2, 0, 1)[None], ((0, 1, 2), (2, 0, 1))))
        if array.shape[0] == 3:  # of one channel it is the batch of one gray image above
            found.append((FIRST, array[None], ((0, 1, 2), (1, 2, 0))))
    if array.ndim == 4:
        if array.shape[1] in (1, 3):
            found.append((FIRST, array, ((0, 2, 3, 1),)))
        if array.shape[3] in (1, 3, 4):
            found.append((LAST, array.transpose(0, 3, 1, 2), ((0, 3, 1, 2),)))
    return [_reading(images, layout, axes) for layout, images, axes in found]


def _other_readings(array: NDArray[Any], channels: int | None) -> list[_Reading]:
    """What the shape may mean as images of any other number of channels, or of the number that is known."""
    if array.ndim < 3 or not array.size:
        return []

    def counts(axis: int, sides: tuple[int, ...]) -> bool:
        return bool(array.shape[axis] == channels if channels else array.shape[axis] <= NARROW * min(sides))

    found = []
    batch = array if array.ndim == 4 else array[None]
    if counts(-3, array.shape[-2:]):
        found.append(_reading(batch, FIRST, ((0, 2, 3, 1),) if array.ndim == 4 else ((0, 1, 2), (1, 2, 0))))
    if counts(-1, array.shape[-3:-1]):
        last = ((0, 3, 1, 2),) if array.ndim == 4 else ((0, 1, 2), (2, 0, 1))
        found.append(_reading(batch.transpose(0, 3, 1, 2), LAST, last))
    return found


def _reading(images: NDArray[Any], layout: str, axes: tuple[tuple[int, ...], ...] | None) -> _Reading:
    n, channels, height, width = images.shape
    kind = {1: "gray", 3: "RGB", 4: "RGBA"}.get(channels, f"{channels}-channel")
    words = f"{n} {kind} image{'s' * (n != 1)} of height {height} and width {width}{layout}"
    return _Reading(words, images, axes)


def _possible(array: NDArray[Any], count: int | None, shape: Shape | None, tensor: bool) -> list[_Reading]:
    """The readings of an array that nothing rules out."""
    if shape is not None and array.ndim == 4 and array.shape[1:] == shape:
        return [_reading(array, FIRST, ((0, 2, 3, 1),))]
    found = _readings(array)
    if tensor and array.ndim == 3 and count is None and len(array) != 1:
        found = found[1:]  # three axes of a tensor are one image
    if shape is not None and shape[0] not in (1, 3):  # of a network that takes no others
        found = _other_readings(array, shape[0])
    elif (array.ndim == 4 and not found and array.shape[1] != 4) or (array.ndim == 3 and count == 1 != len(array)):
        found = [reading for reading in found if len(reading.images) == count] or _other_readings(array, None)
    if count is not None:
        found = [reading for reading in found if len(reading.images) == count]
    found = [reading for reading in found if reading.large(shape)] or found
    return list({reading.pixels: reading for reading in reversed(found)}.values())[::-1]


def read_array(
    array: NDArray[Any], count: int | None, shape: Shape | None, *, tensor: bool, name: str = ""
) -> NDArray[Any]:
    """An array of numbers as images.

    Args:
        array: the array, of 2 to 4 axes.
        count: number of images, if known.
        shape: (C, H, W) of the network, if known.
        tensor: the array was given as a tensor, whose three axes are always one image.
        name: name of the one image that the array must be; "" for any number of images.

    Returns:
        Images (N, C, H, W), a view of the array.

    Raises:
        DataError: the shape has no reading or several, or the numbers do not state what black and white are.
        ImageError: the same, for an image with a name.
    """
    if array.ndim in (2, 3, 4) and not array.size:
        nothing = "images" if not len(array) else "pixels"
        raise DataError(f"the array contains no {nothing}", found=f"an array of shape {array.shape}")
    gray = shape is None or shape[0] in (1, 3)
    if gray and array.ndim == 3 and array.shape[2] == 2 and count is None and not name and not tensor:
        raise DataError(
            "the array can be interpreted in 2 ways", found=f"shape {array.shape}, {array.dtype}",
            fix=f"write `PIL.Image.fromarray(images, 'LA')` for 1 gray image of height {len(array)} and width "
            f"{array.shape[1]}, with an alpha channel, or `list(images)` for {len(array)} gray "
            f"image{'s' * (len(array) != 1)} of height {array.shape[1]} and width 2",
        )  # fmt: skip
    found = _possible(array, count, shape, tensor)
    if array.ndim == 3 and len(array) == count and not name:
        found = [reading for reading in found if reading.axes is None]  # the first axis counts the images
    if not found:
        _raise_unreadable(array, count, tensor, name)
    if len(found) > 1:
        ways = [f"`{_written(array, reading, shape, tensor)}`" for reading in found]
        raise (ImageError if name else DataError)(
            f"{name or ('the tensor' if tensor else 'the array')} can be interpreted in {len(found)} ways",
            found=f"shape {array.shape}, {array.dtype}: " + ", or ".join(reading.words for reading in found),
            fix="write " + ", or ".join(f"{way} for {r.words}" for way, r in zip(ways, found, strict=True)),
        )
    _check_values(array, name, len(found[0].images), tensor)
    return found[0].images


def _written(array: NDArray[Any], reading: _Reading, shape: Shape | None, tensor: bool) -> str:
    """An expression with `images` that has this reading alone."""
    if reading.axes is None:
        return "list(images)"
    turn = "permute" if tensor else "transpose"
    for axes in reading.axes:
        turned = array.transpose(axes) if array.ndim == 4 else array.transpose(axes)[None]
        again = _possible(turned, None, shape, tensor)
        same = len(again) == 1 and again[0].images.shape == reading.images.shape
        if same and again[0].images.strides[1:] == reading.images.strides[1:]:
            text = "images" if axes == tuple(range(array.ndim)) else f"images.{turn}{axes}"
            return text if array.ndim == 4 else f"{text}[None]"
    first = reading.words.endswith("first")
    if reading.images.shape[1] == 1:
        plane = "images[:, 0]" if first else "images[..., 0]"
        return f"list({plane})" if array.ndim == 4 else plane
    one = "one" if array.ndim == 4 else "images"
    picture = f"PIL.Image.fromarray({one}{f'.{turn}(1, 2, 0)' * first}{'.numpy()' * tensor})"
    return f"[{picture} for one in images]" if array.ndim == 4 else picture


def _raise_unreadable(array: NDArray[Any], count: int | None, tensor: bool, name: str) -> NoReturn:
    """The error for an array that has no reading."""
    if not name and count is not None and array.ndim in (3, 4) and _readings(array):
        raise differ(len(array), count)
    fix, transpose = None, "permute" if tensor else "transpose"
    if array.ndim == 4 and array.shape[1] == 4:
        fix = f"move the channels to the last axis: `images.{transpose}(0, 2, 3, 1)`"
    elif name and array.ndim == 4:
        fix = "pass each image of the batch as a separate list item, or pass the batch itself, not in a list"
    elif tensor and array.ndim == 3:
        fix = "write `images[:, None]` for gray images (N, H, W)" + (
            ", or `images.permute(1, 2, 0)` for one RGBA image (4, H, W)" if len(array) == 4 else ""
        )
    elif array.ndim in (1, 2):
        fix = "reshape flattened images: `images.reshape(N, H, W)`"
    raise (ImageError if name else DataError)(
        f"{name} is not an image" if name else "the array cannot be read as images",
        found=f"shape {array.shape}, {array.dtype}",
        expected=f"{'(H, W), (H, W, C) or (C, H, W)' if name else SHAPES}; {RANGES}",
        fix=fix,
    )


def differ(images: int, count: int) -> DataError:
    """The error for images and labels that differ in number.

    Args:
        images: number of images.
        count: number of labels.

    Returns:
        The error to raise.
    """
    return DataError("images and labels differ in number", found=f"{images} and {count}")


def _check_values(array: NDArray[Any], name: str, images: int, tensor: bool) -> None:
    """DataError, or ImageError for one image of a list, unless the numbers define black and white."""
    error, kind, bits = (ImageError if name else DataError), array.dtype.kind, 8 * array.dtype.itemsize
    if kind == "u" and bits <= 16:
        if bits == 16 and not name and 0 < array.max() <= 255:
            eight = f"images.{'to(torch' if tensor else 'astype(np'}.uint8)"
            raise DataError(
                "the values of 16-bit pixels do not exceed the 8-bit range",
                found=f"a maximum of {array.max()} (white is 65535)",
                fix=f"write `{eight}` if white is 255; if the images really are that dark, write `list(images)`, or "
                "`[images]` for a single image",
            )  # fmt: skip
        return
    typed = "images.to(torch.{})".format if tensor else "images.astype(np.{})".format
    of = f"{name}: " if name else ""
    if kind == "b":
        raise error(
            f"{of}a Boolean array does not define the brightness of its pixels", found=array.dtype, expected=RANGES,
            fix=f"write `{typed('uint8')} * 255` if True is white",
        )  # fmt: skip
    if kind in "iu":
        low, high = int(array.min()), int(array.max())
        limits = [(name, white) for name, white in (("uint8", 255), ("uint16", 65535)) if high <= white]
        ways = [f"`{typed(name)}` if pixels range from 0 to {white}" for name, white in limits] if low >= 0 else []
        ways += (
            [f"`images / WHITE`, where WHITE is the value of white, such as `images / {max(high, 1)}`"]
            if low >= 0
            else []
        )
        raise error(
            f"{of}the value of white is unknown for pixels of type {array.dtype}",
            found=f"{array.dtype} values from {low} to {high}", expected=RANGES,
            fix="write " + ", or ".join(ways) if ways else "shift and scale the pixels to floats in [0, 1]",
        )  # fmt: skip
    if kind != "f" or bits > 64:
        raise error(f"{of}unsupported data type for pixels", found=array.dtype, expected=RANGES)
    low, high = array.min(), array.max()
    if low >= 0 and high <= 1:
        return
    if not (np.isfinite(low) and np.isfinite(high)):
        rows = array if images == len(array) else array[None]
        invalid = [i for i in range(len(rows)) if not np.isfinite(rows[i]).all()]
        raise error(
            f"{of}NaN or infinite values in {len(invalid)} of {images} image{'s' * (images != 1)}",
            found=f"the first at index {invalid[0]}", fix="replace or remove these images",
        )  # fmt: skip
    raise error(
        f"{of}floating-point pixels are out of range", found=f"values from {low:g} to {high:g}", expected="[0, 1]",
        fix=f"write `images / 255` or `{typed('uint8')}` if pixels range from 0 to 255" if low >= 0 else
        "pass the original pixels: the model scales and normalises them itself",
    )  # fmt: skip
