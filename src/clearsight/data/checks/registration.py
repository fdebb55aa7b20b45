"""Registration of two images: how one has to be moved and scaled to lie on the other, and what difference is left.

The alignment is refined by maximising the correlation over affine maps [Evangelidis and Psarakis 2008, ECC], which
changes of brightness and contrast leave unchanged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from clearsight.data.cache import threaded
from clearsight.data.checks.candidates import (
    Candidates,
    Indices,
    cropped_candidates,
    shifted_candidates,
    turned_candidates,
)
from clearsight.data.checks.views import MEDIUM, SMOOTHING, Views, turned

TURNED_LEAST, CROPPED_LEAST, SHIFTED_LEAST, PHASE_LEAST = 0.85, 0.7, 0.75, 0.1
"""Correlations of medium views, and height of the peak of phase correlation, from which a pair is registered."""

TINY_LEAST = 0.98
"""The same for turned images of few pixels, of which only almost equal ones count as copies."""

EACH = 2
"""Pairs of each image and kind that are registered: those that correlate best."""

CROPPED_SIDE = 40
"""Side in pixels of a copy of 70 % of the area in the medium view."""

MARGIN = 7
"""Pixels of the medium view by which a shifted copy is moved at most."""

LEAST_OVERLAP = 0.62
"""Share of the image that the other must cover; a copy that is cropped to 70 % of the area covers that much."""

SAME_SCALE, SAME_PLACE = 0.07, 0.02
"""Change of scale, and of place as a share of the side, up to which a copy counts as neither cropped nor shifted."""

LARGEST_CHANGE = 0.35
"""Change of scale beyond which two images are not compared."""

MIXED = 9
"""Width in pixels of a square whose half is left out along the edge of what two images share."""

LEAST_COARSE = 0.7
"""Correlation of views of half the side, once registered, below which a shifted pair is not registered in full."""

T = TypeVar("T")

Warp = NDArray[np.float32]
"""Affine map (2, 3) from pixels of the first image to those of the second."""


@dataclass(frozen=True)
class Trial:
    """Two images by position, the turn of the first, and an affine map to begin with. shifted: only the translation of
    this map is refined, as the edge of an added border would distort an affine map.
    """

    first: int
    second: int
    turn: int
    warp: Warp
    shifted: bool = False


@dataclass(frozen=True)
class Match:
    """Two registered images. error: 1 minus the correlation of the parts that overlap. kind: what was changed; "" for
    two that are too different to say.
    """

    first: int
    second: int
    kind: str
    error: float


def registered(views: Views, *, moved: bool) -> list[Match]:
    """Register all pairs of images that may be copies.

    Args:
        views: of N images.
        moved: search for shifted and cropped copies too; without it, images have few pixels.

    Returns:
        The best match of each pair that could be registered, copies or not.
    """
    trials = _turned_trials(views, turned_candidates(views), TURNED_LEAST if moved else TINY_LEAST)
    if moved:
        trials += _cropped_trials(views, cropped_candidates(views))
        trials += _shifted_trials(views, shifted_candidates(views))
    best: dict[tuple[int, int], Match] = {}
    for match in _in_threads(lambda k: _register(views, trials[k]), len(trials)):
        if match is not None:
            pair = min(match.first, match.second), max(match.first, match.second)
            if pair not in best or match.error < best[pair].error:
                best[pair] = match
    return list(best.values())


def _turned_trials(views: Views, found: Candidates, least: float) -> list[Trial]:
    score = np.zeros(len(found.first), np.float32)
    for turn in range(8):
        rows = np.flatnonzero(found.turn == turn)
        for some in (rows[k : k + 1024] for k in range(0, len(rows), 1024)):
            pair = turned(views.medium[found.first[some]], turn), views.medium[found.second[some]]
            a, b = (_centred(one.reshape(len(one), -1).astype(np.float32)) for one in pair)
            score[some] = (a * b).sum(1)
    still = np.eye(2, 3, dtype=np.float32)
    kept = _best_of_each(found.first, found.second, score, least)
    return [Trial(int(found.first[k]), int(found.second[k]), int(found.turn[k]), still) for k in kept]


def _cropped_trials(views: Views, found: Candidates) -> list[Trial]:
    """The first is searched in the second."""

    def place(k: int) -> tuple[float, tuple[int, int]]:
        size = (CROPPED_SIDE, CROPPED_SIDE)
        small = cv2.resize(views.medium[found.first[k]], size, interpolation=cv2.INTER_AREA)
        return _best_place(views.medium[found.second[k]], small)

    places = _in_threads(place, len(found.first))
    score = np.array([one for one, _ in places], np.float32)
    scale, pixels = CROPPED_SIDE / MEDIUM, views.large.shape[1] / MEDIUM
    trials = []
    for k in _best_of_each(found.first, found.first, score, CROPPED_LEAST):
        x, y = places[k][1]
        warp = np.array([[scale, 0, x * pixels], [0, scale, y * pixels]], np.float32)
        trials.append(Trial(int(found.first[k]), int(found.second[k]), 0, warp))
    return trials


def _shifted_trials(views: Views, found: Candidates) -> list[Trial]:
    window = cv2.createHanningWindow((MEDIUM, MEDIUM), cv2.CV_32F)

    def place(k: int) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
        first, second = views.medium[found.first[k]], views.medium[found.second[k]]
        score, (x, y) = _best_place(second, first[MARGIN:-MARGIN, MARGIN:-MARGIN])
        # OpenCV 5 applies the window to its arguments, so it gets copies
        (dx, dy), peak = cv2.phaseCorrelate(first.astype(np.float32), second.astype(np.float32), window)
        return (score, x - MARGIN, y - MARGIN), (peak, dx, dy)

    places = _in_threads(place, len(found.first))
    pixels = views.large.shape[1] / MEDIUM
    trials: dict[tuple[int, int, int, int], Trial] = {}
    for which, least in ((0, SHIFTED_LEAST), (1, PHASE_LEAST)):
        score = np.array([one[which][0] for one in places], np.float32)
        for k in _best_of_each(found.first, found.second, score, least):
            _, dx, dy = places[k][which]
            if max(abs(dx), abs(dy)) < MEDIUM / 4:
                pair = int(found.first[k]), int(found.second[k])
                warp = np.array([[1, 0, dx * pixels], [0, 1, dy * pixels]], np.float32)
                trials.setdefault((*pair, round(dx), round(dy)), Trial(*pair, 0, warp, shifted=True))
    return list(trials.values())


def _in_threads(function: Callable[[int], T], n: int) -> list[T]:
    """Results of a short function for 0 to n - 1: OpenCV releases the interpreter lock."""
    parts = [range(k, min(n, k + 128)) for k in range(0, n, 128)]
    return [one for part in threaded(lambda part: [function(k) for k in part], parts) for one in part]


def _best_place(image: NDArray[np.uint8], part: NDArray[Any]) -> tuple[float, tuple[int, int]]:
    """Correlation of a part with an image where it fits best, and that place (x, y)."""
    scores = cv2.matchTemplate(image, np.ascontiguousarray(part), cv2.TM_CCOEFF_NORMED)
    _, score, _, place = cv2.minMaxLoc(scores)
    return float(score), (int(place[0]), int(place[1]))


def _best_of_each(first: Indices, second: Indices, score: NDArray[np.float32], least: float) -> list[int]:
    """Rows that are among the best of their first or of their second image."""
    kept: set[int] = set()
    for image in (first, second):
        order = np.lexsort((-score, image))
        rank = np.arange(len(order)) - np.searchsorted(image[order], image[order])
        chosen = order[rank < EACH]
        kept.update(chosen[score[chosen] >= least].tolist())
    return sorted(kept)


def _register(views: Views, trial: Trial) -> Match | None:
    first, second = views.large[trial.first], views.large[trial.second]
    if trial.turn:
        first = turned(first[None], trial.turn)[0]
    try:
        if not trial.shifted:
            warp = _refined(first, second, trial.warp, cv2.MOTION_AFFINE)[1]
        else:  # most of these pairs have little in common, which views of a quarter of the pixels show
            score, coarse = _refined(_halved(first), _halved(second), _scaled(trial.warp, 0.5), cv2.MOTION_TRANSLATION)
            if score < LEAST_COARSE:
                return Match(trial.first, trial.second, "", 1 - score)
            warp = _refined(first, second, _scaled(coarse, 2), cv2.MOTION_TRANSLATION)[1]
    except cv2.error:  # it does not converge: nothing in common
        return None
    side = len(first)
    first, second = _equally_sharp(first, second, warp)
    flags = cv2.WARP_INVERSE_MAP
    shared = cv2.warpAffine(np.ones_like(first), warp, (side, side), flags=flags | cv2.INTER_NEAREST)
    if shared.mean() < LEAST_OVERLAP:
        return None
    shared = cv2.erode(shared, np.ones((MIXED, MIXED), np.uint8), borderValue=0) > 0
    moved = cv2.warpAffine(second.astype(np.float32), warp, (side, side), flags=flags | cv2.INTER_CUBIC)
    a, b = (_centred(one[shared].astype(np.float32)[None])[0] for one in (first, moved))
    kind = _kind(warp, trial.turn, side)
    return Match(trial.first, trial.second, kind, float(1 - a @ b)) if kind else None


def _refined(first: NDArray[np.uint8], second: NDArray[np.uint8], warp: Warp, motion: int) -> tuple[float, Warp]:
    """The correlation at the best map, and the map."""
    stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 12, 1e-4)
    score, found = cv2.findTransformECC(first, second, warp.copy(), motion, stop, None, 1)
    return float(score), np.asarray(found)


def _halved(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))


def _scaled(warp: Warp, factor: float) -> Warp:
    """The same map between images whose side is multiplied; places are those of the middle of pixels."""
    offset = (factor - 1) / 2
    scaled = warp.copy()
    scaled[:, 2] = factor * warp[:, 2] + offset * (1 - warp[:, :2].sum(1))
    return scaled


def _equally_sharp(
    first: NDArray[np.uint8], second: NDArray[np.uint8], warp: Warp
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Both images with equal detail: the one that shows a part of the other shows it larger, and is blurred."""
    scale = float(np.sqrt(abs(np.linalg.det(warp[:, :2]))))
    larger = max(scale, 1 / max(scale, 1e-6))
    if not 1 + SAME_SCALE / 2 < larger < 2:
        return first, second
    sigma = SMOOTHING * float(np.sqrt(larger**2 - 1))
    blurred = cv2.GaussianBlur(first if scale < 1 else second, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    return (np.asarray(blurred), second) if scale < 1 else (first, np.asarray(blurred))


def _kind(warp: Warp, turn: int, side: int) -> str:
    """What was changed between two images, in a word; "" for a change that is not searched for."""
    scale = float(np.sqrt(abs(np.linalg.det(warp[:, :2]))))
    if abs(np.log(scale)) > LARGEST_CHANGE:
        return ""
    words = {0: "", 2: "rotated by 180°"}.get(turn, "mirrored" if turn >= 4 else "rotated by 90°")
    middle = warp @ np.array([side / 2, side / 2, 1], np.float32) - side / 2
    if abs(np.log(scale)) > SAME_SCALE:
        return f"{words} and cropped" if words else "cropped"
    if float(np.abs(middle).max()) > SAME_PLACE * side:
        return f"{words} and shifted" if words else "shifted"
    return words or "nearly identical"


def _centred(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows with mean zero and length one."""
    vectors = vectors - vectors.mean(axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6))
