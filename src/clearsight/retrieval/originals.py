"""The images behind an index, as they were before a model scaled them.

An index may come from someone else, and name any folder of this machine as the place of its images. So an image is
shown only where its content is what was indexed: whoever made the index had it already.
"""

from __future__ import annotations

from clearsight.data.dataset import Source
from clearsight.data.displayed import displayed_as_rgb, displayed_form, shown_of
from clearsight.data.geometry import Geometry
from clearsight.data.pixels import PixelFormat, Pixels
from clearsight.data.sources.read import recorded_place
from clearsight.errors import BundleError, DataError
from clearsight.retrieval.index import Index
from clearsight.tasks import TaskOptions, read


class Originals:
    """Reads indexed images by their position. Raises a ClearsightError where the data is gone, or where the index does
    not hold the digests by which its images are known.
    """

    def __init__(self, index: Index, data_dir: str | None = None, form: PixelFormat | None = None) -> None:
        """data_dir: as of `read`, from the user or from `runs.folder.recorded_data_dir`. form: how the model
        reads images, which names the channels to show; None for the first three.
        """
        self.form = form
        card = index.card
        if len(card.digests) != len(card.rows):
            raise no_digests()
        self.rows, self.digests = card.rows, card.digests
        origin, options = recorded_place(card.origin, "the indexed images"), TaskOptions(normal=(), evaluating=True)
        self.source: Source = read(origin, data_dir=data_dir, task=card.task, options=options).source

    def picture(self, place: int, side: int = 128) -> Pixels:
        """The image at a position (3, side, side) uint8, whole, with borders where it is not square. DataError where
        it is no longer the one that was indexed.
        """
        row, digest = self.rows[place], self.digests[place]
        known, header, _ = self.source.inspect(row) if digest and row < len(self.source) else ("", None, 0)
        if header is None or known != digest:
            raise DataError("the image has changed since it was indexed", fix="build the index again")
        found = self.source.decode(row, displayed_form(header), Geometry(side, side, "pad"), digest)
        return displayed_as_rgb(found, shown_of(found, self.form))


def no_digests() -> BundleError:
    """Why an index that was written before indexes held digests has no pictures."""
    return BundleError(
        "the index contains no image digests, so its images cannot be shown",
        fix="build the index again: `clearsight index RUN`",
    )
