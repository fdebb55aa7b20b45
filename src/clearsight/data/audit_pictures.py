"""Small pictures for the page of an audit: the images that findings name, the mean of each class, and the sizes of all
images.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from clearsight.data.displayed import displayed
from clearsight.data.findings import Finding, placed
from clearsight.data.prepare import Prepared

SIDE = 120
"""Longest side of a picture in pixels."""

SHOWN = 12
"""Pairs, groups or files that are shown of a finding."""

MEANS, AVERAGED = 40, 200
"""Classes of which the mean is shown, and images of each that are averaged."""

DOTS = 2000
"""Images whose size is shown."""

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Shown:
    """Images side by side (H, W) or (H, W, 3), their names, and what they have in common."""

    picture: Picture
    names: str
    words: str


@dataclass(frozen=True)
class AuditPictures:
    """found: pictures by position of the finding. means: by class. sizes (n, 2): widths and heights. preview: training
    images beside augmented versions.
    """

    found: dict[int, tuple[Shown, ...]]
    means: dict[str, Picture]
    sizes: NDArray[np.float64]
    preview: tuple[Shown, ...] = ()
    preview_words: str = ""


def audit_pictures(prepared: Prepared) -> AuditPictures:
    """Pictures for the findings of an audit.

    Args:
        prepared: the data, its split and its audit. Labels of the test split are not read.

    Returns:
        The pictures; a finding without files has none.
    """
    dataset, scan, pixels = prepared.dataset, prepared.scan, prepared.pixels
    known = np.sort(np.concatenate([prepared.split.train, prepared.split.val]))
    findings, shown = prepared.audit.findings, prepared.form.shown
    place = {dataset.source.name(i): i for i in reversed(range(len(dataset)))}
    found = {k: tuple(_shown(finding, place, prepared)) for k, finding in enumerate(findings)}
    means = {}
    for c, name in enumerate(dataset.classes[:MEANS]):
        rows = known[dataset.labels[known] == c]
        if len(rows):
            rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(AVERAGED, len(rows))).astype(int))]
            mean = np.mean([pixels.array[i].astype(np.float32) for i in rows], axis=0)
            means[name] = _small(displayed(np.asarray(np.rint(mean), pixels.array.dtype), shown), 1.0)
    sizes = np.array([(h.width, h.height) for h in scan.headers if h is not None], np.float64)
    return AuditPictures({k: some for k, some in found.items() if some}, means, sizes[:: -(-len(sizes) // DOTS)])


def _shown(finding: Finding, place: dict[str, int], prepared: Prepared) -> Iterator[Shown]:
    """The first images of a finding; several that belong together as one picture."""
    evidence = finding.evidence
    rows: list[tuple[list[str], str]] = [([str(name)], "") for name in evidence.get("files", ())[:SHOWN]]
    rows += [([first, second], str(words[0])) for first, second, *words in evidence.get("pairs", ())[:SHOWN]]
    for group in evidence.get("groups", ())[:SHOWN]:
        names = [str(entry) for entry in group[:4]]
        rows.append((names, f"{len(group)} images" if len(group) > 4 else ""))
    for names, words in rows:
        images = [place.get(name, place.get(name.partition(": ")[2])) for name in names]
        if not any(i is None or i in prepared.pixels.failed or prepared.scan.headers[i] is None for i in images):
            tiles = [_tile(prepared, i) for i in images if i is not None]
            yield Shown(_side_by_side(tiles), ", ".join(map(placed, names)), words)


def _tile(prepared: Prepared, i: int) -> Picture:
    header = prepared.scan.headers[i]
    assert header is not None
    pixels = displayed(prepared.pixels.array[i], prepared.form.shown)
    return _small(pixels, 1.0 if header.oriented else header.width / header.height)


def _small(planes: NDArray[np.generic], shape: float) -> Picture:
    """Displayed pixels (C, H, W) as a picture of a shape (width over height)."""
    levels = planes.astype(np.float32)
    if planes.dtype != np.uint8:
        low, high = np.percentile(levels, (0.1, 99.9))
        levels = np.clip((levels - low) * (255 / max(float(high - low), 1.0)), 0, 255)
    shape = float(np.clip(shape, 0.25, 4))
    size = max(8, round(SIDE * min(1, shape))), max(8, round(SIDE * min(1, 1 / shape)))
    method = cv2.INTER_AREA if max(planes.shape[1:]) > SIDE else cv2.INTER_NEAREST
    scaled = cv2.resize(np.ascontiguousarray(levels.transpose(1, 2, 0)), size, interpolation=method)
    return np.asarray(np.rint(scaled), np.uint8)


def _side_by_side(tiles: list[Picture]) -> Picture:
    """Pictures in a row on a white square, with a gap between them; one picture as it is."""
    if len(tiles) == 1:
        return tiles[0]
    colour = [tile if tile.ndim == 3 else np.repeat(tile[..., None], 3, axis=2) for tile in tiles]
    height = max(tile.shape[0] for tile in colour)
    framed = [np.pad(tile, ((0, height - len(tile)), (0, 6), (0, 0)), constant_values=255) for tile in colour]
    row = np.concatenate(framed, axis=1)[:, :-6]
    space = max(0, row.shape[1] - height)
    return np.pad(row, ((space // 2, space - space // 2), (0, 0), (0, 0)), constant_values=255)
