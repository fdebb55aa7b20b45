"""COCO's JSON for classification: the categories of each image, without boxes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clearsight.data.dataset import Listing
from clearsight.data.sources.selection import Selection
from clearsight.data.sources.table import read_frame
from clearsight.errors import DataError
from clearsight.wording import count


def of_images(path: Path, content: Mapping[str, Any], selection: Selection) -> bool:
    """Whether the annotations of a COCO file are labels of whole images.

    Args:
        path: of the file.
        content: what is in it.
        selection: what the user chose.

    Returns:
        True where no annotation has a box, or all boxes are as large as their images; False where all have one.

    Raises:
        DataError: only some have a box.
    """
    if selection.format:
        return selection.format != "detection"
    try:
        sizes = {one["id"]: (one.get("width"), one.get("height")) for one in content["images"]}
        objects = [(one["image_id"], one.get("bbox"), one.get("segmentation")) for one in content["annotations"]]
    except (LookupError, TypeError, AttributeError):
        return False  # the reader of boxes says what is wrong
    bare = sum(not box and not mask for _, box, mask in objects)
    if 0 < bare < len(objects):
        raise DataError(
            f"only some annotations in {path} have a box",
            found=f"{bare} of {count(len(objects), 'annotation')} without",
            expected="a box for every annotation, or for none",
            fix=f"to classify whole images, use {selection.command(str(path), format='classification')}; to detect "
            f"objects, use {selection.command(str(path), format='detection')}",
        )  # fmt: skip
    whole = bool(objects) and all(
        isinstance(box, list) and len(box) == 4 and box[:2] == [0, 0] and tuple(box[2:]) == sizes.get(image)
        for image, box, _ in objects
    )
    return bool(objects) and (bare == len(objects) or whole)


def require_unique(path: Path, content: Mapping[str, Any]) -> None:
    """Require that images and categories have an id of their own, by which annotations refer to them.

    Args:
        path: of the file.
        content: what is in it.

    Raises:
        DataError: two have one.
    """
    for many, key in (("images", "file_name"), ("categories", "name")):
        seen: dict[Any, Any] = {}
        listed = content.get(many) if isinstance(content, Mapping) else None
        for one in listed if isinstance(listed, list) else ():
            number = one.get("id") if isinstance(one, Mapping) else None
            if not isinstance(number, int | float | str):
                continue  # the readers say what is wrong
            if seen.setdefault(number, one.get(key)) != one.get(key):
                raise DataError(
                    f"two {many} in {path} have the same id", found=f"{number!r} of {str(seen[number])[:80]!r} and "
                    f"{str(one.get(key))[:80]!r}", expected="a different id for each",
                    fix="export it again; files that were merged need new ids",
                )  # fmt: skip


def read_categories(path: Path, content: Mapping[str, Any], root: Path, base: str = "") -> Listing:
    """The images of a COCO file, and the categories of each.

    Args:
        path: of the file.
        content: what is in it.
        root: folder that the names of images are relative to.
        base: URL of that folder; "" for one on this machine.

    Returns:
        The listing: one class per image, or several labels where an image has several categories.

    Raises:
        DataError: an annotation refers to nothing, or no image has a category.
    """
    import pandas as pd

    try:
        files = {one["id"]: one["file_name"] for one in content["images"]}
        names = {one["id"]: str(one["name"]) for one in content["categories"]}
        pairs = [(one["image_id"], one["category_id"]) for one in content["annotations"]]
    except (LookupError, TypeError) as error:
        raise DataError(
            f"{path} cannot be read as COCO annotations", found=f"{type(error).__name__}: {str(error)[:120]}",
            expected="a JSON object with images (id, file_name), annotations (image_id, category_id) and categories",
        ) from error  # fmt: skip
    if odd := [image for image, name in files.items() if not isinstance(name, str)]:
        raise DataError(f"image {odd[0]} of {path} has no file_name", found=str(files[odd[0]])[:120])
    of: dict[Any, dict[str, None]] = {}
    for image, category in pairs:
        if image not in files or category not in names:
            raise DataError(
                f"an annotation of {path} refers to an unknown image or category",
                found=f"image_id {image!r}, category_id {category!r}", expected="ids that the file lists",
            )  # fmt: skip
        of.setdefault(image, {})[names[category]] = None
    several = any(len(labels) > 1 for labels in of.values())
    kept = [image for image in files if several or image in of]
    if not of:
        raise DataError(f"no image in {path} has a category", found=f"{count(len(files), 'image')}")
    labels: list[Any] = [list(of.get(image, {})) if several else next(iter(of[image])) for image in kept]
    frame = pd.DataFrame(
        {"image_path": [files[image] for image in kept], "label": pd.Series(labels, dtype=object)}, dtype=object
    )
    frame.index = pd.Index([str(image) for image in kept])
    left = len(files) - len(kept)
    notes = [f"{count(left, 'image')} without a category left out"] if left else []
    return read_frame(frame, root=root, name=path.stem, origin=str(path.resolve()), row="image", notes=notes, base=base)
