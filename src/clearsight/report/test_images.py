"""The test images of a report, as many as a page can hold, in sheets from which its script cuts single pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clearsight.data.prepare import Prepared
from clearsight.report.components.pictures import PIXEL_ART, Thumbnail, data_thumbnail, image_uri
from clearsight.report.threshold_section import confidence_steps
from clearsight.tasks.outcomes import Outcomes

MOST = 1000
"""Test images on the page: the mistakes, worst first, then others."""

SIDE = 88
"""Longest side of a picture in pixels."""

COLUMNS, ON_SHEET = 10, 100
"""Pictures side by side on a sheet, and on all of it."""


@dataclass(frozen=True)
class TestImages:
    """What the page says of its test images. shown, total: how many it holds, and how many there are. kinds: what
    wrong and other predictions are called. classes: names to choose by, where each image has one. data: for the script.
    """

    shown: int
    total: int
    kinds: tuple[str, str]
    classes: tuple[str, ...]
    data: dict[str, Any]


def test_images(prepared: Prepared, rows: NDArray[np.int64], found: Outcomes) -> TestImages | None:
    """Collect them.

    Args:
        prepared: the data of the run.
        rows: positions of the N test images in the data set.
        found: what is predicted of them.

    Returns:
        The images; None where the task has no captions for them.
    """
    if not found.labels or not len(rows):
        return None
    some = chosen(found)
    pictures = [data_thumbnail(prepared, int(rows[i]), SIDE) for i in some]
    side = min(SIDE, max(max(p.shape[:2]) for p in pictures))
    names: dict[str, int] = {}

    def code(text: str) -> int:
        return names.setdefault(text, len(names))

    data = {
        "side": side,
        "columns": COLUMNS,
        "onSheet": ON_SHEET,
        "sheets": [image_uri(sheet, *kind) if kind else image_uri(sheet, "JPEG", quality=75, optimize=True)
                   for sheet, kind in _sheets(pictures, side)],
        "sizes": [[p.shape[1], p.shape[0]] for p in pictures],
        "truth": found.truth_word,
        "names": [prepared.dataset.source.name(int(rows[i])) for i in some],
        "labels": [code(found.labels[i]) for i in some],
        "predicted": [code(found.predicted[i]) for i in some],
        "wrong": [int(found.wrong[i]) for i in some],
        "notes": [found.notes[i] for i in some],
        "shares": [[[code(name), round(share, 4)] for name, share in found.shares[i]] for i in some]
        if found.shares else [],
        "cells": [] if found.codes is None else found.codes[some].tolist(),
    }  # fmt: skip
    data["texts"] = list(names)
    steps = confidence_steps(found)
    data["bins"] = [] if steps is None else steps[some].tolist()
    return TestImages(len(some), len(rows), found.kinds, found.classes, data)


def chosen(found: Outcomes) -> NDArray[np.int64]:
    """Positions of the images that the page holds: mistakes, worst first, then the most uncertain others and, of what
    room is left, every so many of the rest.
    """
    order = np.lexsort((-found.order, ~found.wrong))
    if len(order) <= MOST:
        return np.asarray(order)
    wrong = int(found.wrong.sum())
    if wrong >= MOST:
        return _spread(order[:wrong], found)
    rest = order[wrong:]
    room = MOST - wrong
    uncertain, others = rest[: room // 2], rest[room // 2 :]
    evenly = np.linspace(0, len(others) - 1, room - len(uncertain)).round().astype(int)
    return np.concatenate([order[:wrong], uncertain, others[evenly]])


def _spread(wrong: NDArray[np.int64], found: Outcomes) -> NDArray[np.int64]:
    """Of more mistakes than there is room for, the worst of each confusion first, so that each can be opened."""
    if found.codes is None:
        return wrong[:MOST]
    seen: dict[tuple[int, ...], int] = {}
    turn = np.empty(len(wrong), np.int64)
    for place, i in enumerate(wrong.tolist()):
        cell = tuple(found.codes[i].tolist())
        turn[place] = seen[cell] = seen.get(cell, -1) + 1
    kept = np.sort(np.argsort(turn, kind="stable")[:MOST])
    return np.asarray(wrong[kept])


def _sheets(pictures: Sequence[Thumbnail], side: int) -> list[tuple[Image.Image, tuple[str, ...]]]:
    """Pictures in rows; small ones are kept exactly, as PNG."""
    exact = max(max(p.shape[:2]) for p in pictures) <= PIXEL_ART
    mode = "RGB" if any(p.ndim == 3 for p in pictures) else "L"
    made: list[tuple[Image.Image, tuple[str, ...]]] = []
    for start in range(0, len(pictures), ON_SHEET):
        some = pictures[start : start + ON_SHEET]
        sheet = Image.new(mode, (side * min(COLUMNS, len(some)), side * -(-len(some) // COLUMNS)))
        for place, picture in enumerate(some):
            row, column = divmod(place, COLUMNS)
            sheet.paste(Image.fromarray(picture).convert(mode), (column * side, row * side))
        made.append((sheet, ("PNG",) if exact else ()))
    return made
