"""Too much or too little learned from the training images."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from clearsight.diagnosis.case import ENOUGH, LEARNED, MIN_VALIDATION_IMAGES, Case, Verdict
from clearsight.models.catalogue import catalogue
from clearsight.models.zoo import entry, model_names
from clearsight.train.optimisers import default_weight_decay
from clearsight.wording import count, percent

GAP = 0.1
"""Least distance between training and validation accuracy that is called overfitting, where the validation loss has
also risen; chance must not explain it either (three standard errors)."""

WIDE_GAP = 0.25
"""Distance that is called overfitting by itself."""

HELD = 0.3
"""Share of the first length of the weights below which a penalty on them is what is learned."""

RISEN = 1.2
"""Factor of the last validation loss over the least: it has turned upwards."""

BY_HEART = 50
"""Steps from which a wide gap alone is overfitting: in fewer, averages of the weights and statistics lag behind."""

MORE_DECAY = 5e-4
"""Least weight decay to suggest to a network that overfits; one that has ten times as much is made smaller instead."""

SMALLER = ("resnet18", "resnet20", "resnet8", "lenet5")
"""Networks to suggest to one that overfits in spite of regularisation, the larger first."""

LARGER = ("resnet20", "resnet18")
"""Networks to suggest to one that is too small, the smaller first; their sizes are those of the catalogue."""


def overfit(case: Case) -> Verdict | None:
    """The training images are known far better than the validation images."""
    lines = case.vitals.epochs
    if case.broke or len(lines) < 2 or case.skill(case.train_accuracy) < LEARNED:
        return None
    last, least = lines[-1], min(line.val_loss for line in lines)
    gap = last.train_accuracy - last.val_accuracy
    risen = last.val_loss / least if least > 0 else 1.0
    if gap < max(GAP, 3 * case.noise(last.val_accuracy)) or not (
        risen > RISEN or (gap > WIDE_GAP and case.steps >= BY_HEART)
    ):
        return None
    return Verdict(
        "overfit",
        "warning",
        f"The network overfits: its accuracy is {percent(last.train_accuracy, 0)} on the training images but "
        f"{percent(last.val_accuracy, 0)} on the validation images, and the validation loss is {risen:.1f} times its "
        f"minimum. The network memorises the {count(int(case.counts.sum()), 'training image')}.",
        {
            "train_accuracy": last.train_accuracy,
            "val_accuracy": last.val_accuracy,
            "gap": gap,
            "val_loss_over_least": risen,
            "train_loss": last.train_loss,
            "val_loss": last.val_loss,
        },
        "collect more images, start from pretrained weights, use stronger "
        "augmentation or regularisation, or use a smaller network",
        _regularised(case),
    )


def held_down(case: Case) -> Verdict | None:
    """An L1 penalty or a limit on the weights keeps them so small that nothing can be learned."""
    l1, max_norm = case.regularization.l1, case.regularization.max_norm
    if case.broke or case.learns or len(case.step_stats) < 2 or not (l1 or max_norm):
        return None
    first, last = case.step_stats[0].weight, case.step_stats[-1].weight
    left = float(np.median(last[first > 0] / first[first > 0])) if (first > 0).any() else 1.0
    if left > HELD:
        return None
    what = f"an L1 penalty of {l1:g}" if l1 else f"a max-norm constraint of {max_norm:g}"
    return Verdict(
        "underfit",
        "fault",
        f"The network underfits because of {what}: the weight norms are {left:.2g} times their initial values (median "
        "over the layers).",
        {
            "weight_left": left,
            "l1": l1,
            "max_norm": max_norm or math.nan,
            "train_accuracy": case.train_accuracy,
        },
        "use weaker regularisation",
        _freed(case),
    )


def no_better_than_chance(case: Case) -> Verdict | None:
    """Validation ended at chance. For where no rule has found a fault: a run that learned nothing is not healthy."""
    if case.broke or case.val_images < MIN_VALIDATION_IMAGES or case.steps < ENOUGH or not case.vitals.epochs:
        return None
    reached, chance = case.val_accuracy, case.val_majority
    if reached > chance + 2 * case.noise(chance) or reached - chance > 0.2 * (1 - chance):
        return None
    return Verdict(
        "no-better-than-chance",
        "fault",
        f"After {count(case.steps, 'step')}, the validation accuracy is {percent(reached, 0)}, no better than always "
        f"predicting the most common class ({percent(chance, 0)}): the network has learned nothing that generalises. "
        f"Either there were too few steps, or the labels are unrelated to the images.",
        {
            "train_accuracy": case.train_accuracy,
            "val_accuracy": reached,
            "chance": chance,
            "standard_error": case.noise(chance),
            "steps": float(case.steps),
        },
        "inspect some images of each class and their labels, and train for more epochs with a larger --patience",
    )


def underfit(case: Case) -> Verdict | None:
    """The run has converged, and even its own training images are mostly beyond it."""
    if case.broke or case.learns or not case.vitals.epochs or case.travel < 1:
        return None
    train, val = case.train_accuracy, case.vitals.epochs[-1].val_accuracy
    if case.skill(train) < 0.05 or train - val > max(GAP, 3 * case.noise(val)):
        return None
    cure = _freed(case)
    return Verdict(
        "underfit",
        "warning",
        f"The network underfits: its training accuracy is {percent(train, 0)} and no longer improves. The network is "
        f"too small for the task, the regularisation is too strong, or the learning-rate schedule ended too early.",
        {
            "train_accuracy": train,
            "val_accuracy": val,
            "chance": case.majority,
            "end_loss": case.end_loss,
            "loss_of_chance": case.chance_loss,
            "path": case.travel,
        },
        "train longer, or use weaker regularisation"
        if "epochs" in cure
        else "use a larger network, or weaker regularisation",
        cure,
    )


def _regularised(case: Case) -> dict[str, Any]:
    """The next step up in regularisation: augmentation first, then mixing, then dropout and decay, then a smaller
    network.
    """
    augmentation = case.augmentation
    if augmentation.augment == "none":
        return {"augment": "light"}
    if augmentation.augment == "light":
        return {"augment": "strong"}
    if not augmentation.mixup and not augmentation.cutmix and case.optimization.loss not in ("hinge", "focal"):
        return {"mixup": 0.2}
    dropout, decay = case.model_arg(dropout=0.5), case.regularization.weight_decay
    if dropout or decay < 10 * max(MORE_DECAY, default_weight_decay(case.optimization.opt)):
        return {**dropout, "weight_decay": max(10 * decay, MORE_DECAY)}
    return _smaller(case)


def _smaller(case: Case) -> dict[str, Any]:
    """The same network with half the width where it has an option for that, else another of fewer parameters."""
    own = {**entry(case.model).model_args, **case.model_args} if case.model in model_names() else {}
    if widths := own.get("widths"):
        return {"model_arg": {"widths": [max(1, width // 2) for width in widths]}}
    if (width := own.get("width") or 0) > 1:
        return {"model_arg": {"width": width // 2}}
    sizes = {row.name: row.parameters for row in catalogue()}
    return next(({"model": name} for name in SMALLER if sizes[name] < case.vitals.parameters), {})


def _freed(case: Case) -> dict[str, Any]:
    """What holds the network down, if anything does; else a larger network, or longer training."""
    freed: dict[str, Any] = {}
    if case.regularization.l1:
        freed["l1"] = 0.0
    if case.regularization.max_norm is not None:
        freed["max_norm"] = 3.0
    if case.model_args.get("dropout", 0) > 0.3:
        freed |= case.model_arg(dropout=0.1)
    if case.augmentation.augment not in ("none", "light", "mirror", "flip"):
        freed["augment"] = "light"
    return freed or _larger(case)


def _larger(case: Case) -> dict[str, Any]:
    """A network of more parameters; more epochs where it has more than all that are suggested."""
    sizes = {row.name: row.parameters for row in catalogue()}
    own = case.vitals.parameters
    for name in LARGER:
        if name != case.model and sizes[name] > own:
            return {"model": name}
    return case.longer()
