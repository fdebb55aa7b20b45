"""Is a heatmap true to the model? Deletion and insertion curves, and whether it depends on what the model learned.

A map is a claim: these places decided. Deletion takes the places away, most important first, and a true map makes the
belief fall soon; insertion puts them back onto a blurred image, and a true map makes it rise soon [Petsiuk, Das, Saenko
2018]. A random order of the same places says what a map without any knowledge reaches.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

Floats = NDArray[np.float32]
Score = Callable[[Floats], NDArray[np.floating]]

CELLS = 14
"""Places along a side: pixels are taken away in squares, as single ones would be noise that no network has seen."""

STEPS = 28
"""Points of a curve beside its start."""

RANDOM = 5
"""Random orders, whose mean is the comparison."""


@dataclass(frozen=True)
class Faithfulness:
    """Areas under the curves, in belief from 0 to 1; a low deletion and a high insertion are good.

    score: (insertion - deletion) less that of random orders, from -2 to 2; at or below 0 the map says no more than
    chance. deletion_curve, insertion_curve: belief at equal steps of the share of places, from 0 to 1.
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


def faithfulness(
    score: Score,
    image: Floats,
    heat: Floats,
    *,
    seed: int = 0,
    batch: int = 16,
    progress: Callable[[int, int], None] | None = None,
) -> Faithfulness:
    """Judge the map heat (H, W) of an image (C, H, W) by a score from (B, C, H, W) to beliefs (B,). progress: called as
    orders are tried.
    """
    advance = progress or (lambda done, total: None)
    rows, columns = (min(CELLS, n) for n in image.shape[1:])
    worth = cv2.resize(heat, (columns, rows), interpolation=cv2.INTER_AREA).ravel()
    blurred = blur(image)
    rng = np.random.default_rng(seed)
    order = np.lexsort((rng.random(worth.size), -worth))  # ties at random
    own = _curves(score, image, blurred, order, (rows, columns), batch)
    others = []
    for number in range(RANDOM):
        advance(number + 1, RANDOM + 1)
        others.append(_curves(score, image, blurred, rng.permutation(worth.size), (rows, columns), batch))
    advance(RANDOM + 1, RANDOM + 1)
    areas = [_area(curve) for curve in own]
    chance = [float(np.mean([_area(curves[k]) for curves in others])) for k in range(2)]
    return Faithfulness(
        deletion=areas[0], insertion=areas[1], random_deletion=chance[0], random_insertion=chance[1],
        deletion_curve=tuple(map(float, own[0])), insertion_curve=tuple(map(float, own[1])),
    )  # fmt: skip


def blur(image: Floats) -> Floats:
    """The image without its details: what lies under places that are taken away."""
    side = min(image.shape[1:])
    sigma = max(1.0, side / 12)
    planes = [cv2.GaussianBlur(plane, (0, 0), sigma, borderType=cv2.BORDER_REFLECT) for plane in image]
    return np.stack(planes)


def randomisation(heat: Floats, explain: Callable[[nn.Module], Floats], network: nn.Module, *, seed: int = 0) -> float:
    """Rank correlation, from -1 to 1, of absolute maps before and after all weights are shuffled [Adebayo et al. 2018].

    explain: the map (H, W) of the same image from another network. Near 1: the map shows the image, not the model.
    """
    from scipy.stats import spearmanr

    shuffled = copy.deepcopy(network)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in shuffled.parameters():
            flat = parameter.flatten()
            parameter.copy_(flat[torch.randperm(len(flat), generator=generator).to(flat.device)].view_as(parameter))
    other = explain(shuffled)
    if np.ptp(heat) == 0 or np.ptp(other) == 0:
        return 0.0
    return float(spearmanr(np.abs(heat).ravel(), np.abs(other).ravel()).statistic)


def _curves(
    score: Score, image: Floats, blurred: Floats, order: NDArray[np.intp], grid: tuple[int, int], batch: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Beliefs as cells in this order are taken away, and put in."""
    steps = min(STEPS, len(order))
    counts = np.round(np.linspace(0, len(order), steps + 1)).astype(int)
    rank = np.empty(len(order), int)
    rank[order] = np.arange(len(order))
    size = image.shape[2], image.shape[1]
    ranks = cv2.resize(rank.reshape(grid).astype(np.float32), size, interpolation=cv2.INTER_NEAREST)
    taken = ranks[None] < counts[:, None, None]
    curves = []
    for start, end in ((image, blurred), (blurred, image)):
        values = []
        for first in range(0, len(counts), batch):
            gone = taken[first : first + batch, None]
            values.append(score(np.where(gone, end, start).astype(np.float32)))
        curves.append(np.concatenate(values).astype(np.float64))
    return curves[0], curves[1]


def _area(curve: NDArray[np.float64]) -> float:
    return float(np.trapezoid(curve, dx=1 / (len(curve) - 1)))
