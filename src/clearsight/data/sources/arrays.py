"""Images and labels handed over in Python: arrays, lists of paths, lists of labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from clearsight.data.dataset import Listing
from clearsight.data.inputs import as_images
from clearsight.data.targets import IN_MEMORY, Stated, class_name
from clearsight.errors import DataError


def read_pair(images: Any, labels: Any) -> Listing:
    """Images in any form that `clearsight.data.inputs` recognises, with one label each, or a row of numbers (N, T), or
    a list of labels. The number of labels resolves the order of an array's axes.
    """
    if not hasattr(labels, "__len__"):
        raise DataError("the labels are not a sequence", found=repr(labels)[:60], expected="one label per image")
    if not len(labels):
        raise DataError("there are no labelled images", found="no labels")
    given = np.full(len(labels), "", dtype="<U5")
    return Listing("arrays", as_images(images, count=len(labels)), given, stated_by(labels))


def stated_by(labels: Any) -> Stated:
    """What labels handed over in Python state: a name each, a list of names each, or a row of numbers each."""
    listed = not isinstance(labels, np.ndarray) and any(
        isinstance(one, list | tuple | set | frozenset) for one in labels
    )
    if listed:
        _require_lists(labels)
    if listed and any(isinstance(word, str) for one in labels for word in one):
        return Stated(IN_MEMORY, tuple("|".join(map(class_name, one)) for one in labels), listed=True)
    try:
        rows = np.asarray(labels)
    except ValueError as error:
        raise DataError(
            "rows of labels differ in length", found="lengths " + ", ".join(sorted({str(len(one)) for one in labels})),
            expected="the same length for every image",
        ) from error  # fmt: skip
    if rows.ndim == 2 and rows.shape[1] == 1:
        rows = rows[:, 0]
    if rows.ndim == 2 and rows.dtype.kind in "biuf":
        columns = tuple(str(k) for k in range(rows.shape[1]))
        return Stated(IN_MEMORY, columns=columns, numbers=rows.astype(np.float64))
    if rows.ndim != 1:
        raise DataError(
            "labels have an unsupported shape",
            found=f"{rows.shape}",
            expected="one label, or one row of numbers, per image",
        )
    return Stated(
        IN_MEMORY, tuple("" if _is_missing(one) else class_name(one) for one in rows.tolist()), column="value"
    )


def _is_missing(label: Any) -> bool:
    """Whether a label is None, NaN or empty."""
    return label is None or label != label or label == ""


def _require_lists(labels: Sequence[Any]) -> None:
    """DataError unless every image has a list of labels or numbers, and one of them something in it."""
    single = next((i for i, one in enumerate(labels) if not isinstance(one, list | tuple | set | frozenset)), None)
    if single is not None:
        raise DataError(
            "labels are lists for some images but not for others",
            found=f"{labels[single]!r} at index {single}",
            expected="a list for every image",
            fix=f"write [{labels[single]!r}]",
        )
    if not any(len(one) for one in labels):
        raise DataError("no image has a label", found="empty lists")
