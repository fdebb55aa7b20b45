"""What was seen inside a network, as sheets of pictures (H, W, 3)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from clearsight.data.displayed import displayed
from clearsight.data.pixel_format import PixelFormat
from clearsight.feature_vis import ClassGates, ClassPicture, ExcitingPatches, FeatureMaps, Filters, Inversion, Patch
from clearsight.report.components.pictures import rgb
from clearsight.report.drawings import fitting
from clearsight.report.tiles import ABSENT, INK, SOFT, Colours, Row, Tile, bright, signed, tile_sheet
from clearsight.wording import probability

Floats = NDArray[np.floating]

DEAD = 0.01
"""Share of a layer's strongest weight below which a filter stays as pale as it is."""

COLUMNS, CELL = 64, 16
"""Units of a dense layer in a line, and the side of each in pixels."""

MOST_FILTERS = 256
MOST_CLASSES = 24
"""Filters and classes of gates drawn; there may be more."""


def shown(pixels: Floats, form: PixelFormat, like: Floats | None = None) -> Colours:
    """An image (C, H, W) as (H, W, 3). form: how the model reads images. Of 16 bits the darkest and brightest permille
    become black and white, or those of `like`, as few microscopes use the whole range.
    """
    pixels = displayed(pixels, form.shown)
    if form.bits == 16:
        low, high = np.percentile(pixels if like is None else displayed(like, form.shown), (0.1, 99.9))
        pixels = np.clip((pixels - low) / max(1e-6, float(high - low)), 0, 1)
    return rgb(pixels)


def filter_sheet(found: Filters) -> NDArray[np.float64]:
    """Filters of three channels in their own colours around gray; others red where positive and blue where negative."""
    colour = found.weights.shape[1] == 3 and not _same_channels(found.weights)
    strongest = float(np.abs(found.weights).max()) or 1.0
    tiles = []
    for number, weight in enumerate(found.weights[:MOST_FILTERS]):
        top = float(np.abs(weight).max())
        full = max(top, DEAD * strongest)
        drawn = rgb(0.5 + weight / (2 * full)) if colour else signed(weight.mean(0), full)
        name = found.classes[number] if found.classes else f"{number}"
        tiles.append(Tile(drawn, (name, f"±{top:.2g}")))
    count, _, height, width = found.weights.shape
    kind = "class templates" if found.classes else "filters"
    what = "each scaled by its largest weight, shown below it"
    key = "gray is zero, and the colours show the channels" if colour else "red is positive and blue is negative"
    side = 128 if found.classes else 72
    name = f"{found.layer}: {count} {kind} of {height}x{width}"
    if len(tiles) < count:
        name += f" (first {len(tiles)} shown)"
    return tile_sheet([Row(name, tiles, f"{key}; {what}")], side=side)


def _same_channels(weights: Floats) -> bool:
    """Whether a layer treats all channels alike, as one that sees gray images repeated may."""
    return bool(np.allclose(weights, weights[:, :1]))


def map_sheet(found: Sequence[FeatureMaps], pixels: Floats, form: PixelFormat) -> NDArray[np.float64]:
    """The image, then a row for each layer."""
    rows = [Row("the image", [Tile(shown(pixels, form))])]
    for layer in found:
        both = bool((layer.values < 0).any())
        if layer.layer.dense:
            rows.append(_dense_row(layer, both))
            continue
        tiles = [
            Tile(signed(values) if both else bright(values), (f"{unit}", f"peak {_number(np.abs(values).max())}"))
            for unit, values in zip(layer.units, layer.values, strict=True)
        ]
        size = f"{layer.layer.height}x{layer.layer.width}"
        silent = f", {layer.silent} constant" if layer.silent else ""
        key = "red is positive and blue is negative" if both else "dark is zero"
        few = f"the {len(tiles)} with the largest variation" if len(tiles) < layer.total else "all"
        rows.append(
            Row(
                f"{layer.layer.short}: {layer.total} feature maps of {size}",
                tiles,
                f"{few}{silent}; {key}; each scaled by its peak value",
            )
        )
    return tile_sheet(rows, side=128 if len(found) == 1 else 104)


def _dense_row(found: FeatureMaps, both: bool) -> Row:
    """The units of a dense layer: a cell for each, line by line; of the output, with their names and values."""
    values = found.values[:, 0, 0]
    top = float(np.abs(values).max(initial=0.0)) or 1.0
    columns = min(COLUMNS, len(values))
    cells = np.full((-(-len(values) // columns), columns), np.nan)
    cells.flat[: len(values)] = values
    colours = signed(cells, top) if both else bright(cells, 0.0, top)
    colours[np.isnan(cells)] = 1.0
    key = "red is positive and blue is negative" if both else "dark is zero"
    if found.names:
        tiles = [
            Tile(
                colours[divmod(i, columns)][None, None].repeat(24, 0).repeat(84, 1), (name, _number(value)), exact=True
            )
            for i, (name, value) in enumerate(zip(found.names, values, strict=True))
        ]
    else:
        large = colours.repeat(CELL, 0).repeat(CELL, 1)
        large[CELL - 1 :: CELL] = large[:, CELL - 1 :: CELL] = 1.0
        tiles = [Tile(large, exact=True)]
    silent = f", {found.silent} of the {found.total} equal to zero" if found.silent else ""
    few = f"the {len(values)} largest of {found.total}" if len(values) < found.total else f"all {found.total}"
    line = f", {columns} per line" if len(values) > columns else ""
    span = f"from {_number(float(values.min()))} to {_number(float(values.max()))}" if len(values) else "none"
    return Row(f"{found.layer.short}: {found.total} units", tiles, f"{few}{line}, {span}{silent}; {key}")


def patch_sheet(found: ExcitingPatches, form: PixelFormat) -> NDArray[np.float64]:
    """A row for each unit, strongest patch first, with the box it looks at."""
    height, width = found.side
    rows = []
    for unit in found.units:
        tiles = [_patch_tile(p, form) for p in unit.patches]
        words = (
            f"receptive field {height}x{width} pixels; mean of the largest activation per image: {_number(unit.mean)}"
        )
        rows.append(Row(f"{found.layer.short}, unit {unit.unit}", tiles, words))
    return tile_sheet(rows, side=128)


def _patch_tile(patch: Patch, form: PixelFormat) -> Tile:
    """The receptive field, with what lies beyond the image left blank; where it is larger, the image alone."""
    whole = shown(patch.pixels, form)
    height, width = whole.shape[:2]
    top, left, bottom, right = patch.window
    if bottom - top > height or right - left > width:
        top, left, bottom, right = 0, 0, height, width
    cut = np.broadcast_to(np.array(ABSENT) / 255, (bottom - top, right - left, 3)).copy()
    a, b, c, d = max(0, top), max(0, left), min(height, bottom), min(width, right)
    cut[a - top : c - top, b - left : d - left] = whole[a:c, b:d]
    y0, x0, y1, x1 = patch.looked_at
    return Tile(cut, (_number(patch.activation), patch.label), ((y0 - top, x0 - left, y1 - top, x1 - left),))


def class_sheet(found: Sequence[ClassPicture], form: PixelFormat) -> NDArray[np.float64]:
    """A row for each class: each picture beside the start it came from."""
    rows = []
    for label in dict.fromkeys(p.label for p in found):
        tiles = []
        for p in found:
            if p.label == label:
                of = f"group of {p.images} images" if p.images > 1 else "an image" if p.images else "noise"
                before, after = f"activation {_number(p.logit_before)}", [f"activation {_number(p.logit)}"]  # of a unit
                if p.probability is not None and p.probability_before is not None:
                    before = f"probability {probability(p.probability_before)}"
                    after = [
                        f"probability {probability(p.probability)}",
                        f"logit {p.logit_before:.1f} to {p.logit:.1f}",
                    ]
                tiles.append(Tile(shown(p.start, form), (f"start: {of}", before)))
                tiles.append(Tile(shown(p.pixels, form), tuple(after)))
        rows.append(Row(label, tiles))
    return tile_sheet(rows, side=176)


def inversion_sheet(found: Sequence[Inversion], pixels: Floats, form: PixelFormat) -> NDArray[np.float64]:
    """The image, and what each layer kept of it."""
    tiles = [Tile(shown(pixels, form), ("the image",))]
    for i in found:
        alike = "" if i.correlation is None else f"correlation {i.correlation:.2f}"
        words = (i.layer, f"error {i.error:.2f} (noise: {i.error_before:.2f})", alike)
        tiles.append(Tile(shown(i.pixels, form, pixels), words))
    return tile_sheet([Row("reconstruction from each layer", tiles)], side=224)


def gate_sheet(found: ClassGates, width: int = 1160) -> NDArray[np.float64]:
    """For each block a strip of gates: a row for each class, a column for each channel, ordered by the mean gate."""
    name, cell = 150, 16
    classes = found.classes[:MOST_CLASSES]
    room = 30 + 20 + cell * len(classes) + 14
    sheet = Image.new("RGB", (width, 54 + room * len(found.blocks)), "white")
    pen = ImageDraw.Draw(sheet)
    large, small, tiny = (ImageFont.load_default(size) for size in (17, 13, 12))
    scale = bright(np.linspace(0, 1, 200)[None].repeat(12, 0), 0.0, 1.0)
    sheet.paste(_picture(scale), (name + 40, 14))
    pen.text((name, 12), "shut 0", fill=SOFT, font=small)
    pen.text((name + 246, 12), "1 open", fill=SOFT, font=small)
    top = 44
    for block in found.blocks:
        channels = block.mean.shape[1]
        cut = len(classes) < len(found.classes)
        some = f" (first {len(classes)} of {len(found.classes)} classes)" if cut else ""
        pen.text((10, top), f"{block.block}: {channels} gates{some}", fill=INK, font=large)
        words = f"standard deviation: {block.spread:.3f} between classes, {block.within:.3f} between images of a class"
        pen.text((10, top + 24), words, fill=SOFT, font=small)
        ordered = block.mean[: len(classes), np.argsort(block.mean.mean(0), kind="stable")]
        strip = _picture(bright(ordered, 0.0, 1.0)).resize(
            (width - name - 10, cell * len(classes)), Image.Resampling.NEAREST
        )
        sheet.paste(strip, (name, top + 46))
        for number, label in enumerate(classes):
            spot = 10, top + 46 + cell * number
            pen.text(spot, fitting(pen, label, name - 20, tiny), fill=SOFT, font=tiny)
        top += room
    return np.asarray(sheet) / 255


def _picture(colours: Colours) -> Image.Image:
    return Image.fromarray(np.round(np.clip(colours, 0, 1) * 255).astype(np.uint8))


def _number(value: float) -> str:
    return f"{value:.3g}"
