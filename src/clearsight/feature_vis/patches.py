"""The image patches that excite a unit most, cut out by its receptive field [Girshick et al. 2014, arXiv:1311.2524,
section 3.1; Zeiler and Fergus 2014, arXiv:1311.2901, figure 2].

The receptive field is what a unit can see. What it does look at is smaller [Luo et al. 2016, arXiv:1701.04128], and
measured here from its gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from clearsight.data.cached_pixels import PixelView
from clearsight.data.loader import to_float
from clearsight.feature_vis.gates import gated_before
from clearsight.feature_vis.maps import checked_units
from clearsight.models.anatomy import views
from clearsight.models.execution import engine_for
from clearsight.models.feature_maps import MapLayer, units_at
from clearsight.models.network import frozen
from clearsight.models.shape_tracing import View
from clearsight.predictor import Predictor

Floats = NDArray[np.float32]
Box = tuple[int, int, int, int]
"""top, left, bottom, right in pixels; bottom and right are the first beyond it."""

MASS = 0.9
"""Share of a unit's gradient, along either axis, that lies within the box it looks at."""


@dataclass(frozen=True)
class Patch:
    """A place that excites a unit. place: row and column in the layer's map. window: the receptive field, which may
    reach beyond the image. looked_at: the box within it that holds the middle 90 % of the gradient along each axis.
    pixels (C, H, W): the whole image.
    """

    image: str
    label: str
    activation: float
    place: tuple[int, int]
    window: Box
    looked_at: Box
    pixels: Floats

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without pixels."""
        return {key: value for key, value in asdict(self).items() if key != "pixels"}


@dataclass(frozen=True)
class UnitPatches:
    """A unit's patches, strongest first, one an image at most. mean: its largest activation in an image, averaged over
    all images.
    """

    unit: int
    mean: float
    patches: tuple[Patch, ...]


@dataclass(frozen=True)
class Peaks:
    """What N images excite in a layer: the largest value of each of its K units (N, K), and its place (N, K), counted
    row by row.
    """

    values: Floats
    places: NDArray[np.int64]


@dataclass(frozen=True)
class ExcitingPatches:
    """Patches of some units of a layer. side: of the receptive field in pixels, height and width. images: how many were
    searched. silent: units that are the same on all of them. gated: squeeze-and-excitation stands before the layer, so
    that its units also depend on the whole image.
    """

    layer: MapLayer
    side: tuple[int, int]
    images: int
    silent: int
    gated: bool
    units: tuple[UnitPatches, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without pixels."""
        return {
            "layer": self.layer.short, "receptive_field": list(self.side), "images": self.images,
            "silent": self.silent, "gated": self.gated,
            "units": [
                {"unit": u.unit, "mean": u.mean, "patches": [p.to_dict() for p in u.patches]} for u in self.units
            ],
        }  # fmt: skip


def exciting_patches(
    predictor: Predictor,
    layer: MapLayer,
    images: PixelView,
    words: Sequence[str],
    names: Sequence[str],
    *,
    units: Sequence[int] = (),
    most: int = 8,
    patches: int = 8,
    batch: int = 16,
    seed: int = 0,
    found: Peaks | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ExcitingPatches:
    """Search images (N, C, H, W), with words for what they show and names, for the places that excite units of a layer
    most.

    units: their numbers; else `most` of those that are not silent, drawn by the seed and not picked for their looks.
    patches: for each unit. found: the layer's peaks, where these images were searched before. Raises ConfigError for a
    unit the layer does not have.
    """
    chosen = checked_units(layer, units)
    searched = found or search(predictor, layer, images, batch=batch, progress=progress)
    peaks, places = searched.values, searched.places
    alive = np.flatnonzero(peaks.max(0) > peaks.min(0))
    if not units:
        chosen = np.sort(np.random.default_rng(seed).permutation(alive)[:most])
    view = views(predictor.network, predictor.shape).get(layer.name)
    chosen_patches = [
        (int(unit), int(i)) for unit in chosen for i in np.argsort(-peaks[:, unit], kind="stable")[:patches]
    ]
    made: dict[int, list[Patch]] = {int(unit): [] for unit in chosen}
    for start in range(0, len(chosen_patches), batch):
        part = chosen_patches[start : start + batch]
        pixels = to_float(images.array[images.indices[[i for _, i in part]]])
        flat = torch.tensor([int(places[i, unit]) for unit, i in part])
        values, gradients = _gradients(predictor.network, layer, pixels, torch.tensor([u for u, _ in part]), flat)
        for (unit, i), place, value, gradient, own in zip(part, flat, values, gradients, pixels, strict=True):
            row, column = divmod(int(place), layer.width)
            window = window_of(view, row, column, predictor.shape)
            made[unit].append(
                Patch(
                    image=names[i], label=words[i], activation=float(value),
                    place=(row, column), window=window, looked_at=_box(gradient.numpy(), window), pixels=own.numpy(),
                )
            )  # fmt: skip
    top, left, bottom, right = window_of(view, 0, 0, predictor.shape)
    return ExcitingPatches(
        layer=layer,
        side=(bottom - top, right - left),
        images=len(images),
        silent=layer.units - len(alive),
        gated=gated_before(predictor.network, layer.name, torch.zeros(1, *predictor.shape)),
        units=tuple(
            UnitPatches(unit, float(peaks[:, unit].mean()), tuple(sorted(ps, key=lambda p: -p.activation)))
            for unit, ps in made.items()
        ),
    )


def window_of(view: View | None, row: int, column: int, shape: tuple[int, int, int]) -> Box:
    """What the unit at a place sees; the whole image (C, H, W) where all units see the same, or it is not known."""
    if view is None or not view.height.jump:
        return 0, 0, shape[1], shape[2]
    (top, bottom), (left, right) = view.height.window(row), view.width.window(column)
    return top, left, bottom, right


def looked_at(
    predictor: Predictor, layer: MapLayer, pixels: Floats, unit: int, place: tuple[int, int], window: Box
) -> Box:
    """The box within the window that a unit at a place of an image (C, H, W) does look at; see `Patch`."""
    flat = torch.tensor([place[0] * layer.width + place[1]])
    _, gradients = _gradients(predictor.network, layer, torch.from_numpy(pixels[None]), torch.tensor([unit]), flat)
    return _box(gradients[0].numpy(), window)


class _Peaks(nn.Module):
    """The largest value of each of a layer's units (N, K), and its place, row by row (N, K)."""

    def __init__(self, network: nn.Module, layer: str) -> None:
        super().__init__()
        self.network, self.layer = network, layer

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        value, place = units_at(self.network, self.layer, x).flatten(2).max(2)
        return value, place.float()


def search(
    predictor: Predictor,
    layer: MapLayer,
    images: PixelView,
    *,
    batch: int = 16,
    progress: Callable[[int, int], None] | None = None,
) -> Peaks:
    """What images (N, C, H, W) excite in every unit of a layer."""
    network = _Peaks(predictor.network, layer.name)
    engine = engine_for(network, predictor.shape, len(images), predictor.device, predictor.engine)
    parts = (to_float(images[i : i + batch]).numpy() for i in range(0, len(images), batch))
    values: list[Floats] = []
    places: list[Floats] = []
    for value, place in engine.stream(parts):
        values.append(value)
        places.append(place)
        if progress:
            progress(min(len(values) * batch, len(images)), len(images))
    return Peaks(np.concatenate(values), np.concatenate(places).astype(np.int64))


def _gradients(
    network: nn.Module, layer: MapLayer, pixels: torch.Tensor, units: torch.Tensor, places: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Activations (N,) of one unit at one place of each image, and their absolute gradients (N, H, W)."""
    with frozen(network), torch.enable_grad():
        x = pixels.clone().requires_grad_()
        values = units_at(network, layer.name, x).flatten(2)[torch.arange(len(x)), units, places]
        gradient = torch.autograd.grad(values.sum(), x)[0] if values.requires_grad else torch.zeros_like(x)
    return values.detach(), gradient.abs().sum(1)


def _box(gradient: NDArray[np.floating], window: Box) -> Box:
    """The middle `MASS` of the gradient (H, W) along each axis; of a unit without gradient the window in the image."""
    height, width = gradient.shape
    if not gradient.sum():
        return max(0, window[0]), max(0, window[1]), min(height, window[2]), min(width, window[3])
    edges = []
    for axis in (1, 0):
        share = np.cumsum(gradient.sum(axis)) / gradient.sum()
        edges.append((int(np.argmax(share >= (1 - MASS) / 2)), int(np.argmax(share >= (1 + MASS) / 2 - 1e-9)) + 1))
    (top, bottom), (left, right) = edges
    return top, left, bottom, right
