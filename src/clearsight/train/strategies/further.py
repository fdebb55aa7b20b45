"""A pretrained network whose layers a run has trained, trained further on more images, from the run's weights.

What the run kept frozen stays frozen: the lower blocks run once for each new image, and the blocks above are trained on
their cached outputs. Otherwise all layers are trained. Outputs that the run knows start from its head, new ones from
random weights. Of an ensemble the first of its trained networks goes on alone.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from clearsight.errors import ModelError
from clearsight.models.backbone_split import cut
from clearsight.models.base import ModelNetwork
from clearsight.models.heads import build_head
from clearsight.models.network import AS_IT_IS, Probe
from clearsight.train.config import TrainConfig
from clearsight.train.context import TrainContext, TrainResult
from clearsight.train.loop import Examples
from clearsight.train.previous import Previous
from clearsight.train.strategies.fine_tune import (
    MOST_EPOCHS,
    kept_fixed,
    layer_groups,
    lower_maps,
    map_examples,
    tuned_result,
    view_logits,
)
from clearsight.train.strategies.probe import MIRRORED, new_probe, say_idle
from clearsight.wording import count

GOES_ON = "training continues from the weights of the run"
WHY = "a quarter of the epochs of the continued run, whose weights are the starting point"


def train_further(context: TrainContext, previous: Previous) -> TrainResult | None:
    """Train the run's layers further; None where its network has none that were trained."""
    published = new_probe(context.recipe, context.data)
    old = previous.tuned_network(published.backbone)
    if old is None:
        return None
    if tuple(old.spec["head"].get("widths", ())) != tuple(context.config.transfer.widths):
        context.note(
            "continued from", "the published weights", "--head-widths specifies a different head from that of the run"
        )
        return None
    probe, features = _with_head(context, previous, published, old)
    every = context.config.transfer.freeze_to is not None or context.config.model.freeze == "none"
    place = None if every else _frozen_up_to(probe, published)
    if previous.network.member_networks:
        of = count(len(previous.network.member_networks), "network")
        context.note(
            "continued from",
            "the first trained network of the ensemble",
            f"the model of the run is an ensemble of {of}",
        )
    if place is None:
        probe.set_views(AS_IT_IS)
        context.note("training all layers", "kept", GOES_ON)
        config = context.resolved(probe, batch=32, fine_tuning=True, shape=context.data.pixels.array.shape[1:])
        with kept_fixed(context, probe):
            groups = layer_groups(probe, context.rate(fine_tuning=True))
            examples = replace(context.examples, val=context.validation_halves[0])
            config = config.with_options(epochs=_epochs(context, previous, probe, config, groups, examples))
            trained = context.train(probe, config, groups, "fine-tuning", examples)
        logits = context.logits(probe, context.data.split.val, config.optimization.batch_size)
        return tuned_result(context, (), probe.eval(), context.data.split.val, logits, trained, config)
    at = probe.taps[place]
    rows = np.sort(np.concatenate([context.data.split.train, context.data.split.val]))
    views = probe.views
    if not probe.uses_tta and context.config.augmentation.augment != "none":
        views = MIRRORED[0]
    context.note(
        "frozen", f"up to {at}", "as in the continued run; the cached outputs for the images of that run are reused"
    )
    context.note("training the upper blocks", "kept", GOES_ON)
    maps = lower_maps(context, probe, at, rows, views)
    upper = cut(probe, at)[1]
    upper.chosen, upper.head = [i - place for i in features], probe.head
    config = context.resolved(upper, batch=32, fine_tuning=True, shape=maps[0].shape[1:])
    config = config.with_options(augment="none", mixup=0.0, cutmix=0.0)
    say_idle(context, "the upper blocks are trained on cached outputs", ("augment", "mixup", "cutmix"))
    groups = [{"params": list(upper.parameters()), "lr": context.rate(fine_tuning=True)}]
    examples = map_examples(context, maps, rows, context.data.split.train, context.validation_halves[0])
    title = "training the upper blocks"
    config = config.with_options(epochs=_epochs(context, previous, upper, config, groups, examples))
    trained = replace(context, watch=None).train(upper, config, groups, title, examples)
    probe.set_head(probe.spec["head"], upper.head)
    places = np.searchsorted(rows, context.data.split.val)
    of_views = [places + k * len(rows) for k in range(len(probe.views))]
    logits = view_logits(context, upper, of_views, config, examples.pixels)
    return tuned_result(context, (), probe.eval(), context.data.split.val, logits, trained, config)


def _epochs(
    context: TrainContext,
    previous: Previous,
    network: nn.Module,
    config: TrainConfig,
    groups: list[dict[str, Any]],
    examples: Examples,
) -> int:
    """How many epochs: those asked for, those that the budget allows, at least one, or a share of the run's; noted."""
    asked = context.config.optimization.epochs
    if asked is not None:
        if context.budget is not None:
            context.note("without effect", "--budget", "--epochs sets the length of training")
        return int(asked)
    epochs, why, left = previous.epochs, WHY, context.left("training")
    if left is not None:
        each = context.decided("epoch seconds", lambda: context.epoch_seconds(network, config, groups, examples))
        epochs = max(1, min(MOST_EPOCHS, int(left // each)))
        why = f"one epoch takes {each:.1f} s on this machine, and the budget leaves {left:.0f} s"
        if left < each:
            why = f"the minimum: {context.used_up(left, each)}"
    context.note("epochs", str(epochs), why)
    return epochs


def _with_head(
    context: TrainContext, previous: Previous, published: Probe, old: ModelNetwork
) -> tuple[Probe, list[int]]:
    """The published network with the weights of the run's, and a head for the names of now; the parts the head sees."""
    probe = copy.deepcopy(published)
    probe.backbone.load_state_dict(old.get_submodule(old.backbone_path).state_dict())
    probe.set_views(old.spec.get("views", AS_IT_IS))
    names, spec = context.task.names, {**old.spec["head"], "classes": len(context.task.names)}
    torch.manual_seed(context.config.run.seed)
    head = build_head(spec)
    own, theirs = ([m for m in of.modules() if isinstance(m, nn.Linear)] for of in (head, old.get_submodule("head")))
    for hidden, known in zip(own[:-1], theirs[:-1], strict=True):
        hidden.load_state_dict(known.state_dict())
    previous.keep_outputs(own[-1], theirs[-1], names)
    parts = [int(k) for k in old.spec["parts"]]
    probe.set_head(spec, head, parts)
    return probe, parts


def _frozen_up_to(probe: Probe, published: Probe) -> int | None:
    """Number of the deepest tap up to which weights are the published ones; None where none is, or no cut exists."""
    for place in reversed(range(len(probe.taps))):
        try:
            own, theirs = (cut(network, probe.taps[place])[0].state_dict() for network in (probe, published))
        except ModelError:
            return None
        if all(torch.equal(own[name], theirs[name]) for name in theirs):
            return place
    return None
