"""How far a model can be pushed: accuracy under attack against epsilon, with examples.

found = attack(predictor, images, labels, method="pgd", epsilons=(0.01, 0.03))
found.points[0].accuracy, found.points[0].interval
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from clearsight.attacks import gradient
from clearsight.attacks.gradient import Norm
from clearsight.attacks.methods import METHODS, Attack, method_of
from clearsight.console import Advance, Console, Silent
from clearsight.errors import ConfigError, ModelError
from clearsight.metrics import wilson_interval
from clearsight.models.network import frozen
from clearsight.predictor import Images, Predictor
from clearsight.wording import count

Floats = NDArray[np.float32]

EPSILONS = {"linf": (0.005, 0.01, 0.02, 0.05, 0.1, 0.2), "l2": (0.1, 0.2, 0.5, 1.0, 2.0, 4.0)}
FINER = {"linf": (0.0005, 0.001, 0.002), "l2": (0.01, 0.02, 0.05)}
"""Tried first where every attack succeeds at the smallest of `EPSILONS`, which then says nothing about the model."""

EXAMPLES = 6


@dataclass(frozen=True)
class Point:
    """Robust accuracy at an epsilon: the share of images predicted correctly under the attack, with its 95 % interval.
    reached: for a targeted attack, the share predicted as the target.
    """

    epsilon: float
    accuracy: float
    interval: tuple[float, float]
    reached: float | None


@dataclass(frozen=True)
class Example:
    """An image, its prediction, and the adversarial image at the smallest epsilon that changed the prediction."""

    image: str
    epsilon: float
    before: str
    probability_before: float
    after: str
    probability_after: float
    pixels: Floats
    attacked: Floats


@dataclass(frozen=True)
class AttackCurve:
    """Points at increasing epsilon, starting at 0 (no attack). Examples are images that are predicted correctly.

    engine_difference: the largest between the logits of the network that gradients are taken of and of the engine that
    answers, on up to a batch of the images; None where none are taken. shown: positions of the channels that pages
    show; empty for the first three.
    """

    method: str
    norm: str
    steps: int
    target: str | None
    images: int
    points: tuple[Point, ...]
    examples: tuple[Example, ...]
    engine_difference: float | None
    shown: tuple[int, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without pixels.

        Returns:
            Plain values for JSON.
        """
        keep = ("image", "epsilon", "before", "probability_before", "after", "probability_after")
        return {
            "method": self.method, "norm": self.norm, "steps": self.steps, "target": self.target,
            "images": self.images, "engine_difference": self.engine_difference,
            "points": [asdict(p) for p in self.points],
            "examples": [{key: getattr(e, key) for key in keep} for e in self.examples],
        }  # fmt: skip


def check(predictor: Predictor, method: str, norm: str) -> None:
    """Raise ModelError for a model without gradients or not of classes, ConfigError for an attack or a norm that does
    not exist.

    Args:
        predictor: the model.
        method: "fgsm", "pgd", "apgd", "square" or "autoattack", see `METHODS`.
        norm: "linf", the largest change of a pixel, or "l2", the Euclidean length of all changes.

    Raises:
        ConfigError: the attack or the norm does not exist.
        ModelError: the model has no gradients or no classes.
    """
    predictor.classifies("an attack")
    if method_of(method).gradients and not predictor.has_gradients:
        without = next(name for name, one in METHODS.items() if not one.gradients)
        raise ModelError(
            f"the attack {method} needs gradients, which this model does not have",
            fix=f"use the attack {without}, which needs none",
        )
    if norm not in EPSILONS:
        raise ConfigError(f"unknown norm {norm!r}", expected="linf or l2")


def attack(
    predictor: Predictor,
    images: Images,
    labels: NDArray[np.integer],
    *,
    names: Sequence[str] | None = None,
    method: str = "pgd",
    norm: Norm = "linf",
    epsilons: Sequence[float] | None = None,
    steps: int | None = None,
    restarts: int = 1,
    target: int | None = None,
    seed: int = 0,
    batch: int = 64,
    console: Console | None = None,
) -> AttackCurve:
    """Attack images with known classes at each epsilon.

    An attack succeeds at an epsilon where it did at a smaller one, as every smaller change is allowed there too.

    Args:
        predictor: the model.
        images: images in any form that `as_images` takes.
        labels: N,, numbers of the predictor's classes.
        names: names of the images; None takes those of the images.
        method: "fgsm", "pgd", "apgd", "square" or "autoattack", see `METHODS`.
        norm: "linf", the largest change of a pixel, or "l2", the Euclidean length of all changes.
        epsilons: values of epsilon, ascending; None takes the usual ones of the norm, and smaller ones too where every
            attack succeeds at the smallest of these.
        steps: number of steps, or of queries for "square", at least 1; None takes the usual number of the method.
        restarts: number of random starts, at least 1; each is tried on images on which those before have failed.
        target: a class to reach instead of leaving the true one; images of that class are left out.
        seed: random seed.
        batch: batch size, in images.
        console: where progress is shown.

    Returns:
        The robust accuracy at each epsilon, with examples.

    Raises:
        ModelError: a model without gradients.
        ConfigError: options out of range.
    """
    check(predictor, method, norm)
    console = console or Silent()
    chosen = sorted(EPSILONS[norm] if epsilons is None else {float(e) for e in epsilons if e != 0})
    for epsilon in chosen:  # before the first is paid for
        gradient.check(epsilon, norm)
    which = method_of(method)
    options = Attack(norm, target is not None, which.steps if steps is None else steps, restarts, seed, batch)
    state = _before(predictor, images, labels, names, target)
    x, network = state.pixels, attacked_network(predictor, method)
    goal = state.truth if target is None else torch.full_like(state.truth, target)
    advance = console.stage(f"attacking {count(len(x), 'image')}", "gradients" if which.gradients else "predictions")
    points = [state.point(0.0)]
    difference, taken = _engine_difference(predictor, x[:batch]) if which.gradients else None, 0
    with frozen(network):
        for number, epsilon in enumerate(chosen):
            withstood = state.withstood()
            each = which.cost(options) * len(withstood)
            total = taken + each * (len(chosen) - number)  # images that give way are not attacked again
            progress = _so_far(advance, taken, total)
            taken += each
            if len(withstood):
                rows = torch.from_numpy(withstood)
                given, goals = x[rows].to(predictor.device), goal[rows].to(predictor.device)
                moved = which.run(options, network, given, goals, epsilon, progress)
                state.note(withstood, moved.cpu(), epsilon)
            points.append(state.point(epsilon))
            if epsilons is None and not number and each and not len(state.withstood()):
                finer = (*FINER[norm], *EPSILONS[norm])
                return attack(
                    predictor, images, labels, names=names, method=method, norm=norm, epsilons=finer, steps=steps,
                    restarts=restarts, target=target, seed=seed, batch=batch, console=console,
                )  # fmt: skip
        advance(taken, taken)
    return AttackCurve(
        method, norm, which.steps_taken(options), None if target is None else predictor.classes[target], len(x),
        tuple(points), tuple(state.examples), difference, predictor.bundle.form.shown,
    )  # fmt: skip


class _Responses(nn.Module):
    """A predictor as a network, for attacks that need no gradients."""

    def __init__(self, predictor: Predictor) -> None:
        super().__init__()
        self.predictor = predictor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(self.predictor.logits(x.cpu().numpy())).to(x)


def attacked_network(predictor: Predictor, method: str) -> nn.Module:
    """What an attack asks: the network that gradients are taken of, or the predictor itself where it needs none.

    Args:
        predictor: the model.
        method: the attack.

    Returns:
        Maps images (N, C, H, W) to logits (N, K).
    """
    return predictor.differentiable if method_of(method).gradients else _Responses(predictor)


def _engine_difference(predictor: Predictor, x: torch.Tensor) -> float:
    """The largest between the logits of the network that gradients are taken of and of the engine that answers."""
    with torch.inference_mode():
        own = predictor.differentiable(x.to(predictor.device)).cpu().numpy()
    return float(np.abs(own - predictor.logits(x.numpy())).max())


def _so_far(advance: Advance, before: int, total: int) -> Advance:
    """Progress of one epsilon as progress of all: the gradients before it, and about how many there are in all."""
    return lambda done, _: advance(before + done, total)


@dataclass(frozen=True, eq=False)
class _State:
    """The state of the adversarial images.

    pixels (N, C, H, W), truth (N,) and probabilities (N, K) of images as they are; right (N,): the answer is right in
    spite of every attack; reached (N,): some attack got the target's answer.
    """

    predictor: Predictor
    names: list[str]
    target: int | None
    pixels: torch.Tensor
    truth: torch.Tensor
    probabilities: NDArray[np.float64]
    right: NDArray[np.bool_]
    reached: NDArray[np.bool_]
    examples: list[Example] = field(default_factory=list)

    def withstood(self) -> NDArray[np.intp]:
        """Which images no attack has succeeded on.

        Returns:
            Their rows.
        """
        return np.flatnonzero(self.right if self.target is None else ~self.reached)

    def point(self, epsilon: float) -> Point:
        """The accuracy after the attacks so far.

        Args:
            epsilon: the epsilon of the last attack.

        Returns:
            The point of the curve.
        """
        share = None if self.target is None else float(self.reached.mean())
        interval = wilson_interval(int(self.right.sum()), len(self.right))
        return Point(epsilon, float(self.right.mean()), interval, share)

    def note(self, rows: NDArray[np.intp], moved: torch.Tensor, epsilon: float) -> None:
        """Predict adversarial images, and keep the first examples.

        Args:
            rows: their rows.
            moved: the adversarial images, as the network takes them.
            epsilon: the epsilon of the attack.
        """
        after = self.predictor.predict_proba(moved.numpy())
        for place, row in enumerate(rows):
            predicted = int(after[place].argmax())
            turned = predicted != int(self.truth[row])
            if turned and self.right[row] and len(self.examples) < EXAMPLES:
                pair = (self.probabilities[row], self.pixels[row]), (after[place], moved[place])
                self.examples.append(_example(self.predictor, self.names[row], epsilon, *pair))
            self.right[row] &= not turned
            self.reached[row] |= self.target is not None and predicted == self.target


def _before(
    predictor: Predictor,
    images: Images,
    labels: NDArray[np.integer],
    names: Sequence[str] | None,
    target: int | None,
) -> _State:
    """The state before any attack; ConfigError if there is no image to attack."""
    inputs = predictor.inputs(images)
    x = torch.from_numpy(np.concatenate(list(predictor.pixels(inputs))))
    truth = torch.from_numpy(np.asarray(labels, np.int64))
    called = list(inputs.names if names is None else names)
    if target is not None:
        kept = truth != target
        x, truth, called = x[kept], truth[kept], [n for n, k in zip(called, kept.tolist(), strict=True) if k]
    if not len(x):
        raise ConfigError("there are no images to attack", found="only images of the target class")
    probabilities = predictor.predict_proba(x.numpy())
    predicted = probabilities.argmax(1)
    reached = predicted == target  # of no image where there is no target
    return _State(predictor, called, target, x, truth, probabilities, predicted == truth.numpy(), reached)


Answered = tuple[NDArray[np.float64], torch.Tensor]
"""Probabilities (K,) and the pixels (C, H, W) they are of."""


def _example(predictor: Predictor, name: str, epsilon: float, before: Answered, after: Answered) -> Example:
    first, second = int(before[0].argmax()), int(after[0].argmax())
    return Example(
        name, epsilon, predictor.classes[first], float(before[0][first]), predictor.classes[second],
        float(after[0][second]), before[1].numpy(), after[1].numpy(),
    )  # fmt: skip
