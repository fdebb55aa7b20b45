"""One call finds the images of any source: a name, a folder, a table, an archive, arrays. No pixel is decoded.

A folder is recognised by what lies in it (`folder`). A file is recognised by its suffix: .csv and .tsv, .jsonl (one
object a line), .json (COCO's boxes and masks), .npz (images, labels). `clearsight.tasks.read` reads the labels.
"""

from __future__ import annotations

import os
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from clearsight.data.dataset import Listing
from clearsight.data.sources.arrays import read_pair
from clearsight.data.sources.boxes import read_coco
from clearsight.data.sources.builtin import BUILTIN
from clearsight.data.sources.delimited import read_csv, read_jsonl
from clearsight.data.sources.folder import AnyClasses, read_folder
from clearsight.data.sources.npz import read_npz
from clearsight.data.sources.table import read_frame
from clearsight.data.targets import IN_MEMORY
from clearsight.errors import BundleError, DataError, nearest

PREFIX = "builtin:"
"""Stands before the name of a built-in data set where a folder here has that name too."""


def find(data: Any, data_dir: str | Path | None = None, any_classes: AnyClasses | None = None) -> Listing:
    """The images of a source, and what the source states about them.

    Args:
        data: a built-in name (digits, mnist, fashion-mnist, cifar10, elpv), alone or after `builtin:`; a folder; a
            .csv, .tsv, .jsonl, .json or .npz file; a pandas frame with `image_path` and `label`; or a pair (images,
            labels).
        data_dir: folder of the files of a built-in name; None for the folder where their package puts them.
        any_classes: how the classes of a folder's splits may differ, as for `read_folder`.

    Returns:
        The listing; no pixel is decoded.

    Raises:
        DataError: nothing usable is found, or a name has two meanings.
    """
    if isinstance(data, tuple) and len(data) == 2:
        return read_pair(*data)
    if not isinstance(data, str | Path):
        if hasattr(data, "columns") and hasattr(data, "iloc"):
            return read_frame(data, root=Path(), name="frame", origin="a DataFrame")
        raise DataError(
            "the input is not a data set",
            found=f"an object of type {type(data).__name__}",
            expected="the name of a built-in data set, a path, a DataFrame, or a pair (images, labels)",
        )
    if isinstance(data, str) and data.startswith(PREFIX) and data.removeprefix(PREFIX) in BUILTIN:
        return BUILTIN[data.removeprefix(PREFIX)](Path(data_dir).expanduser() if data_dir else None)
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
            f"{data or 'a data set with an empty name'} does not exist",
            fix=f"did you mean {' or '.join(close)}?" if close else nearest(path.name, BUILTIN),
        )
    if data in BUILTIN:
        raise DataError(
            f"{data} is ambiguous", found=f"a built-in data set and the path `{path.absolute()}`",
            fix=f"write `./{data}` for the local path, or `{PREFIX}{data}` for the built-in data set",
        )  # fmt: skip
    if path.is_dir():
        return read_folder(path, any_classes)
    readers = {".csv": read_csv, ".tsv": read_csv, ".jsonl": read_jsonl, ".json": read_coco, ".npz": read_npz}
    if path.suffix.lower() not in readers:
        raise DataError(
            f"{path} cannot be read as a data set",
            found=f"a file with the suffix {path.suffix}" if path.suffix else "a file without a suffix",
            expected="a folder of images, or a .csv, .tsv, .jsonl, .json (COCO) or .npz file",
            fix="to predict a single image, use `clearsight predict RUN IMAGE`",
        )
    return readers[path.suffix.lower()](path)


ELSEWHERE = ("dev", "net", "proc", "sys")
"""Folders of the root that hold no files of a disk: devices, the kernel's own, and machines mounted when named."""


def recorded_place(origin: object, what: str) -> str:
    """Check where a run or an index says that its images are.

    Such a record may come from someone else, so it is checked before anything is opened.

    Args:
        origin: what the record says.
        what: what to call the images in messages.

    Returns:
        A built-in name, or a file or folder on this machine.

    Raises:
        BundleError: the record is missing, or names an address, a share of another machine, a device, a pipe, or
            nothing that exists.
    """
    if not isinstance(origin, str) or not origin or "\0" in origin:
        raise BundleError(f"the location of {what} is not recorded", fix="pass the data explicitly: RUN DATA")
    if origin in BUILTIN:
        return origin
    gone = BundleError(
        f"{what} are no longer available",
        found=f"nothing at {origin}" if origin != IN_MEMORY else "arrays in memory",
        fix="pass the data explicitly: RUN DATA",
    )
    path = Path(origin)
    shared = origin[:2] in ("//", "\\\\", "/\\", "\\/") or "://" in origin or origin.partition(":")[0] in SCHEMES
    try:
        named = shared or _elsewhere(
            Path(os.path.normpath(path.absolute()))
        )  # before anything is mounted by a look at it
        named = named or _elsewhere(path := path.resolve(strict=True))
        if named or not (path.is_dir() or path.is_file()):  # not a pipe, a socket or a device
            raise BundleError(
                f"the location recorded for {what} cannot be used", found=repr(origin)[:200],
                expected="a file or folder on this machine", fix="pass the data explicitly: RUN DATA",
            )  # fmt: skip
    except (OSError, RuntimeError):
        raise gone from None
    return origin


def _elsewhere(path: Path) -> bool:
    return len(path.parts) > 1 and path.parts[1] in ELSEWHERE and path.anchor == "/"


SCHEMES = ("data", "file", "ftp", "hf-hub", "http", "https", "local-dir", "s3", "smb")
"""What stands before the colon of an address."""
