"""A classical pipeline: descriptors of every image, computed once, and a classifier chosen on the validation images."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from clearsight import __version__
from clearsight.calibration.temperature import fit_temperature
from clearsight.data.loader import batches
from clearsight.metrics import accuracy, log_loss, softmax
from clearsight.models.classical import CLASSIFIERS, DESCRIPTORS, Classical
from clearsight.models.layer_probe import LayerProbe
from clearsight.models.network import Backbone, Probe
from clearsight.models.zoo import DEFAULT_BACKBONE
from clearsight.train.classifiers import ONE_CORE, Made, Setting, fit_classifier, settings_of
from clearsight.train.config import TrainConfig
from clearsight.train.context import TrainContext, TrainResult
from clearsight.train.features import extract, outputs
from clearsight.train.head_search import Candidate, Targets
from clearsight.train.layer_features import feature_source
from clearsight.train.strategies.probe import new_probe
from clearsight.wording import percent

SEEN = 3000
"""Training images whose local descriptors words and mixtures are learned from."""


def classical(context: TrainContext) -> TrainResult:
    """Describe the images, try the classifier's settings, and keep the one that validates best.

    That one is fitted once more on all development images; its validation logits remain those of the fit that had not
    seen them.
    """
    data, split = context.data, context.data.split
    descriptor, _, classifier = context.recipe.model.partition("+")
    usual = TrainConfig().training()
    idle = [name for name, value in context.config.training().items() if value != usual[name]]
    if idle:
        options = ", ".join("--" + name.replace("_", "-") for name in idle)
        context.note("without effect", options, "a classical model is not trained by gradient descent")
    if context.budget is not None:
        why = "a classical model is fitted once per setting, without a time limit"
        context.note("without effect", "--budget", why)
    rows = np.sort(np.concatenate([split.train, split.val]))
    began = time.perf_counter()
    network, features = _described(context, descriptor, rows)
    speed = len(rows) / (time.perf_counter() - began)
    targets = Targets(data.labels[rows], data.weights[rows], context.classes)
    fit, val_rows = np.searchsorted(rows, split.train), np.searchsorted(rows, split.val)
    settings, truth = settings_of(classifier, len(fit)), data.labels[split.val]
    advance = context.console.stage(f"fitting {CLASSIFIERS[classifier]}", "fits")
    seed, x, held = context.config.run.seed, features[fit], torch.from_numpy(features[val_rows])
    tried = []

    def whole(setting: Setting) -> Made:
        return fit_classifier(classifier, features, targets, setting, seed=seed)

    with ThreadPoolExecutor(1) as beside:  # a setting that needs no choosing is fitted to all images meanwhile
        idle_core = len(settings) == 1 and classifier in ONE_CORE
        early = beside.submit(whole, settings[0]) if idle_core else None
        for number, setting in enumerate(settings):
            _, head = fit_classifier(classifier, x, targets.of(fit), setting, seed=seed)
            logits = _logits(head, held)
            probabilities = softmax(logits, fit_temperature(logits, truth))
            scores = accuracy(truth, logits.argmax(1)), log_loss(truth, probabilities)
            tried.append((Candidate(DESCRIPTORS[descriptor], (), CLASSIFIERS[classifier], setting, *scores), logits))
            advance(number + 1, len(settings) + 1)
        best, logits = min(tried, key=lambda pair: (-pair[0].accuracy, pair[0].log_loss))
        spec, head = early.result() if early else whole(best.setting)
    advance(len(settings) + 1, len(settings) + 1)
    numbers = ", ".join(f"{k} {v:g}" for k, v in best.setting.items())
    context.note(
        "classifier",
        f"{best.head} ({numbers})",
        f"validation accuracy {percent(best.accuracy)}"
        + (f", the best of {len(tried)} settings" if len(tried) > 1 else ""),
    )
    network.set_head(spec, head)
    return TrainResult(
        network=network,
        task=context.task.calibrated(logits, truth),
        validation_indices=split.val,
        logits=logits,
        history=(),
        candidates=tuple(candidate for candidate, _ in tried),
        images_per_second=speed,
    )


def _described(
    context: TrainContext, descriptor: str, rows: NDArray[np.int64]
) -> tuple[Classical | Probe | LayerProbe, NDArray[np.float32]]:
    """The network without its head, and the descriptors (len(rows), D) of some images, memory-mapped."""
    data, stage = context.data, context.console.stage
    options = context.recipe.model_args
    if descriptor == "features" and options:
        source = feature_source(options)
        of_layer = source.probe(data.form)
        about = f"layer {source.layer}"
        core = Backbone(of_layer)
        parts = outputs(core, about, data.pixels, rows, device=context.device, progress=stage("features"))
        return of_layer, parts[0]
    if descriptor == "features":
        probe = new_probe(replace(context.recipe, model=DEFAULT_BACKBONE, weights=None), data)
        return probe, extract(probe, data.pixels, rows, device=context.device, progress=stage("features"))[-1]
    network = Classical({"kind": "classical", "name": context.recipe.model, "options": options})
    seed = context.config.run.seed
    chosen = np.sort(np.random.default_rng(seed).permutation(data.split.train)[:SEEN])

    def images() -> Iterator[torch.Tensor]:
        for number, (batch, _) in enumerate(batches(data.pixels.array, chosen, 32)):
            advance(min(len(chosen), 32 * number + 32), len(chosen))
            yield batch

    advance = stage("computing descriptors of training images")
    network.describe.learn(images, seed, stage(f"learning {DESCRIPTORS[descriptor]}", "rounds"))
    about = f"{descriptor} {__version__} {sorted(options.items())}"
    parts = outputs(network.describe, about, data.pixels, rows, device="cpu", progress=stage(DESCRIPTORS[descriptor]))
    return network, parts[0]


def _logits(head: torch.nn.Module, x: torch.Tensor) -> NDArray[np.float64]:
    """Logits (N, K) of features (N, D), some rows at a time."""
    with torch.inference_mode():
        return torch.cat([head(part) for part in torch.split(x, 512)]).double().numpy()
