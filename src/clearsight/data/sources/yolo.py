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
    root = Path(str(content.get("path") or "."))
    root = root if root.is_absolute() else path.parent / root
    splits: dict[Path, str] = {}
    for word, name in content.items():
        if str(word) in SPLIT_NAMES and isinstance(name, str):
            place = root / name if (root / name).is_dir() else path.parent / Path(name).as_posix().removeprefix("../")
            if not place.is_dir():
                raise DataError(f"{path} names a folder that does not exist", found=f"{word}: {name}")
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
    """Whether a folder has `images` and `labels`, as YOLO's boxes are stored."""
    return (folder / "images").is_dir() and any((folder / "labels").glob("**/*.txt"))


def _content(path: Path) -> dict[Any, Any]:
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise DataError(f"{path} cannot be read as YAML", found=str(error)[:160]) from error
    if not isinstance(content, dict):
        raise DataError(f"{path} names no folders", found=type(content).__name__, expected="train: FOLDER")
    return content
