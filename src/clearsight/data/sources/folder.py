"""Folders of images, recognised by what lies in them.

    root/{train,val,test}/CLASS/image    split folders; `valid` and `validation` mean val; what their names share beside
                                         that is passed over: training_set and test_set, seg_train and seg_test
    root/CLASS/{train,val,test}/image    the same the other way round
    root/CLASS/image                     class folders
    root/*-images-idx3-ubyte[.gz]        the MNIST family
    root/{train,val}/ with ImageNet's own flat validation folder and its solution file

A folder that holds but one other is passed through: root/photos/CLASS/image. What is `files.left_aside` is not looked
at; what is left out otherwise is reported.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from clearsight.data.dataset import Files, Listing, natural_key, printable
from clearsight.data.decode import EXTENSIONS
from clearsight.data.files import files_below, left_aside, named_as_image
from clearsight.data.sources.idx import is_idx_folder, read_idx_folder
from clearsight.data.sources.imagenet import is_imagenet, read_imagenet
from clearsight.data.targets import Stated, class_name
from clearsight.errors import DataError
from clearsight.wording import count

SPLIT_NAMES = {
    "train": "train", "training": "train", "trainset": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val", "valset": "val",
    "test": "test", "testing": "test", "testset": "test",
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

    def losses(self) -> list[str]:
        """Images, and folders that may be classes, that were left out, in words."""
        found = []
        if self.empty:
            found.append(
                f"no images in {_some(self.empty)}, so not used as {'a class' if len(self.empty) == 1 else 'classes'}"
            )
        if self.loose:
            found.append(
                f"left out {count(len(self.loose), 'image')} outside class folders, for example {_some(self.loose[:1])}"
            )
        return found + _left_out([p for p in self.passed if _shows(p)], "image")

    def notes(self) -> list[str]:
        """Files that are no images, in words."""
        return _left_out([p for p in self.passed if not _shows(p)], "file")


def _left_out(paths: list[Path], thing: str) -> list[str]:
    if not paths:
        return []
    kinds = ", ".join(sorted({p.suffix.lower() or "no suffix" for p in paths})[:5])
    return [f"left out {count(len(paths), thing)} without a supported suffix ({kinds}), for example {_some(paths[:1])}"]


def read_folder(root: Path, any_classes: AnyClasses | None = None) -> Listing:
    """Class folders, split folders, the MNIST family or ImageNet's layout.

    any_classes: let the splits hold different classes; without it they must hold the same.
    """
    try:
        if is_idx_folder(root):
            return read_idx_folder(root, root.resolve().name, str(root.resolve()))
        if is_imagenet(root):
            return read_imagenet(root)
        inner = _unwrapped(root)
        splits = _split_folders(inner)
        found = {p: list_classes(_unwrapped(p)) for p in splits}
        if any(found[p].classes for p, split in splits.items() if split == "train"):
            return read_splits(root, inner, splits, found, any_classes is not None)
        if len(splits) == len(_folders(inner)) and any(one.classes for one in found.values()):
            raise DataError(
                f"{root} contains split folders, but no training images in class folders",
                found=", ".join(p.name for p in splits),
                expected="train/CLASS/image",
            )
        listing = list_classes(inner)
    except OSError as error:
        raise DataError(f"{error.filename or root} cannot be listed", found=error.strerror) from error
    if not listing.classes and listing.loose and any_classes:
        paths = [(p, any_classes.loose, "") for p in listing.loose]
        return _from_paths(root, inner, paths, replace(listing, loose=[]).losses(), listing.notes())
    if not listing.classes:
        raise DataError(
            f"there are no labelled images in the folder {root}",
            found=f"{count(len(listing.loose), 'image')} outside class folders" if listing.loose else _contents(root),
            expected="one folder of images per class, such as photos/cat/1.jpg",
        )
    if "train" in splits.values() and len(splits) > 1 and listing.classes.keys() <= {p.name for p in splits}:
        raise DataError(
            f"the split folders in {root} contain no class folders",
            found=", ".join(sorted(p.name for p in splits)),
            expected="train/CLASS/image",
            fix="if the labels are in a table, pass that table",
        )
    paths = _splits_in_classes(inner, listing.classes)
    return _from_paths(root, inner, paths, listing.losses(), listing.notes())


def _unwrapped(root: Path) -> Path:
    """The folder itself, or the one in it where that is all there is: a name between the data set and its classes, or
    the folder's own name again, as archives hold it.
    """
    while True:
        folders = _folders(root)
        if len(folders) != 1 or any(_is_image(p) for p in _visible(root)):
            return root
        only = folders[0]
        inner = _folders(only)
        if (split_in(only.name) and only.name != root.name) or any(_is_image(p) for p in _visible(only)):
            return root
        if len(inner) < 2 and not any(split_in(p.name) for p in inner):
            return root
        root = only


def split_in(name: str) -> tuple[str, tuple[str, ...]] | None:
    """The split that the name of a folder means, and the other words in it; None where it means none, or several."""
    words = [word.lower() for word in re.split(r"[\W_]+|(?<=[a-z])(?=[A-Z0-9])", name) if word]
    found = [word for word in words if word in SPLIT_NAMES]
    return (SPLIT_NAMES[found[0]], tuple(w for w in words if w not in SPLIT_NAMES)) if len(found) == 1 else None


def _split_folders(root: Path) -> dict[Path, str]:
    """The split folders in a folder, and the split each means: those called so, or those called alike but for the
    split, training and another one among them. DataError where several kinds of folders are.
    """
    kinds: dict[tuple[str, ...], dict[Path, str]] = {}
    for folder in _folders(root):
        if meant := split_in(folder.name):
            kinds.setdefault(meant[1], {})[folder] = meant[0]
    if () in kinds:
        return kinds[()]
    several = [found for found in kinds.values() if "train" in found.values() and len(set(found.values())) > 1]
    if not several:
        return {}
    flat = [p.name for found in several for p in found if not list_classes(_unwrapped(p)).classes]
    if len(several) > 1 or (flat and len(_folders(root)) > len(several[0])):
        raise DataError(
            f"it is unclear whether folders in {root} are splits of a class or of the whole data set",
            found=", ".join(p.name for found in several for p in found),
            expected="train/CLASS/image, or CLASS/train/image",
            fix="arrange the images in one of these layouts, or rename folders that are classes",
        )
    return several[0]


def _splits_in_classes(root: Path, classes: dict[str, list[Path]]) -> list[tuple[Path, str, str]]:
    """Images, their class, and the split where each class has folders for these: CLASS/train/image. DataError where
    some classes have them and others do not.
    """
    parts: dict[str, list[str]] = {}
    for name, images in classes.items():
        words = [p.relative_to(root).parts for p in images]
        parts[name] = [SPLIT_NAMES.get(w[1].lower(), "") if len(w) > 2 else "" for w in words]
    divided = [name for name, found in parts.items() if "train" in found and set(found) & {"val", "test"}]
    whole = [name for name, found in parts.items() if "" in found]
    if divided and whole:
        raise DataError(
            f"only some images in the class folders of {root} are in split folders",
            found=f"split folders in {', '.join(divided[:3])} and images outside split folders in "
            f"{', '.join(whole[:3])}",
            expected="CLASS/train/image and CLASS/test/image for all images, or for none",
            fix="arrange all images in this layout, or rename folders that are not splits",
        )
    if not divided:
        return [(p, name, "") for name, images in classes.items() for p in images]
    return [
        row for name, images in classes.items() for row in zip(images, [name] * len(images), parts[name], strict=True)
    ]


def read_splits(
    root: Path, inner: Path, splits: dict[Path, str], listed: dict[Path, ClassFolders], any_classes: bool
) -> Listing:
    """The class folders of split folders. splits: the split that each folder is of. listed: the classes of each."""
    paths: list[tuple[Path, str, str]] = []
    classes: dict[str, set[str]] = {}
    losses: list[str] = []
    notes: list[str] = []
    for folder, split in splits.items():
        found = listed[folder]
        losses += [f"{folder.name}: {loss}" for loss in found.losses()]
        notes += [f"{folder.name}: {note}" for note in found.notes()]
        if not found.classes and found.loose:
            continue  # images without labels, as in competitions
        classes.setdefault(split, set()).update(found.classes)
        paths += [(p, name, split) for name, images in found.classes.items() for p in images]
    beside = [p for p in _folders(inner) if p not in splits]
    if beside:
        losses.append(f"left out {count(len(beside), 'folder')} outside the split folders: {_some(beside)}")
    for split in ("val", "test"):
        if not any_classes and split in classes and (extra := classes[split] ^ classes["train"]):
            only_there = sorted(classes[split] - classes["train"], key=natural_key)
            only_train = sorted(classes["train"] - classes[split], key=natural_key)
            one, other = (next(p for p, meant in splits.items() if meant == which) for which in ("train", split))
            raise DataError(
                f"the classes of {one} and {other} differ: {count(len(extra), 'class', 'classes')} in only one of them",
                found="; ".join(
                    f"only in {where}: {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}"
                    for where, names in ((one.name, only_train), (other.name, only_there))
                    if names
                ),
                expected="the same class folders in every split",
                fix="rename, add or remove these class folders",
            )
    return _from_paths(root, inner, paths, losses, notes)


def _from_paths(
    root: Path, inner: Path, paths: list[tuple[Path, str, str]], losses: Iterable[str], notes: Iterable[str]
) -> Listing:
    return Listing(
        name=printable(root.resolve().name),
        source=Files(tuple(p for p, _, _ in paths), inner),
        given=np.array([split for _, _, split in paths], dtype="<U5"),
        stated=Stated(str(root.resolve()), tuple(name for _, name, _ in paths)),
        notes=tuple(notes),
        losses=tuple(losses),
    )


def list_classes(root: Path) -> ClassFolders:
    """Sort what lies in a folder into classes. DataError for a class none of whose images can be read by their names;
    may raise OSError.
    """
    found = ClassFolders({}, [], [], sorted((p for p in _visible(root) if _is_image(p)), key=_by_name))
    for folder in _folders(root):
        files = list(files_below(folder, onerror=_raise))
        images = [p for p in files if _is_image(p)]
        others = [p for p in files if not named_as_image(p)]
        if images:  # names that differ in their Unicode form alone are one class
            name = class_name(printable(folder.name))
            found.classes[name] = sorted([*found.classes.get(name, ()), *images], key=_by_name)
        elif unread := [p for p in others if _shows(p)]:
            raise DataError(
                f"no image in the folder {printable(folder.name)} can be read",
                found=f"{count(len(unread), 'image')}, such as {printable(unread[0].name)}",
                expected=f"files ending in {', '.join(sorted(EXTENSIONS)[:6])} or similar",
                fix="convert or rename the images, or move the folder elsewhere to train without it",
            )
        else:
            found.empty.append(folder)
        found.passed.extend(others)
    return found


UNREAD = frozenset(
    {
        ".avif", ".cr2", ".cr3", ".dcm", ".dng", ".eps", ".heic", ".heif", ".jxl", ".nef", ".orf", ".pdf", ".psd",
        ".rw2", ".svg",
    }
)  # fmt: skip
"""Images that are not read."""


def _shows(path: Path) -> bool:
    """Whether a file not named as an image is one, by its name or by its first bytes."""
    if path.suffix.lower() in UNREAD:
        return True
    try:
        with path.open("rb") as stream:
            first = stream.read(12)
    except OSError:
        return False
    return first.startswith((b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*")) or (
        first[:4] == b"RIFF" and first[8:] in (b"WEBP", b"WAVE")
    )


def _is_image(path: Path) -> bool:
    """Whether a path is named as an image and is a file, or a link that leads nowhere: that one is to be reported."""
    return named_as_image(path) and (path.is_file() or (path.is_symlink() and not path.exists()))


def _visible(root: Path) -> list[Path]:
    return [p for p in root.iterdir() if not left_aside(p.name)]


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
