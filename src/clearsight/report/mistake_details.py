"""What stands beside the picture of a mistake: where the network looked, the likeliest names, and the training images
that are most similar to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from clearsight.data.displayed import displayed
from clearsight.data.loader import to_float
from clearsight.errors import ClearsightError
from clearsight.explanation.explain import Settings, explain, methods_of
from clearsight.predictor import Predictor
from clearsight.report.components.map_colours import overlay
from clearsight.report.components.pictures import Picture, data_thumbnail, encoded, visible
from clearsight.tasks.sections import Card
from clearsight.train.fit import Fitted

MAPS = 6
"""Mistakes that get a heatmap, at most: each costs a few passes through the network."""

NEIGHBOURS = 3
"""Training images beside a mistake."""

SIDE = 160
NEIGHBOUR_SIDE = 72
"""Longest side of a heatmap and of a training image in pixels."""

BLUR = 24
"""Standard deviations of the blur of a heatmap along its longer side: what is finer would be lost at this size."""

SHADE = 0.6
"""Brightness of the image under a heatmap, so that the map can be seen on white too."""

METHODS = ("grad-cam", "smoothgrad")
"""Methods of heatmaps that are quick enough, the first that suits the network."""


@dataclass(frozen=True)
class Neighbours:
    """Training images to search: rows (M,) in the data set, and unit-length features (M, D)."""

    rows: NDArray[np.int64]
    features: NDArray[np.float32]

    @classmethod
    def of(cls, rows: NDArray[np.int64], features: NDArray[np.floating]) -> Neighbours:
        """From features of any length (M, D)."""
        return cls(rows, _unit(features))

    def nearest(self, features: NDArray[np.floating]) -> NDArray[np.int64]:
        """Rows of the most similar images to one (D,), by the cosine, nearest first."""
        return np.asarray(self.rows[np.argsort(-(self.features @ _unit(features)), kind="stable")[:NEIGHBOURS]])


@dataclass(frozen=True)
class Similar:
    """A training image and its label in words."""

    picture: Picture
    label: str


@dataclass(frozen=True)
class Details:
    """What stands beside one mistake. method: of the heatmap."""

    heatmap: Picture | None = None
    method: str = ""
    shares: tuple[tuple[str, float], ...] = ()
    similar: tuple[Similar, ...] = ()


class MistakeDetails:
    """Details of the mistakes of a run; heatmaps for the first ones that are asked for."""

    def __init__(
        self,
        fitted: Fitted,
        predictor: Predictor | None = None,
        neighbours: Neighbours | None = None,
        features: Mapping[int, NDArray[np.floating]] | None = None,
        shares: Mapping[int, tuple[tuple[str, float], ...]] | None = None,
    ) -> None:
        """features, shares: of test images, by their positions in the data set."""
        self.fitted, self.predictor, self.neighbours = fitted, predictor, neighbours
        self.features, self.shares = features or {}, shares or {}
        self.maps: dict[int, tuple[Picture, str] | None] = {}
        available = () if predictor is None else methods_of(predictor)
        self.method = next((m for m in METHODS if m in available), "")

    def of(self, card: Card) -> Details | None:
        """The details of a card; None for one that is to have none."""
        if not card.explained:
            return None
        heatmap, method = self._heatmap(card) or (None, "")
        return Details(heatmap, method, self.shares.get(card.index, ()), tuple(self._similar(card.index)))

    def _heatmap(self, card: Card) -> tuple[Picture, str] | None:
        if card.mapped or not self.method or self.predictor is None:
            return None
        if card.index not in self.maps and len(self.maps) < MAPS:
            self.maps[card.index] = self._drawn(self.predictor, card)
        return self.maps.get(card.index)

    def _drawn(self, predictor: Predictor, card: Card) -> tuple[Picture, str] | None:
        prepared = self.fitted.prepared
        own = prepared.pixels.array[card.index]
        try:
            settings = Settings(samples=8)
            found = next(explain(predictor, own[None], method=self.method, settings=settings, faithfulness=False))
        except ClearsightError:  # a network that this method does not suit: the page is complete without it
            self.method = ""
            return None
        smooth = gaussian_filter(np.asarray(found.heat, np.float64), max(found.heat.shape) / BLUR)
        shown = visible(displayed(to_float(own[None])[0].numpy(), prepared.form.shown))
        drawn = overlay(SHADE * shown, smooth, 0.85)
        pixels = np.asarray(np.rint(255 * np.clip(drawn, 0, 1)).transpose(2, 0, 1), np.uint8)
        thumbnail = data_thumbnail(prepared, card.index, SIDE, pixels=pixels)
        return encoded(thumbnail, f"{card.image}: heatmap ({self.method}) of {found.target}"), self.method

    def _similar(self, index: int) -> list[Similar]:
        if self.neighbours is None or index not in self.features:
            return []
        prepared, dataset = self.fitted.prepared, self.fitted.prepared.dataset
        found = []
        for row in self.neighbours.nearest(self.features[index]).tolist():
            label = dataset.words(row)
            alt = f"training image {dataset.source.name(row)}, labelled {label}"
            found.append(Similar(encoded(data_thumbnail(prepared, row, NEIGHBOUR_SIDE), alt), label))
        return found


def _unit(features: NDArray[np.floating]) -> NDArray[np.float32]:
    length = np.linalg.norm(features, axis=-1, keepdims=True)
    return np.asarray(features / np.maximum(length, 1e-12), np.float32)
