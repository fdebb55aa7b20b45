"""A sliding-window detector made of a classifier: windows of the network's input size over an image at several scales,
the sure ones thinned out, judged again as crops of their own, and drawn closer around what decided.

Shapes: image (H, W, C) uint8 or uint16 as it came; boxes (P, 4) in its pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from clearsight.console import Console
from clearsight.data.geometry import resize
from clearsight.data.loader import to_float
from clearsight.errors import DataError, ModelError
from clearsight.localise.found import Found, Settings
from clearsight.localise.judge import Judge
from clearsight.localise.maps import class_heat, regions, sources
from clearsight.localise.overlaps import suppressed, voted
from clearsight.predictor import Predictor

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sure:
    """Windows that a class reaches half its least belief in: boxes (P, 4), beliefs (P,), kinds (P,)."""

    boxes: Floats
    beliefs: Floats
    kinds: NDArray[np.int64]


def find(
    predictor: Predictor,
    image: NDArray[Any],
    wanted: Sequence[int],
    least: Floats,
    settings: Settings,
    console: Console,
    *,
    alone: bool,
) -> tuple[list[Found], dict[int, NDArray[np.float32]], dict[str, Any]]:
    """Boxes of the wanted classes, best first; the soft mask (H, W) of each class found; and what there is to say.

    least (K,): belief that a window needs. alone: a place shows one class at most, so boxes of several classes compete.
    DataError for an image smaller than the windows.
    """
    seen, facts = _scan(predictor, image, wanted, least, settings, console, alone)

    def rivals(kinds: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.zeros_like(kinds) if alone else kinds

    kept = suppressed(seen.boxes, seen.beliefs, rivals(seen.kinds), settings.iou)
    if not len(kept):
        return [], {}, facts
    windows, kinds = voted(seen.boxes, seen.beliefs, seen.kinds, kept), seen.kinds[kept]
    pixels = np.stack([_crop(image, box, predictor.shape) for box in windows])
    belief, strange = predictor.judged(pixels)
    own = belief[np.arange(len(kinds)), kinds]
    good = own >= least[kinds]
    if alone:
        good &= own >= belief.max(1)
    if strange is not None and not settings.strange:
        facts["unlike all it learned from"] = int((good & strange).sum())
        good &= ~strange
    windows, kinds, own = windows[good], kinds[good], own[good]
    if not len(windows):
        return [], {}, facts
    within = _within(predictor, pixels[good], kinds, settings)
    boxes = windows if within is None else _drawn_close(windows, within, settings.share)
    stay = suppressed(boxes, own, rivals(kinds), settings.iou)
    heat = {int(k): np.zeros(image.shape[:2], np.float32) for k in np.unique(kinds[stay])}
    for i in stay:
        shown = _painted(windows[i], boxes[i], None if within is None else within[i], image.shape[:2])
        one = heat[int(kinds[i])]
        np.maximum(one, shown * np.float32(own[i]), out=one)
    heat = {kind: one / max(float(one.max()), 1e-12) for kind, one in heat.items()}
    names = predictor.classes
    found = [Found(tuple(boxes[i].tolist()), names[int(kinds[i])], float(own[i])) for i in stay]
    return found, heat, facts


def pyramid(size: tuple[int, int], window: tuple[int, int]) -> tuple[float, ...]:
    """Scales of an image (H, W) from 1 down, each smaller by the root of 2, while it still holds a window."""
    most = min(n / w for n, w in zip(size, window, strict=True))
    return tuple(2 ** (-k / 2) for k in range(1 + math.floor(2 * math.log2(most)))) if most >= 1 else ()


def _scan(
    predictor: Predictor,
    image: NDArray[Any],
    wanted: Sequence[int],
    least: Floats,
    settings: Settings,
    console: Console,
    alone: bool,
) -> tuple[Sure, dict[str, Any]]:
    """Judge the windows of every scale, and keep the sure ones; what was done beside them."""
    height, width = size = image.shape[0], image.shape[1]
    window = predictor.shape[1], predictor.shape[2]
    scales = pyramid(size, window) if settings.scales is None else settings.scales
    scales = tuple(s for s in scales if height * s >= window[0] and width * s >= window[1])
    if not scales:
        raise DataError(
            "the image is smaller than the windows this model looks through",
            found=f"{width}x{height} pixels",
            expected=f"{window[1]}x{window[0]} or more",
            fix="use --method cam, or enlarge it with --scales 2,4",
        )
    judge = Judge(predictor, window, settings.stride)
    boxes, beliefs, kinds, count = [], [], [], 0
    advance = console.stage("windows", "scales")
    for number, scale in enumerate(scales, 1):
        belief, step = judge(image, scale)
        rows, columns, classes = belief.shape
        count += rows * columns
        chosen = belief >= np.maximum(least / 2, 1e-6)
        if alone:
            chosen &= belief >= belief.max(2, keepdims=True)
        chosen[..., np.setdiff1d(np.arange(classes), wanted)] = False
        y, x, kind = np.nonzero(chosen)
        scaled = (rows - 1) * step[0] + window[0], (columns - 1) * step[1] + window[1]
        down, across = height / scaled[0], width / scaled[1]
        corner = np.stack([x * step[1] * across, y * step[0] * down], axis=1)
        boxes.append(np.concatenate([corner, corner + np.array([window[1] * across, window[0] * down])], axis=1))
        beliefs.append(belief[y, x, kind])
        kinds.append(kind)
        advance(number, len(scales))
    facts = {"windows": count, "scales": [round(s, 4) for s in scales], "stride": list(judge.step), **judge.facts}
    return Sure(np.concatenate(boxes), np.concatenate(beliefs), np.concatenate(kinds).astype(np.int64)), facts


def _crop(image: NDArray[Any], box: Floats, shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """What is in a box, as the network's input (C, h, w)."""
    limit = np.array([image.shape[1], image.shape[0]] * 2, np.float64)
    left, top, right, bottom = np.clip(box, 0, limit).tolist()
    part = resize(image, shape[2], shape[1], (left, top, right, bottom))
    return to_float(part.transpose(2, 0, 1)[None])[0].numpy()


def _within(
    predictor: Predictor, pixels: NDArray[np.float32], kinds: NDArray[np.int64], settings: Settings
) -> NDArray[np.float32] | None:
    """The class-activation map within each window (P, h, w); None where boxes stay as they are."""
    if not (settings.tight and predictor.has_gradients):
        return None
    x = torch.from_numpy(pixels)
    try:
        return class_heat(sources(predictor.network, x[:1], settings.layer), x, torch.from_numpy(kinds))
    except ModelError:
        if settings.layer:
            raise
        return None


def _drawn_close(windows: Floats, heats: NDArray[np.float32], share: float) -> Floats:
    return np.stack([_tight(window, heat, share) for window, heat in zip(windows, heats, strict=True)])


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


def _painted(
    window: Floats, box: Floats, heat: NDArray[np.float32] | None, size: tuple[int, ...]
) -> NDArray[np.float32]:
    """A window's map, or ones without any, where its box lies in an image of (H, W)."""
    shown = np.zeros(size, np.float32)
    left, top, right, bottom = (int(v) for v in np.rint(np.clip(window, 0, [size[1], size[0]] * 2)))
    if right > left and bottom > top:
        sides = right - left, bottom - top
        shown[top:bottom, left:right] = 1 if heat is None else cv2.resize(heat, sides, interpolation=cv2.INTER_LINEAR)
    left, top, right, bottom = (int(v) for v in np.rint(np.clip(box, 0, [size[1], size[0]] * 2)))
    mask = np.zeros(size, np.float32)
    mask[top:bottom, left:right] = 1
    return shown * mask
