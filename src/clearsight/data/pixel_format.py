"""What is known of an image before it is decoded, and the form in which images reach a network."""

from __future__ import annotations

import hashlib
import os
import stat
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from clearsight.errors import DataError, ImageError
from clearsight.wording import count

GRAY_MODES = {"1", "L", "LA", "La", "I;16", "I;16B", "I;16L", "I"}

Pixels = NDArray[Any]
"""uint8 or uint16."""

FULL_PIXELS = 89_478_485
"""Images with more pixels are averaged over blocks as they are decoded. Pillow's own limit, above which it warns."""

MAX_PIXELS = 300_000_000
"""Images with more pixels are refused before they are decoded: a few kilobytes can unpack to gigabytes."""


@dataclass(frozen=True)
class Header:
    """What is known of an image before its pixels are decoded."""

    width: int
    height: int
    mode: str
    format: str
    bits: Literal[8, 16]
    frames: int = 1
    oriented: bool = False
    turned: bool = False
    """Whether the orientation exchanges width and height."""
    alpha: bool = False
    camera: str = ""
    """Make and model of the camera that EXIF names."""
    channels: int = 0
    """Number of channels where the mode does not name it."""
    values: tuple[float, float] | None = None
    """Least and largest value, where the type of the values does not define black and white; the mode is the type."""
    rule: str = ""
    """The rule by which the format's values become pixels, where that is not obvious."""

    @property
    def gray(self) -> bool:
        """Whether the image has no colour."""
        return self.bands == 1

    @property
    def bands(self) -> int:
        """Number of channels, without alpha."""
        return self.channels or (1 if self.mode in GRAY_MODES else 3)


@dataclass(frozen=True)
class PixelOptions:
    """What the user states about the pixels of a data set.

    value_range: values that become black and white, of images with more than 8 bits; None where their types define
    them. max_pixels: largest number of pixels of an image that is decoded. bands: numbers of the channels that pages
    show as red, green and blue, from 1; empty for the first three.
    """

    value_range: tuple[float, float] | None = None
    max_pixels: int = MAX_PIXELS
    bands: tuple[int, ...] = ()


@dataclass(frozen=True)
class PixelFormat:
    """The form in which every image of a data set reaches the network: channels and bits (8 or 16).

    value_range, max_pixels, bands: as in `PixelOptions`.
    """

    channels: int
    bits: int
    value_range: tuple[float, float] | None = None
    max_pixels: int = MAX_PIXELS
    bands: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.value_range is not None:  # a list, when it comes from JSON
            object.__setattr__(self, "value_range", (float(self.value_range[0]), float(self.value_range[1])))
        object.__setattr__(self, "bands", tuple(self.bands))
        low, high = self.value_range or (0.0, 1.0)
        shown = len(self.bands) in (0, 1, 3) and all(1 <= band <= self.channels for band in self.bands)
        if not (low < high and shown):  # of a model that comes from someone else
            raise ValueError(f"value_range {self.value_range} or bands {self.bands} of {self.channels} channels")

    @property
    def options(self) -> PixelOptions:
        """What was stated about the pixels."""
        return PixelOptions(self.value_range, self.max_pixels, self.bands)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of pixels, uint8 or uint16."""
        return np.dtype(np.uint8 if self.bits == 8 else np.uint16)

    @property
    def decoded(self) -> dict[str, Any]:
        """What the pixels of an image depend on, as plain values for JSON."""
        found: dict[str, Any] = {"channels": self.channels, "bits": self.bits}
        return found if self.value_range is None else {**found, "value_range": list(self.value_range)}

    @property
    def colours(self) -> str:
        """The channels in words."""
        return {1: "gray", 3: "RGB"}.get(self.channels, f"{self.channels} channels")

    @property
    def shown(self) -> tuple[int, ...]:
        """Positions of the channels that pages show as red, green and blue, or of the one they show in gray."""
        if self.bands:
            return tuple(band - 1 for band in self.bands)
        return (0,) if self.channels < 3 else (0, 1, 2)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON.

        Returns:
            A dictionary; without what has its default.
        """
        usual = PixelFormat(self.channels, self.bits)
        given = {name: value for name, value in asdict(self).items() if value != getattr(usual, name)}
        return self.decoded | {name: list(v) if isinstance(v, tuple) else v for name, v in given.items()}

    @classmethod
    def covering(cls, headers: list[Header], options: PixelOptions | None = None) -> PixelFormat:
        """The smallest format that holds every image without loss.

        Args:
            headers: headers of the images.
            options: what the user states about the pixels.

        Returns:
            3 channels if any image has colour, or the number that all images have; 16 bits if any image has more than
            8.

        Raises:
            DataError: images have different numbers of channels, the values of black and white are not known, or
                the bands to display do not exist.
        """
        options = options or PixelOptions()
        if options.value_range is None:
            _check_ranges(headers)
        channels = _common_channels(headers)
        if any(not 1 <= band <= channels for band in options.bands):
            raise DataError(
                "the channels to display do not exist", found=f"--bands {','.join(map(str, options.bands))}",
                expected=f"one or three numbers from 1 to {channels}",
            )  # fmt: skip
        return cls(
            channels=channels,
            bits=16 if any(h.bits == 16 for h in headers) else 8,
            value_range=options.value_range,
            max_pixels=options.max_pixels,
            bands=options.bands,
        )


def _common_channels(headers: list[Header]) -> int:
    """The number of channels that holds every image."""
    numbers = Counter(h.bands for h in headers)
    if set(numbers) <= {1, 3}:
        return 3 if 3 in numbers else 1
    if len(numbers) > 1:
        raise DataError(
            "the images have different numbers of channels",
            found=", ".join(f"{count(n, 'image')} with {c}" for c, n in numbers.most_common()),
            expected="the same number in all images",
            fix="remove or convert the others",
        )
    return next(iter(numbers))


def _check_ranges(headers: list[Header]) -> None:
    """Raise DataError where the type of the values does not state which are black and white."""
    unknown = [
        h for h in headers if h.values and (not h.mode.startswith("float") or h.values[0] < 0 or h.values[1] > 1)
    ]
    if not unknown:
        return
    low = min(h.values[0] for h in unknown if h.values)
    high = max(h.values[1] for h in unknown if h.values)
    types = ", ".join(sorted({h.mode for h in unknown}))
    raise DataError(
        f"the values of black and white are unknown in {count(len(unknown), 'image')}",
        found=f"{types} values from {low:g} to {high:g}",
        expected="8 or 16 bits without sign, or floating-point values in [0, 1]",
        fix=f"add --value-range={low:.6g},{high if high > low else low + 1:.6g} for the range of these images, or the "
        "range in which your instrument measures; values outside it become black or white",
    )


def digest(content: bytes | memoryview) -> str:
    """Digest that identifies a content.

    Args:
        content: bytes of a file or array.

    Returns:
        128 bits of BLAKE2b, in hexadecimal.
    """
    return hashlib.blake2b(content, digest_size=16).hexdigest()


LARGEST_FILE = 2**31
"""Bytes of a file that is read as an image or a sound, at most."""


def read_bytes(path: str | Path) -> bytes:
    """The bytes of an image file.

    Args:
        path: the file.

    Returns:
        Its content.

    Raises:
        ImageError: the file is missing, unreadable, empty, too large, or no regular file: a pipe would block.
    """
    try:
        flags = os.O_RDONLY | sum(getattr(os, flag, 0) for flag in ("O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))
        with open(os.open(path, flags), "rb") as stream:  # noqa: PTH123 - a descriptor, which pathlib does not open
            about = os.fstat(stream.fileno())
            if not stat.S_ISREG(about.st_mode):
                raise ImageError(f"{path} cannot be read", found="a pipe or a device", expected="a regular file")
            if about.st_size > LARGEST_FILE:
                raise ImageError(
                    f"{path} is too large for an image", found=f"{about.st_size:,} bytes",
                    expected=f"at most {LARGEST_FILE:,} bytes",
                )  # fmt: skip
            content = stream.read()
    except ImageError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a null byte
        if isinstance(error, FileNotFoundError):
            raise ImageError(f"{path} does not exist") from error
        if isinstance(error, IsADirectoryError):
            raise ImageError(f"{path} is a folder", expected="an image file") from error
        found = getattr(error, "strerror", None) or str(error)
        raise ImageError(f"{path} cannot be read", found=found) from error
    if not content:
        raise ImageError(f"{path} is empty", found="0 bytes", expected="an image")
    return content


def levels(image: Pixels) -> Pixels:
    """An image as unsigned integers.

    Floats are read as 8-bit if all are multiples of 1/255, as the pixels of a file divided by 255 are; else as 16-bit.

    Args:
        image: pixels (C, H, W), unsigned integers or floats in [0, 1].

    Returns:
        Pixels (C, H, W), uint8 or uint16.

    Example:
        >>> levels(np.array([[[0.0, 1.0]]])).tolist()
        [[[0, 255]]]
    """
    if image.dtype.kind == "u":
        return image if image.dtype == np.uint8 else image.astype(np.uint16, copy=False)
    values = image.astype(np.float64)
    eighth = np.rint(values * 255)
    rounding = max(float(np.finfo(image.dtype).eps), 2.0**-22)  # of a division in float32, whatever the type is now
    if (np.abs(values - eighth / 255) <= rounding * values).all():
        return eighth.astype(np.uint8)
    return np.rint(values * 65535).astype(np.uint16)
