"""NumPy's .npy files: an image (H, W), (H, W, C) or (C, H, W) of any real type and any number of channels C."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.data.formats.conversion import check_kind, check_size, finished, reason, value_header, with_levels
from clearsight.data.formats.reduction import BlockMeans, reduction
from clearsight.data.geometry import Geometry
from clearsight.data.pixel_format import Header, PixelFormat, Pixels
from clearsight.errors import ImageError

MAGIC = b"\x93NUMPY"

NARROW = 0.75
"""An axis counts channels only if it is at most this share of the image's shorter side."""


def matches(content: bytes, name: str) -> bool:
    """Whether a file is of this format, by its signature.

    Args:
        content: bytes of the file.
        name: name of the image.

    Returns:
        True for .npy files.
    """
    return content.startswith(MAGIC)


def header(content: bytes, name: str) -> Header:
    """Size, type and channels of an image, and the range of its values if its type does not define black and white.

    Args:
        content: bytes of the file.
        name: name of the image, for messages.

    Returns:
        The header.

    Raises:
        ImageError: the array is damaged, is no image, or has several readings.
    """
    image = _image(content, name)
    height, width, channels = image.shape
    if image.dtype not in (np.uint8, np.uint16):
        return value_header(image, name, width, height, "NPY", channels)
    mode = {1: "L", 3: "RGB"}.get(channels, f"{channels} channels")
    return Header(width, height, mode, "NPY", 8 if image.dtype == np.uint8 else 16, channels=channels)


def decode(content: bytes, name: str, form: PixelFormat, geometry: Geometry) -> Pixels:
    """Decode one image.

    Args:
        content: bytes of the file.
        name: name of the image, for messages.
        form: channels and bits of the result, and the range of values.
        geometry: size of the result, and how the image is resized to it.

    Returns:
        Pixels (C, H, W).

    Raises:
        ImageError: as for `header`; or the values or channels are others than in the training images.
    """
    image = _image(content, name)
    height, width, channels = image.shape
    check_size(name, width, height, form.max_pixels)
    side = reduction(width, height, geometry, channels)
    if side > 1:
        means = BlockMeans((height, width, channels), side, image.dtype)
        for top in range(0, height, side):
            means.add(image[top : top + side], top, 0)
        image = means.result()
    return finished(with_levels(np.ascontiguousarray(image), form, name), form, geometry, name)


def _image(content: bytes, name: str) -> NDArray[Any]:
    """The array as (H, W, C), a view of the file's content."""
    try:
        stream = io.BytesIO(content)
        version = np.lib.format.read_magic(stream)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in read:
            raise ValueError(f"version {version[0]}.{version[1]} of the format")
        shape, fortran, dtype = read[version](stream)
        check_kind(np.empty(0, dtype), name)
        start = stream.seek(0, io.SEEK_CUR)
        if math.prod(shape) * dtype.itemsize > len(content) - start:
            raise ValueError(f"a truncated array of shape {shape}")
        flat = np.frombuffer(content, dtype, math.prod(shape), start)
        array = flat.reshape(shape, order="F" if fortran else "C")
    except ImageError:
        raise
    except Exception as error:  # the header is a Python literal, and fails in all ways in which these fail
        raise ImageError(f"{name} cannot be decoded", found=reason(error), expected="a complete .npy file") from error
    if not dtype.isnative:
        array = array.astype(dtype.newbyteorder("="))
    if not array.size:
        raise ImageError(f"{name} has no pixels", found=f"an array of shape {shape}")
    if array.ndim == 2:
        return array[:, :, None]
    if array.ndim != 3:
        raise ImageError(
            f"{name} is not one image", found=f"an array of shape {shape}", expected="(H, W), (H, W, C) or (C, H, W)",
            fix="save each image in its own file" if array.ndim > 3 else None,
        )  # fmt: skip
    return array if _channel_axis(array.shape, name) == 2 else array.transpose(1, 2, 0)


def _channel_axis(shape: tuple[int, ...], name: str) -> int:
    """The axis of three that counts channels, 0 or 2."""
    first, last = shape[0] <= NARROW * min(shape[1:]), shape[2] <= NARROW * min(shape[:2])
    if first != last:
        return 0 if first else 2
    words = "tifffile.imwrite(path, pixels, photometric='minisblack', planarconfig='{}')".format
    raise ImageError(
        f"{name} can be read in 2 ways",
        found=f"an array of shape {shape}",
        expected="one axis that is much shorter than the others, for the channels",
        fix=f"save it as TIFF, which states the axes: `{words('contig')}` for {shape[2]} channels of "
        f"{shape[1]}x{shape[0]} pixels, `{words('separate')}` for {shape[0]} channels of {shape[2]}x{shape[1]} pixels",
    )
