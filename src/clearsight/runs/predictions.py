"""The predictions for the test images that a run keeps: predictions.csv, and predictions.parquet where pyarrow is
installed. All numbers of the report about the test split follow from them.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.csv_cells import as_cell
from clearsight.disk import disk_errors, whole_file
from clearsight.tasks.outcomes import Outcomes

CSV, PARQUET = "predictions.csv", "predictions.parquet"

FIX = "free some space or choose another --out"


def write_predictions(folder: Path, images: Sequence[str], found: Outcomes) -> None:
    """Write the predictions for the test images, whole or not at all.

    Args:
        folder: the run.
        images: names of the N images.
        found: what is predicted of them.

    Raises:
        OutputError: the disk refuses.
    """
    columns: dict[str, NDArray[Any]] = {"image": np.array(images, dtype=str), **found.columns}
    with disk_errors(folder / CSV, "the run", FIX), whole_file(folder / CSV) as stream:
        stream.write(_csv(columns).encode(errors="replace"))
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        return
    kept = {name: [_clean(str(v)) for v in values] if values.dtype.kind == "U" else values
            for name, values in columns.items()}  # fmt: skip
    table = pa.table({_clean(name): pa.array(values) for name, values in kept.items()})
    with disk_errors(folder / PARQUET, "the run", FIX), whole_file(folder / PARQUET) as stream:
        pq.write_table(table, pa.PythonFile(stream), compression="zstd")


def predictions_files(folder: Path) -> list[str]:
    """Names of the files of predictions that a run has.

    Args:
        folder: the run.

    Returns:
        Names of files in the folder.
    """
    return [name for name in (CSV, PARQUET) if (folder / name).is_file()]


def _csv(columns: Mapping[str, NDArray[Any]]) -> str:
    """A table with a row for each image; numbers in full, so that they are read back as they were."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow([as_cell(name) for name in columns])
    table.writerows(zip(*(_cells(values) for values in columns.values()), strict=True))
    return text.getvalue()


def _cells(values: NDArray[Any]) -> list[Any]:
    if values.dtype.kind == "U":
        return [as_cell(str(value)) for value in values]
    if values.dtype.kind == "b":
        values = values.astype(int)
    return list(values.tolist())


def _clean(text: str) -> str:
    """Text that UTF-8 can hold."""
    return text.encode(errors="replace").decode()
