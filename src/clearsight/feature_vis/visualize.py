"""Every way to look into a model, in one go: which parts it has, and what each shows.

found = visualize(predictor, image, sample=sample)
found.filters.weights, found.maps[0].values, found.left_out
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight import wording
from clearsight.arguments import at_least
from clearsight.console import Console, Silent
from clearsight.data.cached_pixels import PixelView
from clearsight.data.loader import to_float
from clearsight.data.pixel_format import PixelFormat
from clearsight.errors import ConfigError, DataError, ModelError
from clearsight.feature_vis.class_images import (
    ClassPicture,
    Start,
    class_pictures,
    mean_starts,
    noise_starts,
    unit_pictures,
)
from clearsight.feature_vis.depths import layers_of, named, overview, within_image
from clearsight.feature_vis.filters import Filters, first_filters
from clearsight.feature_vis.gates import ClassGates, class_gates, need_gates
from clearsight.feature_vis.inversion import Inversion, invert
from clearsight.feature_vis.maps import FeatureMaps, checked_units, feature_maps
from clearsight.feature_vis.patches import ExcitingPatches, exciting_patches, search
from clearsight.models.anatomy import views
from clearsight.models.execution import operations
from clearsight.models.feature_maps import MapLayer
from clearsight.models.layer_probe import layer_name
from clearsight.predictor import Predictor
from clearsight.result import Result
from clearsight.wording import percent

Floats = NDArray[np.float32]

PARTS: dict[str, str] = {
    "filters": "weights of the first layer; for a linear classifier, one template per class",
    "maps": "feature maps of an image",
    "patches": "image patches that activate a unit most strongly",
    "classes": "images that maximise the output of a class, or of a unit of --layer",
    "inversion": "image reconstructed from the features of a layer",
    "gates": "squeeze-and-excitation gates of each class",
}
"""What can be looked at."""

ALL_UNITS = 64
"""Units shown of a layer that was asked for by name; of each in an overview `maps.feature_maps` shows fewer."""

CLASS_WORK = 1.5e12
"""Operations that pictures of classes nobody named may cost, about half a minute on two cores."""


RGB = PixelFormat(3, 8)


@dataclass(frozen=True)
class Settings:
    """How to look. layer, units: of maps, patches, inversion and pictures of units; chosen where not named. classes:
    names or numbers to make pictures of. modes: pictures for each. steps: of the class pictures and of the inversion.
    batch: images in memory at once.
    """

    layer: str = ""
    units: tuple[int, ...] = ()
    classes: tuple[str | int, ...] = ()
    modes: int = 3
    class_steps: int = 64
    inversion_steps: int = 100
    batch: int = 16
    seed: int = 0


@dataclass(frozen=True)
class Sample:
    """Labelled images to search: (N, C, H, W), labels (N,) as the model numbers its classes, names, and what they show
    in words.
    """

    images: PixelView
    labels: NDArray[np.integer]
    names: list[str]
    words: list[str]


@dataclass(frozen=True)
class LayerRow:
    """A layer that can be shown, and the side in pixels of what its units see; None where it is not known."""

    layer: MapLayer
    receptive_field: int | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON.

        Returns:
            A dictionary.
        """
        found = self.layer
        return {
            "layer": found.short, "kind": found.kind, "units": found.units, "size": [found.height, found.width],
            "receptive_field": self.receptive_field,
        }  # fmt: skip


@dataclass(frozen=True, repr=False, eq=False)
class Visualization(Result):
    """Visualisations of the parts of a network.

    image, pixels (C, H, W): the image of the maps and the inversion. left_out: parts that were not made, with the
    reason. name: name of the model. form: how the model reads images.
    """

    image: str | None
    pixels: Floats | None
    layers: tuple[LayerRow, ...] = ()
    filters: Filters | None = None
    maps: tuple[FeatureMaps, ...] = ()
    patches: ExcitingPatches | None = None
    classes: tuple[ClassPicture, ...] = ()
    inversion: tuple[Inversion, ...] = ()
    gates: ClassGates | None = None
    left_out: dict[str, str] = field(default_factory=dict)
    name: str = "a model"
    form: PixelFormat = RGB

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without pictures."""
        return {
            "image": self.image,
            "layers": [row.to_dict() for row in self.layers],
            "filters": self.filters.to_dict() if self.filters else None,
            "maps": [m.to_dict() for m in self.maps],
            "patches": self.patches.to_dict() if self.patches else None,
            "classes": [c.to_dict() for c in self.classes],
            "inversion": [i.to_dict() for i in self.inversion],
            "gates": self.gates.to_dict() if self.gates else None,
            "left_out": self.left_out,
        }

    def text(self) -> str:
        """A line for each part, and why others are not shown."""
        lines = [f"{part:<10} {words}" for part, words in self.part_words().items()]
        return "\n".join([*lines, *self.left_out_lines()])

    def left_out_lines(self) -> list[str]:
        """Why parts are not shown.

        Returns:
            One line per part.
        """
        return [f"{part:<10} not shown: {why}" for part, why in self.left_out.items()]

    def part_words(self) -> dict[str, str]:
        """A line about each part that is shown.

        Returns:
            Lines by the name of the part.
        """
        lines: dict[str, str] = {}
        if f := self.filters:
            count, _, height, width = f.weights.shape
            lines["filters"] = f"{wording.count(count, 'filter')} of {height}x{width} in {f.layer}" + (
                ", one template per class" if f.classes else ""
            )
        if self.maps:
            lines["maps"] = f"{', '.join(m.layer.short for m in self.maps)} for {self.image}"
        if p := self.patches:
            units = ", ".join(str(u.unit) for u in p.units)
            lines["patches"] = (
                f"{'unit' if len(p.units) == 1 else 'units'} {units} of {p.layer.short}; "
                f"{wording.count(p.images, 'image')} searched, {wording.count(p.silent, 'unit')} inactive"
            )
        if self.classes:
            best: dict[str, list[ClassPicture]] = {}
            for c in self.classes:
                best.setdefault(c.label, []).append(c)
            lines["classes"] = ", ".join(f"{c} ({wording.count(len(b), 'image')}, {_top(b)})" for c, b in best.items())
        if self.inversion:
            lines["inversion"] = "relative feature error: " + ", ".join(
                f"{i.layer} {i.error:.2f}" for i in self.inversion
            )
        if g := self.gates:
            classes = wording.count(len(g.classes), "class", "classes")
            images = wording.count(sum(g.images), "image")
            lines["gates"] = f"{wording.count(len(g.blocks), 'block')}, {classes}, {images}"
        return lines


def _top(pictures: list[ClassPicture]) -> str:
    """The largest probability of a class, or activation of a unit."""
    known = [c.probability for c in pictures if c.probability is not None]
    return (
        f"probability up to {percent(max(known))}"
        if known
        else f"activation up to {max(c.logit for c in pictures):.3g}"
    )


def layer_rows(predictor: Predictor) -> tuple[LayerRow, ...]:
    """The layers whose output is maps or vectors, with their receptive fields.

    Args:
        predictor: the model.

    Returns:
        The layers in the order in which they run.
    """
    check(predictor, "maps", Settings())
    seen = views(predictor.network, predictor.shape)
    return tuple(
        LayerRow(layer, seen[layer.name].side if layer.name in seen else None) for layer in layers_of(predictor)
    )


def check(predictor: Predictor, what: str, settings: Settings) -> None:
    """Refuse parts that do not exist, models without layers, and settings out of range.

    Args:
        predictor: the model.
        what: name of a part, or "all".
        settings: settings of the parts.

    Raises:
        ConfigError: the part is unknown, or a setting is out of range.
        ModelError: the model has no layers, or no layer of this name.
    """
    if what != "all" and what not in PARTS:
        raise ConfigError(f"unknown visualisation {what!r}", expected=", ".join([*PARTS, "all"]))
    predictor.network.require_layers()
    for name, value in (
        ("modes", settings.modes),
        ("steps", min(settings.class_steps, settings.inversion_steps)),
        ("batch-size", settings.batch),
    ):
        if value < 1:
            raise ConfigError(f"--{name} is {value}", expected="1 or more")
    at_least(0, seed=settings.seed)
    if settings.layer:
        layer_name(predictor.network, settings.layer)
    for target in settings.classes:
        predictor.bundle.task.index_of(target)
    if settings.units and not settings.layer:
        raise ConfigError("a unit needs a layer", fix="specify the layer: --layer NAME --unit N")


def visualize(
    predictor: Predictor,
    pixels: Floats | None,
    *,
    image: str | None = None,
    what: str = "all",
    sample: Sample | None = None,
    settings: Settings | None = None,
    console: Console | None = None,
) -> Visualization:
    """Visualise one part of a model, or all that the model and the data allow.

    Args:
        predictor: the model.
        pixels: an image (C, H, W) in [0, 1] for maps and inversion; None for no image.
        image: its name.
        what: name of a part; "all" for all, where parts that cannot be made are listed in `left_out`.
        sample: images for patches and gates, and as starting points of class pictures.
        settings: settings of the parts; None for the defaults.
        console: shows progress; None for none.

    Returns:
        The parts.

    Raises:
        ConfigError: as for `check`.
        ModelError: the model does not have the part that was asked for.
        DataError: the part needs an image or a sample, and there is none.
    """
    settings = settings or Settings()
    check(predictor, what, settings)
    visualizer = _Visualizer(predictor, pixels, sample, settings, console or Silent())
    made: dict[str, Any] = {}
    left_out: dict[str, str] = {}
    for part in PARTS if what == "all" else [what]:
        try:
            made[part] = getattr(visualizer, part)()
        except (ModelError, DataError) as error:
            if what != "all":
                raise
            left_out[part] = str(error)
    if not made:
        raise ModelError("nothing in this model can be visualised", found="; ".join(left_out.values()))
    try:
        rows = layer_rows(predictor)
    except ModelError:  # a network of dense layers
        rows = ()
    return Visualization(image=image, pixels=pixels, layers=rows, left_out=left_out, **made)


@dataclass(frozen=True)
class _Visualizer:
    """One method for each of `PARTS`."""

    predictor: Predictor
    pixels: Floats | None
    sample: Sample | None
    settings: Settings
    console: Console

    def filters(self) -> Filters:
        return first_filters(self.predictor)

    def maps(self) -> tuple[FeatureMaps, ...]:
        most = ALL_UNITS if self.settings.layer else 16
        found = feature_maps(self.predictor, self._image(), self._layers(), most=most, units=self.settings.units)
        return tuple(self._with_names(layer) for layer in found)

    def _with_names(self, found: FeatureMaps) -> FeatureMaps:
        """What the units of the output stand for."""
        names, last = self.predictor.classes, layers_of(self.predictor)[-1]
        if not found.layer.dense or found.layer.name != last.name or found.total != len(names):
            return found
        return replace(found, names=tuple(names[unit] for unit in found.units))

    def patches(self) -> ExcitingPatches:
        sample, settings = self._sample(), self.settings
        if settings.layer:
            layer = named(self.predictor, settings.layer)
        else:
            layer = within_image(self.predictor.network, layers_of(self.predictor), self.predictor.shape)
        return exciting_patches(
            self.predictor, layer, sample.images, sample.words, sample.names, units=settings.units,
            batch=settings.batch, seed=settings.seed, progress=self.console.stage("searching for patches"),
        )  # fmt: skip

    def classes(self) -> tuple[ClassPicture, ...]:
        settings, sample = self.settings, self.sample
        if settings.units and not settings.classes:
            return self._units()
        task = self.predictor.bundle.task
        if task.outputs != len(task.names) or not task.probabilistic:
            raise ModelError(
                "class images need a model that predicts classes or "
                "labels", found=f"a model that predicts {task.words_used.names[1]}",
                fix="use --what classes --layer NAME --unit 0, where NAME is the last layer printed by --layer list",
            )  # fmt: skip
        if not task.needs_classes:  # images are of several labels: none are alike in the way that starts need
            sample = None
        numbers = _classes(self.predictor, self.pixels, settings)
        if sample is None:
            starts = noise_starts(self.predictor, numbers, settings.modes, seed=settings.seed)
        else:
            starts = mean_starts(
                self.predictor, numbers, settings.modes, sample.images, sample.labels, seed=settings.seed,
                progress=self.console.stage("grouping images"),
            )  # fmt: skip
        found = class_pictures(
            self.predictor, starts, steps=settings.class_steps, batch=settings.batch, seed=settings.seed,
            progress=self.console.stage("drawing classes", "steps"),
        )  # fmt: skip
        return tuple(found)

    def _units(self) -> tuple[ClassPicture, ...]:
        settings, layer = self.settings, named(self.predictor, self.settings.layer)
        units = [int(unit) for unit in checked_units(layer, settings.units)]
        if self.sample is None:
            starts = noise_starts(self.predictor, units, settings.modes, seed=settings.seed)
        else:  # what excites them most: where a ReLU unit is zero, no gradient leads away
            images = self.sample.images
            peaks = search(self.predictor, layer, images, batch=settings.batch).values
            best = {unit: np.argsort(-peaks[:, unit], kind="stable")[: settings.modes] for unit in units}
            starts = [
                Start(unit, to_float(images.array[images.indices[i]]).numpy(), 1) for unit in units for i in best[unit]
            ]
        found = unit_pictures(
            self.predictor, layer, starts, steps=settings.class_steps, batch=settings.batch, seed=settings.seed,
            progress=self.console.stage("drawing units", "steps"),
        )  # fmt: skip
        return tuple(found)

    def inversion(self) -> tuple[Inversion, ...]:
        settings = self.settings
        layers = [settings.layer] if settings.layer else [layer.name for layer in self._layers()]
        found = invert(
            self.predictor, self._image(), layers, steps=settings.inversion_steps, seed=settings.seed,
            progress=self.console.stage("inverting layers", "steps"),
        )  # fmt: skip
        return tuple(found)

    def gates(self) -> ClassGates:
        need_gates(self.predictor)
        task = self.predictor.bundle.task
        if not task.needs_classes:
            raise ModelError(
                "the gates cannot be averaged over the images of each class",
                found=f"a model that predicts {task.words_used.names[1]}",
                expected="a model that predicts one class per image",
            )  # fmt: skip
        sample, advance = self._sample(), self.console.stage("reading gates")
        return class_gates(self.predictor, sample.images, sample.labels, batch=self.settings.batch, progress=advance)

    def _layers(self) -> list[MapLayer]:
        if self.settings.layer:
            return [named(self.predictor, self.settings.layer)]
        return overview(layers_of(self.predictor))

    def _image(self) -> Floats:
        if self.pixels is None:
            raise DataError("this visualisation needs an image", fix="pass an image: `clearsight visualize RUN IMAGE`")
        return self.pixels

    def _sample(self) -> Sample:
        if self.sample is None:
            raise DataError("this visualisation needs labelled images", fix="pass labelled images with --data DATA")
        return self.sample


def _classes(predictor: Predictor, pixels: Floats | None, settings: Settings) -> list[int]:
    """The classes asked for; else all, or those most likely for the image where all would take too long."""
    if settings.classes:
        return [predictor.bundle.task.index_of(c) for c in settings.classes]
    one = 3 * operations(predictor.network, predictor.shape) * settings.class_steps * settings.modes  # forth and back
    most = max(1, min(10, int(CLASS_WORK / max(1, one))))
    count = len(predictor.classes)
    if count <= most:
        return list(range(count))
    if pixels is None:
        return sorted(int(i) for i in np.random.default_rng(settings.seed).permutation(count)[:most])
    return [int(i) for i in np.argsort(-predictor.predict_proba(pixels[None])[0], kind="stable")[:most]]
