"""The `data.yaml` of Ultralytics' tools, for classification: it names a folder of class folders for each split.

Reference: https://docs.ultralytics.com/datasets/classify/
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from clearsight.data.dataset import Listing, natural_key
from clearsight.data.sources.folder import SPLIT_NAMES, list_classes, read_splits
from clearsight.data.sources.remote import downloaded
from clearsight.data.sources.selection import Selection
from clearsight.data.targets import class_name
from clearsight.errors import DataError
from clearsight.wording import count

DEEPEST = 50
"""Lists and mappings within each other, at most."""

LARGEST = 1 << 20
"""Bytes of a file that are read at most."""

LONGEST = 4096
"""Characters of the name of a folder."""


def read_yaml(path: Path, selection: Selection | None = None, base: str = "") -> Listing:
    """The images of a `data.yaml`.

    Args:
        path: of the file, whose `path`, `train`, `val` and `test` are folders.
        selection: what the user chose, which must be nothing.
        base: URL of the file's folder, which is downloaded; "" for one on this machine.

    Returns:
        The listing, by class folders. Names of classes that differ from those of the folders are losses and notes of
        it; folders called by the numbers of the names get these.

    Raises:
        DataError: the file names no folders, or these are for detection.
    """
    (selection or Selection()).only(str(path))
    if base:
        path = _downloaded_with(base, path.name)
    content = _content(path)
    root = Path(_text(path, "path", content.get("path") or "."))
    root = root if root.is_absolute() else path.parent / root
    splits: dict[Path, str] = {}
    for word, name in content.items():
        if str(word) in SPLIT_NAMES and name not in (None, ""):
            name = _text(path, str(word), name)
            place = root / name if (root / name).is_dir() else path.parent / Path(name).as_posix().removeprefix("../")
            if not place.is_dir():
                raise DataError(f"{path} names a folder that does not exist", found=f"{word}: {name}")
            if splits.get(place, SPLIT_NAMES[str(word)]) != SPLIT_NAMES[str(word)]:
                raise DataError(
                    f"{path} names one folder for two splits", found=f"{name} for {splits[place]} and {word}",
                    expected="a folder for each split", fix=f"remove the line of {word}",
                )  # fmt: skip
            splits[place] = SPLIT_NAMES[str(word)]
    if "train" not in splits.values():
        raise DataError(
            f"{path} names no folder of training images", found=", ".join(map(str, content)) or "nothing",
            expected="train: FOLDER, with one folder of images per class",
        )  # fmt: skip
    listed = {folder: list_classes(folder) for folder in splits}
    if not any(found.classes for found in listed.values()) or any(is_detection(folder) for folder in splits):
        raise DataError(
            f"{path} describes boxes in images, which are not read from YOLO's files",
            found=", ".join(sorted({folder.name for folder in splits})), expected="train/CLASS/image",
            fix="to train a detector, convert the boxes to a COCO .json file, and pass that",
        )  # fmt: skip
    listing = read_splits(root, root, splits, listed, any_classes=False)
    return _with_names(listing, _names(path, content.get("names")), path.name)


def _downloaded_with(base: str, name: str) -> Path:
    """A file in the cache, together with all that is in its folder at a URL."""
    folder = downloaded(base)
    if not folder.is_dir():
        raise DataError(
            f"the folders that {base}/{name} names cannot be downloaded", found="a server that lists no folders",
            expected="a URL of a store such as s3://", fix="pass the URL of an archive of the file and its folders",
        )  # fmt: skip
    return folder / name


def _names(path: Path, stated: Any) -> dict[str, str]:
    """The names of classes by their numbers, in the order of these; none where none are stated."""
    listed = dict(enumerate(stated)) if isinstance(stated, list) else {} if stated is None else stated
    if not isinstance(listed, dict) or any(isinstance(name, dict | list) for name in listed.values()):
        raise DataError(
            f"{path} states no names of classes", found=f"names: {str(stated)[:80]}",
            expected="names: [cat, dog], or a number and a name per line",
        )  # fmt: skip
    return {str(number): class_name(str(name)) for number, name in listed.items()}


def _with_names(listing: Listing, names: dict[str, str], file: str) -> Listing:
    """A listing of class folders, compared with the names of classes that the file states."""
    cells = listing.stated.cells or ()
    folders = sorted(set(cells), key=natural_key)
    if not names or not folders:
        return listing
    notes, losses = list(listing.notes), list(listing.losses)
    if not set(folders) & set(names.values()) and set(folders) <= set(names):
        cells = tuple(names[cell] for cell in cells)
        notes.append(f"the class folders are numbers of the names in {file}, such as {folders[0]}: {names[folders[0]]}")
    unknown = sorted(set(cells) - set(names.values()), key=natural_key)
    unused = [name for name in names.values() if name not in cells]
    if unknown:
        losses.append(
            f"{count(len(unknown), 'class folder')} not among the {count(len(names), 'name')} in {file}, used as "
            f"{'a class' if len(unknown) == 1 else 'classes'} under the folder's name: {', '.join(unknown[:8])}"
        )
    if unused:
        losses.append(f"{count(len(unused), 'name')} in {file} without images: {', '.join(unused[:8])}")
    return replace(
        listing, stated=replace(listing.stated, cells=cells), notes=tuple(notes), losses=tuple(losses)
    )  # fmt: skip


def is_detection(folder: Path) -> bool:
    """Whether a folder has `images` and `labels`, or is in such a folder `images`, as YOLO's boxes are stored."""
    parts = folder.parts
    places = [Path(*parts[:k], "labels", *parts[k + 1 :]) for k, part in enumerate(parts) if part == "images"]
    if (folder / "images").is_dir():
        places.append(folder / "labels")
    return any(any(place.glob("**/*.txt")) for place in places)


def _text(path: Path, word: str, value: Any) -> str:
    """A value that is to be the name of a folder."""
    if not isinstance(value, str) or len(value) > LONGEST or "\0" in value:
        raise DataError(
            f"{path} names no folder for {word}", found=f"{type(value).__name__}" if not isinstance(value, str)
            else f"{len(value):,} characters", expected=f"{word}: FOLDER",
        )  # fmt: skip
    return value


def _content(path: Path) -> dict[Any, Any]:
    import yaml

    try:
        if path.stat().st_size > LARGEST:
            raise ValueError(f"{path.stat().st_size:,} bytes")
        text = path.read_text(encoding="utf-8-sig")
        depth = 0
        for event in yaml.parse(text, yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise ValueError("aliases (*), which may stand for any amount of data")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:
                raise ValueError(f"lists within lists more than {DEEPEST} deep")
        content = yaml.safe_load(text)
        if isinstance(content, dict) and "names" in content:  # as texts: YAML takes `yes` and `no` for booleans
            content["names"] = yaml.load(text, yaml.BaseLoader)["names"] or None
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, yaml.YAMLError) as error:
        raise DataError(f"{path} cannot be read as YAML", found=str(error)[:160]) from error
    if not isinstance(content, dict):
        raise DataError(f"{path} names no folders", found=type(content).__name__, expected="train: FOLDER")
    return content
