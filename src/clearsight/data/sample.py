"""A part of a data set, drawn so that every class and every stated split keeps its share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clearsight.data.dataset import Dataset, Source
from clearsight.data.geometry import Geometry
from clearsight.data.pixels import Header, PixelFormat, Pixels
from clearsight.data.scan import Scan


@dataclass(frozen=True)
class Chosen:
    """Some images of a source, under their own names."""

    source: Source
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def name(self, i: int) -> str:
        return self.source.name(int(self.rows[i]))

    def inspect(self, i: int) -> tuple[str, Header, int]:
        return self.source.inspect(int(self.rows[i]))

    def decode(self, i: int, form: PixelFormat, geometry: Geometry, expected: str = "") -> Pixels:
        return self.source.decode(int(self.rows[i]), form, geometry, expected)


def sampled(dataset: Dataset, scanned: Scan, images: int, seed: int) -> tuple[Dataset, Scan]:
    """About so many images of a data set, at random by seed and by their positions; all of it where it has no more."""
    if images >= len(dataset):
        return dataset, scanned
    rng = np.random.default_rng(seed)
    share, kept = images / len(dataset), []
    strata = np.unique(np.stack([dataset.labels.astype(str), dataset.given.astype(str)]), axis=1)
    for label, given in strata.T:
        members = np.flatnonzero((dataset.labels == int(label)) & (dataset.given == given))
        kept.append(rng.permutation(members)[: max(1, round(share * len(members)))])
    rows = np.sort(np.concatenate(kept))
    source = dataset.source
    chosen = Chosen(source.source, source.rows[rows]) if isinstance(source, Chosen) else Chosen(source, rows)
    return dataset.rows(chosen, rows), scanned.rows(rows)
