"""What a run's folder holds besides its model: the report, the audit card, and the way to the images it learned from.

Nothing a request says becomes part of a path: the files are these, and images are found by their position. Nor need the
run be trusted: pages are read from inside its folder alone, and images that it names elsewhere are shown only where
their content is what it recorded, so that its maker had them already.
"""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np

from clearsight.data.cached_pixels import PixelView
from clearsight.disk import file_within, read_within
from clearsight.errors import BundleError, ClearsightError, OutputError
from clearsight.feature_vis import Sample
from clearsight.predictor import Predictor
from clearsight.report.components.pictures import PIXEL_ART, eight_bits
from clearsight.report.sprites import png
from clearsight.retrieval import Index, Originals
from clearsight.retrieval.originals import no_digests
from clearsight.runs.folder import recorded_data_dir
from clearsight.runs.images import own_data, training_images

SEARCHED = 300
"""Training images that are searched for what excites a unit."""

SIDE = 112
"""Of a thumbnail in pixels."""

FILES = {"report": "report.html", "robustness": "robustness/robustness.html"}
"""The pages of a run that are served as they are."""


class RunFolder:
    """The folder of the model in service; path is None for a model that has none."""

    def __init__(self, path: Path | None, predictor: Predictor, index: Index | None) -> None:
        self.path, self.predictor, self.index = path, predictor, index
        self._reading = threading.Lock()
        self._sample: Sample | BundleError | None = None
        self._originals: Originals | ClearsightError | None = None

    @property
    def _side(self) -> int:
        """Of a thumbnail: small images stay pixel by pixel."""
        geometry = self.predictor.bundle.geometry
        longer = max(geometry.height, geometry.width)
        return longer if longer <= PIXEL_ART else SIDE

    def page(self, name: str) -> bytes:
        """The report or the robustness report; BundleError names the command that writes it, or the reason."""
        return read_within(self._with_file(name), FILES[name])

    def _with_file(self, name: str) -> Path:
        """The run's folder, if it holds a page."""
        if self.path is None or not (self.path / FILES[name]).is_file():
            raise BundleError(
                {"report": "this model has no report", "robustness": "this model has no robustness report"}[name],
                fix={"report": "`clearsight train DATA` writes one next to the model",
                     "robustness": "run `clearsight robustness RUN`"}[name],
            )  # fmt: skip
        return self.path

    def missing(self) -> dict[str, str]:
        """Which of the pages does not exist, whether the images it learned from are not, and pictures of its index; and
        why.
        """
        found = {}
        try:
            own_data(self.predictor.bundle)
        except BundleError as error:
            found["patches"] = str(BundleError(error.happened, found=error.found))
        if self.index is not None and not self.index.card.digests:
            found["pictures"] = str(no_digests())
        for name in FILES:
            try:
                file_within(self._with_file(name), FILES[name])
            except BundleError as error:
                found[name] = str(error)
        return found

    def sample(self) -> Sample:
        """Some of the images the model learned from, the same each time; slow the first time. BundleError where they
        are not known or gone.
        """
        with self._reading:
            if self._sample is None:
                try:
                    self._sample = self._read()
                except (BundleError, OutputError) as error:
                    self._sample = BundleError(error.happened, found=error.found, fix=error.fix)
                except ClearsightError:  # it may quote files that the run names and clients must not see
                    self._sample = BundleError("the images this model was trained on cannot be read")
        if isinstance(self._sample, BundleError):
            raise self._sample
        return self._sample

    def _read(self) -> Sample:
        images, labels, names, words = training_images(self.predictor, self.path or self.predictor)
        some = np.sort(np.random.default_rng(0).permutation(len(labels))[:SEARCHED])
        return Sample(
            PixelView(images.array, images.indices[some]), labels[some], [names[i] for i in some],
            [words[i] for i in some],
        )  # fmt: skip

    def thumbnail(self, place: int) -> str | None:
        """The indexed image at a position as a PNG data URI; None where it is gone or changed."""
        if self.index is None:
            return None
        if self._originals is None:
            try:
                where = recorded_data_dir(self.path, self.index.card.origin) if self.path else None
                self._originals = Originals(self.index, where, self.predictor.bundle.form)
            except ClearsightError as error:
                self._originals = error
        if isinstance(self._originals, ClearsightError):
            return None
        try:
            return png(eight_bits(self._originals.picture(place, self._side)) / 255)
        except ClearsightError:
            return None
