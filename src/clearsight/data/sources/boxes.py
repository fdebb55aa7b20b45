"""Images with boxes: a table with a box in each row, and COCO's JSON; a listing of their crops comes out.

Boxes are in pixels, or all of them in shares of the image's sides. The far edges are not included, so a box of one
pixel is [0, 0, 1, 1].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.data.boxed import BACKGROUND, BoxedImages
from clearsight.data.cache import threaded
from clearsight.data.dataset import Listing, encode_labels
from clearsight.data.pixels import oriented_size, quiet_pillow, read_bytes
from clearsight.data.sources.table_paths import Located, at_url, located
from clearsight.data.targets import Stated, class_name
from clearsight.errors import DataError, ImageError
from clearsight.wording import count

CORNERS = (
    ("xmin", "ymin", "xmax", "ymax"),
    ("x_min", "y_min", "x_max", "y_max"),
    ("x0", "y0", "x1", "y1"),
    ("x1", "y1", "x2", "y2"),
    ("left", "top", "right", "bottom"),
)
"""Columns of a table that are the corners of boxes."""

TOLERANCE = 1.0
"""Pixels by which a box may reach beyond its image: tools differ in whether the last pixel is included."""


@dataclass
class BoxRows:
    """Boxes as a file states them, a row each, before they are checked.

    origin: what the user asked for. base: URL of the folder that images are relative to; "" for `root`. where: what to
    call each row in front of the user. files: the image of each row. boxes: its corners, None for an image without
    objects. splits, groups: of its image, "" where none is stated. sizes: width and height that the file states of
    images, by their text.
    """

    origin: str
    root: Path
    base: str = ""
    where: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    boxes: list[tuple[float, ...] | None] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    crowd: list[bool] = field(default_factory=list)
    masks: list[Any] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(
        self, where: str, file: str, box: tuple[float, ...] | None, label: str = "", *, crowd: bool = False,
        mask: Any = None, split: str = "", group: str = "",
    ) -> None:  # fmt: skip
        """Add a row.

        Args:
            where: what to call it in front of the user.
            file: the image, as the file names it.
            box: corners of the box; None for an image without objects.
            label: class of the object.
            crowd: whether it is a region of many objects.
            mask: mask of the object as in COCO; None without one.
            split: split that the image is stated to be of.
            group: group that the image is stated to be of.
        """
        values = (where, file, box, label, crowd, mask, split, group)
        columns: tuple[list[Any], ...] = (
            self.where, self.files, self.boxes, self.labels, self.crowd, self.masks, self.splits, self.groups,
        )  # fmt: skip
        for column, value in zip(columns, values, strict=True):
            column.append(value)


def corner_columns(columns: Sequence[str]) -> tuple[str, ...] | None:
    """The columns of a table that hold the corners of boxes.

    Args:
        columns: names of the columns in lower case.

    Returns:
        Four names, left, top, right, bottom; None for a table without boxes.

    Example:
        >>> corner_columns(["image", "xmin", "ymin", "xmax", "ymax", "label"])
        ('xmin', 'ymin', 'xmax', 'ymax')
    """
    return next((names for names in CORNERS if set(names) <= set(columns)), None)


def read_boxes(rows: BoxRows, name: str, notes: Sequence[str] = ()) -> Listing:
    """The crops of images with boxes.

    Args:
        rows: boxes as a file states them.
        name: name of the data set.
        notes: on how the file was read.

    Returns:
        The listing of the crops: several of each object, and of the class `background`. Crops of an image are a
        group, so they stay on one side of every split.

    Raises:
        DataError: a box or label cannot be used, or no object is left.
    """
    if not rows.files:
        raise DataError(f"{rows.origin} lists no images", found="0 rows")
    texts = list(dict.fromkeys(rows.files))
    found = located(texts, rows.root, rows.origin, rows.base)
    sizes, lost = _sizes(texts, found, rows)
    number = {text: i for i, text in enumerate(texts)}
    of_image = np.array([number[text] for text in rows.files])
    splits, groups = (
        _of_images(column, of_image, rows, what)
        for column, what in ((rows.splits, "split"), (rows.groups, "group"))
    )  # fmt: skip
    kept = [i for i in range(len(texts)) if sizes[i] is not None]
    place = {i: k for k, i in enumerate(kept)}
    boxed_rows = [r for r in range(len(rows.files)) if rows.boxes[r] is not None and of_image[r] in place]
    known = np.array([sizes[i] for i in kept], np.int64).reshape(-1, 2)
    image = np.array([place[of_image[r]] for r in boxed_rows], np.int64)
    boxes, remarks = _checked(rows, boxed_rows, known[image])
    chosen, repeats = _once(rows, boxed_rows, image, boxes)
    crowd = np.array([rows.crowd[boxed_rows[r]] for r in chosen], bool)
    if not len(chosen) or crowd.all():
        raise DataError(
            f"{rows.origin} contains no objects to train on",
            found=count(len(chosen), "crowd region") if len(chosen) else "no boxes",
            expected="at least one box per class",
        )  # fmt: skip
    boxed = BoxedImages(
        found.source(kept), known, image[chosen], boxes[chosen],
        tuple(class_name(rows.labels[boxed_rows[r]]) for r in chosen), crowd,
        tuple(rows.masks[boxed_rows[r]] for r in chosen),
    )  # fmt: skip
    crops = boxed.crops()
    given = np.array([splits[i] for i in kept], dtype="<U5")[crops.image]
    grouped = encode_labels([groups[i] or f"\t{i}" for i in kept])[0][crops.image]
    stated = Stated(rows.origin, crops.labels, where=tuple(map(crops.name, range(len(crops)))))
    without = len(kept) - len(np.unique(boxed.image))
    about = [
        f"{count(len(boxed.labels), 'box', 'boxes')} in {count(len(kept), 'image')}: {count(len(crops), 'crop')} of "
        "objects and background",
        *([f"{count(without, 'image')} without objects, used only for background crops"] if without else []),
        *(
            [f"{count(int(crowd.sum()), 'crowd region')} excluded from object and background crops"]
            if crowd.any() else []
        ),
        *remarks, *repeats, *found.notes, *notes,
    ]  # fmt: skip
    return Listing(name, crops, given, stated, grouped, tuple(about), tuple(lost), boxed=boxed)


def coco_root(path: Path, content: dict[str, Any], base: str = "") -> tuple[Path, str]:
    """The folder that the names of a COCO file's images are relative to: its own, or `images` there.

    Args:
        path: the file.
        content: what is in it.
        base: URL of the file's folder; "" for one on this machine.

    Returns:
        The folder, and its URL, "" for one on this machine.
    """
    listed = content.get("images")
    one = listed[0] if isinstance(listed, list) and listed and isinstance(listed[0], dict) else {}
    first = str(one.get("file_name", ""))
    root, inner = path.parent, path.parent / "images"
    if base:
        within = f"{base}/{inner.name}"
        return root, within if not at_url(first, base) and at_url(first, within) else base
    return (inner if not (root / first).is_file() and inner.is_dir() else root), ""


def read_coco(path: Path, content: Any, base: str = "") -> Listing:
    """Images, boxes and masks of a COCO JSON file; images are searched beside the file and in `images` there.

    Args:
        path: the file.
        content: what is in it.
        base: URL of the file's folder; "" for one on this machine.

    Returns:
        The listing of the crops, as for `read_boxes`.

    Raises:
        DataError: the file is not COCO's instances, or a box cannot be used.
    """
    try:
        images: dict[Any, dict[str, Any]] = {one["id"]: one for one in content["images"]}
        names = {one["id"]: str(one["name"]) for one in content["categories"]}
        objects = [(one["image_id"], one["category_id"], one["bbox"], one) for one in content["annotations"]]
    except (LookupError, TypeError) as error:
        raise DataError(
            f"{path} cannot be read as COCO annotations", found=f"{type(error).__name__}: {str(error)[:120]}",
            expected="a JSON object with images, annotations (image_id, category_id, bbox) and categories (id, name)",
        ) from error  # fmt: skip
    rows = BoxRows(str(path.resolve()), *coco_root(path, content, base))
    for number, one in images.items():
        if not isinstance(one.get("file_name"), str):
            raise DataError(f"image {number} of {path} has no file_name", found=str(one)[:120])
        if "width" in one and "height" in one:
            rows.sizes[one["file_name"]] = int(one["width"]), int(one["height"])
        rows.add(f"image {number}", one["file_name"], None)
    for k, (image, category, bbox, one) in enumerate(objects):
        where = f"annotation {one.get('id', k)}"
        if image not in images or category not in names:
            kind, value = ("image", image) if image not in images else ("category", category)
            raise DataError(
                f"{where} of {path} refers to an unknown {kind}", found=f"{kind}_id {value!r}",
                expected=f"an id that is listed in {'images' if kind == 'image' else 'categories'}",
            )  # fmt: skip
        try:
            left, top, width, height = (float(v) for v in bbox)
        except (TypeError, ValueError) as error:
            raise DataError(
                f"{where} of {path} has no usable bbox", found=str(bbox)[:80], expected="[x, y, width, height]"
            ) from error
        rows.add(
            where, images[image]["file_name"], (left, top, left + width, top + height), names[category],
            crowd=bool(one.get("iscrowd")), mask=one.get("segmentation") or None,
        )  # fmt: skip
    return read_boxes(rows, path.stem)


def _sizes(texts: Sequence[str], located: Located, rows: BoxRows) -> tuple[list[tuple[int, int] | None], list[str]]:
    """Width and height of each image, None for one that cannot be read or downloaded; and what to say of those."""

    def one(path: Path) -> tuple[int, int] | str:
        try:
            return oriented_size(read_bytes(path), str(path))
        except ImageError as error:
            return str(error)

    here = [i for i in range(len(texts)) if i not in located.failed]
    with quiet_pillow():
        found = list(threaded(one, [located.paths[i] for i in here]))
    failed = [size for size in found if isinstance(size, str)]
    if len(failed) == len(found):
        raise DataError(f"no image listed in {rows.origin} can be read", found=failed[0])
    sizes = {texts[i]: size for i, size in zip(here, found, strict=True) if not isinstance(size, str)}
    for text, stated in rows.sizes.items():
        if (size := sizes.get(text, stated)) != stated:
            raise DataError(
                f"the size of {text} in {rows.origin} differs from that of the file", found="{}x{}".format(*stated),
                expected="{}x{}, with the EXIF orientation applied".format(*size),
                fix="use the images that were annotated, or correct width and height",
            )  # fmt: skip
    lost = list(located.losses())
    if failed:
        lost.append(f"left out {count(len(failed), 'unreadable image')} and the corresponding boxes: {failed[0]}")
    return [sizes.get(text) for text in texts], lost


def _of_images(column: list[str], of_image: NDArray[np.int64], rows: BoxRows, what: str) -> list[str]:
    """What a column says of each image; DataError where its rows differ."""
    found: dict[int, tuple[str, str]] = {}
    for i, value, where in zip(of_image.tolist(), column, rows.where, strict=True):
        first, place = found.setdefault(i, (value, where))
        if first != value:
            raise DataError(
                f"{rows.origin} contains two {what} values for the same image",
                found=f"{first!r} in {place} and {value!r} in {where}",
                expected="the same value for all boxes of an image",
            )  # fmt: skip
    return [found[i][0] for i in range(len(found))]


def _checked(rows: BoxRows, chosen: Sequence[int], sizes: NDArray[np.int64]) -> tuple[NDArray[np.float64], list[str]]:
    """The boxes (B, 4) of some rows in pixels, inside their images of `sizes` (B, 2); DataError for others."""
    boxes = np.array([rows.boxes[r] for r in chosen], np.float64).reshape(-1, 4)

    def refuse(bad: NDArray[np.bool_] | np.bool_, what: str, expected: str, fix: str | None = None) -> None:
        if bad.any():
            i = int(np.flatnonzero(bad)[0])
            box, (width, height) = ", ".join(f"{v:g}" for v in boxes[i]), sizes[i]
            raise DataError(
                f"{rows.origin} contains {count(int(bad.sum()), 'box', 'boxes')} {what}",
                found=f"[{box}] in {rows.where[chosen[i]]}, in an image of {width}x{height} pixels",
                expected=expected, fix=fix,
            )  # fmt: skip

    refuse(~np.isfinite(boxes).all(1), "with non-finite coordinates", "four finite numbers")
    refuse(
        (boxes[:, 2:] <= boxes[:, :2]).any(1), "without area", "xmin < xmax and ymin < ymax", "remove or correct them"
    )
    shares = ((boxes >= 0) & (boxes <= 1)).all(1) & (boxes % 1 > 0).any(1)
    notes = []
    if shares.any():
        refuse(
            ~shares & (boxes > 1).any(1), "in pixels and others as fractions of the image size",
            "all boxes in pixels, or all as fractions from 0 to 1", "convert all boxes to the same unit",
        )  # fmt: skip
        boxes = boxes * np.tile(sizes, 2)
        notes.append("boxes are given as fractions of the image size")
    whole = np.concatenate([np.zeros_like(sizes), sizes], axis=1)
    beyond = np.concatenate([whole[:, :2] - boxes[:, :2], boxes[:, 2:] - whole[:, 2:]], axis=1).max(1, initial=0)
    refuse(
        beyond > TOLERANCE, "beyond the edges of the image",
        "0 <= xmin < xmax <= width and 0 <= ymin < ymax <= height",
        "check whether the boxes are for images of another size, or are given as x, y, width, height",
    )  # fmt: skip
    boxes = np.clip(boxes, 0, np.tile(sizes, 2))
    refuse((boxes[:, 2:] <= boxes[:, :2]).any(1), "outside the image", "boxes that overlap their images")
    unlabelled = np.array([not rows.labels[r].strip() for r in chosen], bool)
    refuse(unlabelled, "without a label", "a class for every box")
    reserved = np.array([class_name(rows.labels[r]) == BACKGROUND for r in chosen], bool)
    refuse(reserved, f"labelled {BACKGROUND!r}, the class reserved for crops without objects", "another name")
    return boxes, notes


def _once(
    rows: BoxRows, chosen: Sequence[int], image: NDArray[np.int64], boxes: NDArray[np.float64]
) -> tuple[list[int], list[str]]:
    """Positions of the boxes without repeats; DataError where one box has two labels."""
    first: dict[tuple[Any, ...], int] = {}
    kept = []
    for k, r in enumerate(chosen):
        key = int(image[k]), *boxes[k].tolist()
        other = first.setdefault(key, k)
        if other == k:
            kept.append(k)
        elif rows.labels[chosen[other]] != rows.labels[r]:
            raise DataError(
                f"{rows.origin} gives the same box two labels",
                found=f"{rows.labels[chosen[other]]!r} in {rows.where[chosen[other]]} and {rows.labels[r]!r} in "
                f"{rows.where[r]}",
                expected="one label per box", fix="remove the incorrect row",
            )  # fmt: skip
    repeats = len(chosen) - len(kept)
    return kept, [f"{count(repeats, 'duplicate box', 'duplicate boxes')} ignored"] if repeats else []
