"""Prediction and features as callables on tables of Arrow: bytes in, rows out. Ray Data and Spark call them.

import ray
from clearsight import scale
photos = ray.data.read_binary_files("s3://bucket/photos/", include_paths=True)
found = photos.map_batches(
    scale.Predict, fn_constructor_args=["runs/photos"], batch_format="pyarrow", concurrency=4, num_gpus=0.25)
found.write_parquet("s3://bucket/predictions/")
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from clearsight.data.sources.stream_items import BytesItem, Item
from clearsight.errors import DataError
from clearsight.runs.load import ModelSource, predictor_of
from clearsight.scale.part_files import arrow_schema, arrow_table
from clearsight.scale.rows import FeatureRows, PredictionRows, Row, Rows
from clearsight.scale.spans import PartEnd, Work, computed, example
from clearsight.tasks import PredictOptions

MANY = 1_000_000
"""Number of images that the engine is chosen for, as in `bulk`."""

CONTENT = ("bytes", "content", "image_bytes", "data")
"""Names of a column of image files."""

NAME = ("path", "image", "image_path", "id", "name", "file_name")
"""Names of a column of names."""


class _OnTables:
    """Base of the callables: a model that is loaded at the first call, once in each worker."""

    def __init__(self, model: ModelSource) -> None:
        self.model = model

    @cached_property
    def rows(self) -> Rows:
        """What is computed.

        Returns:
            The maker of rows.
        """
        raise NotImplementedError

    @cached_property
    def _schema(self) -> Any:
        return arrow_schema(example(self.rows, MANY, nested=False))

    def __call__(self, table: Any) -> Any:
        """The rows of a batch of images.

        Args:
            table: a table of Arrow with a column of image files (`bytes`, `content`, ...) and one of names (`path`,
                `image`, `id`, ...).

        Returns:
            A table of Arrow: a row for each image, in order; `error` says why one could not be read.

        Raises:
            DataError: there is no such column.
        """
        content, name = (_column(table, names, what) for names, what in ((CONTENT, "image files"), (NAME, "names")))
        images = zip(table[name].to_pylist(), table[content].to_pylist(), strict=True)
        found = self.of([BytesItem(str(name), data or b"") for name, data in images])
        return arrow_table(found, self._schema)

    def of(self, items: Sequence[Item], nested: bool = False) -> list[Row]:
        """The rows of some images.

        Args:
            items: the images.
            nested: as for `Rows.of`.

        Returns:
            A row for each image.
        """
        work: Iterable[Work] = [*items, PartEnd(0, len(items), "")]
        return [row for chunk in computed(work, self.rows, MANY, nested) for row in chunk.rows]


class Predict(_OnTables):
    """Predictions of the images in a table of Arrow.

    Args:
        model: a run, its folder, or a loaded model.
        top: number of classes whose probabilities are in the result; None for all.
        options: coverage and method of prediction sets and intervals.

    Example:
        >>> import pathlib, pyarrow
        >>> from clearsight import scale
        >>> table = pyarrow.table({"path": ["new.png"], "bytes": [pathlib.Path("new.png").read_bytes()]})
        >>> scale.Predict("runs/digits")(table)["label"].to_pylist()
        ['0']
    """

    def __init__(self, model: ModelSource, top: int | None = None, options: PredictOptions | None = None) -> None:
        super().__init__(model)
        self.top, self.options = top, options or PredictOptions()

    @cached_property
    def rows(self) -> Rows:
        """The maker of predictions.

        Returns:
            The maker of rows.
        """
        return PredictionRows(predictor_of(self.model), self.options, self.top)


class Embed(_OnTables):
    """Features of the images in a table of Arrow, in the column `embedding`.

    Args:
        model: a run, its folder, or a loaded model.
    """

    @cached_property
    def rows(self) -> Rows:
        """The maker of features.

        Returns:
            The maker of rows.
        """
        return FeatureRows(predictor_of(self.model))


def _column(table: Any, names: Sequence[str], what: str) -> str:
    found = next((name for name in names if name in table.column_names), None)
    if found is None:
        raise DataError(
            f"the table has no column of {what}", found=", ".join(table.column_names),
            expected=f"one of {', '.join(names)}",
        )  # fmt: skip
    return found
