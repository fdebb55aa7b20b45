"""The images behind an index, as they were before a model scaled them."""

from __future__ import annotations

from clearsight.data.dataset import Source
from clearsight.data.geometry import Geometry
from clearsight.data.pixels import PixelFormat, Pixels
from clearsight.retrieval.index import Index
from clearsight.tasks import TaskOptions, read


class Originals:
    """Reads indexed images by their position. Raises a ClearsightError where the data is gone."""

    def __init__(self, index: Index, data_dir: str | None = None) -> None:
        self.rows = index.card.rows
        self.source: Source = read(
            index.card.origin, data_dir=data_dir, task=index.card.task, options=TaskOptions(normal=(), evaluating=True)
        ).source

    def picture(self, place: int, side: int = 128) -> Pixels:
        """The image at a position (3, side, side) uint8, whole, with borders where it is not square."""
        return self.source.decode(self.rows[place], PixelFormat(3, 8), Geometry(side, side, "pad"))
