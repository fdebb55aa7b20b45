"""Results as the plain values and small pictures of a response."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic_core import to_json
from starlette.responses import Response

from clearsight.attacks import Attacked
from clearsight.data.displayed import displayed
from clearsight.data.loader import to_float
from clearsight.data.pixel_format import PixelFormat
from clearsight.data.pixels import Pixels
from clearsight.explanation import Explanation
from clearsight.feature_vis import ExcitingPatches, FeatureMaps, Patch, UnitInputs
from clearsight.models.anatomy import Layer
from clearsight.models.layer_graph import Node
from clearsight.models.layer_probe import short_name
from clearsight.models.shape_tracing import View
from clearsight.report.components.map_colours import overlay
from clearsight.report.components.pictures import data_uri, visible
from clearsight.report.sprites import difference, fitted, heat_layer, png, sprite, unit_colours
from clearsight.report.visualization_sheets import shown

Floats = NDArray[np.floating]

TILE = 48
"""Longest side of a map among others, in pixels."""

THUMBNAIL = 160
"""Longest side of a training image, in pixels."""


def json_response(content: dict[str, Any]) -> Response:
    """Plain values as JSON, by Pydantic's serialiser: for a thousand classes ten times as fast as `json_values`, whose
    rule it follows.
    """
    return Response(to_json(content, inf_nan_mode="null"), media_type="application/json")


def prediction(
    task: str, found: Any, top: int | None = None, picture: str | None = None, line: str | None = None
) -> dict[str, Any]:
    """The prediction for an image. top: names to list where it has probabilities. line: it in words, if asked for."""
    values = {"task": task, **{f.name: getattr(found, f.name) for f in fields(found)}, "picture": picture}
    if top is not None and "probabilities" in values:
        values["probabilities"] = dict(list(values["probabilities"].items())[:top])
    return values if line is None else {**values, "line": line}


def seen_picture(pixels: Pixels, form: PixelFormat) -> str:
    """An image (C, H, W) as the network sees it, 16 bits stretched to what can be shown."""
    return png(shown(to_float(pixels).numpy(), form))


def explanation(
    found: Explanation, *, probabilistic: bool, picture: bool, heat: bool, apart: bool, form: PixelFormat
) -> dict[str, Any]:
    faithful = found.faithfulness
    names = ("score", "deletion", "insertion", "random_deletion", "random_insertion")
    drawn = overlay(visible(displayed(found.pixels, form.shown)), found.heat).transpose(2, 0, 1) if picture else None
    return {
        "image": found.image, "method": found.method, "task": found.task, "target": found.target,
        "opposite": found.opposite, "probability": found.value if probabilistic else None,
        "value": None if probabilistic else found.value,
        "strongest": float(found.heat.flat[np.abs(found.heat).argmax()]),
        "shape": list(found.heat.shape), "picture": None if drawn is None else data_uri(drawn),
        "below": png(shown(found.pixels, form)) if apart else None,
        "above": png(heat_layer(found.heat)) if apart else None, "signed": bool(found.heat.min() < 0),
        "heat": [[float(f"{v:.6g}") for v in row] for row in found.heat.tolist()] if heat else None,
        "faithfulness": {n: getattr(faithful, n) for n in names} | {"verdict": found.verdict} if faithful else None,
        "randomised": found.randomised, "verdict": found.remarks, "settings": found.settings,
        "seconds": round(found.seconds, 3),
    }  # fmt: skip


def attacked(task: str, found: Attacked, form: PixelFormat) -> dict[str, Any]:
    changed, gain = difference(*(displayed(one, form.shown) for one in (found.pixels, found.attacked)))
    return {
        "method": found.method, "norm": found.norm, "epsilon": found.epsilon, "steps": found.steps,
        "target": found.target, "largest": found.largest, "length": found.length,
        "before": prediction(task, found.before), "after": prediction(task, found.after),
        "picture": png(shown(found.pixels, form)), "attacked": png(shown(found.attacked, form, found.pixels)),
        "difference": png(changed), "gain": gain,
    }  # fmt: skip


def network(nodes: tuple[Node, ...], layers: dict[str, Layer]) -> dict[str, Any]:
    return {
        "layers": [_node(node, layers.get(node.name)) for node in nodes],
        "parameters": sum(layer.parameters for layer in layers.values()),
        "multiply_adds": sum(layer.multiply_adds for layer in layers.values()),
    }


def _node(node: Node, layer: Layer | None) -> dict[str, Any]:
    units, height, width = node.places
    return {
        "number": node.number, "name": short_name(node.name), "kind": node.kind, "group": node.group,
        "inputs": list(node.inputs), "shape": list(node.output), "units": units, "height": height, "width": width,
        "visible": node.visible, "parameters": layer.parameters if layer else 0,
        "multiply_adds": layer.multiply_adds if layer else 0,
        "receptive_field": layer.receptive_field if layer else None, "arithmetic": layer.arithmetic if layer else "",
    }  # fmt: skip


def maps(found: list[FeatureMaps], numbers: list[int], columns: int) -> dict[str, Any]:
    """Maps of layers as tiles of one picture, row by row; each layer begins a row where there are several."""
    side = min(TILE, max(max(f.layer.height, f.layer.width) for f in found))
    tiles: list[Floats] = []
    both: list[bool] = []
    tops: list[float] = []
    listed: list[dict[str, Any]] = []
    for number, layer in zip(numbers, found, strict=True):
        first = len(tiles)
        own = list(layer.values)
        if len(found) > 1:
            own += [np.zeros((1, 1), np.float32)] * (columns - len(own))
        tiles += own
        both += [layer.below_zero] * len(own)
        tops += [float(np.abs(values).max()) for values in own]
        listed.append(
            {
                "layer": number, "units": layer.units.tolist(), "total": layer.total, "silent": layer.silent,
                "below_zero": layer.below_zero, "first": first,
                "peaks": [float(v.flat[int(np.abs(v).argmax())]) for v in layer.values],
            }
        )  # fmt: skip
    picture = png(sprite(tiles, columns, side, below_zero=both, tops=tops))
    return {"layers": listed, "side": side, "columns": columns, "tiles": len(tiles), "picture": picture}


def unit(found: UnitInputs) -> dict[str, Any]:
    return {
        "layer": found.node.number, "unit": found.unit, "activation": found.activation,
        "mean": float(found.values.mean()), "below_zero": bool((found.values < 0).any()),
        "place": list(found.place), "window": list(found.window),
        "looked_at": list(found.looked_at) if found.looked_at else None, "view": _view(found.view),
        "picture": png(unit_colours(found.values)), "inputs": found.inputs, "rest": found.rest, "bias": found.bias,
        "operation": found.operation,
        "feeders": [
            {
                "layer": f.node, "unit": f.unit, "amount": f.amount, "value": f.value,
                "weights": None if f.weights is None else f.weights.round(5).tolist(),
            }
            for f in found.feeders
        ],
    }  # fmt: skip


def _view(view: View | None) -> dict[str, list[int]] | None:
    if view is None:
        return None
    fields = view.height, view.width
    return {
        "side": [f.side for f in fields], "jump": [f.jump for f in fields], "start": [f.start for f in fields]
    }  # fmt: skip


def patches(found: ExcitingPatches, node: int, form: PixelFormat) -> dict[str, Any]:
    (own,) = found.units
    return {
        "layer": node,
        "unit": own.unit,
        "images": found.images,
        "mean": own.mean,
        "gated": found.gated,
        "patches": [_patch(patch, form) for patch in own.patches],
    }


def _patch(patch: Patch, form: PixelFormat) -> dict[str, Any]:
    """The receptive field where it is smaller than the image, else the whole image; boxes are of the picture."""
    height, width = patch.pixels.shape[1:]
    top, left, bottom, right = patch.window
    if bottom - top >= height or right - left >= width:
        top, left, bottom, right = 0, 0, height, width
    else:
        top, left, bottom, right = max(0, top), max(0, left), min(height, bottom), min(width, right)
    y0, x0, y1, x1 = patch.looked_at
    cut = shown(patch.pixels, form)[top:bottom, left:right]
    return {
        "image": patch.image, "label": patch.label, "activation": patch.activation,
        "picture": png(fitted(cut, THUMBNAIL)), "size": [bottom - top, right - left],
        "looked_at": [max(0, y0 - top), max(0, x0 - left), min(bottom, y1) - top, min(right, x1) - left],
    }  # fmt: skip
