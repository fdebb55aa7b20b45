"""`Predictions`: what `Model.predict` returns, one prediction for each image."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from clearsight.data.geometry import Geometry
from clearsight.data.inputs import ImageInputs
from clearsight.data.pixels import PixelFormat, Pixels
from clearsight.errors import ClearsightError
from clearsight.result import Result
from clearsight.tasks.prediction_cards import prediction_card, prediction_row
from clearsight.tasks.sections import Card
from clearsight.wording import count, visible

if TYPE_CHECKING:
    import pandas as pd

PICTURES = 24
"""Images that are shown at most, and kept where they were passed as pixels or contents."""

KEPT_SIDE = 160
"""Pixels that an array's shorter side keeps, at least, for the picture."""


RGB = PixelFormat(3, 8)


@dataclass(frozen=True, repr=False, eq=False)
class Predictions(Result, Sequence[Any]):
    """The predictions for N images: a sequence of the task's predictions, equal to a list of the same ones.

    rows: the predictions. names: what the task predicts, in the model's order. thing: image or sound. items: for each
    image what its picture is read from, a path, the content of a file or pixels; None for those that are not shown.
    form, geometry: how the model reads images. asked: `coverage`, `sets`, `by_class` and `group` as far as the task has
    them, where the user asked for one of these. notes: what to know of the prediction sets.

    Example:
        >>> found = cs.load("runs/digits").predict("new/")
        >>> found[0].label, len(found.to_frame())
        ('0', 2)
    """

    rows: tuple[Any, ...]
    names: tuple[str, ...] = ()
    thing: str = "image"
    items: tuple[Any, ...] = ()
    form: PixelFormat = RGB
    geometry: Geometry | None = None
    asked: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @overload
    def __getitem__(self, index: int) -> Any: ...

    @overload
    def __getitem__(self, index: slice) -> Predictions: ...

    def __getitem__(self, index: int | slice) -> Any:
        if not isinstance(index, slice):
            return self.rows[index]
        return replace(self, rows=self.rows[index], items=self.items[index])

    def __len__(self) -> int:
        return len(self.rows)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Predictions):
            return self.rows == other.rows
        return self.rows == tuple(other) if isinstance(other, list | tuple) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # as of a list

    def to_frame(self) -> pd.DataFrame:
        """A table with a row for each image: its name, its prediction, and a column for each class or number; then
        the coverage, method and group, where these were asked for.
        """
        import pandas as pd

        about = {"method" if name == "sets" else name: value for name, value in self.asked.items()}
        if "group" in about:
            about["group"] = None if about["group"] is None else "=".join(about["group"])
        return pd.DataFrame([{**prediction_row(one, self.names), **about} for one in self.rows])

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        asked = {"asked": dict(self.asked)} if self.asked else {}
        notes = {"notes": list(self.notes)} if self.notes else {}
        return {"predictions": [asdict(one) for one in self.rows], **asked, **notes}

    def text(self) -> str:
        """A line for each image, with its prediction set if one was requested."""
        coverage = self.asked.get("coverage")
        lines = [visible(f"{one.image}  {one.line(coverage=coverage, thing=self.thing)}") for one in self.rows]
        return "\n".join([f"predictions for {count(len(self), self.thing)}", *self.about_sets(), *lines])

    def about_sets(self) -> list[str]:
        """The options of prediction sets or intervals, and notes on them, in lines."""
        if not self.asked:
            return []
        asked = self.asked
        parts = [f"coverage {100 * asked['coverage']:g} %"]
        parts += [f"method {asked['sets']}"] if "sets" in asked else []
        parts += ["by class"] if asked.get("by_class") else []
        parts += [f"within the group {'='.join(asked['group'])}"] if asked.get("group") else []
        what = "prediction sets" if any(hasattr(one, "set") for one in self.rows) else "intervals"
        return [f"{what}: {', '.join(parts)}", *(f"note: {note}" for note in self.notes)]

    def cards(self) -> tuple[Card, ...]:
        """The content of a page: the first images with their predictions."""
        return tuple(prediction_card(one, i) for i, one in enumerate(self.rows[:PICTURES]))

    @property
    def flagged(self) -> int:
        """Number of images flagged as out of distribution."""
        return sum(bool(prediction_card(one, 0).flag) for one in self.rows)

    def pixels(self, i: int, side: int) -> Pixels | None:
        """Image i (C, H, W) for a picture, about `side` pixels at least where it is larger; None where it is not kept
        or can no longer be read.
        """
        item = self.items[i] if i < len(self.items) else None
        if item is None:
            return None
        image = ImageInputs([item], (self.rows[i].image,))
        try:
            header = image.inspect(0)[1]
            factor = min(1.0, 2 * side / max(header.height, header.width, 1))
            if factor < 0.5 and not header.oriented:
                size = (max(1, round(factor * header.height)), max(1, round(factor * header.width)))
                return image.decode(0, self.form, Geometry(*size, "squash"))
            return image.original(0, self.form)
        except ClearsightError:  # a sound, which has no size of its own, or a file that is gone
            try:
                return None if self.geometry is None else image.decode(0, self.form, self.geometry)
            except ClearsightError:
                return None


def kept_items(images: ImageInputs) -> tuple[Any, ...]:
    """What the pictures of images are read from later: paths, and of the first images contents and reduced pixels."""
    return tuple(_kept(images.items, i) for i in range(len(images)))


def _kept(items: Any, i: int) -> Any:
    if isinstance(items, list | tuple) and isinstance(items[i], str | os.PathLike):
        return items[i]
    if i >= PICTURES:
        return None
    item = items[i]
    if not isinstance(item, np.ndarray):
        return item
    step = max(1, min(item.shape[1:]) // (2 * KEPT_SIDE))
    return item[:, ::step, ::step].copy()
