"""One call finds the images of any source: a name, a folder, a table, an archive, arrays. No pixel is decoded.

A folder is recognised by what lies in it (`folder`). A file is recognised by its suffix: .csv, .jsonl (one object a
line), .npz (images, labels). `clearsight.tasks.read` reads the labels.
"""

from __future__ import annotations

import os
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from clearsight.data.dataset import Listing
from clearsight.data.sources.arrays import read_pair
from clearsight.data.sources.builtin import BUILTIN
from clearsight.data.sources.folder import AnyClasses, read_folder
from clearsight.data.sources.npz import read_npz
from clearsight.data.sources.table import read_csv, read_frame, read_jsonl
from clearsight.errors import DataError, nearest


def find(data: Any, data_dir: str | Path | None = None, any_classes: AnyClasses | None = None) -> Listing:
    """The images of a source and what it states about them.

    data: a built-in name (digits, mnist, fashion-mnist, cifar10, elpv), a folder, a .csv/.jsonl/.npz file, a pandas
    frame with `image_path` and `label`, or a pair (images, labels). data_dir: where the files of a built-in name lie,
    when they are not where their package puts them. any_classes: how a folder's classes may differ, as for
    `read_folder`. Raises DataError when nothing usable is found.
    """
    if isinstance(data, tuple) and len(data) == 2:
        return read_pair(*data)
    if not isinstance(data, str | Path):
        if hasattr(data, "columns") and hasattr(data, "iloc"):
            return read_frame(data, root=Path(), name="frame", origin="a DataFrame")
        raise DataError(
            "this is no data set",
            found=f"a {type(data).__name__}",
            expected="a name, a path, a DataFrame, or a pair (images, labels)",
        )
    path = Path(os.path.expanduser(data))  # noqa: PTH111 - leaves ~unknown as it is, where pathlib raises
    if not str(data) or not os.path.exists(path):  # noqa: PTH110 - False for names too long, where pathlib raises
        if str(data) in BUILTIN:
            return BUILTIN[str(data)](Path(data_dir).expanduser() if data_dir else None)
        try:
            siblings = [name for name in os.listdir(path.parent) if not name.startswith(".")]  # noqa: PTH208
        except (OSError, ValueError):
            siblings = []
        close = [f"`{path.parent / name}`" for name in get_close_matches(path.name, siblings, n=3, cutoff=0.6)]
        raise DataError(
            f"{data or 'a data set without a name'} does not exist",
            fix=f"did you mean {' or '.join(close)}?" if close else nearest(path.name, BUILTIN),
        )
    if path.is_dir():
        return read_folder(path, any_classes)
    readers = {".csv": read_csv, ".jsonl": read_jsonl, ".npz": read_npz}
    if path.suffix.lower() not in readers:
        raise DataError(
            f"{path} cannot be read as a data set",
            found=f"a file ending in {path.suffix or 'nothing'}",
            expected="a folder of images, or a .csv, .jsonl or .npz file",
            fix="to ask about one image use `clearsight predict RUN IMAGE`",
        )
    return readers[path.suffix.lower()](path)
