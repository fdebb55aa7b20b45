"""Folders of images, recognised by what lies in them.

    root/{train,val,test}/CLASS/image    split folders; `valid` and `validation` mean val
    root/CLASS/image                     class folders
    root/*-images-idx3-ubyte[.gz]        the MNIST family
    root/{train,val}/ with ImageNet's own flat validation folder and its solution file

Hidden files and folders are not looked at; what is left out otherwise is noted.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from clearsight.data.dataset import Files, Listing, natural_key, printable
from clearsight.data.decode import EXTENSIONS
from clearsight.data.sources.idx import is_idx_folder, read_idx_folder
from clearsight.data.sources.imagenet import is_imagenet, read_imagenet
from clearsight.data.targets import Stated
from clearsight.errors import DataError
from clearsight.wording import count

SPLIT_NAMES = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip


@dataclass(frozen=True)
class AnyClasses:
    """Splits may hold different classes, as where anomalies are in the test split alone. loose: the class of images
    that lie in no class folder.
    """

    loose: str


@dataclass(frozen=True)
class ClassFolders:
    """The class folders in one folder.

    classes: class name to its image files, searched below the class folder too, in natural order.
    empty: folders without images. passed: files whose names are not those of images. loose: images in no class folder.
    """

    classes: dict[str, list[Path]]
    empty: list[Path]
    passed: list[Path]
    loose: list[Path]

    def notes(self) -> list[str]:
        """What was left out, in words."""
        found = []
        if self.empty:
            found.append(f"{_some(self.empty)} without images: no class")
        if self.loose:
            found.append(
                f"{count(len(self.loose), 'image')} in no class folder, left out, such as {_some(self.loose[:1])}"
            )
        if self.passed:
            kinds = ", ".join(sorted({p.suffix.lower() or "no suffix" for p in self.passed})[:5])
            some = _some(self.passed[:1])
            found.append(f"{count(len(self.passed), 'file')} not named as images ({kinds}), left out, such as {some}")
        return found


def read_folder(root: Path, any_classes: AnyClasses | None = None) -> Listing:
    """Class folders, split folders, the MNIST family or ImageNet's layout.

    any_classes: let the splits hold different classes; without it they must hold the same.
    """
    try:
        if is_idx_folder(root):
            return read_idx_folder(root, root.resolve().name, str(root.resolve()))
        if is_imagenet(root):
            return read_imagenet(root)
        splits = {p: SPLIT_NAMES[p.name.lower()] for p in _folders(root) if p.name.lower() in SPLIT_NAMES}
        inner = {p: list_classes(p) for p in splits}
        divided = any(inner[p].classes for p, split in splits.items() if split == "train")
        if not divided and len(splits) == len(_folders(root)) and any(found.classes for found in inner.values()):
            raise DataError(
                f"{root} holds split folders, but no training images in class folders",
                found=", ".join(p.name for p in splits),
                expected="train/CLASS/image",
            )
        listing = None if divided else list_classes(root)
    except OSError as error:
        raise DataError(f"{error.filename or root} cannot be listed", found=error.strerror) from error
    if listing is None:
        return _read_splits(root, splits, inner, any_classes is not None)
    if not listing.classes and listing.loose and any_classes:
        paths = [(p, any_classes.loose, "") for p in listing.loose]
        return _from_paths(root, paths, replace(listing, loose=[]).notes())
    if not listing.classes:
        raise DataError(
            f"there are no labelled images in the folder {root}",
            found=f"{len(listing.loose)} images that lie in no class folder" if listing.loose else _contents(root),
            expected="one folder per class with its images, such as photos/cat/1.jpg",
        )
    if "train" in splits.values() and len(splits) > 1 and listing.classes.keys() <= {p.name for p in splits}:
        raise DataError(
            f"{root} holds split folders without class folders in them",
            found=", ".join(sorted(p.name for p in splits)),
            expected="train/CLASS/image",
            fix="if a table holds the labels, name that table",
        )
    paths = [(p, name, "") for name, images in listing.classes.items() for p in images]
    return _from_paths(root, paths, listing.notes())


def _read_splits(root: Path, splits: dict[Path, str], inner: dict[Path, ClassFolders], any_classes: bool) -> Listing:
    paths: list[tuple[Path, str, str]] = []
    classes: dict[str, set[str]] = {}
    notes: list[str] = []
    for folder, split in splits.items():
        found = inner[folder]
        notes += [f"{folder.name}: {note}" for note in found.notes()]
        if not found.classes and found.loose:
            continue  # images without labels, as in competitions
        classes.setdefault(split, set()).update(found.classes)
        paths += [(p, name, split) for name, images in found.classes.items() for p in images]
    beside = [p for p in _folders(root) if p not in splits]
    if beside:
        notes.append(f"{_some(beside)} beside the split folders: left out")
    for split in ("val", "test"):
        if not any_classes and split in classes and (extra := classes[split] ^ classes["train"]):
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
    return _from_paths(root, paths, notes)


def _from_paths(root: Path, paths: list[tuple[Path, str, str]], notes: Iterable[str]) -> Listing:
    return Listing(
        name=printable(root.resolve().name),
        source=Files(tuple(p for p, _, _ in paths), root),
        given=np.array([split for _, _, split in paths], dtype="<U5"),
        stated=Stated(str(root.resolve()), tuple(name for _, name, _ in paths)),
        notes=tuple(notes),
    )


def list_classes(root: Path) -> ClassFolders:
    """Sort what lies in a folder into classes; hidden files and folders are not looked at. May raise OSError."""
    found = ClassFolders({}, [], [], sorted((p for p in _visible(root) if _is_image(p)), key=_by_name))
    for folder in _folders(root):
        images: list[Path] = []
        others: list[Path] = []
        for inner, folders, files in os.walk(folder, onerror=_raise):
            folders[:] = sorted(f for f in folders if not f.startswith("."))
            for name in files:
                path = Path(inner, name)
                if not name.startswith(".") and name not in _NO_IMAGES:
                    (images if _is_image(path) else others).append(path)
        found.passed.extend(others)
        if images:
            found.classes[printable(folder.name)] = sorted(images, key=_by_name)
        else:
            found.empty.append(folder)
    return found


_NO_IMAGES = {"Thumbs.db", "desktop.ini"}  # what Windows leaves everywhere


def _is_image(path: Path) -> bool:
    """Whether a path is named as an image and is a file, or a link that leads nowhere: that one is to be reported."""
    return path.suffix.lower() in EXTENSIONS and (path.is_file() or (path.is_symlink() and not path.exists()))


def _visible(root: Path) -> list[Path]:
    return [p for p in root.iterdir() if not p.name.startswith(".")]


def _folders(root: Path) -> list[Path]:
    return sorted((p for p in _visible(root) if p.is_dir()), key=_by_name)


def _raise(error: OSError) -> None:
    raise error


def _some(paths: list[Path]) -> str:
    names = [printable(f"{p.parent.name}/{p.name}") for p in paths]
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _by_name(path: Path) -> Any:
    return natural_key(path.as_posix())


def _contents(root: Path) -> str:
    names = sorted(p.name for p in root.iterdir())
    return ("an empty folder" if not names else ", ".join(names[:6])) + (", ..." if len(names) > 6 else "")
