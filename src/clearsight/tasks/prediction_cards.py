"""Predictions as cards of a page and as rows of a table, for each kind of prediction.

A kind of prediction that is not registered here is shown by its own `line`, and its fields are the columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from functools import singledispatch
from typing import Any

from clearsight.tasks.predictions import (
    AnomalyPrediction,
    LabelsPrediction,
    NumbersPrediction,
    OutputsPrediction,
    Prediction,
)
from clearsight.tasks.sections import Card
from clearsight.wording import listed, probability

SHARES = 4
"""Classes or labels that a card lists."""

NOTHING = 0.0005
"""Probability below which only the likeliest class is listed: it would read as none."""

COLUMNS = {
    "uncertainty": "uncertainty", "ood_percentile": "ood_percentile", "is_ood": "is_ood", "set": "prediction_set",
    "probabilities": "probability",
}  # fmt: skip
"""Names of columns, where a field of a prediction is called otherwise."""

UNKNOWN = "unknown"
"""The label shown for an image that is out of distribution."""


def prediction_row(prediction: Any, names: Sequence[str] = ()) -> dict[str, Any]:
    """A prediction as a row: a column for each field, and one for each name where a field has values by name. names: in
    the order of the columns; those of a field otherwise.
    """
    row: dict[str, Any] = {}
    for field in fields(prediction):
        value, column = getattr(prediction, field.name), COLUMNS.get(field.name, field.name)
        if isinstance(value, Mapping):
            for name in [name for name in names if name in value] or list(value):
                for key, one in _columns(column, name, value[name]):
                    row[f"{column}_{key}" if key in row else key] = one
        elif field.name != "intervals":  # which a direction has none of
            row[column] = value
    return row


def _columns(column: str, name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The columns of one value of a field: values are numbers, intervals, or numbers by name."""
    if isinstance(value, Mapping):
        yield from ((f"{name}_{key}", number) for key, number in value.items())
    elif isinstance(value, tuple):
        yield from ((f"{name}_{end}", number) for end, number in zip(("low", "high"), value, strict=True))
    else:
        yield name if column == "values" else f"{column}_{name}", value


@singledispatch
def prediction_card(prediction: Any, index: int) -> Card:
    """What a page shows of a prediction. index: the position of its image among those predicted."""
    return Card(index, prediction.image, (("", prediction.line()),))


@prediction_card.register
def _(prediction: Prediction, index: int) -> Card:
    lines = [("nearest class" if prediction.is_ood else "", prediction.label)]
    if prediction.set is not None:
        lines.append((f"prediction set: {listed(list(prediction.set)) if prediction.set else 'empty'}", ""))
    return _known(prediction, index, lines, _likeliest(prediction.probabilities))


@prediction_card.register
def _(prediction: LabelsPrediction, index: int) -> Card:
    lines = [("", listed(list(prediction.labels)) if prediction.labels else "no label")]
    return _known(prediction, index, lines, _likeliest(prediction.probabilities))


@prediction_card.register
def _(prediction: NumbersPrediction, index: int) -> Card:
    lines = [(name, f"{value:.4g}") for name, value in prediction.values.items()]
    for name, (low, high) in (prediction.intervals or {}).items():
        lines.append((f"{name} from {low:.4g} to {high:.4g}", ""))
    if prediction.within is not None:
        lines.append((f"within {prediction.within:.3g} degrees", ""))
    return _known(prediction, index, lines)


@prediction_card.register
def _(prediction: AnomalyPrediction, index: int) -> Card:
    words = "anomaly" if prediction.anomaly else "normal"
    about = f"p-value {prediction.p_value:.3g}, score {prediction.score:.3g}"
    shares = (("anomaly", prediction.probability),)
    return Card(index, prediction.image, (("", words), (about, "")), shares=shares)


@prediction_card.register
def _(prediction: OutputsPrediction, index: int) -> Card:
    lines = [
        (f"{output} {name}", f"{value:.4g}")
        for output, values in prediction.outputs.items()
        for name, value in list(values.items())[:SHARES]
    ]
    return _known(prediction, index, lines)


def _known(
    prediction: Any, index: int, lines: Sequence[tuple[str, str]], shares: tuple[tuple[str, float], ...] = ()
) -> Card:
    flag = UNKNOWN if prediction.is_ood else ""
    return Card(index, prediction.image, tuple(lines), shares=shares, flag=flag)


def _likeliest(probabilities: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    first, *others = list(probabilities.items())[:SHARES]
    return (first, *((name, share) for name, share in others if share >= NOTHING))


def card_words(card: Card) -> tuple[str, ...]:
    """A card in lines of plain text."""
    lines = [" ".join(filter(None, line)) for line in card.lines]
    flag = [card.flag] if card.flag else []
    return (*lines[:1], *flag, *lines[1:], *(f"{name} {probability(share)}" for name, share in card.shares[:2]))
