"""NumPy archives (.npz) of images and labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.data.dataset import Listing
from clearsight.data.sources.arrays import read_pair
from clearsight.errors import DataError


def read_npz(path: Path) -> Listing:
    """An .npz with images and labels: (images|X|x|x_train..., labels|y|y_train...), and x_test/y_test where given."""
    try:
        # opened here, as NumPy leaves a broken archive open
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            arrays = {key.lower(): archive[key] for key in archive.files}
    except Exception as error:  # zipfile, format and pickle faults
        if "Object arrays" in str(error):
            raise DataError(
                f"{path} contains pickled Python objects, which can execute arbitrary code when loaded",
                fix="save plain arrays, such as `labels.astype(str)`",
            ) from error
        raise DataError(f"{path} cannot be read as .npz", found=str(error)[:120]) from error

    parts: list[tuple[str, Any, Any]] = []
    for split, suffixes in (
        ("", ("",)),
        ("train", ("_train",)),
        ("val", ("_val", "_valid")),
        ("test", ("_test",)),
    ):
        names = [
            (x + end, y + end) for end in suffixes for x, y in (("images", "labels"), ("x", "y"), ("data", "target"))
        ]
        names += [(f"{split}_images", f"{split}_labels")] if split else []
        known = next(((x, y) for x, y in names if x in arrays and y in arrays), None)
        if known:
            parts.append((split, arrays[known[0]], arrays[known[1]]))
    if not parts:
        raise DataError(
            f"{path} contains no pair of image and label arrays with known names",
            found=", ".join(arrays) or "nothing",
            expected="arrays named images and labels, or x_train, y_train, x_test and y_test",
        )
    for split, images, labels in parts:
        if images.ndim not in (3, 4) or labels.ndim not in (1, 2) or labels.shape[:1] != images.shape[:1]:
            raise DataError(
                f"{path}: the shapes of {split + ' ' if split else ''}images and labels do not match",
                found=f"{images.shape} and {labels.shape}",
                expected="(N, H, W), (N, H, W, C) or (N, C, H, W), and one label, or one row of numbers, per image",
            )
    if len(kinds := {(images.shape[1:], images.dtype) for _, images, _ in parts}) > 1:
        raise DataError(
            f"the splits in {path} contain images of different shapes or types",
            found=" and ".join(sorted(f"{shape} {dtype}" for shape, dtype in kinds)),
            expected="one shape and one data type",
        )
    whole = read_pair(np.concatenate([p[1] for p in parts]), np.concatenate([_flat(p[2]) for p in parts]))
    given = np.concatenate([np.full(len(p[1]), p[0], dtype="<U5") for p in parts])
    return replace(whole, name=path.stem, given=given, stated=replace(whole.stated, origin=str(path.resolve())))


def _flat(labels: NDArray[Any]) -> NDArray[Any]:
    """One column of labels (N, 1) as (N,)."""
    return labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
