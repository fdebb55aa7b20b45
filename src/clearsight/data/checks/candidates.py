"""Pairs of images that may be copies: nearest neighbours of small thumbnails, found by Faiss.

The thumbnail of every image is compared with those of all others in their eight turned and mirrored versions, with
parts of 84 % of the side (70 % of the area) for cropped copies, and the middle of every image with parts of equal size
for shifted copies. What is found is only a candidate; `registration` verifies it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.data.checks.views import SMALL, Views, inverse, turned

SIDE = 12
"""Side in pixels of the thumbnails."""

CROP, CROP_PLACES = 27, (0, 2, 3, 5)
"""Side of the parts that are compared with cropped copies, and where they begin, in pixels of the small view."""

MIDDLE, SHIFT_PLACES = 22, (0, 2, 4, 6, 8, 10)
"""The same for shifted copies: up to 5 of 32 pixels, or 16 % of the side."""

NEIGHBOURS = 3
"""Neighbours taken of each query, the image itself among them."""

EXACT_SEARCH = 8192
"""Images up to which the search is exact; beyond, neighbours are searched in the nearest cells of an inverted file."""

CLOSEST = 12
"""Candidates kept of each image and kind."""

COMMON = 8
"""Directions left out of the comparison of parts: those of the mean images, which nearly equal objects share."""

TURNED_SCORE = 0.8
"""Least correlation of turned thumbnails: those of copies are aligned."""

Indices = NDArray[np.int64]
Place = tuple[int, int, int]
"""Top, left and side in pixels of a square part."""


@dataclass(frozen=True)
class Candidates:
    """M pairs of images by position: first (M,), second (M,). turn (M,): what is done to the first."""

    first: Indices
    second: Indices
    turn: Indices


def turned_candidates(views: Views) -> Candidates:
    """Pairs that may show the same, whole, possibly turned or mirrored; each pair and turn once.

    Args:
        views: of N images.

    Returns:
        The candidates; `turn` is done to the first.
    """
    whole = _parts(views.small, 0, 0, SMALL)
    index = _Index(_unit(whole))
    found = []
    for turn in range(8):
        query, other, score = index.search(_unit(turned(whole, turn)))
        near = (score >= TURNED_SCORE) & (query != other)
        query, other = query[near], other[near]
        swap = query > other
        turns = np.where(swap, inverse(turn), turn)
        found.append(np.stack([np.where(swap, other, query), np.where(swap, query, other), turns]))
    pairs = np.unique(np.concatenate(found, axis=1), axis=1)
    return Candidates(pairs[0], pairs[1], pairs[2])


def cropped_candidates(views: Views) -> Candidates:
    """Pairs of which the first may be a part of the second.

    Args:
        views: of N images.

    Returns:
        The candidates, up to `CLOSEST` for each first image.
    """
    places = [(y, x, CROP) for y in CROP_PLACES for x in CROP_PLACES]
    second, first, score = _searched(views.small, (0, 0, SMALL), places)
    return _closest(first, second, score)


def shifted_candidates(views: Views) -> Candidates:
    """Pairs that may share most of their content at different places; each pair once.

    Args:
        views: of N images.

    Returns:
        The candidates, up to `CLOSEST` for each image.
    """
    edge = (SMALL - MIDDLE) // 2
    places = [(y, x, MIDDLE) for y in SHIFT_PLACES for x in SHIFT_PLACES]
    first, second, score = _searched(views.small, (edge, edge, MIDDLE), places)
    found = _closest(first, second, score)
    pairs = np.unique(np.sort(np.stack([found.first, found.second]), axis=0), axis=1)
    return Candidates(pairs[0], pairs[1], np.zeros_like(pairs[0]))


class _Index:
    """Unit vectors, searched for the nearest."""

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        import faiss

        width = vectors.shape[1]
        self.index: Any = faiss.IndexFlatIP(width)
        if len(vectors) > EXACT_SEARCH:
            cells = int(4 * np.sqrt(len(vectors)))
            self.index = faiss.IndexIVFFlat(self.index, width, cells, faiss.METRIC_INNER_PRODUCT)
            self.index.cp.min_points_per_centroid = 1
            self.index.train(vectors)
            self.index.nprobe = 16
        self.index.add(vectors)

    def search(self, queries: NDArray[np.float32]) -> tuple[Indices, Indices, NDArray[np.float32]]:
        """Query, neighbour and similarity of the nearest vectors of each query."""
        score, other = self.index.search(queries, min(NEIGHBOURS, self.index.ntotal))
        query = np.repeat(np.arange(len(queries)), other.shape[1])
        found = other.ravel() >= 0
        return query[found], other.ravel()[found].astype(np.int64), score.ravel()[found]


def _searched(
    images: NDArray[np.uint8], indexed: Place, places: Sequence[Place]
) -> tuple[Indices, Indices, NDArray[np.float32]]:
    """The same of several parts of every image, compared with one indexed part of all other images, apart from what
    all have in common.
    """
    means = _unit(np.stack([_parts(images, *place).mean(0) for place in (indexed, *places)]))
    common = np.linalg.svd(means, full_matrices=False)[2][:COMMON]
    index = _Index(_unit(_parts(images, *indexed), common))
    found = [index.search(_unit(_parts(images, *place), common)) for place in places]
    query, other, score = (np.concatenate(columns) for columns in zip(*found, strict=True))
    return query[query != other], other[query != other], score[query != other]


def _closest(first: Indices, second: Indices, score: NDArray[np.float32]) -> Candidates:
    """The pairs with the highest score of each first image, each pair once."""
    order = np.lexsort((-score, second, first))
    first, second, score = first[order], second[order], score[order]
    new = np.ones(len(first), bool)
    new[1:] = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
    first, second, score = first[new], second[new], score[new]
    order = np.lexsort((second, -score, first))
    first, second = first[order], second[order]
    starts = np.searchsorted(first, first)
    kept = np.arange(len(first)) - starts < CLOSEST
    return Candidates(first[kept], second[kept], np.zeros(int(kept.sum()), np.int64))


def _parts(images: NDArray[np.uint8], top: int, left: int, side: int) -> NDArray[np.float32]:
    """A square part of every image (N, S, S), averaged to (N, SIDE, SIDE)."""
    shrink = _averaging(side)
    part = images[:, top : top + side, left : left + side].astype(np.float32)
    return np.asarray(shrink @ part @ shrink.T)


def _averaging(side: int) -> NDArray[np.float32]:
    """The matrix (SIDE, side) that averages `side` values to `SIDE`."""
    edges = np.linspace(0, side, SIDE + 1)
    low, high = np.arange(side), np.arange(1, side + 1)
    overlap = np.minimum(edges[1:, None], high) - np.maximum(edges[:-1, None], low)
    return np.asarray(np.maximum(overlap, 0) * SIDE / side, np.float32)


def _unit(images: NDArray[np.float32], without: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """Images as centred vectors of length one, without some orthonormal directions (D, SIDE * SIDE)."""
    vectors = images.reshape(len(images), -1)
    vectors = vectors - vectors.mean(axis=1, keepdims=True)
    if without is not None:
        vectors -= vectors @ without.T @ without
    return np.ascontiguousarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6), np.float32)
