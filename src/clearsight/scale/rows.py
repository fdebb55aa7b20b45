"""What bulk inference writes of each image: the prediction, or the features, as rows with fixed columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from clearsight.predictor import ModelOutput, Predictor
from clearsight.tasks import PredictOptions
from clearsight.tasks.prediction_cards import prediction_row

Row = dict[str, Any]
"""A value for each column: texts, numbers, booleans, lists of these, or None."""

IMAGE, ERROR = "image", "error"
"""Columns that every row has: the name of the image, and why it could not be read."""


class Rows(Protocol):
    """Makes rows of what a model computes."""

    statistics: bool
    title: str

    @property
    def predictor(self) -> Predictor:
        """What computes the outputs."""

    @property
    def options(self) -> dict[str, Any]:
        """What decides about the rows beside the model, as JSON values."""

    def of(self, output: ModelOutput, names: Sequence[str], nested: bool) -> list[Row]:
        """A row for each image. nested: values by name stay together, as JSON can hold them."""


@dataclass
class PredictionRows:
    """Predictions as rows: a column for each field and for each probability, or of the `top` most probable ones."""

    model: Predictor
    choices: PredictOptions
    top: int | None = None
    statistics: bool = True
    title: str = "predicting"

    @property
    def predictor(self) -> Predictor:
        """What computes the outputs."""
        return self.model

    @property
    def options(self) -> dict[str, Any]:
        """The options of the predictions.

        Returns:
            By name.
        """
        return {"kind": "predict", "top": self.top, **asdict(self.choices)}

    def of(self, output: ModelOutput, names: Sequence[str], nested: bool) -> list[Row]:
        """The predictions.

        Args:
            output: of the model.
            names: of the images.
            nested: probabilities stay together.

        Returns:
            A row for each image.
        """
        scores = self.model.ood(output)
        found = self.model.bundle.task.predictions(output.logits, list(names), scores, self.choices)
        raw = None if scores is None else scores.score
        rows = []
        for i, one in enumerate(found):
            row = asdict(one) if nested else prediction_row(one, self.model.bundle.task.names)
            if self.top is not None:
                row = _topmost(row, getattr(one, "probabilities", None), self.top, nested)
            if raw is not None:
                row["ood_score"] = float(raw[i])
            rows.append({name: list(value) if isinstance(value, tuple) else value for name, value in row.items()})
        return rows


def _topmost(row: Row, probabilities: Mapping[str, float] | None, top: int, nested: bool) -> Row:
    """A row with the most probable names only; unchanged where the task has no probabilities by name."""
    if probabilities is None:
        return row
    ranked = sorted(probabilities.items(), key=lambda one: -one[1])[:top]
    if nested:
        return {**row, "probabilities": dict(ranked)}
    kept = {name: value for name, value in row.items() if not name.startswith("probability_")}
    for place, (name, value) in enumerate(ranked, start=1):
        kept |= {f"top_{place}": name, f"top_{place}_probability": value}
    return kept


@dataclass
class FeatureRows:
    """Features below the head as rows: one column `embedding` with D numbers, in tables `embedding_0` and so on."""

    model: Predictor
    statistics: bool = False
    title: str = "embedding"

    @cached_property
    def predictor(self) -> Predictor:
        """What computes the features: of an ensemble its first network.

        Returns:
            A predictor.
        """
        return self.model.embedder

    @property
    def options(self) -> dict[str, Any]:
        """What was asked for.

        Returns:
            By name.
        """
        return {"kind": "embed"}

    def of(self, output: ModelOutput, names: Sequence[str], nested: bool) -> list[Row]:
        """The features.

        Args:
            output: of the model.
            names: of the images.
            nested: not used: a list is one value in every format.

        Returns:
            A row for each image.
        """
        return [{IMAGE: n, "embedding": f} for n, f in zip(names, output.features.astype(np.float32), strict=True)]
