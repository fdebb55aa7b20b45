"""Images and labels handed over in Python: arrays, lists of paths, lists of labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from clearsight.data.dataset import Array, Files, Listing
from clearsight.data.targets import IN_MEMORY, Stated
from clearsight.errors import DataError


def read_pair(images: Any, labels: Any) -> Listing:
    """Images as an array (N, H, W), (N, H, W, C), (N, C, H, W) or a list of paths, with one label each, or a row of
    numbers (N, T), or a list of labels.

    Floating-point images in [0, 1] are taken as such and kept at 16 bits.
    """
    if not hasattr(labels, "__len__"):
        raise DataError("labels are no list", found=repr(labels)[:60], expected="one label per image")
    if len(images) != len(labels):
        raise DataError("images and labels differ in number", found=f"{len(images)} and {len(labels)}")
    if not len(labels):
        raise DataError("there are no images", found="empty arrays")
    given = np.full(len(labels), "", dtype="<U5")
    return Listing("arrays", as_source(images), given, stated_by(labels))


def stated_by(labels: Any) -> Stated:
    """What labels handed over in Python state: a name each, a list of names each, or a row of numbers each."""
    listed = not isinstance(labels, np.ndarray) and any(
        isinstance(one, list | tuple | set | frozenset) for one in labels
    )
    if listed:
        _require_lists(labels)
    if listed and any(isinstance(word, str) for one in labels for word in one):
        return Stated(IN_MEMORY, tuple("|".join(map(str, one)) for one in labels), listed=True)
    try:
        rows = np.asarray(labels)
    except ValueError as error:
        raise DataError(
            "rows of labels differ in length", found=", ".join(sorted({str(len(one)) for one in labels})) + " numbers",
            expected="as many for every image",
        ) from error  # fmt: skip
    if rows.ndim == 2 and rows.shape[1] == 1:
        rows = rows[:, 0]
    if rows.ndim == 2 and rows.dtype.kind in "biuf":
        columns = tuple(str(k) for k in range(rows.shape[1]))
        return Stated(IN_MEMORY, columns=columns, numbers=rows.astype(np.float64))
    if rows.ndim != 1:
        raise DataError(
            "labels have more than one axis",
            found=f"shape {rows.shape}",
            expected="one label or row of numbers per image",
        )
    return Stated(IN_MEMORY, tuple("" if _is_missing(one) else str(one) for one in rows.tolist()), column="value")


def _is_missing(label: Any) -> bool:
    """Whether a label is None, NaN or empty."""
    return label is None or label != label or label == ""


def _require_lists(labels: Sequence[Any]) -> None:
    """DataError unless every image has a list of labels or numbers, and one of them something in it."""
    single = next((i for i, one in enumerate(labels) if not isinstance(one, list | tuple | set | frozenset)), None)
    if single is not None:
        raise DataError(
            "labels are lists for some images and not for others",
            found=f"{labels[single]!r} at index {single}",
            expected="a list for every image",
            fix=f"write [{labels[single]!r}]",
        )
    if not any(len(one) for one in labels):
        raise DataError("no image has a label", found="empty lists")


def as_source(images: Any) -> Array | Files:
    """Images handed over in Python: paths, or one array; DataError says what an array must look like."""
    if isinstance(images, list | tuple) and images and all(isinstance(i, str | Path) for i in images):
        return Files(tuple(Path(i) for i in images))
    array = np.asarray(images)
    if array.ndim in (3, 4) and not array.size:
        raise DataError("there are no pixels", found=f"an array of shape {array.shape}")
    if array.ndim in (3, 4) and np.issubdtype(array.dtype, np.floating):
        if spoilt := [i for i in range(len(array)) if not np.isfinite(array[i]).all()]:
            raise DataError(
                f"{len(spoilt)} of {len(array)} images hold NaN or infinite values",
                found=f"the first at index {spoilt[0]}",
            )
        low, high = float(array.min()), float(array.max())
        if low < 0 or high > 1:
            raise DataError(
                "floating-point images leave the range of pixels",
                found=f"{low:g} to {high:g}",
                expected="[0, 1]",
                fix="divide by the largest possible value, or pass uint8",
            )
        array = np.rint(array * 65535).astype(np.uint16)
    elif array.dtype.kind == "u" and array.dtype.itemsize == 2:
        array = array.astype(np.uint16, copy=False)  # of whatever byte order
    channels_ok = array.ndim == 3 or (array.ndim == 4 and (array.shape[1] in (1, 3) or array.shape[3] in (1, 3)))
    if not channels_ok or array.dtype not in (np.uint8, np.uint16):
        raise DataError(
            "an array holds no images",
            found=f"shape {array.shape}, {array.dtype}",
            expected="(N, H, W), (N, H, W, C) or (N, C, H, W) with 1 or 3 channels; uint8, uint16 or floats in [0, 1]",
        )
    return Array(array)
