"""JSON files: COCO's annotations, Label Studio's exports, and lists of objects, which are tables."""

from __future__ import annotations

import json
from pathlib import Path

from clearsight.data.dataset import Listing
from clearsight.data.sources.boxes import coco_root, read_coco
from clearsight.data.sources.categories import of_images, read_categories
from clearsight.data.sources.label_studio import is_tasks, read_tasks
from clearsight.data.sources.selection import Selection
from clearsight.data.sources.table import read_frame
from clearsight.errors import DataError


def read_json(path: Path, selection: Selection | None = None, base: str = "") -> Listing:
    """The images of a JSON file.

    Args:
        path: of the file.
        selection: what the user chose.
        base: URL of the file's folder; "" for one on this machine.

    Returns:
        The listing: crops of boxes for COCO's instances, else whole images.

    Raises:
        DataError: the content has another form.
    """
    import pandas as pd

    selection = selection or Selection()
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"{path} cannot be read as COCO annotations or another JSON file",
            found=f"{type(error).__name__}: {str(error)[:120]}",
        ) from error
    if isinstance(content, dict):
        selection.only(str(path), "format=classification", "format=detection")
    else:
        selection.only(str(path), "label", "image")
    if is_tasks(content):
        return read_tasks(path, content, selection)
    if isinstance(content, list) and content and all(isinstance(row, dict) for row in content):
        frame = pd.DataFrame(content, dtype=object)
        return read_frame(
            frame, root=path.parent, name=path.stem, origin=str(path.resolve()), row="object", selection=selection,
            base=base,
        )  # fmt: skip
    if isinstance(content, dict) and of_images(path, content, selection):
        return read_categories(path, content, coco_root(path, content))
    return read_coco(path, content)
