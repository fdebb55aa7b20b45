"""What is known of an image before it is decoded, and the form in which images reach a network."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from clearsight.errors import ImageError

GRAY_MODES = {"1", "L", "LA", "La", "I;16", "I;16B", "I;16L", "I"}

Pixels = NDArray[Any]
"""uint8 or uint16."""


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
    alpha: bool = False
    camera: str = ""
    """Make and model of the camera that EXIF names."""

    @property
    def gray(self) -> bool:
        """Whether the image has no colour."""
        return self.mode in GRAY_MODES


@dataclass(frozen=True)
class PixelFormat:
    """The form in which every image of a data set reaches the network: channels (1 or 3) and bits (8 or 16)."""

    channels: int
    bits: int

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of pixels, uint8 or uint16."""
        return np.dtype(np.uint8 if self.bits == 8 else np.uint16)

    def to_dict(self) -> dict[str, int]:
        """Plain values for JSON.

        Returns:
            A dictionary.
        """
        return asdict(self)

    @classmethod
    def covering(cls, headers: list[Header]) -> PixelFormat:
        """The smallest format that holds every image without loss.

        Args:
            headers: headers of the images.

        Returns:
            3 channels if any image has colour, and 16 bits if any has 16.
        """
        return cls(
            channels=1 if all(h.gray for h in headers) else 3,
            bits=16 if any(h.bits == 16 for h in headers) else 8,
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
