"""One call finds the images of any source: a name, a folder, a table, an archive, arrays. No pixel is decoded.

A folder is recognised by what lies in it: class folders (`folder`), tables next to images (`metadata`), shards. A file
is recognised by its suffix: .csv and .tsv, .jsonl (one object a line), .json (COCO, Label Studio, a list of objects),
.npz (images, labels), .parquet and .arrow, data.yaml (YOLO). Archives are extracted and URLs downloaded first, into the
cache (`places`). `clearsight.tasks.read` reads the labels.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from clearsight.data.cache import cache_root
from clearsight.data.dataset import Files, Listing
from clearsight.data.sources.arrays import read_pair
from clearsight.data.sources.builtin import BUILTIN
from clearsight.data.sources.delimited import read_csv, read_jsonl
from clearsight.data.sources.folder import AnyClasses, read_folder
from clearsight.data.sources.json_data import read_json
from clearsight.data.sources.metadata import has_images, tables_beside, with_metadata
from clearsight.data.sources.npz import read_npz
from clearsight.data.sources.parquet import ENDINGS as PARQUET
from clearsight.data.sources.parquet import read_parquet, read_shards, shards_in
from clearsight.data.sources.places import exists, fetched, in_archive, is_file, local, naming, opened
from clearsight.data.sources.remote import is_url
from clearsight.data.sources.selection import Selection, selected
from clearsight.data.sources.table import read_frame
from clearsight.data.sources.webdataset import is_tar, labelled_beside, read_webdataset, shards_of, tars_below, tars_in
from clearsight.data.sources.yolo import read_yaml
from clearsight.data.targets import IN_MEMORY
from clearsight.errors import BundleError, DataError, nearest
from clearsight.wording import count

PREFIX = "builtin:"
"""Stands before the name of a built-in data set where a folder here has that name too."""


def find(data: Any, data_dir: str | Path | None = None, any_classes: AnyClasses | None = None) -> Listing:
    """The images of a source, and what the source states about them.

    Args:
        data: a built-in name (digits, mnist, fashion-mnist, cifar10, elpv), alone or after `builtin:`; a folder; a
            .csv, .tsv, .jsonl, .json, .npz, .parquet, .arrow or data.yaml file; an archive, or a path into one; a
            pattern of WebDataset's shards; a URL of any of these; a pandas frame with `image_path` and `label`; or a
            pair (images, labels). `#label=COLUMN` and the other selections (`selection`) follow a path or URL.
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
    place, selection = selected(str(data))
    path = local(place)
    if place.removeprefix(PREFIX) in BUILTIN and not exists(path):
        selection.only(place)
    if str(data) in BUILTIN and not exists(path):
        return BUILTIN[str(data)](Path(data_dir).expanduser() if data_dir else None)
    if isinstance(data, str) and data in BUILTIN:
        raise DataError(
            f"{data} is ambiguous", found=f"a built-in data set and the path `{path.absolute()}`",
            fix=f"write `./{data}` for the local path, or `{PREFIX}{data}` for the built-in data set",
        )  # fmt: skip
    if (shards := shards_of(place, path)) and not exists(path):
        return _of_origin(read_webdataset(shards, place, selection), str(data), place, path, selection)
    here = fetched(place) if is_url(place) else path
    if naming(lambda: _is_tar_of_samples(place, here, selection), str(here), place):
        found, within = here, str(here) if is_url(place) else ""
    else:
        found, within = naming(lambda: opened(place, here), str(here), place)
    if not str(place) or not exists(found):
        raise _missing(place, path)
    base = place.partition("?")[0].rpartition("/")[0] if is_url(place) and found == here else ""
    listing = naming(lambda: _read(found, base, selection, any_classes), within, place)
    if within:
        _require_contained(listing, place)
    return _of_origin(listing, str(data), place, path, selection, name=_named(place) if within else None)


def _of_origin(
    listing: Listing, data: str, place: str, path: Path, selection: Selection, name: str | None = None
) -> Listing:
    """A listing whose origin finds the same data again, from any folder."""
    plain = place if is_url(place) else str(path.resolve())
    return replace(listing, name=name or listing.name, stated=replace(listing.stated, origin=selection.of(plain)))


def _read(path: Path, base: str, selection: Selection, any_classes: AnyClasses | None) -> Listing:
    """The images of a folder or file on this machine. base: URL of the folder that it was downloaded from; "" for
    none.
    """
    if path.is_dir():
        return _read_directory(path, selection, any_classes)
    readers: dict[str, Callable[[], Listing]] = {
        ".csv": lambda: read_csv(path, selection, base), ".tsv": lambda: read_csv(path, selection, base),
        ".jsonl": lambda: read_jsonl(path, selection, base), ".json": lambda: read_json(path, selection, base),
        ".npz": lambda: read_npz(path, selection), ".yaml": lambda: read_yaml(path, selection, base),
        ".yml": lambda: read_yaml(path, selection, base),
        **dict.fromkeys(PARQUET, lambda: read_parquet(path, selection, base)),
    }  # fmt: skip
    if is_tar(path):
        return read_webdataset([path], str(path.resolve()), selection)
    if path.suffix.lower() not in readers:
        raise DataError(
            f"{path} cannot be read as a data set",
            found=f"a file with the suffix {path.suffix}" if path.suffix else "a file without a suffix",
            expected="a folder of images, an archive of one (.zip, .tar), or a .csv, .tsv, .jsonl, .json, .npz, "
            ".parquet, .arrow or data.yaml file",
            fix="to predict a single image, use `clearsight predict RUN IMAGE`",
        )
    return readers[path.suffix.lower()]()


def _require_contained(listing: Listing, place: str) -> None:
    """DataError where a table in an archive or at a URL, which may come from others, names files of this machine."""
    source = listing.boxed.files if listing.boxed is not None else listing.source
    if not isinstance(source, Files):
        return
    root = cache_root().resolve()
    for path in source.paths:
        if not path.resolve().is_relative_to(root):
            raise DataError(
                f"{place} names an image outside of it", found=str(path)[:200], expected="paths inside it, or URLs",
                fix="if you trust it, unpack or download it, and pass its path",
            )  # fmt: skip


def _read_directory(path: Path, selection: Selection, any_classes: AnyClasses | None) -> Listing:
    """The images of a folder, recognised by what lies in it."""

    def from_folders() -> Listing:
        return read_folder(path, any_classes)

    try:
        tables, surely = tables_beside(path)
        if not selection.format and not tables and not has_images(path):
            if shards := tars_in(path):
                return read_webdataset(shards, str(path.resolve()), selection)
            if shards := shards_in(path):
                return read_shards(path, shards, selection)
            if shards := tars_below(path):
                return read_webdataset(shards, str(path.resolve()), selection)
    except OSError as error:
        raise DataError(f"{error.filename or path} cannot be listed", found=error.strerror) from error
    if selection.format == "webdataset" and (shards := tars_in(path) or tars_below(path)):
        return read_webdataset(shards, str(path.resolve()), selection)
    if selection.format == "folder" or not tables:
        selection.only(str(path), "format=folder")
        return from_folders() if selection.format else _without_shards(path, from_folders)
    selection.only(str(path), "label", "image", "format=table")
    return with_metadata(path, tables, surely, selection, from_folders)


def _without_shards(path: Path, from_folders: Callable[[], Listing]) -> Listing:
    """The images of class folders; DataError where there are no several classes, but shards beside a few images."""
    failed: DataError | None = None
    try:
        listing = from_folders()
        if listing.stated.cells is None or len(set(listing.stated.cells)) > 1:
            return listing
    except DataError as error:
        failed = error
    if shards := tars_in(path) or shards_in(path) or tars_below(path):
        at = shlex.quote(os.path.commonpath([file.parent for file in shards] if len(shards) > 1 else shards))
        raise DataError(
            f"{path} contains both images and files that hold images", found=f"{count(len(shards), 'file')} such as "
            f"{shards[0].name}", expected="class folders, or such files alone",
            fix=f"for these files, move the other images elsewhere, or use `clearsight train {at}`; for the folders as "
            f"classes, use {Selection(format='folder').command(str(path))}",
        )  # fmt: skip
    if failed:
        raise failed
    return listing


def _is_tar_of_samples(place: str, path: Path, selection: Selection) -> bool:
    """Whether an archive is one of WebDataset's, to be read without extracting it. DataError where it may be one, or
    an archive of class folders.
    """
    if not is_file(path) or not is_tar(path) or selection.format == "folder":
        return False
    if selection.format == "webdataset":
        return True
    beside, in_folders = labelled_beside(path)
    if beside and in_folders:
        raise DataError(
            f"the archive {place} can be read in two ways", found="files of labels next to images in several folders",
            fix=f"for the files of labels, use {selection.command(place, format='webdataset')}; for the folders as "
            f"classes, use {selection.command(place, format='folder')}",
        )  # fmt: skip
    return beside


def _missing(place: str, path: Path) -> DataError:
    """The error for a path at which there is nothing, with names that are close to it."""
    try:
        siblings = [name for name in os.listdir(path.parent) if not name.startswith(".")]  # noqa: PTH208
    except (OSError, ValueError):
        siblings = []
    close = [f"`{path.parent / name}`" for name in get_close_matches(path.name, siblings, n=3, cutoff=0.6)]
    return DataError(
        f"{place or 'a data set with an empty name'} does not exist",
        fix=f"did you mean {' or '.join(close)}?" if close else nearest(path.name, BUILTIN, "built-in data sets"),
    )


def _named(place: str) -> str:
    """The name of a data set that is in the cache: that of the archive or URL, without its ending."""
    last = place.rstrip("/").rpartition("/")[2]
    return last.partition(".")[0] or last or "data"


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
        named = named or _elsewhere(path := _file_of(origin).resolve(strict=True))
        if named or not (path.is_dir() or path.is_file()):  # not a pipe, a socket or a device
            raise BundleError(
                f"the location recorded for {what} cannot be used", found=repr(origin)[:200],
                expected="a file or folder on this machine", fix="pass the data explicitly: RUN DATA",
            )  # fmt: skip
    except (OSError, RuntimeError):
        raise gone from None
    return origin


def _file_of(origin: str) -> Path:
    """The file or folder of a record that also says what is selected there, or leads into an archive, or is a pattern
    of shards.
    """
    try:
        path = Path(selected(origin)[0])
        if exists(path):
            return path
        leads, shards = in_archive(path), shards_of(str(path), path)
    except DataError:
        return Path(origin)
    return leads[0] if leads else shards[0] if shards else path


def _elsewhere(path: Path) -> bool:
    return len(path.parts) > 1 and path.parts[1] in ELSEWHERE and path.anchor == "/"


SCHEMES = ("data", "file", "ftp", "hf-hub", "http", "https", "local-dir", "s3", "smb")
"""What stands before the colon of an address."""
