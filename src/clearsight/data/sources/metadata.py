"""Folders with a table next to the images, as Hugging Face's `imagefolder` and other tools write them.

    metadata.jsonl, metadata.csv, metadata.parquet    `file_name` and other columns; also in each split folder
    _classes.csv                                      `filename` and a column of 0 and 1 per class, in each split folder
    a single other table                              that lists images of the folder

Where the same folder also has class folders that disagree with the table, the user has to choose.

Reference: https://huggingface.co/docs/datasets/image_dataset
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clearsight.data.dataset import Files, Listing
from clearsight.data.files import files_below, left_aside, named_as_image
from clearsight.data.sources.delimited import csv_frame, jsonl_frame
from clearsight.data.sources.remote import file_path, is_url
from clearsight.data.sources.selection import Selection
from clearsight.data.sources.split_names import split_of, splits_of
from clearsight.data.sources.table import read_frame
from clearsight.data.sources.table_columns import IMAGE, LABEL, ColumnsError
from clearsight.errors import DataError
from clearsight.wording import count

if TYPE_CHECKING:
    import pandas as pd

NAMES = ("metadata.jsonl", "metadata.csv", "metadata.parquet", "_classes.csv")
"""Of the tables that are looked for in a folder and those in it."""

TABLES = (".csv", ".tsv", ".jsonl")
SIZES = frozenset({"width", "height", "channels", "size"})
"""Columns of numbers that are no targets where there are class folders."""

DEPTH = 2
"""Folders below the data set's in which tables are looked for."""


def has_images(folder: Path) -> bool:
    """Whether an image lies in a folder or below it."""
    return any(named_as_image(file) for file in files_below(folder))


def tables_beside(folder: Path) -> tuple[list[Path], bool]:
    """The tables that say what the images in a folder are.

    Args:
        folder: of the data set.

    Returns:
        Their paths, and whether their names say that they do; other tables of the folder itself where there are none.
    """
    named: list[Path] = []
    others: list[Path] = []
    places = [_unwrapped(folder)]
    for depth in range(DEPTH + 1):
        below: list[Path] = []
        for place in places:
            with os.scandir(place) as found:
                for one in sorted(found, key=lambda one: one.name):
                    if one.name in NAMES:
                        named.append(Path(one.path))
                    elif left_aside(one.name):
                        continue
                    elif depth == 0 and one.name.lower().endswith(TABLES):
                        others.append(Path(one.path))
                    elif depth < DEPTH and one.is_dir():
                        below.append(Path(one.path))
        places = below
    return (named, True) if named else (others, False)


def _unwrapped(folder: Path) -> Path:
    """The folder itself, or the one in it where that is all there is, as archives hold it."""
    while True:
        found = [one for one in folder.iterdir() if not left_aside(one.name)]
        if len(found) != 1 or not found[0].is_dir():
            return folder
        folder = found[0]


def with_metadata(
    folder: Path, tables: Sequence[Path], surely: bool, selection: Selection, from_folders: Callable[[], Listing]
) -> Listing:
    """The images of a folder with tables, by these or by class folders.

    Args:
        folder: of the data set.
        tables: in it, at least one.
        surely: whether the names of the tables say what they are.
        selection: what the user chose.
        from_folders: reads the class folders; DataError where there are none.

    Returns:
        The listing.

    Raises:
        DataError: neither can be read, or they disagree.
    """
    if not surely and len(tables) > 1:
        return _of_several(folder, tables, selection, from_folders)
    root = folder if surely else tables[0].parent
    by_table: Listing | None = None
    failed: DataError | None = None
    try:
        by_table = _read(root, tables, selection)
    except DataError as error:
        failed = error
    if selection.format == "table" or selection.label or selection.image:
        if failed:
            raise failed
        assert by_table is not None
        return by_table
    try:
        by_folder = from_folders()
    except DataError as error:
        if by_table is not None:
            return by_table
        raise (failed if surely and failed else error) from error
    if by_table is None and failed is not None:
        if surely and not isinstance(failed, ColumnsError):
            raise DataError(
                failed.happened, found=failed.found, expected=failed.expected,
                fix=f"correct the table; for the class folders, use {selection.command(str(folder), format='folder')}",
            ) from failed  # fmt: skip
        return replace(by_folder, notes=(*by_folder.notes, f"{tables[0].name} is not used: {failed.happened}"))
    assert by_table is not None
    if len(set(by_folder.stated.cells or ())) < 2:  # no classes, a folder of images
        return by_table
    if set(map(str.lower, by_table.stated.columns)) <= SIZES and not _about_classes(by_table):
        return by_folder
    if not _consistent(by_table, by_folder):
        name = tables[0].name
        way = selection.command(str(folder), format="table") if surely else selection.command(str(tables[0]))
        raise DataError(
            f"{folder} has class folders and a table, {name}, and they disagree",
            found=_difference(by_table, by_folder), expected="the same labels in both",
            fix=f"for the table, use {way}; for the class folders, use "
            f"{selection.command(str(folder), format='folder')}",
        )  # fmt: skip
    if len(by_table.source) == len(by_folder.source):  # which may also state splits, groups and other columns
        return by_table
    if by_table.given.any() or by_table.groups is not None:
        raise DataError(
            f"the table {tables[0].name} in {folder} states splits or groups of some images only",
            found=f"{len(by_table.source):,} of {count(len(by_folder.source), 'image')} in class folders",
            expected="a row for every image",
            fix=f"for the images of the table alone, use "
            f"{selection.command(str(folder if surely else tables[0]), format='table' if surely else '')}; for the "
            f"class folders alone, use {selection.command(str(folder), format='folder')}",
        )  # fmt: skip
    return by_folder


def _of_several(
    folder: Path, tables: Sequence[Path], selection: Selection, from_folders: Callable[[], Listing]
) -> Listing:
    """The class folders, where there are several tables; without class folders the user has to choose a table."""
    ways = "; ".join(f"for {one.name}, use {selection.command(str(one), format='')}" for one in tables[:4])
    if selection != Selection():
        raise DataError(
            f"{folder} contains several tables", found=", ".join(one.name for one in tables[:12]),
            expected="a selection of one", fix=ways,
        )  # fmt: skip
    try:
        return from_folders()
    except DataError as error:
        raise DataError(error.happened, found=error.found, expected=error.expected, fix=ways) from error


def _read(folder: Path, tables: Sequence[Path], selection: Selection) -> Listing:
    """The images that tables of a folder list, and what is left out."""
    import pandas as pd

    frames = []
    notes: list[str] = []
    for table, split in zip(tables, splits_of(tables, folder), strict=True):
        frame, about = _frame(table)
        notes += about
        column = next((name for word in IMAGE for name in frame.columns if str(name).strip().lower() == word), None)
        if selection.image in frame.columns:
            column = selection.image
        if column is None:
            raise DataError(
                f"{table} has no column of images", found=", ".join(map(str, frame.columns)), expected="`file_name`"
            )
        if table.parent != folder:
            inner = table.parent.relative_to(folder).as_posix()
            frame[column] = [
                f"{inner}/{text.strip()}" if isinstance(text, str) and _is_relative(text.strip()) else text
                for text in frame[column]
            ]
        if split and "split" not in frame.columns:
            frame["split"] = split
        if len(tables) > 1:
            frame.index = pd.Index([f"{i} of {table.relative_to(folder).as_posix()}" for i in frame.index])
        frames.append(frame)
    whole = frames[0] if len(frames) == 1 else pd.concat(frames)
    listing = read_frame(
        whole, root=folder, name=folder.resolve().name, origin=str(folder.resolve()), notes=notes, selection=selection
    )
    return replace(_with_splits(listing, folder), losses=(*listing.losses, *_unlisted(folder, listing)))


def _is_relative(text: str) -> bool:
    return bool(text) and not is_url(text) and file_path(text) is None and not Path(text).is_absolute()


def _with_splits(listing: Listing, folder: Path) -> Listing:
    """A listing whose table states no splits with those of the folders that the images are in, if all are in such."""
    if listing.given.any() or not isinstance(listing.source, Files):
        return listing
    places = [path.parent for path in listing.source.paths]
    inner = [place.relative_to(folder) if place.is_relative_to(folder) else Path() for place in places]
    splits = list(map(split_of, inner))
    if not all(splits) or "train" not in splits or len(set(splits)) < 2:
        return listing
    note = "the splits are taken from the folders that the images are in"
    return replace(listing, given=np.array(splits, dtype="<U5"), notes=(*listing.notes, note))


def _frame(table: Path) -> tuple[pd.DataFrame, tuple[str, ...]]:
    if table.suffix.lower() == ".jsonl":
        return jsonl_frame(table), ()
    if table.suffix == ".parquet":
        from clearsight.data.sources.parquet import plain_frame

        return plain_frame(table), ()
    return csv_frame(table)


def _unlisted(folder: Path, listing: Listing) -> tuple[str, ...]:
    """What to say of images that a folder has and its tables do not list."""
    if not isinstance(listing.source, Files):
        return ()
    listed = {os.path.realpath(path) for path in listing.source.paths}
    images = [path for path in files_below(folder) if named_as_image(path)]
    left = [path for path in images if os.path.realpath(path) not in listed]
    if not left:
        return ()
    return (f"left out {count(len(left), 'image')} that the table does not list, for example {left[0].name}",)


def _about_classes(listing: Listing) -> bool:
    return listing.stated.cells is not None and listing.stated.column.strip().lower() in LABEL


def _labels(listing: Listing) -> dict[str, str]:
    assert isinstance(listing.source, Files)
    cells = listing.stated.cells or ()
    return {os.path.realpath(path): cell for path, cell in zip(listing.source.paths, cells, strict=True)}


def _consistent(table: Listing, folders: Listing) -> bool:
    """Whether the labels of a table are those of the folders, for all images that it lists."""
    if not isinstance(table.source, Files) or not isinstance(folders.source, Files) or table.stated.cells is None:
        return False
    of_folders = _labels(folders)
    return all(of_folders.get(path) == cell for path, cell in _labels(table).items())


def _difference(table: Listing, folders: Listing) -> str:
    if not isinstance(table.source, Files) or not isinstance(folders.source, Files):
        return "different images"
    if table.stated.cells is None:
        return f"the numbers {', '.join(table.stated.columns[:5])} in the table"
    of_folders = _labels(folders)
    for path, cell in _labels(table).items():
        if of_folders.get(path) != cell:
            other = of_folders.get(path)
            return f"{Path(path).name} as {cell!r} in the table and " + (
                f"in the folder {other!r}" if other is not None else "in no class folder"
            )
    return "different images"
