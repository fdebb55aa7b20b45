"""The `data.yaml` of Ultralytics' tools, for classification: it names a folder of class folders for each split.

Reference: https://docs.ultralytics.com/datasets/classify/
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clearsight.data.dataset import Listing
from clearsight.data.sources.folder import SPLIT_NAMES, list_classes, read_splits
from clearsight.data.sources.selection import Selection
from clearsight.errors import DataError

LARGEST = 1 << 20
"""Bytes of a file that are read at most."""

LONGEST = 4096
"""Characters of the name of a folder."""


def read_yaml(path: Path, selection: Selection | None = None) -> Listing:
    """The images of a `data.yaml`.

    Args:
        path: of the file, whose `path`, `train`, `val` and `test` are folders.
        selection: what the user chose, which must be nothing.

    Returns:
        The listing, by class folders.

    Raises:
        DataError: the file names no folders, or these are for detection.
    """
    (selection or Selection()).only(str(path))
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
    return read_splits(root, root, splits, listed, any_classes=False)


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
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise ValueError("aliases (*), which may stand for any amount of data")
        content = yaml.safe_load(text)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, yaml.YAMLError) as error:
        raise DataError(f"{path} cannot be read as YAML", found=str(error)[:160]) from error
    if not isinstance(content, dict):
        raise DataError(f"{path} names no folders", found=type(content).__name__, expected="train: FOLDER")
    return content
