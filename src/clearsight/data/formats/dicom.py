"""DICOM, read with pydicom: one frame, from stored values to levels.

stored values      times rescale slope, plus intercept, or the modality LUT [PS3.3 C.11.1]: the unit of the device,
                   such as Hounsfield units
--value-range      the values of black and white in that unit, for all files alike
without it         the file's own window, the first if there are several, or its VOI LUT [PS3.3 C.11.2]
without either     all values that the stored bits can hold
MONOCHROME1        inverted: the least value is white
colour             RGB, whatever the file's colour space; palettes are looked up
several frames     an error: which of them the label is about is not known
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.data.formats.conversion import EXTRA, WHITE, check_size, finished, reason
from clearsight.data.formats.reduction import BlockMeans, reduction
from clearsight.data.geometry import Geometry
from clearsight.data.pixel_format import Header, PixelFormat, Pixels
from clearsight.errors import ImageError

SUFFIXES = (".dcm", ".dicom")

SIGNED, SIGNATURE = 128, b"DICM"
"""Bytes before the signature, and the signature [PS3.10 7.1]."""

RULE = "DICOM: each file's own window is applied (--value-range LOW,HIGH sets one for all), MONOCHROME1 is inverted"

RATIO = 2_000
"""Bytes of pixels that a byte of a compressed file makes, at most."""


def matches(content: bytes, name: str) -> bool:
    """Whether a file is of this format, by its signature or, as old files have none, its name.

    Args:
        content: bytes of the file.
        name: name of the image.

    Returns:
        True for DICOM.
    """
    return content.startswith(SIGNATURE, SIGNED) or (
        name.lower().endswith(SUFFIXES) and content[:2] in (b"\x08\0", b"\x02\0")
    )


def header(content: bytes, name: str) -> Header:
    """Size and depth of an image.

    Args:
        content: bytes of the file.
        name: name of the image, for messages.

    Returns:
        The header.

    Raises:
        ImageError: the file is damaged, holds no image or several frames, or pydicom is missing.
    """
    data = _read(content, name)
    gray = data.PhotometricInterpretation.startswith("MONOCHROME")
    bits: Any = 16 if gray or int(data.BitsAllocated) > 8 else 8
    return Header(int(data.Columns), int(data.Rows), "L" if gray else "RGB", "DICOM", bits, rule=RULE if gray else "")


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
        ImageError: as for `header`, or the image is too large.
    """
    data = _read(content, name)
    height, width = int(data.Rows), int(data.Columns)
    check_size(name, width, height, form.max_pixels)
    try:
        levels = _levels(data, form)
    except Exception as error:  # pydicom and its decoders raise many kinds
        missing = "plugin" in str(error) or "missing" in str(error)
        raise ImageError(
            f"{name} cannot be decoded", found=reason(error), expected="a complete DICOM image",
            fix="install `pylibjpeg[all]` or `python-gdcm`, which decode more transfer syntaxes" if missing else None,
        ) from error  # fmt: skip
    side = reduction(width, height, geometry)
    if side > 1:
        means = BlockMeans((height, width, levels.shape[2]), side, levels.dtype)
        means.add(levels, 0, 0)
        levels = means.result()
    return finished(levels, form, geometry, name)


def _read(content: bytes, name: str) -> Any:
    """The data set of a file with one frame; what the header states about its pixels is checked."""
    try:
        from pydicom import config, dcmread
    except ImportError as error:
        raise ImageError(f"{name} is a DICOM file, which needs pydicom", found="no pydicom", fix=EXTRA) from error
    try:
        with config.disable_value_validation():
            data = dcmread(io.BytesIO(content), force=not content.startswith(SIGNATURE, SIGNED))
            if "PixelData" not in data:
                raise ImageError(f"{name} contains no image", found="a DICOM file without pixel data")
            frames, height, width = int(data.get("NumberOfFrames") or 1), int(data.Rows), int(data.Columns)
            samples, bits = int(data.SamplesPerPixel), int(data.BitsAllocated)
            str(data.PhotometricInterpretation), data.file_meta.TransferSyntaxUID
            size = len(data.PixelData)
    except ImageError:
        raise
    except Exception as error:  # of a damaged file pydicom raises whatever its arithmetic leads to
        raise ImageError(f"{name} cannot be opened", found=reason(error), expected="a complete DICOM file") from error
    if frames != 1:
        raise ImageError(
            f"{name} contains several frames", found=f"{frames:,} frames", expected="one frame",
            fix="save the frames to classify as one file each, for instance with "
            "`PIL.Image.fromarray(pydicom.dcmread(path).pixel_array[i]).save(...)`",
        )  # fmt: skip
    if samples not in (1, 3) or bits not in (1, 8, 16, 32) or width < 1 or height < 1:
        raise ImageError(
            f"{name} is not an image", found=f"{width}x{height} pixels with {samples} samples of {bits} bits",
            expected="1 or 3 samples of 8 to 32 bits",
        )  # fmt: skip
    if width * height * samples * bits / 8 > RATIO * max(1, size):
        raise ImageError(f"{name} is truncated", found=f"{size:,} bytes for {width}x{height} pixels")
    return data


def _levels(data: Any, form: PixelFormat) -> Pixels:
    """Levels (H, W, C) of a data set."""
    from pydicom.pixels import apply_color_lut, apply_modality_lut

    stored = data.pixel_array
    if data.PhotometricInterpretation == "PALETTE COLOR":
        stored = apply_color_lut(stored, data)
    if stored.ndim == 3:  # colours are levels already
        if stored.dtype == np.uint8:
            return np.asarray(stored)
        top = float(2 ** int(data.BitsStored) - 1) if data.PhotometricInterpretation != "PALETTE COLOR" else WHITE
        return np.asarray(np.rint(np.clip(stored / top, 0, 1) * WHITE).astype(np.uint16))
    values = np.asarray(apply_modality_lut(stored, data), np.float64)
    shares = _window(values, data) if form.value_range is None else _linear(values, *form.value_range)
    if data.PhotometricInterpretation == "MONOCHROME1":
        shares = 1 - shares
    return np.asarray(np.rint(shares * WHITE).astype(np.uint16))[:, :, None]


def _window(values: NDArray[np.float64], data: Any) -> NDArray[np.float64]:
    """Values as shares of white, in [0, 1], by what the file states."""
    from pydicom.pixels import apply_voi

    if data.get("VOILUTSequence"):
        table = data.VOILUTSequence[0]
        looked_up = apply_voi(values.astype(np.int64), data)
        return np.asarray(np.clip(looked_up / (2.0 ** int(table.LUTDescriptor[2]) - 1), 0, 1))
    centre, width = (_first(data.get(name)) for name in ("WindowCenter", "WindowWidth"))
    function = str(data.get("VOILUTFunction") or "LINEAR").upper()
    if centre is None or width is None or width < (1 if function == "LINEAR" else 1e-9):
        return _linear(values, *_whole_range(data))
    if function == "SIGMOID":  # PS3.3 C.11.2.1.3.1
        return np.asarray(1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -700, 700))))
    if function == "LINEAR_EXACT":  # C.11.2.1.3.2
        return _linear(values, centre - width / 2, centre + width / 2)
    if width == 1:
        return np.asarray((values > centre - 0.5).astype(np.float64))
    return np.asarray(np.clip((values - (centre - 0.5)) / (width - 1) + 0.5, 0, 1))  # C.11.2.1.2.1


def _whole_range(data: Any) -> tuple[float, float]:
    """Least and largest value that the stored bits can hold, in the unit of the device."""
    bits = int(data.BitsStored)
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if int(data.PixelRepresentation) else (0, 2**bits - 1)
    if data.get("ModalityLUTSequence"):
        return 0.0, 2.0 ** int(data.ModalityLUTSequence[0].LUTDescriptor[2]) - 1
    slope, intercept = float(data.get("RescaleSlope") or 1), float(data.get("RescaleIntercept") or 0)
    ends = sorted((low * slope + intercept, high * slope + intercept))
    return ends[0], ends[1]


def _linear(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    return np.asarray(np.clip((values - low) / max(high - low, 1e-12), 0, 1))


def _first(value: Any) -> float | None:
    """A number, or the first of several; None for none."""
    if value is None or value == "":
        return None
    return float(value if isinstance(value, int | float | str) else value[0] if hasattr(value, "__len__") else value)
