"""Tables that name images: CSV, JSONL and pandas frames with `image_path`, `label` and perhaps `split` and `group`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clearsight.data.dataset import Dataset, Files, encode_labels
from clearsight.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

_PATH = ("image_path", "path", "image", "file", "filename", "file_name")
_LABEL = ("label", "class", "target", "category")
_SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test", "": ""}


def read_csv(path: Path) -> Dataset:
    """A comma-separated table with a header; image paths are relative to the table's folder."""
    import pandas as pd

    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, OSError) as error:
        raise DataError(f"{path} cannot be read as CSV", found=str(error)[:160]) from error
    return read_frame(frame, root=path.parent, name=path.stem, origin=str(path.resolve()))


def read_jsonl(path: Path) -> Dataset:
    """One JSON object a line, with the same keys as a CSV has columns."""
    import pandas as pd

    try:
        frame = pd.read_json(path, lines=True, dtype=False)
    except (ValueError, OSError) as error:
        raise DataError(f"{path} cannot be read as JSON lines", found=str(error)[:160]) from error
    return read_frame(frame, root=path.parent, name=path.stem, origin=str(path.resolve()))


def read_frame(frame: pd.DataFrame, *, root: Path, name: str, origin: str) -> Dataset:
    """A table of image paths and labels; DataError lists missing files and images labelled two ways."""
    columns = {str(c).strip().lower(): c for c in frame.columns}
    path_column = next((columns[c] for c in _PATH if c in columns), None)
    label_column = next((columns[c] for c in _LABEL if c in columns), None)
    if path_column is None or label_column is None:
        raise DataError(
            f"{origin} lacks a column",
            found=", ".join(map(str, frame.columns)) or "no columns",
            expected=f"one of {', '.join(_PATH)} and one of {', '.join(_LABEL)}",
        )
    if not len(frame):
        raise DataError(f"{origin} lists no images", found="0 rows")
    labels = [str(v).strip() for v in frame[label_column]]
    if blank := [i for i, v in enumerate(labels) if v in ("", "nan", "None")]:
        raise DataError(f"{len(blank)} rows of {origin} have no label", found=f"first in row {blank[0] + 2}")
    paths = [_resolve(str(v).strip(), root) for v in frame[path_column]]
    missing = [p for p in paths if not p.is_file()]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(paths)} images named by {origin} do not exist",
            found=", ".join(str(p) for p in missing[:3]) + (", ..." if len(missing) > 3 else ""),
            expected=f"paths relative to {root.resolve()}, or absolute ones",
        )
    rows = _without_repeats(paths, labels, origin)
    paths, labels = [paths[i] for i in rows], [labels[i] for i in rows]
    indices, classes = encode_labels(labels)
    given = np.full(len(rows), "", dtype="<U5")
    if "split" in columns:
        words = [str(v).strip().lower() for v in frame[columns["split"]]]
        if unknown := sorted(set(words) - set(_SPLITS)):
            raise DataError(f"{origin} names unknown splits", found=", ".join(unknown), expected="train, val, test")
        given = np.array([_SPLITS[words[i]] for i in rows], dtype="<U5")
    groups = None
    if "group" in columns:
        groups = encode_labels([str(frame[columns["group"]].iloc[i]) for i in rows])[0]
    return Dataset(name, Files(tuple(paths), root), indices, classes, given, origin, groups=groups)


def _resolve(text: str, root: Path) -> Path:
    path = Path(text).expanduser()
    return path if path.is_absolute() else root / path


def _without_repeats(paths: list[Path], labels: list[str], origin: str) -> list[int]:
    """Row numbers with every image once; DataError when two rows label one image differently."""
    seen: dict[Path, int] = {}
    conflicts = []
    for i, path in enumerate(paths):
        first = seen.setdefault(path, i)
        if labels[first] != labels[i]:
            conflicts.append(f"{path.name} is {labels[first]!r} in row {first + 2} and {labels[i]!r} in row {i + 2}")
    if conflicts:
        raise DataError(
            f"{origin} labels {len(conflicts)} image(s) in two ways",
            found="; ".join(conflicts[:3]),
            expected="one label per image",
            fix="remove the wrong rows",
        )
    return sorted(seen.values())
