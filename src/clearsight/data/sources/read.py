"""One call reads them all: `read("photos/")`, `read("labels.csv")`, `read(frame)`, `read((X, y))`, `read("digits")`.

A folder is recognised by what lies in it (`folders`). A file is recognised by its suffix: .csv, .jsonl (one object a
line), .npz (images, labels).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from clearsight.data.dataset import Array, Dataset, Files, encode_labels, softly
from clearsight.data.normal import with_normal
from clearsight.data.sources.builtin import BUILTIN
from clearsight.data.sources.folder import read_folder
from clearsight.data.sources.table import read_csv, read_frame, read_jsonl
from clearsight.data.targets import (
    SEPARATORS,
    TargetTable,
    believed,
    from_numbers,
    one_hot,
    several_labels,
    soft_labels,
)
from clearsight.errors import BundleError, DataError, nearest

if TYPE_CHECKING:
    import pandas as pd

HELD = {
    "classification": "one class per image",
    "multilabel": "several labels per image, in one cell or in columns of 0 and 1",
    "regression": "columns of numbers",
    "anomaly": "normal images, in a class of their own where there are others",
}
"""What data of each task holds."""

DataLike = "str | Path | pd.DataFrame | tuple[Any, Any] | Dataset"


def read(
    data: str | Path | pd.DataFrame | tuple[Any, Any] | Dataset,
    *,
    data_dir: str | Path | None = None,
    task: str = "auto",
    normal: str | Sequence[str] | None = None,
    judging: bool = False,
) -> Dataset:
    """Find the images and labels of any supported source, without decoding a pixel.

    data: a built-in name (digits, mnist, fashion-mnist, cifar10, elpv), a folder, a .csv/.jsonl/.npz file, a pandas
    frame with `image_path` and `label`, a pair (images, labels), or a Dataset, which is returned as it is.
    data_dir: where the files of a built-in name lie, when they are not where their package puts them.
    task: what the labels are, of `config.TASKS`; "auto" goes by what they look like. normal, judging: of anomalies, as
    for `normal.with_normal`.
    Raises DataError when nothing usable is found, or the labels do not suit the task.
    """
    if task == "anomaly":
        return with_normal(_read(data, data_dir, task), normal, judging=judging)
    found = _read(data, data_dir, task)
    if task not in ("auto", found.task):
        raise DataError(
            f"{found.name} gives {HELD[found.task]}, which is no {task}",
            expected=HELD[task],
            fix="leave out --task" if found.task == "classification" else None,
        )
    return found


ELSEWHERE = ("dev", "net", "proc", "sys")
"""Folders of the root that hold no files of a disk: devices, the kernel's own, and machines mounted when named."""


def recorded_place(origin: object, what: str) -> str:
    """Where a run or an index says that images lie, if it is a built-in name, or a file or folder of this machine.

    Such a record may come from someone else, and is checked before anything is opened: BundleError for addresses,
    shares of other machines, devices and pipes, and where nothing is. what: to call the images, for messages.
    """
    if not isinstance(origin, str) or not origin or "\0" in origin:
        raise BundleError(f"there is no record of where {what} lie", fix="name the data")
    if origin in BUILTIN:
        return origin
    gone = BundleError(
        f"{what} are gone",
        found=f"{origin} does not exist" if origin != IN_MEMORY else "arrays that were in memory",
        fix="name others: RUN DATA",
    )
    path = Path(origin)
    shared = origin[:2] in ("//", "\\\\", "/\\", "\\/") or "://" in origin or origin.partition(":")[0] in SCHEMES
    try:
        named = shared or _elsewhere(
            Path(os.path.normpath(path.absolute()))
        )  # before anything is mounted by a look at it
        named = named or _elsewhere(path := path.resolve(strict=True))
        if named or not (path.is_dir() or path.is_file()):  # not a pipe, a socket or a device
            raise BundleError(
                f"the place recorded for {what} is none where images lie", found=repr(origin)[:200],
                expected="a file or folder of this machine", fix="name the data: RUN DATA",
            )  # fmt: skip
    except (OSError, RuntimeError):
        raise gone from None
    return origin


def _elsewhere(path: Path) -> bool:
    return len(path.parts) > 1 and path.parts[1] in ELSEWHERE and path.anchor == "/"


SCHEMES = ("data", "file", "ftp", "hf-hub", "http", "https", "local-dir", "s3", "smb")
"""What stands before the colon of an address."""


def read_classes(data: Any, what: str, *, data_dir: str | Path | None = None) -> Dataset:
    """As `read`, for `what` is about one class per image; DataError for labels and numbers."""
    found = read(data, data_dir=data_dir)
    if found.task != "classification":
        raise DataError(
            f"{what} is for data that gives one class per image",
            found=f"{HELD[found.task]} in {found.name}",
            fix="use `clearsight train`, which takes these too",
        )
    return found


def _read(
    data: str | Path | pd.DataFrame | tuple[Any, Any] | Dataset, data_dir: str | Path | None, task: str
) -> Dataset:
    if isinstance(data, Dataset):
        return data
    kind = "classification" if task == "anomaly" else task  # what is normal is said by classes
    if isinstance(data, tuple) and len(data) == 2:
        return from_pair(*data, task=kind)
    if not isinstance(data, str | Path):
        if hasattr(data, "columns") and hasattr(data, "iloc"):
            return read_frame(data, root=Path(), name="frame", origin="a DataFrame", task=kind)
        raise DataError(
            "this is no data set",
            found=f"a {type(data).__name__}",
            expected="a name, a path, a DataFrame, or a pair (images, labels)",
        )
    path = Path(os.path.expanduser(data))  # noqa: PTH111 - leaves ~unknown as it is, where pathlib raises
    if not str(data) or not os.path.exists(path):  # noqa: PTH110 - False for names too long, where pathlib raises
        if str(data) in BUILTIN:
            return BUILTIN[str(data)](Path(data_dir).expanduser() if data_dir else None)
        try:
            siblings = [name for name in os.listdir(path.parent) if not name.startswith(".")]  # noqa: PTH208
        except (OSError, ValueError):
            siblings = []
        close = [f"`{path.parent / name}`" for name in get_close_matches(path.name, siblings, n=3, cutoff=0.6)]
        raise DataError(
            f"{data or 'a data set without a name'} does not exist",
            fix=f"did you mean {' or '.join(close)}?" if close else nearest(path.name, BUILTIN),
        )
    if path.is_dir():
        return read_folder(path, task)
    readers = {".csv": read_csv, ".jsonl": read_jsonl, ".npz": read_npz}
    if path.suffix.lower() not in readers:
        raise DataError(
            f"{path} cannot be read as a data set",
            found=f"a file ending in {path.suffix or 'nothing'}",
            expected="a folder of images, or a .csv, .jsonl or .npz file",
            fix="to ask about one image use `clearsight predict RUN IMAGE`",
        )
    return readers[path.suffix.lower()](path, kind)


def from_pair(images: Any, labels: Any, *, task: str = "auto") -> Dataset:
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
    table, names, soft = _pair_targets(labels, task)
    given = np.full(len(labels), "", dtype="<U5")
    if soft is not None:
        said = softly(names, [str(k) for k in range(soft.shape[1])], soft)
    else:
        said = dict(zip(("labels", "classes"), encode_labels(names) if table is None else table.strata(), strict=True))
    return Dataset("arrays", as_source(images), given=given, origin=IN_MEMORY, targets=table, **said)


IN_MEMORY = "arrays in memory"


def _pair_targets(labels: Any, task: str) -> tuple[TargetTable | None, list[str], NDArray[Any] | None]:
    """What labels handed over in Python say: a table of targets, or a class name each; and soft labels."""
    listed = not isinstance(labels, np.ndarray) and any(
        isinstance(one, list | tuple | set | frozenset) for one in labels
    )
    if listed:
        _require_lists(labels)
    if listed and any(isinstance(word, str) for one in labels for word in one):
        if task == "classification" and (several := [one for one in labels if len(one) != 1]):
            raise DataError(
                "lists of labels are no classes", found=repr(several[0])[:60], expected="one class per image",
                fix="leave out --task for several labels per image",
            )  # fmt: skip
        cells = [SEPARATORS[0].join(map(str, one)) for one in labels]
        return several_labels(cells, IN_MEMORY, "multilabel" if task == "auto" else task), cells, None
    try:
        said = np.asarray(labels)
    except ValueError as error:
        raise DataError(
            "rows of labels differ in length", found=", ".join(sorted({str(len(one)) for one in labels})) + " numbers",
            expected="as many for every image",
        ) from error  # fmt: skip
    if said.ndim == 2 and said.shape[1] == 1:
        said = said[:, 0]
    numbers = said.dtype.kind in "biuf"
    if said.ndim == 2 and numbers and task in ("auto", "classification") and one_hot(said):
        return None, [str(k) for k in said.argmax(1)], None
    if said.ndim == 2 and numbers and task in ("auto", "classification") and soft_labels(said):
        return None, believed([str(k) for k in range(said.shape[1])], said, IN_MEMORY), said
    if said.ndim == 2 and numbers and task != "classification":
        columns = [f"{k}" for k in range(said.shape[1])]
        return from_numbers(columns, said.astype(np.float64), IN_MEMORY, task), [], None
    if said.ndim != 1:
        raise DataError(
            "labels have more than one axis",
            found=f"shape {said.shape}",
            expected="one label or row of numbers per image",
        )
    finite = numbers and said.dtype.kind == "f" and (said[np.isfinite(said)] % 1 != 0).any()
    if task == "regression" or (task == "auto" and finite):
        if not numbers:
            raise DataError("numbers to predict are no numbers", found=repr(said.tolist()[0]))
        return from_numbers(["value"], said[:, None].astype(np.float64), IN_MEMORY, "regression"), [], None
    values = said.tolist()
    if missing := [i for i, v in enumerate(values) if v is None or v != v or v == ""]:
        raise DataError(
            f"{len(missing)} of {len(values)} labels are missing",
            found=f"the first, {values[missing[0]]!r}, at index {missing[0]}",
        )
    names = [str(label) for label in values]
    return several_labels(names, IN_MEMORY, task) if task == "multilabel" else None, names, None


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


def read_npz(path: Path, task: str = "auto") -> Dataset:
    """An .npz with images and labels: (images|X|x|x_train..., labels|y|y_train...), and x_test/y_test where given."""
    try:
        # opened here, as NumPy leaves a broken archive open
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            arrays = {key.lower(): archive[key] for key in archive.files}
    except Exception as error:  # zipfile, format and pickle faults
        if "Object arrays" in str(error):
            raise DataError(
                f"{path} holds Python objects, which only pickle can read, and pickle can run foreign code",
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
            f"{path} holds no images and labels under known names",
            found=", ".join(arrays) or "nothing",
            expected="images and labels, or x_train, y_train, x_test, y_test",
        )
    for split, images, labels in parts:
        if images.ndim not in (3, 4) or labels.ndim not in (1, 2) or labels.shape[:1] != images.shape[:1]:
            raise DataError(
                f"{path}: {split or 'images'} and labels do not fit",
                found=f"shapes {images.shape} and {labels.shape}",
                expected="(N, H, W), (N, H, W, C) or (N, C, H, W), and one label or row of numbers per image",
            )
    if len(kinds := {(images.shape[1:], images.dtype) for _, images, _ in parts}) > 1:
        raise DataError(
            f"the splits in {path} hold images of different kinds",
            found=" and ".join(sorted(f"{shape} {dtype}" for shape, dtype in kinds)),
            expected="one shape and one type",
        )
    whole = from_pair(np.concatenate([p[1] for p in parts]), np.concatenate([_flat(p[2]) for p in parts]), task=task)
    given = np.concatenate([np.full(len(p[1]), p[0], dtype="<U5") for p in parts])
    return replace(whole, name=path.stem, given=given, origin=str(path.resolve()))


def _flat(labels: NDArray[Any]) -> NDArray[Any]:
    """One column of labels (N, 1) as (N,)."""
    return labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
