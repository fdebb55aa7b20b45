"""A sliding-window detector made of a classifier: windows of the network's input size over an image at several scales,
the probable ones filtered by non-maximum suppression and scored again as crops.

Shapes: image (H, W, C) uint8 or uint16 as it came; boxes (P, 4) in its pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from clearsight.console import Console
from clearsight.data.boxed import DetectionRecord, cut
from clearsight.data.geometry import resize
from clearsight.data.loader import to_float
from clearsight.errors import DataError, ModelError
from clearsight.localisation.detections import Found, Settings
from clearsight.localisation.instances import clipped, laid, outline
from clearsight.localisation.maps import class_heat, regions, sources
from clearsight.localisation.suppression import suppressed, voted
from clearsight.localisation.window_scores import WindowScorer
from clearsight.predictor import Predictor

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sure:
    """Windows in which a class reaches half its threshold: boxes (P, 4), probabilities (P,), kinds (P,)."""

    boxes: Floats
    probabilities: Floats
    kinds: NDArray[np.int64]


@dataclass(frozen=True)
class Things:
    """What windows (P, 4) show: boxes (P, 4) within them, kinds (P,), scores (P,), and maps (P, h, w) of the windows,
    None where there are none. masks (P, H, W): of the objects that a model trained on boxes detects.
    """

    windows: Floats
    boxes: Floats
    kinds: NDArray[np.int64]
    scores: Floats
    maps: NDArray[np.float32] | None
    masks: NDArray[np.bool_] | None = None

    def laid(self, i: int, size: tuple[int, int]) -> NDArray[np.float32]:
        """The map of a window on its image.

        Args:
            i: position of the window.
            size: (H, W) of the image.

        Returns:
            The map (H, W), zero outside the window; ones in it if there are no maps.
        """
        return laid(self.windows[i], None if self.maps is None else self.maps[i], size)


@dataclass(frozen=True)
class Search:
    """A search in an image (H, W, C) for target classes.

    least (K,): probability threshold of each class. alone: a place shows at most one class, so boxes of different
    classes compete. record: what a model trained on boxes knows of them; its windows stand on every point of the image,
    reach beyond its edge as its crops did, and their boxes have the shape of their class.
    """

    predictor: Predictor
    image: NDArray[Any]
    targets: Sequence[int]
    least: Floats
    settings: Settings
    alone: bool
    record: DetectionRecord | None = None

    def shaped(self, windows: Floats, kinds: NDArray[np.int64]) -> Floats:
        """The boxes that windows stand for.

        Args:
            windows: windows (P, 4).
            kinds: class index of each (P,).

        Returns:
            Boxes (P, 4) in the middle of the windows, with the typical shape of each class; the windows themselves
            for a model that was not trained on boxes.
        """
        if self.record is None or not len(windows):
            return windows
        whole = (1.0, 1.0)
        shape = np.array([self.record.shapes.get(self.predictor.classes[k], whole) for k in kinds])
        middle, half = (windows[:, :2] + windows[:, 2:]) / 2, (windows[:, 2:] - windows[:, :2]) * shape / 2
        return np.concatenate([middle - half, middle + half], axis=1)

    @property
    def share(self) -> float:
        """Share of a map's maximum from which a place belongs to the class."""
        assert self.settings.share is not None, "`locate` fills it in"
        return self.settings.share

    def strongest(self, probabilities: Floats) -> Floats:
        """The probability that a class must have to be the one of its place.

        Args:
            probabilities: of every class (..., K).

        Returns:
            The largest (...). For a model trained on boxes the background does not take part: the threshold alone
            decides how probable an object must be.
        """
        taking_part = probabilities if self.record is None else probabilities[..., list(self.targets)]
        return np.asarray(taking_part.max(-1))

    def rivals(self, kinds: NDArray[np.int64]) -> NDArray[np.int64]:
        """Groups within which boxes compete.

        Args:
            kinds: class index of each box (P,).

        Returns:
            Group numbers (P,).
        """
        return np.zeros_like(kinds) if self.alone else kinds


def find(search: Search, console: Console) -> tuple[list[Found], dict[int, NDArray[np.float32]], dict[str, Any]]:
    """Find boxes of the target classes.

    Args:
        search: image, classes and settings.
        console: shows progress.

    Returns:
        Boxes, best first; the soft mask (H, W) of each class found, by index; and facts about the search.

    Raises:
        DataError: the image is smaller than the windows.
    """
    predictor, settings, size = search.predictor, search.settings, search.image.shape[:2]
    seen, facts = _scan(search, console)
    many = not predictor.bundle.task.exclusive
    things = (_parts_of if many else _one_each)(search, seen, facts)
    stay = suppressed(things.boxes, things.scores, search.rivals(things.kinds), settings.iou)
    boxes = voted(things.boxes, things.scores, things.kinds, stay) if many else things.boxes[stay]
    heat = {int(k): np.zeros(size, np.float32) for k in np.unique(things.kinds[stay])}
    found = []
    for i, box in zip(stay, boxes, strict=True):
        kind, score = int(things.kinds[i]), float(things.scores[i])
        box = clipped(box, size)
        shown = _within_box(things.laid(i, size), box)
        mask = None if things.masks is None else things.masks[i]
        found.append(Found(tuple(box.tolist()), predictor.classes[kind], score, mask))
        np.maximum(heat[kind], shown * np.float32(score), out=heat[kind])
    return found, {kind: one / max(float(one.max()), 1e-12) for kind, one in heat.items()}, facts


def _one_each(search: Search, seen: Sure, facts: dict[str, Any]) -> Things:
    """Windows that show one thing each: thinned out, and drawn closer where that is asked for."""
    shaped = search.shaped(seen.boxes, seen.kinds)
    kept = suppressed(shaped, seen.probabilities, search.rivals(seen.kinds), search.settings.iou)
    windows = voted(seen.boxes, seen.probabilities, seen.kinds, kept)
    windows, kinds, own, pixels = _confirmed(search, windows, seen.kinds[kept], facts)
    maps = _within(search, pixels, kinds)
    boxes = search.shaped(windows, kinds)
    if search.settings.tight and maps is not None:
        boxes = np.stack([_tight(*pair, search.share) for pair in zip(windows, maps, strict=True)])
    things = Things(windows, boxes, kinds, own, maps)
    return things if search.record is None or maps is None else _outlined(search, things)


def _outlined(search: Search, things: Things) -> Things:
    """Objects with their masks, and boxes that these agree with."""
    size = search.image.shape[0], search.image.shape[1]
    pairs = [
        outline(search.image, things.laid(i, size), window, box, search.share)
        for i, (window, box) in enumerate(zip(things.windows, things.boxes, strict=True))
    ]
    masks = np.array([mask for mask, _ in pairs], bool).reshape(-1, *size)
    return replace(things, boxes=np.array([box for _, box in pairs]).reshape(-1, 4), masks=masks)


def _parts_of(search: Search, seen: Sure, facts: dict[str, Any]) -> Things:
    """Windows that show any number of things: boxes around the regions of each label's map. A region that the window's
    edge cuts off is left to the next window, except at the edge of the image.
    """
    windows, kinds, own, pixels = _confirmed(search, seen.boxes, seen.kinds, facts)
    maps = _within(search, pixels, kinds)
    if maps is None:
        return Things(windows, windows, kinds, own, None)
    limit = np.array([search.image.shape[1], search.image.shape[0]])
    rows, boxes, scores = [], [], []
    for i, (window, heat) in enumerate(zip(windows, maps, strict=True)):
        whole = np.array([heat.shape[1], heat.shape[0]])
        open_low, open_high = window[:2] > 0.5, window[2:] < limit - 0.5
        for box, mean in regions(heat, search.share):
            low, high = np.array(box[:2]), np.array(box[2:])
            if (open_low & (low <= 0)).any() or (open_high & (high >= whole)).any():
                continue
            scale = (window[2:] - window[:2]) / whole
            rows.append(i)
            boxes.append(np.concatenate([window[:2] + low * scale, window[:2] + high * scale]))
            scores.append(own[i] * mean)
    return Things(windows[rows], np.array(boxes).reshape(-1, 4), kinds[rows], np.array(scores), maps[rows])


def _confirmed(
    search: Search, windows: Floats, kinds: NDArray[np.int64], facts: dict[str, Any]
) -> tuple[Floats, NDArray[np.int64], Floats, NDArray[np.float32]]:
    """The windows (P, 4) and their kinds that are confirmed when scored again as crops, with the probabilities (P,) and
    the crops (P, C, h, w).
    """
    predictor = search.predictor
    if not len(windows):
        return windows, kinds, np.zeros(0), np.zeros((0, *predictor.shape), np.float32)
    places, row = np.unique(windows, axis=0, return_inverse=True)
    crop = _crop if search.record is None else _crop_beyond
    pixels = np.stack([crop(search.image, box, predictor.shape) for box in places])
    probabilities, is_ood = predictor.probabilities_and_ood(pixels)
    own = probabilities[row, kinds]
    good = own >= search.least[kinds]
    if search.alone:
        good &= own >= search.strongest(probabilities[row])
    if is_ood is not None and not search.settings.keep_ood:
        facts["out of distribution"] = int((good & is_ood[row]).sum())
        good &= ~is_ood[row]
    return windows[good], kinds[good], own[good], pixels[row[good]]


def pyramid(size: tuple[int, int], window: tuple[int, int]) -> tuple[float, ...]:
    """Scales of an image, from 1 down by factors of the square root of 2, as long as it holds a window.

    Args:
        size: (H, W) of the image.
        window: (H, W) of the window.

    Returns:
        The scales; empty if the image is smaller than the window.

    Example:
        >>> pyramid((64, 64), (32, 32))
        (1.0, 0.7071067811865476, 0.5)
    """
    most = min(n / w for n, w in zip(size, window, strict=True))
    return tuple(2 ** (-k / 2) for k in range(1 + math.floor(2 * math.log2(most)))) if most >= 1 else ()


def _scan(search: Search, console: Console) -> tuple[Sure, dict[str, Any]]:
    """Score the windows of every scale, and keep the probable ones; also the facts about the scan."""
    predictor, image, settings = search.predictor, search.image, search.settings
    height, width = size = image.shape[0], image.shape[1]
    window = predictor.shape[1], predictor.shape[2]
    scales = pyramid(size, window) if settings.scales is None else settings.scales
    margins = [0 if search.record is None else math.ceil(max(window) / s / 2) for s in scales]
    fits = [
        (s, m) for s, m in zip(scales, margins, strict=True)
        if (height + 2 * m) * s >= window[0] and (width + 2 * m) * s >= window[1]
    ]  # fmt: skip
    scales = tuple(s for s, _ in fits)
    if not scales:
        raise DataError(
            "the image is smaller than the windows of this model",
            found=f"{width}x{height} pixels",
            expected=f"{window[1]}x{window[0]} or more",
            fix="use --method cam, or enlarge the image with --scales 2,4",
        )
    scorer = WindowScorer(predictor, window, settings.stride)
    boxes, probabilities, kinds, count = [], [], [], 0
    advance = console.stage("windows", "scales")
    for number, (scale, margin) in enumerate(fits, 1):
        widened = cv2.copyMakeBorder(image, margin, margin, margin, margin, cv2.BORDER_REPLICATE).reshape(
            height + 2 * margin, width + 2 * margin, -1
        )
        grid, step = scorer(widened, scale)
        rows, columns, classes = grid.shape
        count += rows * columns
        chosen = grid >= np.maximum(search.least / 2, 1e-6)
        if search.alone:
            chosen &= grid >= search.strongest(grid)[..., None]
        chosen[..., np.setdiff1d(np.arange(classes), search.targets)] = False
        y, x, kind = np.nonzero(chosen)
        scaled = (rows - 1) * step[0] + window[0], (columns - 1) * step[1] + window[1]
        down, across = widened.shape[0] / scaled[0], widened.shape[1] / scaled[1]
        corner = np.stack([x * step[1] * across, y * step[0] * down], axis=1)
        far = corner + np.array([window[1] * across, window[0] * down])
        boxes.append(np.concatenate([corner, far], axis=1) - margin)
        probabilities.append(grid[y, x, kind])
        kinds.append(kind)
        advance(number, len(scales))
    facts = {"windows": count, "scales": [round(s, 4) for s in scales], "stride": list(scorer.step), **scorer.facts}
    return Sure(np.concatenate(boxes), np.concatenate(probabilities), np.concatenate(kinds).astype(np.int64)), facts


def _crop(image: NDArray[Any], box: Floats, shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """What is in a box, as the network's input (C, h, w)."""
    limit = np.array([image.shape[1], image.shape[0]] * 2, np.float64)
    left, top, right, bottom = np.clip(box, 0, limit).tolist()
    part = resize(image, shape[2], shape[1], (left, top, right, bottom))
    return to_float(part.transpose(2, 0, 1)[None])[0].numpy()


def _crop_beyond(image: NDArray[Any], box: Floats, shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """As `_crop`, for a window that may reach beyond the image, cut as crops are cut in training."""
    side = max(1, round(float(box[2] - box[0])))
    left, top = (round(float(v)) for v in (box[:2] + box[2:] - side) / 2)
    part = resize(cut(image, left, top, side), shape[2], shape[1])
    return to_float(part.transpose(2, 0, 1)[None])[0].numpy()


def _within(search: Search, pixels: NDArray[np.float32], kinds: NDArray[np.int64]) -> NDArray[np.float32] | None:
    """The class-activation map within each window (P, h, w); None where there are none."""
    predictor, settings = search.predictor, search.settings
    if not (predictor.has_gradients and len(pixels)):
        return None
    x = torch.from_numpy(pixels)
    try:
        return class_heat(sources(predictor.network, predictor.shape, settings.layer), x, torch.from_numpy(kinds))
    except ModelError:
        if settings.layer:
            raise
        return None


def _tight(window: Floats, heat: NDArray[np.float32], share: float) -> Floats:
    """The part of a window (4,) around the region where its map (h, w) is strongest."""
    found = regions(heat, share)
    if not found:
        return window
    row, column = np.unravel_index(int(heat.argmax()), heat.shape)
    box = next(b for b, _ in found if b[0] <= column < b[2] and b[1] <= row < b[3])
    size = np.array([window[2] - window[0], window[3] - window[1]] * 2)
    whole = np.array([heat.shape[1], heat.shape[0]] * 2)
    return np.asarray(np.tile(window[:2], 2) + np.array(box) * size / whole)


def _within_box(shown: NDArray[np.float32], box: Floats) -> NDArray[np.float32]:
    """A map of an image (H, W), zero outside a box (4,) in it."""
    left, top, right, bottom = (int(v) for v in np.rint(box))
    mask = np.zeros_like(shown)
    mask[top:bottom, left:right] = 1
    return shown * mask
