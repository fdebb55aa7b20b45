"""Is a heatmap true to the model? Deletion and insertion curves, and whether it depends on what the model learned.

A map is a claim: these places decided. Deletion takes the places away, most important first, and a faithful map makes
the probability fall soon; insertion puts them back onto a blurred image, and a faithful map makes it rise soon
[Petsiuk, Das, Saenko 2018]. A random order of the same places says what a map without any knowledge reaches.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

Floats = NDArray[np.float32]
Module = TypeVar("Module", bound=nn.Module)
Score = Callable[[Floats], NDArray[np.floating]]

CELLS = 14
"""Places along a side: pixels are taken away in squares, as single ones would be noise that no network has seen."""

STEPS = 28
"""Points of a curve beside its start."""

RANDOM = 5
"""Random orders, whose mean is the comparison."""


@dataclass(frozen=True)
class Faithfulness:
    """Areas under the curves of the probability, from 0 to 1; a low deletion and a high insertion are good.

    score: (insertion - deletion) less that of random orders, from -2 to 2; at or below 0 the map says no more than
    chance. deletion_curve, insertion_curve: probability at equal steps of the share of places, from 0 to 1.
    """

    deletion: float
    insertion: float
    random_deletion: float
    random_insertion: float
    deletion_curve: tuple[float, ...]
    insertion_curve: tuple[float, ...]

    @property
    def score(self) -> float:
        return (self.insertion - self.deletion) - (self.random_insertion - self.random_deletion)

    def to_dict(self) -> dict[str, Any]:
        return {"score": self.score, **asdict(self)}


class FaithfulnessEvaluator:
    """Measures the faithfulness of maps of one image (C, H, W) by a score from (B, C, H, W) to probabilities (B,).

    The random orders are tried with the first map and kept for the others. progress: called as orders are tried.
    """

    def __init__(self, score: Score, image: Floats, *, seed: int = 0, batch: int = 16) -> None:
        self.score, self.image, self.seed, self.batch = score, image, seed, batch
        self.grid = min(CELLS, image.shape[1]), min(CELLS, image.shape[2])
        self.blurred = blur(image)
        self._chance: tuple[float, float] | None = None

    def __call__(self, heat: Floats, progress: Callable[[int, int], None] | None = None) -> Faithfulness:
        """How faithful the map heat (H, W) is."""
        advance = progress or (lambda done, total: None)
        orders = 1 if self._chance else RANDOM + 1
        worth = cv2.resize(heat, self.grid[::-1], interpolation=cv2.INTER_AREA).ravel()
        ties = np.random.default_rng(self.seed).random(worth.size)
        own = self._curves(np.lexsort((ties, -worth)))
        advance(1, orders)
        if self._chance is None:
            rng, areas = np.random.default_rng([self.seed, 1]), []
            for number in range(RANDOM):
                areas.append([_area(curve) for curve in self._curves(rng.permutation(worth.size))])
                advance(number + 2, orders)
            self._chance = tuple(np.mean(areas, axis=0).tolist())
        return Faithfulness(
            deletion=_area(own[0]), insertion=_area(own[1]),
            random_deletion=self._chance[0], random_insertion=self._chance[1],
            deletion_curve=tuple(map(float, own[0])), insertion_curve=tuple(map(float, own[1])),
        )  # fmt: skip

    def _curves(self, order: NDArray[np.intp]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The probabilities as cells are deleted, and inserted, in this order."""
        steps = min(STEPS, len(order))
        counts = np.round(np.linspace(0, len(order), steps + 1)).astype(int)
        rank = np.empty(len(order), int)
        rank[order] = np.arange(len(order))
        size = self.image.shape[2], self.image.shape[1]
        ranks = cv2.resize(rank.reshape(self.grid).astype(np.float32), size, interpolation=cv2.INTER_NEAREST)
        taken = ranks[None] < counts[:, None, None]
        curves = []
        for start, end in ((self.image, self.blurred), (self.blurred, self.image)):
            values = []
            for first in range(0, len(counts), self.batch):
                gone = taken[first : first + self.batch, None]
                values.append(self.score(np.where(gone, end, start).astype(np.float32)))
            curves.append(np.concatenate(values).astype(np.float64))
        return curves[0], curves[1]


def blur(image: Floats) -> Floats:
    """The image without its details: what lies under places that are taken away."""
    side = min(image.shape[1:])
    sigma = max(1.0, side / 12)
    planes = [cv2.GaussianBlur(plane, (0, 0), sigma, borderType=cv2.BORDER_REFLECT) for plane in image]
    return np.stack(planes)


def randomisation(heat: Floats, explain: Callable[[Module], Floats], network: Module, *, seed: int = 0) -> float | None:
    """Rank correlation, from -1 to 1, of absolute maps before and after all weights are shuffled [Adebayo et al. 2018].

    explain: the map (H, W) of the same image from another network. Near 1: the map shows the image, not the model. 0
    where shuffled weights leave a map that is the same everywhere; None where the map itself is, and ranks nothing.
    """
    from scipy.stats import spearmanr

    shuffled = copy.deepcopy(network)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in shuffled.parameters():
            flat = parameter.flatten()
            parameter.copy_(flat[torch.randperm(len(flat), generator=generator).to(flat.device)].view_as(parameter))
    other = explain(shuffled)
    if np.ptp(heat) == 0:
        return None
    if np.ptp(other) == 0:
        return 0.0
    return float(spearmanr(np.abs(heat).ravel(), np.abs(other).ravel()).statistic)


def _area(curve: NDArray[np.float64]) -> float:
    return float(np.trapezoid(curve, dx=1 / (len(curve) - 1)))
