"""Leaving images out of training: by name, such as those whose labels an earlier run doubted, or a class of images that
belong to none of the others.
"""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clearsight.csv_cells import from_cell
from clearsight.data.dataset import Dataset
from clearsight.data.prepare import Prepared
from clearsight.data.sample import Chosen
from clearsight.errors import ConfigError, DataError, did_you_mean
from clearsight.wording import count

COLUMN = "image"


def without(data: Prepared, table: str) -> tuple[Prepared, str, str]:
    """The data without the images that a CSV names in its column `image`; how many these are and why, in words.

    Images of the test split stay, as leaving out the hard ones would flatter the model. DataError for a table that
    cannot be read, images the data does not have, and a class or part of which nothing is left.
    """
    named = _names(Path(table).expanduser())
    place = {data.dataset.source.name(i): i for i in range(len(data.dataset))}
    if unknown := [name for name in named if name not in place]:
        raise DataError(
            f"{table} lists {count(len(unknown), 'image')} that {data.dataset.name} does not contain",
            found=", ".join(unknown[:3]),
            expected=f"names such as {next(iter(place))}",
        )
    rows: NDArray[np.int64] = np.array(sorted({place[name] for name in named}), np.int64)
    split = data.split.without(rows)
    parts = [split.train, split.val, *(part for pair in split.folds for part in pair)]
    gone = [
        name
        for k, name in enumerate(data.dataset.classes)
        if (data.labels[data.split.train] == k).any() and not (data.labels[split.train] == k).any()
    ]
    if gone or not all(map(len, parts)):
        raise DataError(
            f"too few training images remain if those listed in {table} are left out",
            found=f"no training images of {', '.join(map(repr, gone[:5]))}" if gone else "an empty split",
            fix="list fewer images",
        )
    tested = len(np.intersect1d(rows, split.test))
    why = f"listed in {table}" + (f", except for the {count(tested, 'test image')} listed there" if tested else "")
    return replace(data, split=split), count(len(rows) - tested, "image"), why


def other_class(dataset: Dataset, name: str) -> tuple[Dataset, Dataset]:
    """The data without the class of a name, and the images of that class: images of no class, known to be so.

    ConfigError where images do not have one class each, or have no such class, or no two others.
    """
    classes = dataset.classes
    if not dataset.task.needs_classes or dataset.values is not None:
        raise ConfigError("--other requires data with one class per image", found=f"{dataset.task.name}")
    if name not in classes:
        raise ConfigError(
            f"--other {name}: unknown class", expected=f"one of {', '.join(classes[:10])}",
            fix=did_you_mean(name, classes),
        )  # fmt: skip
    if len(classes) < 3:
        raise ConfigError(
            f"--other {name}: too few classes in the data", found=", ".join(classes), expected="3 or more"
        )
    gone = classes.index(name)
    left = np.array([k for k in range(len(classes)) if k != gone])
    rows = np.flatnonzero(dataset.labels != gone), np.flatnonzero(dataset.labels == gone)
    known, other = (dataset.rows(Chosen(dataset.source, chosen), chosen) for chosen in rows)
    names = tuple(classes[k] for k in left)
    places = np.where(known.labels < 0, -1, np.searchsorted(left, known.labels))
    return replace(known, labels=places, classes=names, names=names), other


def _names(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            columns = list(reader.fieldnames or [])
            named = [from_cell(row[COLUMN]) for row in reader if row.get(COLUMN)] if COLUMN in columns else None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"--leave-out {path} cannot be read", found=str(error)[:160]) from error
    if named is None:
        raise DataError(
            f"--leave-out {path} has no column `{COLUMN}`", found=", ".join(columns) or "no columns",
            expected="a table with a header row, such as the label_issues.csv of a run",
        )  # fmt: skip
    return named
