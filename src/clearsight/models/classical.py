"""Classifiers from before networks learned their features, as networks: a fixed descriptor and a head on it.

    hog+svm      histograms of oriented gradients, linear support vector machine
    bow+rbf      bag of visual words, kernel machine
    pixels+knn   the raw pixels, nearest neighbours

DESCRIPTOR+CLASSIFIER is a model's name wherever a network's is; `DESCRIPTORS` and `CLASSIFIERS` list the words. What a
descriptor learns (words, mixtures) is learned from training images and kept with the weights.

Shapes: x (N, C, H, W) float32 in [0, 1]; features (N, D); logits (N, K).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from clearsight.classical import colour, encodings, texture
from clearsight.classical.hog import hog
from clearsight.classical.keypoints import KeyPoints
from clearsight.classical.local import LOCAL, at_points, on_grid
from clearsight.errors import DataError, ModelError, nearest
from clearsight.models.base import Component, ModelNetwork, register_kind
from clearsight.models.heads import build_head, head_spec
from clearsight.schema import anything, mapping, optional, record, text
from clearsight.wording import count

Floats = NDArray[np.float32]

CLASSIFIERS: dict[str, str] = {
    "softmax": "logistic regression",
    "svm": "linear support vector machine with squared hinge loss",
    "perceptron": "Rosenblatt's perceptron",
    "rbf": "support vector machine with an RBF kernel",
    "nystroem": "support vector machine with a Nyström approximation of the RBF kernel",
    "intersection": "support vector machine with a histogram-intersection kernel",
    "knn": "nearest neighbours",
    "forest": "random forest",
    "boosting": "gradient-boosted trees",
}

DESCRIPTORS: dict[str, str] = {
    "pixels": "the raw pixels",
    "colour": "colour histogram",
    "colours": "the two most frequent colours",
    "hog": "histograms of oriented gradients",
    "lbp": "local binary patterns",
    "glcm": "grey-level co-occurrence matrices",
    "gabor": "Gabor filters",
    "hu": "Hu moments of the shape",
    "bow": "bag of visual words",
    "pyramid": "spatial pyramid of visual words",
    "fisher": "Fisher vectors",
    "features": "features of a pretrained network or of a trained model",
}


class Descriptor(Component):
    """Images to one vector each. `learn` is called once, before training, by those that learn something.

    They branch on values and work in NumPy here and there: no engine but PyTorch runs them, and gradients end there.
    """

    traceable = False
    differentiable = False

    def learn(self, images: Callable[[], Any], seed: int, progress: Callable[[int, int], None] | None) -> None:
        """Learn from training images: `images()` gives batches (B, C, H, W) in [0, 1]."""


class Plain(Descriptor):
    """A descriptor that learns nothing: a function of the images and its options."""

    def __init__(self, function: Callable[..., torch.Tensor], options: dict[str, Any], grayscale: bool) -> None:
        super().__init__()
        self.function, self.options, self.grayscale = function, options, grayscale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = texture.gray(x) if self.grayscale else x
        return self.function(x, **self.options).flatten(1)


def _pixels(x: torch.Tensor) -> torch.Tensor:
    return x


def _colours(x: torch.Tensor, count: int = 2, bins: int = 6) -> torch.Tensor:
    return colour.frequent_colours(x, count, bins)


def _glcm(x: torch.Tensor, levels: int = 16) -> torch.Tensor:
    return texture.haralick(texture.cooccurrence(x, distances=(1, 2, 4), levels=levels))


def _lbp(x: torch.Tensor, points: int = 8, radius: float = 1.0, method: str = "uniform", grid: int = 2) -> torch.Tensor:
    return texture.lbp_histogram(x, points, radius, cast(texture.Patterns, method), grid)


def _hog(x: torch.Tensor, orientations: int = 9, cell: int = 8, block: int = 2) -> torch.Tensor:
    """`hog`, with the border repeated outwards until cells fill the image, so that no pixel is left out."""
    if min(x.shape[2:]) <= (block - 1) * cell:
        return hog(x, orientations, cell, block)  # which says that they are too small
    missing_y, missing_x = -x.shape[2] % cell, -x.shape[3] % cell
    left, above = missing_x // 2, missing_y // 2
    padded = functional.pad(x, (left, missing_x - left, above, missing_y - above), mode="replicate")
    return hog(padded, orientations, cell, block)


def _gabor(x: torch.Tensor, directions: int = 6) -> torch.Tensor:
    return texture.gabor(x, directions=directions)


PLAIN: dict[str, tuple[Callable[..., torch.Tensor], bool]] = {
    "pixels": (_pixels, False),
    "colour": (colour.histogram, False),
    "colours": (_colours, False),
    "hog": (_hog, False),
    "lbp": (_lbp, True),
    "glcm": (_glcm, True),
    "gabor": (_gabor, True),
    "hu": (texture.log_hu, True),
}
"""Functions of images, and whether they want them gray."""


class Local(Descriptor):
    """What is made of local descriptors (`classical.local`), in a spatial pyramid where levels > 1.

    local: kind of the descriptors: "sift", "surf", "u-surf" (upright), "hog" or "lbp". at: where they are taken:
    "grid", every `step` pixels with cells of `cell`; or "points", at key points.
    """

    def __init__(self, local: str, at: str, step: int, cell: int, levels: int) -> None:
        super().__init__()
        if local not in LOCAL:
            raise ModelError(
                f"unknown local descriptor {local!r}", expected=", ".join(LOCAL), fix=nearest(local, LOCAL)
            )
        if at not in ("grid", "points"):
            raise ModelError(f"unknown location for local descriptors {at!r}", expected="at=grid or at=points")
        self.local, self.at, self.step, self.cell, self.levels = local, at, step, cell, levels

    @property
    def on_grid(self) -> bool:
        """Whether every image has descriptors at the same places."""
        return self.at == "grid"

    def grid_of(self, x: torch.Tensor) -> torch.Tensor:
        """Descriptors (N, rows, columns, D) of images (N, C, H, W)."""
        return on_grid(x, self.local, self.step, self.cell)

    def sample(self, images: Callable[[], Any], seed: int, least: int, what: str) -> Floats:
        """Descriptors (M, D) of training images; DataError for fewer than `least`, of which so many `what` are made."""

        def parts() -> Iterator[Floats]:
            for batch in images():
                if self.on_grid:
                    yield self.grid_of(batch).reshape(-1, LOCAL[self.local]).numpy()
                else:
                    yield np.concatenate([points.descriptors for points in at_points(batch, self.local)])

        found = _sampled(parts(), seed)
        if not self.on_grid and len(found) < least:
            raise DataError(
                f"the training images have too few key points to learn {least} {what}",
                found=f"{count(len(found), 'key point')} in total",
                fix=f"use --model-arg at=grid, or fewer {what}",
            )
        return found

    def cells_of(self, points: KeyPoints, size: torch.Size, level: int) -> NDArray[np.int64]:
        """In which cell of a level's grid each key point of an image (H, W) lies (K, 2), as row and column."""
        share = points.places[:, ::-1] / np.array(size, np.float32)
        return np.asarray(np.clip((share * 2**level).astype(np.int64), 0, 2**level - 1))


class Words(Local):
    """Bags of visual words. words: size of the vocabulary. An image without key points has a bag of zeros."""

    vocabulary: torch.Tensor

    def __init__(
        self, words: int = 200, local: str = "sift", at: str = "grid", step: int = 4, cell: int = 4, levels: int = 1
    ) -> None:
        super().__init__(local, at, step, cell, levels)
        self.words = words
        self.register_buffer("vocabulary", torch.zeros(words, LOCAL[local]))

    def learn(self, images: Callable[[], Any], seed: int, progress: Callable[[int, int], None] | None) -> None:
        sample = self.sample(images, seed, self.words, "words")
        self.vocabulary = torch.from_numpy(encodings.learn_words(sample, self.words, seed=seed, progress=progress))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.on_grid:
            words = encodings.words_of(self.grid_of(x), self.vocabulary)
            return encodings.pyramid(words, self.words, self.levels)
        return torch.stack([self._of_points(points, x.shape[2:]) for points in at_points(x, self.local)])

    def _of_points(self, points: KeyPoints, size: torch.Size) -> torch.Tensor:
        """The pyramid of one image's key points, each laid into a cell of the finest grid first."""
        finest = 2 ** (self.levels - 1)
        counts = torch.zeros(finest, finest, self.words)
        if len(points):
            words = encodings.words_of(torch.from_numpy(points.descriptors)[None, None], self.vocabulary.cpu())[0, 0]
            row, column = torch.from_numpy(self.cells_of(points, size, self.levels - 1)).unbind(1)
            counts.index_put_((row, column, words), torch.ones(len(words)), accumulate=True)
        return encodings.pyramid_of_counts(counts[None])[0]


class FisherVectors(Local):
    """Improved Fisher vectors of local descriptors, reduced to `axes` numbers each, or as many as they have, under a
    mixture of `components`. An image without key points has a vector of zeros.
    """

    axis: torch.Tensor
    centre: torch.Tensor
    weights: torch.Tensor
    means: torch.Tensor
    variances: torch.Tensor

    def __init__(
        self, components: int = 32, axes: int = 48, local: str = "sift", at: str = "grid", step: int = 4, cell: int = 4,
        levels: int = 1,
    ) -> None:  # fmt: skip
        super().__init__(local, at, step, cell, levels)
        self.components, width = components, LOCAL[local]
        axes = min(axes, width)
        for name, shape in {
            "axis": (width, axes), "centre": (width,), "weights": (components,), "means": (components, axes),
            "variances": (components, axes),
        }.items():  # fmt: skip
            self.register_buffer(name, torch.zeros(*shape))

    def learn(self, images: Callable[[], Any], seed: int, progress: Callable[[int, int], None] | None) -> None:
        from sklearn.decomposition import PCA

        sample = self.sample(images, seed, max(self.components, self.axis.shape[1]), "components")
        found = PCA(self.axis.shape[1], random_state=seed, svd_solver="covariance_eigh").fit(sample)
        self.axis = torch.from_numpy(np.ascontiguousarray(found.components_.T, np.float32))
        self.centre = torch.from_numpy(np.asarray(found.mean_, np.float32))
        reduced = ((sample - found.mean_) @ found.components_.T).astype(np.float32)
        mixture = encodings.learn_mixture(reduced, self.components, seed=seed, progress=progress)
        self.weights, self.means, self.variances = (
            torch.from_numpy(a) for a in (mixture.weights, mixture.means, mixture.variances)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mixture = self.weights, self.means, self.variances
        if self.on_grid:
            return encodings.fisher_pyramid((self.grid_of(x) - self.centre) @ self.axis, *mixture, self.levels)
        return torch.stack([self._of_points(points, x.shape[2:]) for points in at_points(x, self.local)])

    def _of_points(self, points: KeyPoints, size: torch.Size) -> torch.Tensor:
        """The pyramid of one image's key points: a Fisher vector for each cell, zeros for one without points."""
        reduced = (torch.from_numpy(points.descriptors) - self.centre.cpu()) @ self.axis.cpu()
        cells = [self.cells_of(points, size, level) for level in range(self.levels)]
        own = [
            reduced[(cells[level] == (row, column)).all(1)]
            for level in range(self.levels)
            for row in range(2**level)
            for column in range(2**level)
        ]
        mixture = self.weights.cpu(), self.means.cpu(), self.variances.cpu()
        return encodings.fisher_of_cells(own, *mixture)


SAMPLE = 100_000
"""Local descriptors that words and mixtures are learned from, drawn evenly from the training images."""


def _sampled(parts: Any, seed: int) -> Floats:
    """At most SAMPLE of all descriptors (M, D), with memory for twice as many at most."""
    rng = np.random.default_rng(seed)
    held: list[Floats] = []
    share, count = 1.0, 0
    for part in parts:
        kept = part[rng.random(len(part)) < share] if share < 1 else part
        held.append(kept)
        count += len(kept)
        if count > 2 * SAMPLE:
            everything = np.concatenate(held)
            held = [everything[rng.random(len(everything)) < SAMPLE / len(everything)]]
            share *= SAMPLE / count
            count = len(held[0])
    sample = np.concatenate(held) if held else np.zeros((0, 1), np.float32)
    return sample[np.sort(rng.choice(len(sample), SAMPLE, replace=False))] if len(sample) > SAMPLE else sample


LEARNING: dict[str, tuple[type[Descriptor], dict[str, Any]]] = {
    "bow": (Words, {}),
    "pyramid": (Words, {"levels": 3}),
    "fisher": (FisherVectors, {}),
}
"""Descriptors that learn, and what each sets differently from the class's defaults."""


LARGEST_OPTIONS = {"levels": 256, "grid": 64, "bins": 64, "points": 64, "directions": 64, "orientations": 360}
"""Of descriptors, where a larger value only takes memory."""


def is_classical(name: str) -> bool:
    """Whether a name is DESCRIPTOR+CLASSIFIER, known or not."""
    return "+" in name


def check_classical(name: str, options: dict[str, Any]) -> tuple[str, str]:
    """Descriptor and classifier of a name; ModelError names the near ones for an unknown word, and bad options."""
    descriptor, _, classifier = name.partition("+")
    for word, known, what in ((descriptor, DESCRIPTORS, "descriptor"), (classifier, CLASSIFIERS, "classifier")):
        if word not in known:
            raise ModelError(
                f"unknown {what} {word!r} in the model name {name!r}",
                expected="DESCRIPTOR+CLASSIFIER, such as hog+svm",
                fix=nearest(word, known),
            )
    unknown = sorted(set(options) - set(descriptor_options(descriptor)))
    if unknown:
        own = descriptor_options(descriptor)
        raise ModelError(
            f"the descriptor {descriptor} has no option {unknown[0]!r}",
            expected=", ".join(own) if own else "no options",
            fix=nearest(unknown[0], own) if own else None,
        )
    return descriptor, classifier


def descriptor_options(descriptor: str) -> dict[str, Any]:
    """The options of a descriptor and their defaults."""
    if descriptor == "features":
        return {"network": "", "layer": ""}
    if descriptor in PLAIN:
        return {name: p.default for name, p in _parameters(PLAIN[descriptor][0]) if name != "x"}
    if descriptor in LEARNING:
        kind, own = LEARNING[descriptor]
        return {name: own.get(name, p.default) for name, p in _parameters(kind)}
    return {}


def _parameters(function: Callable[..., Any]) -> list[tuple[str, inspect.Parameter]]:
    return list(inspect.signature(function).parameters.items())


def build_descriptor(descriptor: str, options: dict[str, Any]) -> Descriptor:
    """The module of a descriptor's name; ModelError for options of the wrong kind."""
    defaults = descriptor_options(descriptor)
    for name, value in options.items():
        if isinstance(value, bool) or not isinstance(
            value, (int, float) if isinstance(defaults[name], float) else type(defaults[name])
        ):
            raise ModelError(
                f"the descriptor {descriptor} cannot be built with these options", found=f"{name} {value!r}",
                expected=f"a value such as {defaults[name]!r}",
            )  # fmt: skip
        largest = LARGEST_OPTIONS.get(name, 2**31)
        if isinstance(value, int | float) and not 0 < value <= largest:
            raise ModelError(
                f"the descriptor {descriptor} cannot be built with these options",
                found=f"{name} {value}",
                expected=f"a number above 0 and at most {largest:,}",
            )
    if descriptor in PLAIN:
        function, grayscale = PLAIN[descriptor]
        return Plain(function, options, grayscale)
    kind, own = LEARNING[descriptor]
    return kind(**{**own, **options})


@register_kind("classical")
class Classical(ModelNetwork):
    """A descriptor and a head; see the module.

    spec: {"kind": "classical", "name": "hog+svm", "options": of the descriptor, "head": as `build_head` wants it}.
    """

    spec_check = staticmethod(record({"name": text(), "options": mapping(anything)}, {"head": optional(head_spec)}))

    def __init__(self, spec: dict[str, Any]) -> None:
        super().__init__(spec)
        if spec["name"].partition("+")[0] not in {*PLAIN, *LEARNING}:
            raise ModelError(
                f"unknown descriptor in the model name {spec['name'][:60]!r}", expected=", ".join([*PLAIN, *LEARNING])
            )
        check_classical(spec["name"], spec["options"])
        self.describe = build_descriptor(spec["name"].partition("+")[0], spec["options"])
        self.head: nn.Module = build_head(spec["head"]) if spec.get("head") else nn.Identity()

    def set_head(self, spec: dict[str, Any], head: nn.Module) -> None:
        """Replace the head, and record it in the spec."""
        self.head = head
        self.spec = {**self.spec, "head": spec}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.describe(x))  # type: ignore[no-any-return]

    def with_features(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (N, K) and the descriptors (N, D), in one pass."""
        features = self.describe(x)
        return self.head(features), features

    def require_layers(self) -> None:
        raise ModelError(
            "a classical model has no layers to visualise",
            found=str(self.spec["name"]),
            expected="a network",
            fix="use `clearsight explain --method occlusion` (or lime or shap) to explain its predictions",
        )
