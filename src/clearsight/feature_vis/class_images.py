"""What a model takes for a class at its purest: images that maximise the class's logit.

    max over x of  logit_c(x) - lambda |x - middle|²      [Simonyan, Vedaldi, Zisserman 2014, arXiv:1312.6034]

in steps of the gradient; the decay, a blur now and then [Yosinski et al. 2015, arXiv:1506.06579] and small shifts
[Mordvintsev et al. 2015] keep out patterns that only one exact position of the image would show. A class has several
faces; each is found from its own start, the mean of training images that the model finds alike [Nguyen, Yosinski, Clune
2016, arXiv:1602.03616].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from clearsight.data.cached_pixels import PixelView
from clearsight.data.loader import to_float
from clearsight.errors import ConfigError, ModelError
from clearsight.feature_vis.priors import blurred, middle, rolled
from clearsight.models.feature_maps import MapLayer, units_at
from clearsight.models.network import frozen
from clearsight.predictor import Predictor

Floats = NDArray[np.float32]

NEAREST = 15
"""Images nearest to the centre of a group, whose mean is a start [Nguyen et al. 2016, section 3]."""


@dataclass(frozen=True)
class Start:
    """Where a class picture begins. pixels (C, H, W). images: how many of the class stand behind it, 0 for noise."""

    label: int
    pixels: Floats
    images: int


@dataclass(frozen=True)
class ClassPicture:
    """An image (C, H, W) in [0, 1] that maximises a class's logit, or a unit of a layer, and the start it came from.

    logit, probability: of the class, for the image, before and after; of a unit its mean activation, and None. images:
    as `Start.images`.
    """

    label: str
    pixels: Floats
    start: Floats
    images: int
    logit: float
    probability: float | None
    logit_before: float
    probability_before: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without pixels."""
        return {
            "class": self.label, "images": self.images, "logit": self.logit, "probability": self.probability,
            "logit_before": self.logit_before, "probability_before": self.probability_before,
        }  # fmt: skip


def noise_starts(predictor: Predictor, classes: Sequence[int], modes: int, *, seed: int = 0) -> list[Start]:
    """Starts without data: faint smooth gray noise around the pixel that the network takes for zero."""
    channels, height, width = predictor.shape
    centre = middle(predictor.network, channels)
    starts = []
    for label in classes:
        for mode in range(modes):
            sigma = min(height, width) / 30
            margin = round(3 * sigma)  # the blur repeats the border, which would leave stronger noise there
            size = (1, 1, height + 2 * margin, width + 2 * margin)
            noise = np.random.default_rng([seed, label, mode]).standard_normal(size, np.float32)
            smooth = blurred(torch.from_numpy(noise), sigma)
            smooth = smooth[..., margin : margin + height, margin : margin + width]
            pixels = (centre + 0.05 * smooth / smooth.std()).clamp(0, 1)
            starts.append(Start(label, pixels[0].numpy(), 0))
    return starts


def mean_starts(
    predictor: Predictor,
    classes: Sequence[int],
    modes: int,
    images: PixelView,
    labels: NDArray[np.integer],
    *,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[Start]:
    """For each class up to `modes` groups of its images (N, C, H, W), by k-means on the model's features, largest
    first, and of each group the mean of the images nearest to its centre. A class without images starts from noise.
    """
    rows = np.flatnonzero(np.isin(labels, classes))
    features = predictor.embed(PixelView(images.array, images.indices[rows]), progress) if len(rows) else np.empty(0)
    starts = []
    for label in classes:
        own = np.flatnonzero(labels[rows] == label)
        if not len(own):
            starts += noise_starts(predictor, [label], modes, seed=seed)
            continue
        groups = KMeans(min(modes, len(own)), n_init=4, random_state=seed).fit(features[own])
        sizes = np.bincount(groups.labels_)
        for group in np.argsort(-sizes, kind="stable"):
            distance = ((features[own] - groups.cluster_centers_[group]) ** 2).sum(1)
            distance[groups.labels_ != group] = np.inf
            near = own[np.argsort(distance, kind="stable")[: min(NEAREST, sizes[group])]]
            pixels = to_float(images.array[images.indices[rows[near]]]).mean(0).numpy()
            starts.append(Start(label, pixels, int(sizes[group])))
    return starts


def class_pictures(
    predictor: Predictor,
    starts: Sequence[Start],
    *,
    steps: int = 64,
    rate: float = 0.03,
    decay: float = 0.003,
    batch: int = 16,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[ClassPicture]:
    """Follow the gradient of each start's class for so many steps.

    rate: root-mean-square change of a pixel in a step, at the beginning; it falls to a tenth. decay: share of the way
    back to the middle in each step, which is Simonyan's lambda. Raises ModelError for a model without gradients, and
    ConfigError for fewer than 1 step.
    """
    done = _climb(
        predictor, starts, _logit_of(predictor), steps=steps, rate=rate, decay=decay, batch=batch, seed=seed,
        progress=progress,
    )  # fmt: skip
    before = np.stack([s.pixels for s in starts])
    logits = predictor.logits(np.stack(done)), predictor.logits(before)
    probabilities = predictor.predict_proba(np.stack(done)), predictor.predict_proba(before)
    return [
        ClassPicture(
            label=predictor.classes[s.label], pixels=pixels, start=s.pixels, images=s.images,
            logit=float(logits[0][i, s.label]), probability=float(probabilities[0][i, s.label]),
            logit_before=float(logits[1][i, s.label]), probability_before=float(probabilities[1][i, s.label]),
        )
        for i, (s, pixels) in enumerate(zip(starts, done, strict=True))
    ]  # fmt: skip


def unit_pictures(
    predictor: Predictor,
    layer: MapLayer,
    starts: Sequence[Start],
    *,
    steps: int = 64,
    rate: float = 0.03,
    decay: float = 0.003,
    batch: int = 16,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[ClassPicture]:
    """As `class_pictures`, for units of a layer: of maps their mean over the image [Erhan et al. 2009]. The label of a
    start is the number of its unit.
    """
    score = _unit_of(predictor, layer)
    done = _climb(
        predictor, starts, score, steps=steps, rate=rate, decay=decay, batch=batch, seed=seed, progress=progress
    )
    units = torch.tensor([s.label for s in starts])
    with torch.no_grad():
        after, before = (
            score(torch.from_numpy(np.stack(pixels)), units).tolist() for pixels in (done, [s.pixels for s in starts])
        )
    return [
        ClassPicture(f"{layer.short}, unit {s.label}", pixels, s.pixels, s.images, after[i], None, before[i], None)
        for i, (s, pixels) in enumerate(zip(starts, done, strict=True))
    ]


Score = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""(images (N, C, H, W), numbers (N,)) -> what is maximised (N,): of each image the class or unit of that number."""


def _logit_of(predictor: Predictor) -> Score:
    return lambda x, numbers: predictor.network(x).gather(1, numbers[:, None])[:, 0]


def _unit_of(predictor: Predictor, layer: MapLayer) -> Score:
    def score(x: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
        return units_at(predictor.network, layer.name, x).flatten(2).mean(2).gather(1, numbers[:, None])[:, 0]

    return score


def _climb(
    predictor: Predictor,
    starts: Sequence[Start],
    score: Score,
    *,
    steps: int,
    rate: float,
    decay: float,
    batch: int,
    seed: int,
    progress: Callable[[int, int], None] | None,
) -> list[Floats]:
    """The images (C, H, W) that each start becomes."""
    if not predictor.has_gradients:
        raise ModelError("class images need gradients, which the head of this model does not have")
    if steps < 1:
        raise ConfigError(f"the number of steps is {steps}", expected="1 or more")
    done: list[Floats] = []
    for first in range(0, len(starts), batch):
        part = starts[first : first + batch]
        x = torch.from_numpy(np.stack([s.pixels for s in part]))
        numbers = torch.tensor([s.label for s in part])
        for step in range(steps):
            x = _climbed(predictor, x, score, numbers, first, step, steps, rate, decay, seed)
            if progress:
                progress(first * steps + (step + 1) * len(part), len(starts) * steps)
        done += list(x.numpy())
    return done


def _climbed(
    predictor: Predictor,
    x: torch.Tensor,
    score: Score,
    numbers: torch.Tensor,
    first: int,
    step: int,
    steps: int,
    rate: float,
    decay: float,
    seed: int,
) -> torch.Tensor:
    """The images after one more step. first: number of the batch's first image, from which its shifts follow."""
    side = min(x.shape[2:])
    reach = side // 32
    shifts = torch.from_numpy(
        np.stack([np.random.default_rng([seed, first + i, step]).integers(-reach, reach + 1, 2) for i in range(len(x))])
    )
    with frozen(predictor.network), torch.enable_grad():
        moved = rolled(x, shifts).requires_grad_()
        (gradient,) = torch.autograd.grad(score(moved, numbers).sum(), moved)
    left = 1 - step / steps
    gradient = blurred(rolled(gradient, -shifts), left * side / 80)
    size = gradient.square().flatten(1).mean(1).sqrt().clamp_min(1e-12)
    x = x + (0.1 + 0.9 * left) * rate * gradient / size[:, None, None, None]
    centre = middle(predictor.network, x.shape[1])
    x = (centre + (1 - decay) * (x - centre)).clamp(0, 1)
    return blurred(x, left * side / 300) if step % 4 == 3 and left > 0.25 else x
