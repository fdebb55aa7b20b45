"""One call reads them all: `read("photos/")`, `read("labels.csv")`, `read(frame)`, `read((X, y))`, `read("digits")`.

A folder is recognised by what lies in it:

    root/{train,val,test}/CLASS/image    split folders; `valid` and `validation` mean val
    root/CLASS/image                     class folders
    root/*-images-idx3-ubyte[.gz]        the MNIST family
    root/{train,val}/ with ImageNet's own flat validation folder and its solution file

A file is recognised by its suffix: .csv, .jsonl (one object a line), .npz (images, labels).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clearsight.data.builtin import BUILTIN
from clearsight.data.dataset import Array, Dataset, Files, encode_labels, natural_key
from clearsight.data.idx import is_idx_folder, read_idx_folder
from clearsight.data.manifests import read_csv, read_frame, read_jsonl
from clearsight.data.pixels import EXTENSIONS
from clearsight.errors import DataError, nearest

if TYPE_CHECKING:
    import pandas as pd

SPLIT_NAMES = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip

DataLike = "str | Path | pd.DataFrame | tuple[Any, Any] | Dataset"


def read(data: str | Path | pd.DataFrame | tuple[Any, Any] | Dataset, *, data_dir: str | Path | None = None) -> Dataset:
    """Find the images and labels of any supported source, without decoding a pixel.

    data: a built-in name (digits, mnist, fashion-mnist, cifar10, elpv), a folder, a .csv/.jsonl/.npz file, a pandas
    frame with `image_path` and `label`, a pair (images, labels), or a Dataset, which is returned as it is.
    data_dir: where the files of a built-in name lie, when they are not where their package puts them.
    Raises DataError when nothing usable is found.
    """
    if isinstance(data, Dataset):
        return data
    if isinstance(data, tuple):
        return from_pair(*data)
    if not isinstance(data, str | Path):
        return read_frame(data, root=Path(), name="frame", origin="a DataFrame")
    path = Path(data).expanduser()
    if not path.exists():
        if str(data) in BUILTIN:
            return BUILTIN[str(data)](Path(data_dir).expanduser() if data_dir else None)
        siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError(f"{data} does not exist", fix=nearest(path.name, [*BUILTIN, *siblings]))
    if path.is_dir():
        return read_folder(path)
    readers = {".csv": read_csv, ".jsonl": read_jsonl, ".npz": read_npz}
    if path.suffix.lower() not in readers:
        raise DataError(
            f"{path} cannot be read as a data set",
            found=f"a file ending in {path.suffix or 'nothing'}",
            expected="a folder of images, or a .csv, .jsonl or .npz file",
            fix="to ask about one image use `clearsight predict RUN IMAGE`",
        )
    return readers[path.suffix.lower()](path)


def from_pair(images: Any, labels: Any) -> Dataset:
    """Images as an array (N, H, W), (N, H, W, C), (N, C, H, W) or a list of paths, with one label each.

    Floating-point images in [0, 1] are taken as such and kept at 16 bits.
    """
    names = [str(label) for label in np.asarray(labels).tolist()]
    if len(images) != len(names):
        raise DataError("images and labels differ in number", found=f"{len(images)} and {len(names)}")
    if not len(names):
        raise DataError("there are no images", found="empty arrays")
    indices, classes = encode_labels(names)
    source = as_source(images)
    given = np.full(len(names), "", dtype="<U5")
    return Dataset("arrays", source, indices, classes, given, "arrays in memory")


def as_source(images: Any) -> Array | Files:
    """Images handed over in Python: paths, or one array; DataError says what an array must look like."""
    if isinstance(images, list | tuple) and images and all(isinstance(i, str | Path) for i in images):
        return Files(tuple(Path(i) for i in images))
    array = np.asarray(images)
    if array.ndim in (3, 4) and np.issubdtype(array.dtype, np.floating):
        low, high = float(array.min()), float(array.max())
        if low < 0 or high > 1 or not np.isfinite([low, high]).all():
            raise DataError(
                "floating-point images leave the range of pixels",
                found=f"{low:g} to {high:g}",
                expected="[0, 1]",
                fix="divide by the largest possible value, or pass uint8",
            )
        array = np.rint(array * 65535).astype(np.uint16)
    channels_ok = array.ndim == 3 or (array.ndim == 4 and (array.shape[1] in (1, 3) or array.shape[3] in (1, 3)))
    if not channels_ok or array.dtype not in (np.uint8, np.uint16):
        raise DataError(
            "an array holds no images",
            found=f"shape {array.shape}, {array.dtype}",
            expected="(N, H, W), (N, H, W, C) or (N, C, H, W) with 1 or 3 channels; uint8, uint16 or floats in [0, 1]",
        )
    return Array(array)


def read_npz(path: Path) -> Dataset:
    """An .npz with images and labels: (images|X|x|x_train..., labels|y|y_train...), and x_test/y_test where given."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key.lower(): archive[key] for key in archive.files}
    except Exception as error:  # zipfile, format and pickle faults
        raise DataError(f"{path} cannot be read as .npz", found=str(error)[:120]) from error

    parts: list[tuple[str, Any, Any]] = []
    for split, suffixes in (
        ("", ("",)),
        ("train", ("_train",)),
        ("val", ("_val", "_valid")),
        ("test", ("_test",)),
    ):
        for suffix in suffixes:
            for x, y in (("images", "labels"), ("x", "y"), ("data", "target")):
                if x + suffix in arrays and y + suffix in arrays:
                    parts.append((split, arrays[x + suffix], arrays[y + suffix]))
        for x, y in ((f"{split}_images", f"{split}_labels"),):
            if split and x in arrays and y in arrays:
                parts.append((split, arrays[x], arrays[y]))
    if not parts:
        raise DataError(
            f"{path} holds no images and labels under known names",
            found=", ".join(arrays) or "nothing",
            expected="images and labels, or x_train, y_train, x_test, y_test",
        )
    for split, images, labels in parts:
        if len(images) != len(labels):
            raise DataError(
                f"{path}: {split or 'images'} and labels differ in number",
                found=f"{len(images)} and {len(labels)}",
            )
    whole = from_pair(
        np.concatenate([p[1] for p in parts]), np.concatenate([np.asarray(p[2]).reshape(-1) for p in parts])
    )
    given = np.concatenate([np.full(len(p[1]), p[0], dtype="<U5") for p in parts])
    return Dataset(path.stem, whole.source, whole.labels, whole.classes, given, str(path.resolve()))


def read_folder(root: Path) -> Dataset:
    """Class folders, split folders, the MNIST family or ImageNet's layout."""
    from clearsight.data.imagenet import is_imagenet, read_imagenet

    if is_idx_folder(root):
        return read_idx_folder(root, root.resolve().name, str(root.resolve()))
    if is_imagenet(root):
        return read_imagenet(root)
    folders = sorted((p for p in root.iterdir() if p.is_dir() and not p.name.startswith(".")), key=_by_name)
    splits = {p: SPLIT_NAMES[p.name.lower()] for p in folders if p.name.lower() in SPLIT_NAMES}
    if "train" in splits.values() and any(_class_folders(p) for p in splits):
        return _read_splits(root, splits)
    found = _class_folders(root)
    if not found:
        loose = sum(1 for p in root.iterdir() if p.suffix.lower() in EXTENSIONS)
        raise DataError(
            f"{root} holds no labelled images",
            found=f"{loose} images that lie in no class folder" if loose else _contents(root),
            expected="one folder per class with its images, such as photos/cat/1.jpg",
        )
    paths = [(p, name, "") for name, images in found.items() for p in images]
    return _from_paths(root, paths)


def _read_splits(root: Path, splits: dict[Path, str]) -> Dataset:
    paths: list[tuple[Path, str, str]] = []
    classes: dict[str, set[str]] = {}
    for folder, split in splits.items():
        found = _class_folders(folder)
        classes.setdefault(split, set()).update(found)
        paths += [(p, name, split) for name, images in found.items() for p in images]
    for split in ("val", "test"):
        if split in classes and (extra := classes[split] ^ classes["train"]):
            only_there = sorted(classes[split] - classes["train"], key=natural_key)
            only_train = sorted(classes["train"] - classes[split], key=natural_key)
            raise DataError(
                f"the classes of {root}/train and {root}/{split} differ in {len(extra)}",
                found="; ".join(
                    f"only in {where}: {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}"
                    for where, names in (("train", only_train), (split, only_there))
                    if names
                ),
                expected="the same class folders in every split",
                fix="rename, add or remove the folders named",
            )
    return _from_paths(root, paths)


def _from_paths(root: Path, paths: Sequence[tuple[Path, str, str]]) -> Dataset:
    labels, classes = encode_labels([name for _, name, _ in paths])
    return Dataset(
        name=root.resolve().name,
        source=Files(tuple(p for p, _, _ in paths), root),
        labels=labels,
        classes=classes,
        given=np.array([split for _, _, split in paths], dtype="<U5"),
        origin=str(root.resolve()),
    )


def _class_folders(root: Path) -> dict[str, list[Path]]:
    """Class name to its image files, searched below the class folder too; folders without images are left out."""
    found = {}
    for folder in sorted((p for p in root.iterdir() if p.is_dir() and not p.name.startswith(".")), key=_by_name):
        images = [
            p
            for p in folder.rglob("*")
            if p.suffix.lower() in EXTENSIONS and not p.name.startswith(".") and p.is_file()
        ]
        if images:
            found[folder.name] = sorted(images, key=_by_name)
    return found


def _by_name(path: Path) -> Any:
    return natural_key(path.as_posix())


def _contents(root: Path) -> str:
    names = sorted(p.name for p in root.iterdir())
    return ("nothing at all" if not names else ", ".join(names[:6])) + (", ..." if len(names) > 6 else "")
