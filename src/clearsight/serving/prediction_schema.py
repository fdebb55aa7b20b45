"""The JSON of the served model's predictions: a schema made of the dataclass of its task's predictions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from functools import cache, reduce
from inspect import cleandoc
from operator import or_
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pydantic import BaseModel, Field, create_model

from clearsight.serving.schemas import AttackBody, Unreadable
from clearsight.tasks import Task

ABOUT = """task: the task of the model. picture: a PNG data URI of the image as the network sees it, if requested.
line: the prediction in words, if requested.
"""


@cache
def prediction_schema(task: type[Task]) -> type[BaseModel]:
    """One prediction: the fields of the task's dataclass with their ranges, its docstring, and `task` and `picture`."""
    kind = task.prediction
    hints = get_type_hints(kind)
    known: dict[str, Any] = {
        "task": (Literal[task.name], ...),
        **{f.name: _field(hints[f.name], f.metadata) for f in fields(kind)},
        "picture": (str | None, None),
        "line": (str | None, None),
    }
    return create_model(kind.__name__, __doc__=f"{cleandoc(kind.__doc__ or '')}\n\n{ABOUT}", **known)


def _field(hint: Any, metadata: Mapping[str, Any]) -> Any:
    bounds = {key: metadata[key] for key in ("ge", "le") if metadata.get(key) is not None}
    return (_nullable(hint) if metadata.get("infinite") else hint), Field(**bounds)


def _nullable(hint: Any) -> Any:
    """The same type with null for numbers, which stands for what is not finite."""
    if hint is float:
        return float | None
    arguments = tuple(map(_nullable, get_args(hint)))
    if not arguments:
        return hint
    return reduce(or_, arguments) if isinstance(hint, UnionType) else get_origin(hint)[arguments]


def predictions_body(prediction: type[BaseModel]) -> type[BaseModel]:
    """The response of `/v1/predict`."""
    return create_model(
        "Predictions",
        __doc__="One entry per image, in the order in which the images were sent.",
        predictions=(list[prediction | Unreadable], ...),  # type: ignore[valid-type]
    )


def attack_body(prediction: type[BaseModel]) -> type[BaseModel]:
    """The response of `/v1/attack`."""
    return create_model(
        "AttackBody", __base__=AttackBody, __doc__=AttackBody.__doc__, before=(prediction, ...), after=(prediction, ...)
    )
