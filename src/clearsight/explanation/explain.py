"""Heatmaps of predictions by any method, with measures of their faithfulness.

    for found in explain(predictor, ["new.jpg"], method=["smoothgrad", "grad-cam"]):
        found.heat, found.faithfulness.score

Gradients come from the float32 PyTorch network; `Explanation.engine_difference` states how far its logits lie from
those of the engine that answers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from clearsight.arguments import at_least
from clearsight.console import Console, Silent
from clearsight.errors import ConfigError, ModelError, did_you_mean
from clearsight.explanation import gradients, perturbation
from clearsight.explanation.faithfulness import Faithfulness, FaithfulnessEvaluator, blur, randomisation
from clearsight.models.base import ModelNetwork, forward_hooks
from clearsight.predictor import Images, Predictor
from clearsight.tasks.registry import task_named
from clearsight.wording import percent

Floats = NDArray[np.float32]

METHODS: dict[str, str] = {
    "saliency": "absolute gradient of the class logit, maximum over channels",
    "smoothgrad": "absolute gradient, averaged over noisy copies of the image",
    "integrated-gradients": "mean gradient along the path from a blurred copy to the image, times their difference",
    "guided": "gradient that passes back through ReLUs only where it is positive",
    "grad-cam": "feature maps of a layer, or of all layers that the head uses, weighted by their gradients",
    "occlusion": "decrease in probability when a square patch is covered",
    "lime": "weights of superpixels in a local linear model",
    "shap": "Shapley values of superpixels",
}
"""The methods, and what each shows."""

OWN = "anomaly-map"
"""What detectors of anomalies that look at places say themselves."""

METHOD_WORDS = {**METHODS, OWN: "anomaly score of each position, as computed by the anomaly model itself"}
"""What every map shows."""

GRADIENT_METHODS = ("saliency", "smoothgrad", "integrated-gradients", "guided", "grad-cam")

QUESTIONS = 350
"""Approximate number of images that measuring the faithfulness of a map predicts."""

MOST_STEPS = 400
"""Steps of Integrated Gradients beyond which no more are taken to add up."""

NEAR = 0.02
"""Faithfulness within this distance of 0 is reported as chance."""


@dataclass(frozen=True)
class Explanation:
    """The heatmap of an image by one method, and measurements of its quality.

    heat (H, W): larger where the image supports the class; Integrated Gradients, occlusion, LIME and SHAP also have
    negative values, where it speaks against the class. For a plain number, positive values support a larger number; for
    an angle or direction, the prediction. pixels (C, H, W): float32 in [0, 1], as the network receives them. value:
    calibrated probability of `target`, or the predicted number. answered: `target` is the prediction. opposite: the
    other of two classes, else "". ood_percentile, is_ood: as in `Prediction`. randomised: see
    `faithfulness.randomisation`; None for methods without gradients. facts: further measurements, such as the
    completeness of Integrated Gradients. line: the target in words. faithfulness_measurable: blurring places does not
    change what the task is about. shown: positions of the channels that pages show; empty for the first three.
    """

    image: str
    method: str
    target: str
    value: float
    heat: Floats
    pixels: Floats
    settings: dict[str, Any]
    facts: dict[str, Any]
    faithfulness: Faithfulness | None
    randomised: float | None
    engine_difference: float | None
    seconds: float
    task: str = "classification"
    answered: bool = True
    line: str = ""
    faithfulness_measurable: bool = True
    ood_percentile: float | None = None
    is_ood: bool | None = None
    opposite: str = ""
    shown: tuple[int, ...] = ()

    @property
    def heading(self) -> str:
        """The target and its value, and whether the image is out of distribution, in words."""
        return self.line

    @property
    def verdict(self) -> str:
        """The faithfulness of the map in words; "" if not measured."""
        if self.faithfulness is None:
            return ""
        if self.faithfulness.score > NEAR:
            return "better than chance"
        if self.faithfulness.score >= -NEAR:
            return "no better than chance"
        return (
            f"worse than chance: {f'these regions are evidence for {self.opposite}' if self.opposite else 'misleading'}"
        )

    @property
    def remarks(self) -> str:
        """Limitations of the map, in a line."""
        heading = []
        if np.ptp(self.heat) == 0:
            heading.append("the map is constant and carries no information")
        if self.facts.get("rectifiers") == 0:
            heading.append("the network has no ReLUs, so this is the plain gradient")
        if self.facts.get("error", 0) > 0.01:
            share = percent(self.facts["completeness"], 0)
            heading.append(f"the sum of the map differs from the difference of the logits by {share}: use more samples")
        if f := self.faithfulness:
            heading.append(
                f"faithfulness {f.score:+.2f}, {self.verdict} (mean {task_named(self.task).words_used.evidence}: "
                f"deletion {f.deletion:.2f}, insertion {f.insertion:.2f})"
            )
        elif not self.faithfulness_measurable:
            heading.append("faithfulness cannot be measured, because blurring itself affects the prediction")
        if self.randomised is not None:
            heading.append(
                f"correlation with the map for shuffled weights: {self.randomised:.2f}"
                + (", so the map depends on the image, not on the model" if self.randomised > 0.7 else "")
            )
        return "; ".join(heading)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the arrays.

        Returns:
            A dictionary.
        """
        return {
            "image": self.image, "method": self.method, "target": self.target, "value": self.value,
            "opposite": self.opposite, "ood_percentile": self.ood_percentile, "is_ood": self.is_ood,
            "settings": self.settings, "facts": self.facts, "randomised": self.randomised,
            "faithfulness": self.faithfulness.to_dict() if self.faithfulness else None, "verdict": self.verdict,
            "engine_difference": self.engine_difference, "seconds": self.seconds,
        }  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """How to explain. samples: 50 noisy copies, 50 steps of integration, 500 coalitions, unless given. layer: of
    Grad-CAM. batch: images in memory at once.
    """

    samples: int | None = None
    noise: float = 0.1
    layer: str = ""
    window: int | None = None
    batch: int = 8
    seed: int = 0


def methods_of(predictor: Predictor) -> list[str]:
    """The methods that can explain a model.

    Args:
        predictor: the model.

    Returns:
        Names of methods; gradient methods need a network with gradients, and Grad-CAM needs feature maps.
    """
    found = [m for m in METHODS if predictor.has_gradients or m not in GRADIENT_METHODS]
    if predictor.has_gradients and not _has_maps(predictor):
        found.remove("grad-cam")
    return [OWN, *found] if predictor.localises else found


def _has_maps(predictor: Predictor) -> bool:
    """Whether the answer goes through maps of several places, as that of a linear model does not."""
    x = torch.rand(1, *predictor.shape, generator=torch.Generator().manual_seed(0)).to(predictor.device)
    try:
        gradients.last_maps(predictor.differentiable, x)
    except ModelError:
        return False
    return True


def usual_method(predictor: Predictor) -> str:
    """The default method for a model.

    Args:
        predictor: the model.

    Returns:
        Name of the method.
    """
    return OWN if predictor.localises else "smoothgrad" if predictor.has_gradients else "occlusion"


def explain(
    predictor: Predictor,
    images: Images,
    *,
    method: str | Sequence[str] = "smoothgrad",
    target: str | int | None = None,
    settings: Settings | None = None,
    faithfulness: bool = True,
    console: Console | None = None,
) -> Iterator[Explanation]:
    """Explain the prediction of each image, or a given class, by one method or several.

    Args:
        predictor: the model.
        images: images in any form.
        method: name or names of methods.
        target: name or index of the class to explain; None for the prediction.
        settings: settings of the methods; None for the defaults.
        faithfulness: measure how faithful each heatmap is.
        console: shows progress; None for none.

    Yields:
        One explanation per image and method, image by image.

    Raises:
        ConfigError: unknown method, class or setting.
        ModelError: the model does not support the method, or has no such layer.
    """
    settings, console = settings or Settings(), console or Silent()
    methods = [method] if isinstance(method, str) else list(method)
    for each in methods:
        check(predictor, each, settings)
    target_index = None if target is None else predictor.bundle.task.index_of(target)
    given = predictor.inputs(images)
    names = given.names
    asked = sum(0 if each in (*GRADIENT_METHODS, OWN) else settings.samples or 500 for each in methods)
    lanes = predictor.prepare(len(names) * (QUESTIONS * faithfulness + asked))
    every = (one for batch in predictor.pixels(given) for one in batch)
    for name, one in zip(names, every, strict=True):
        question = _Question(predictor, name, one, target_index, settings, faithfulness, console, lanes)
        for each in methods:
            yield question.by(each)


def check(predictor: Predictor, method: str, settings: Settings) -> None:
    """Refuse methods that do not suit the model, and settings out of range.

    Args:
        predictor: the model.
        method: name of the method.
        settings: settings of the methods.

    Raises:
        ConfigError: the method is unknown, or a setting is out of range.
        ModelError: the model does not support the method.
    """
    if method not in METHOD_WORDS:
        raise ConfigError(f"unknown method {method!r}", expected=", ".join(METHODS), fix=did_you_mean(method, METHODS))
    if method == OWN and not predictor.localises:
        raise ModelError(
            f"{OWN} needs an anomaly model that compares positions in an image",
            found=f"a model for whole images, trained with --task {predictor.bundle.task.name}",
            expected=", ".join(methods_of(predictor)),
        )  # fmt: skip
    if method in GRADIENT_METHODS and not predictor.has_gradients:
        spec = predictor.bundle.network.spec
        raise ModelError(
            f"{method} needs gradients, which this model does not have",
            found=str(spec.get("name", spec.get("kind", "an ensemble"))),
            expected=", ".join(methods_of(predictor)),
        )
    for name, value, least in (
        ("samples", settings.samples, 2),
        ("window", settings.window, 1),
        ("batch", settings.batch, 1),
    ):
        if value is not None and value < least:
            raise ConfigError(f"{name} is {value}", expected=f"{least} or more")
    at_least(0, seed=settings.seed)
    shortest = min(predictor.shape[1:])
    if method == "occlusion" and (settings.window or 1) >= shortest:
        raise ConfigError(f"window is {settings.window}", expected=f"less than {shortest}, the shorter image side")
    if not 0 <= settings.noise <= 1:
        raise ConfigError(f"noise is {settings.noise}", expected="a fraction of the pixel range, from 0 to 1")


class _Question:
    """The prediction of one image to explain, as used by every method."""

    def __init__(
        self,
        predictor: Predictor,
        name: str,
        pixels: Floats,
        target_index: int | None,
        settings: Settings,
        faithfulness: bool,
        console: Console,
        lanes: int,
    ) -> None:
        self.predictor, self.name, self.pixels, self.settings, self.console = predictor, name, pixels, settings, console
        self.at_once = settings.batch * lanes  # a batch for each stream of the engine
        task, outputs = predictor.bundle.task, predictor.logits(pixels[None])[0]
        self.explained = explained = task.explained(outputs, target_index)
        line = task.explained_line(explained.name, explained.value)
        self.known: dict[str, Any] = {
            "image": name, "pixels": pixels, "target": explained.name, "value": explained.value, "task": task.name,
            "shown": predictor.bundle.form.shown, "answered": explained.predicted, "opposite": explained.opposite,
            "faithfulness_measurable": task.faithfulness,
        }  # fmt: skip
        if predictor.bundle.ood_detector is not None:
            ood_percentile, flagged = (values[0] for values in predictor.detect_ood(pixels[None]))
            self.known |= {"ood_percentile": float(ood_percentile), "is_ood": bool(flagged)}
            line = task.unlike_line(line, float(ood_percentile), explained.predicted) if flagged else line
        self.known["line"] = line
        self.evaluator: FaithfulnessEvaluator | None = None
        if faithfulness and task.faithfulness:
            self.evaluator = FaithfulnessEvaluator(self.score, pixels, seed=settings.seed, batch=self.at_once)

    def score(self, images: Floats) -> NDArray[np.floating]:
        """Probability of the target (B,), or what stands for it where numbers are predicted."""
        return self.explained.score(self.predictor.logits(images))

    def by(self, method: str) -> Explanation:
        """The explanation by one method."""
        began = time.perf_counter()
        predictor, pixels, settings = self.predictor, self.pixels, self.settings
        progress = self.console.stage(f"{method} for {self.name}", "steps")
        facts: dict[str, Any] = {}
        used: dict[str, Any] = {"seed": settings.seed}
        difference = randomised = None
        if method in GRADIENT_METHODS:
            network, (weights, target) = predictor.differentiable, single_output(self.explained.weights)

            def again(other: ModelNetwork) -> Floats:
                with summed(other, weights):
                    steps = used.get("steps", settings.samples)
                    same = replace(settings, layer=used.get("layer", settings.layer), samples=steps)
                    return _by_gradients(other, pixels, target, method, same, {}, {}, None)

            with summed(network, weights):
                heat = _by_gradients(network, pixels, target, method, settings, used, facts, progress)
            with torch.inference_mode():
                own = network(torch.from_numpy(pixels[None]).to(predictor.device)).cpu().numpy()
            difference = float(np.abs(own - predictor.logits(pixels[None])).max())
            if self.evaluator:
                randomised = randomisation(heat, again, network, seed=settings.seed)
        elif method == OWN:
            with torch.inference_mode():
                heat = predictor.network.anomaly_map(torch.from_numpy(pixels[None]))[0].numpy()
        else:
            heat = _by_score(self.score, pixels, method, replace(settings, batch=self.at_once), used, progress)
        seconds = time.perf_counter() - began
        advance = self.console.stage(f"faithfulness of {method} for {self.name}", "orders")
        found = self.evaluator(heat, advance) if self.evaluator else None
        return Explanation(
            method=method, heat=heat, settings=used, facts=facts, faithfulness=found, randomised=randomised,
            engine_difference=difference, seconds=seconds, **self.known,
        )  # fmt: skip


def single_output(weights: NDArray[np.float64]) -> tuple[NDArray[np.float64] | None, int]:
    """Recognise weights that select a single output.

    Args:
        weights: weights of the outputs (O,).

    Returns:
        The weights and 0; or None and the index of the output, if one weight is 1 and the others are 0.
    """
    (places,) = np.nonzero(weights)
    if len(places) == 1 and weights[places[0]] == 1:
        return None, int(places[0])
    return weights, 0


@contextmanager
def summed(network: ModelNetwork, weights: NDArray[np.float64] | None) -> Iterator[None]:
    """Context manager: the network returns a weighted sum of its outputs (N, 1).

    Args:
        network: the network with outputs (N, O); if it has a head, the head returns the sum too.
        weights: weights (O,); None changes nothing.

    Yields:
        Nothing; the network is restored when the block ends.
    """
    if weights is None:
        yield
        return
    column = torch.tensor(weights, dtype=torch.float32)[:, None]
    levels = network.feature_levels
    last = levels.head if levels else network
    with forward_hooks([("", last)], lambda _name, _module, _inputs, outputs: outputs @ column.to(outputs)):
        yield


def _by_gradients(
    network: ModelNetwork,
    pixels: Floats,
    target: int,
    method: str,
    settings: Settings,
    used: dict[str, Any],
    facts: dict[str, Any],
    progress: Callable[[int, int], None] | None,
) -> Floats:
    """The map (H, W) of one image; what was set and found goes into used and facts."""
    device, batch = next(chain(network.parameters(), network.buffers())).device, settings.batch
    x, classes = torch.from_numpy(pixels[None]).to(device), torch.tensor([target], device=device)
    if method == "saliency":
        heat = gradients.saliency(network, x, classes, batch=batch).amax(1)
    elif method == "guided":
        heat = gradients.guided_backprop(network, x, classes, batch=batch).abs().amax(1)
        facts["rectifiers"] = gradients.rectifiers(network, x)
    elif method == "smoothgrad":
        samples = settings.samples or 50
        used |= {"samples": samples, "noise": settings.noise}
        heat = gradients.smoothgrad(
            network, x, classes, samples=samples, noise=settings.noise, seed=settings.seed, batch=batch,
            progress=progress,
        ).amax(1)  # fmt: skip
    elif method == "integrated-gradients":
        steps, start = settings.samples or 50, torch.from_numpy(blur(pixels)).to(device)
        gap = float(gradients.logit_gap(network, x, classes, start))
        while True:
            found = gradients.integrated_gradients(
                network, x, classes, baseline=start, steps=steps, batch=batch, progress=progress
            )
            missed, all_of_it = abs(float(found.sum()) - gap), float(found.sum(1).abs().sum())
            # if image and baseline have similar outputs, positive and negative attributions nearly cancel
            if missed <= max(0.01 * abs(gap), 0.001 * all_of_it) or settings.samples or steps >= MOST_STEPS:
                break
            steps *= 2
        used |= {"steps": steps, "baseline": "blurred"}
        facts |= {"completeness": missed / max(abs(gap), 1e-6), "error": missed / max(all_of_it, 1e-6)}
        heat = found.sum(1)
    else:
        heat = _class_activation(network, x, classes, settings, used, facts)
    found_there: Floats = heat[0].cpu().numpy()
    return found_there


def _class_activation(
    network: ModelNetwork,
    x: torch.Tensor,
    classes: torch.Tensor,
    settings: Settings,
    used: dict[str, Any],
    facts: dict[str, Any],
) -> torch.Tensor:
    """Grad-CAM (N, H, W) of a layer, or of all depths that a head sees; of an ensemble the mean of its members' maps,
    each at most 1.
    """
    levels, members = network.feature_levels, network.member_networks
    if members and not settings.layer:
        used["members"] = len(members)
        parts = [_class_activation(member, x, classes, settings, {}, facts) for member in members]
        return torch.stack([part / part.amax((1, 2), keepdim=True).clamp_min(1e-12) for part in parts]).mean(0)
    if levels and not settings.layer:
        used["depths"] = len(levels.chosen)
        maps = gradients.depth_cam(network, x, classes, batch=settings.batch)
    else:
        used["layer"] = layer = settings.layer or gradients.last_maps(network, x)
        maps = gradients.grad_cam(network, x, classes, layer=layer, batch=settings.batch)
    facts["map"] = f"{maps.shape[1]}x{maps.shape[2]}"
    return torch.nn.functional.interpolate(maps[:, None], x.shape[2:], mode="bilinear")[:, 0]


def _by_score(
    score: perturbation.Score,
    pixels: Floats,
    method: str,
    settings: Settings,
    used: dict[str, Any],
    progress: Callable[[int, int], None],
) -> Floats:
    fill = pixels.mean((1, 2), keepdims=True)
    if method == "occlusion":
        window = settings.window or max(1, min(pixels.shape[1:]) // 8)
        used["window"] = window
        return perturbation.occlusion(score, pixels, window=window, fill=fill, batch=settings.batch, progress=progress)
    samples = settings.samples or 500
    used["samples"] = samples
    segments = perturbation.superpixels(pixels)
    used["superpixels"] = int(segments.max()) + 1
    method_ = perturbation.lime if method == "lime" else perturbation.shap
    return method_(
        score, pixels, segments=segments, samples=samples, fill=fill, seed=settings.seed, batch=settings.batch,
        progress=progress,
    )  # fmt: skip
