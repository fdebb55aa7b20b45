"""The landscape of a trained model's loss: slices around its weights, sharpness, and its largest curvature.

found = survey(predictor, train_images, train_labels, val_images, val_labels, weights="all")
found.curvature.largest, found.train.losses

Shapes: S steps along an axis, from -1 to 1, in filter-normalised directions: at 1 every filter has moved by its own
length.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from clearsight import wording
from clearsight.console import Advance, Console, Silent
from clearsight.derivatives.curvature import Curvature, Rates, largest_curvature
from clearsight.derivatives.objective import Objective
from clearsight.derivatives.slices import Value, filter_normalised, line, plane
from clearsight.errors import ConfigError, ModelError
from clearsight.json_values import json_values
from clearsight.models.base import components
from clearsight.models.execution import operations
from clearsight.predictor import Images, Predictor
from clearsight.result import Result
from clearsight.train.range_test import largest_stable_rate

Floats = NDArray[np.float64]

WORK = 1e12
"""Operations that both slices may cost before they are drawn coarser: about 20 seconds on two cores."""

IMAGES, SIDE, ALONG = 256, 21, 51
"""Images of each kind, steps along each side of the plane, and along the line, where the work allows."""

COARSER = ((15, 31), (11, 21))
"""Sides of the plane and steps along the line to fall back to."""

FEWEST_IMAGES = 32

FEATURES = 1024
"""Feature vectors in memory at once, which are small beside images."""


@dataclass(frozen=True)
class Plane:
    """Loss and accuracy of images along a line (L,) and over a plane (S, S), row i at second[i], column j at first[j].

    loss, accuracy: at the model's own weights.
    """

    images: int
    loss: float
    accuracy: float
    line_loss: Floats
    line_accuracy: Floats
    plane_loss: Floats
    plane_accuracy: Floats

    def rise(self, steps: Floats, distance: float) -> float:
        """Mean rise of the loss at this distance from the weights, over the four points on the plane's axes."""
        centre, far = len(steps) // 2, int(np.abs(steps - distance).argmin())
        near = len(steps) - 1 - far
        grid = self.plane_loss
        around = [grid[centre, far], grid[centre, near], grid[far, centre], grid[near, centre]]
        return float(np.mean(around) - self.loss)


@dataclass(frozen=True)
class Landscape:
    """The loss around the weights of one model.

    name: what to call it. weights: "all" or "head", those that vary, and how many. loss: the kind, on the model's
    logits over temperature. along (L,), steps (S,): where line and plane were measured. cosine: of the angle between
    the two directions. train, val: of training and of validation images. curvature: of the training images' loss;
    gradient: length of its gradient. rates: of the training that led here, None where only a head was fitted.
    """

    name: str
    weights: str
    parameters: int
    loss: str
    temperature: float
    along: Floats
    steps: Floats
    cosine: float
    train: Plane
    val: Plane
    curvature: Curvature
    gradient: float
    classes: int
    rates: Rates | None
    seconds: float

    @property
    def largest_rate(self) -> float | None:
        """2 / M: gradient descent leaves this place at larger rates; None where the loss bends down everywhere."""
        return largest_stable_rate(self.curvature.largest) if self.curvature.largest > 0 else None

    def curvature_words(self) -> list[str]:
        """The largest curvature against 2 / rate, in a line or two."""
        c, rates = self.curvature, self.rates
        if not math.isfinite(c.largest):
            return ["the curvature is not finite"]
        sure = "" if c.converged else f", not converged after {wording.count(c.steps, 'Hessian-vector product')}"
        first = f"largest curvature {c.largest:.3g} (error at most {c.error:.1g}{sure}); smallest found {c.least:.3g}"
        if self.largest_rate:
            first += f"; gradient descent is stable here up to a learning rate of {self.largest_rate:.3g}"
        if rates is None:
            return [first, "no learning rate was recorded, because the head was not fitted by gradient descent"]
        words = []
        for word, rate in (("at these weights", rates.kept), ("at its peak", rates.peak)):
            bound = rates.stable(rate)
            if rate <= 0:
                continue
            if bound is None:
                words.append(f"{rate:.3g} {word} (2 / rate is {2 / rate:.3g})")
            else:
                share = c.largest / bound
                state = (
                    "above the edge of stability"
                    if share > 1.1
                    else "at the edge of stability"
                    if share > 0.9
                    else "below the edge of stability"
                )
                words.append(
                    f"{rate:.3g} {word}, stable up to a curvature of {bound:.3g}: "
                    f"the largest curvature is {share:.2g} times this bound, {state}"
                )
        second = f"learning rate of the run ({rates.optimiser}): " + "; ".join(words)
        if rates.stable(1.0) is None:
            second += (
                f"; {rates.optimiser} scales the step of each weight "
                f"separately, so the bound for gradient descent does not apply"
            )
        return [first, second]

    def lines(self) -> list[str]:
        """What the terminal prints of it."""
        which = "the head's weights" if self.weights == "head" else "all weights"
        found = [
            f"{self.name}: {which} ({self.parameters:,}); {self.loss} loss, batch normalisation in evaluation mode"
        ]
        for word, part in (("training", self.train), ("validation", self.val)):
            rises = ", ".join(f"{part.rise(self.steps, d):+.3g} at a distance of {d:g}" for d in (0.5, 1.0))
            found.append(
                f"  {word:<10}  loss {part.loss:.4g} on {wording.count(part.images, 'image')}; "
                f"{rises} (in filter norms)"
            )
        return [*found, *(f"  {line}" for line in self.curvature_words())]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; numbers that are not finite are null."""

        def slices(p: Plane) -> dict[str, Any]:
            return {
                "images": p.images, "loss": p.loss, "accuracy": p.accuracy,
                "rise": {f"{d:g}": p.rise(self.steps, d) for d in (0.5, 1.0)},
                "line": {"loss": p.line_loss, "accuracy": p.line_accuracy},
                "plane": {"loss": p.plane_loss, "accuracy": p.plane_accuracy},
            }  # fmt: skip

        c, r = self.curvature, self.rates
        found = {
            "name": self.name, "weights": self.weights, "parameters": self.parameters, "loss": self.loss,
            "temperature": self.temperature, "gradient_norm": self.gradient,
            "curvature": {
                "largest": c.largest, "error": c.error, "least_met": c.least,
                "steps": c.steps, "converged": c.converged, "largest_stable_rate": self.largest_rate,
            },
            "rates": r and {
                "optimiser": r.optimiser, "momentum": r.momentum, "peak": r.peak, "kept": r.kept,
                "stable_curvature_at_peak": r.stable(r.peak), "stable_curvature_at_kept": r.stable(r.kept),
            },
            "along": self.along, "steps": self.steps, "cosine": self.cosine,
            "train": slices(self.train), "val": slices(self.val), "seconds": self.seconds,
        }  # fmt: skip
        return dict(json_values(found))


@dataclass(frozen=True, repr=False, eq=False)
class Landscapes(Result, Sequence[Landscape]):
    """The landscapes of several models, drawn on one scale."""

    landscapes: tuple[Landscape, ...]

    @overload
    def __getitem__(self, place: int) -> Landscape: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[Landscape, ...]: ...

    def __getitem__(self, place: int | slice) -> Landscape | tuple[Landscape, ...]:
        return self.landscapes[place]

    def __len__(self) -> int:
        return len(self.landscapes)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"landscapes": [one.to_dict() for one in self]}

    def text(self) -> str:
        """Losses, their rise, and the curvature of each model."""
        return "\n".join(line for one in self for line in one.lines())


def survey(
    predictor: Predictor,
    train_images: Images,
    train_labels: NDArray[np.int64],
    val_images: Images,
    val_labels: NDArray[np.int64],
    *,
    name: str = "model",
    weights: str = "all",
    loss: str = "cross-entropy",
    smoothing: float = 0.0,
    rates: Rates | None = None,
    points: int | None = None,
    batch: int = 64,
    seed: int = 0,
    console: Console | None = None,
) -> Landscape:
    """Measure the landscape of a model's loss around its weights, which stay as they are to the last bit.

    train_images, val_images: N and M images as the network takes them, arrays or views. weights: "all", or "head", a
    probe's head on its frozen features. Of a kernel machine the coefficients vary and the support vectors, which are
    images, do not; its outputs are no log-odds, so its loss is taken after the temperature. rates: of the run. points:
    steps along each side of the plane, odd; chosen by the work unless given. Raises ModelError for a model without
    gradients, and ConfigError for options out of range.
    """
    began = time.perf_counter()
    if points is not None and (points < 3 or points % 2 == 0):
        raise ConfigError(
            f"--points is {points}",
            expected="an odd number, 3 or more, so that one point is at the model's own weights",
        )
    console = console or Silent()
    module, vary = varied(predictor, weights)
    head_only = module is not predictor.network
    log_odds = all(component.gives_log_odds for _, component in components(module))
    temperature = 1.0 if log_odds else predictor.bundle.temperature
    objectives = []
    for images, labels, word in ((train_images, train_labels, "training"), (val_images, val_labels, "validation")):
        given = predictor.inputs(images)
        if head_only:
            inputs: Any = predictor.embed(given, console.stage(f"features, {word}"))
        elif (inputs := given.ready(predictor.shape, predictor.bundle.form)) is None:
            inputs = np.concatenate(list(predictor.pixels(given)))
        objectives.append(
            Objective(
                module, inputs, np.asarray(labels, np.int64), vary, len(predictor.classes), loss=loss,
                smoothing=smoothing, temperature=temperature, batch=max(batch, FEATURES) if head_only else batch,
            )
        )  # fmt: skip
    train, val = objectives
    side, length = _sizes(module, train.inputs, len(train.labels) + len(val.labels), points)
    along, steps = np.linspace(-1, 1, length), np.linspace(-1, 1, side)
    centre = train.weights
    directions = [filter_normalised(train, seed=2 * seed + k) for k in (0, 1)]
    cosine = float(torch.cosine_similarity(directions[0], directions[1], dim=0))
    planes = []
    for objective, word in ((train, "training"), (val, "validation")):
        advance = console.stage(f"loss around the weights, {word}", "points")
        here = objective.at(centre)
        value = _counted(objective, advance, length + side**2)
        flat = line(value, centre, directions[0], along)
        over = plane(value, centre, directions, steps)
        planes.append(Plane(len(objective.labels), *here, *flat, *over))
    curvature = largest_curvature(
        lambda v: train.hessian_vector(centre, v), len(centre), seed=seed,
        progress=console.stage("largest curvature", "products"),
    )  # fmt: skip
    return Landscape(
        name, "head" if head_only else "all", len(centre), loss, temperature, along, steps, cosine, planes[0],
        planes[1], curvature, float(train.gradient(centre).norm()), len(predictor.classes), rates,
        time.perf_counter() - began,
    )  # fmt: skip


def _counted(objective: Objective, advance: Advance, total: int) -> Value:
    """The objective's loss and accuracy, which move a bar."""
    done = count(1)

    def value(point: torch.Tensor) -> tuple[float, float]:
        found = objective.at(point)
        advance(next(done), total)
        return found

    return value


def varied(predictor: Predictor, weights: str) -> tuple[nn.Module, tuple[str, ...]]:
    """The module whose weights vary, and their names in it; see `survey`."""
    if weights not in ("all", "head"):
        raise ConfigError(f"unknown weights {weights!r}", expected="head or all")
    if not predictor.has_gradients:
        raise ModelError(
            "a loss landscape needs gradients, which this model does not have",
            fix="use a network; `clearsight robustness` works for any model",
        )
    module: nn.Module = predictor.network
    if weights == "head":
        levels = predictor.network.feature_levels
        if levels is None:
            raise ConfigError(
                "--weights head needs a head on frozen features", found=type(module).__name__.lower(),
                fix="use --weights all",
            )  # fmt: skip
        module = levels.head
    still = {f"{path}.{name}".lstrip(".") for path, component in components(module) for name in component.stored}
    return module, tuple(key for key, _ in module.named_parameters() if key not in still)


def affordable_images(predictor: Predictor, weights: str) -> int:
    """Images of each kind that the coarsest slices can be measured on within the work, from 32 to 256."""
    if weights == "head":
        return IMAGES
    side, length = COARSER[-1]
    each = operations(predictor.network, predictor.shape) * 2 * (side**2 + length)
    return int(np.clip(WORK // max(1, each), FEWEST_IMAGES, IMAGES))


def _sizes(module: nn.Module, inputs: Any, images: int, points: int | None) -> tuple[int, int]:
    """Steps along each side of the plane, and along the line."""
    if points is not None:
        return points, max(points, min(ALONG, 2 * points + 1))
    each = operations(module, tuple(inputs.shape[1:])) * images
    for side, length in ((SIDE, ALONG), *COARSER):
        if each * (side**2 + length) <= WORK:
            break
    return side, length
