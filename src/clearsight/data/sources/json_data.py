"""JSON files: COCO's annotations, Label Studio's exports, and lists of objects, which are tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clearsight.data.dataset import Listing
from clearsight.data.sources.boxes import coco_root, read_coco
from clearsight.data.sources.categories import of_images, read_categories, require_unique
from clearsight.data.sources.label_studio import is_tasks, read_tasks
from clearsight.data.sources.selection import Selection
from clearsight.data.sources.table import read_frame
from clearsight.errors import ClearsightError, DataError
from clearsight.json_values import from_json


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
    selection = selection or Selection()
    try:
        content = from_json(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read as COCO annotations or another JSON file",
            found=f"{type(error).__name__}: {str(error)[:120]}",
        ) from error
    if isinstance(content, dict):
        selection.only(str(path), "format=classification", "format=detection")
    else:
        selection.only(str(path), "label", "image")
    try:
        return _listed(path, content, selection, base)
    except ClearsightError:
        raise
    except (LookupError, TypeError, AttributeError, ValueError, OverflowError, RecursionError) as error:
        kind = "Label Studio's tasks" if is_tasks(content) else "COCO annotations or a list of objects"
        raise DataError(
            f"{path} cannot be read as {kind}", found=f"a value of another form: {str(error)[:120]}",
            expected="the form that the tool exports", fix="export it again",
        ) from error  # fmt: skip


def _listed(path: Path, content: Any, selection: Selection, base: str) -> Listing:
    """The images of what is in a JSON file; what its values have of other forms raises other errors than DataError."""
    import pandas as pd

    if is_tasks(content):
        return read_tasks(path, content, selection, base)
    if isinstance(content, list) and content and all(isinstance(row, dict) for row in content):
        frame = pd.DataFrame(content, dtype=object)
        return read_frame(
            frame, root=path.parent, name=path.stem, origin=str(path.resolve()), row="object", selection=selection,
            base=base,
        )  # fmt: skip
    require_unique(path, content)
    if isinstance(content, dict) and of_images(path, content, selection):
        return read_categories(path, content, *coco_root(path, content, base))
    return read_coco(path, content, base)
