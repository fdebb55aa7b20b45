"""What lies in the data: labels without meaning, one class for all, images on both sides of a split, slow loading."""

from __future__ import annotations

from typing import Any

import numpy as np

from clearsight.data.checks.duplicates import INFLATES
from clearsight.diagnosis.case import MIN_VALIDATION_IMAGES, Case, Verdict
from clearsight.wording import percent

STEPS = 50
"""Steps a run must have before its failure to generalise means something."""

MOVED = 0.2
"""Share of their own length that the weights must have gone before nothing learned is laid on the labels."""

ONE_CLASS = 0.95
"""Share of all answers that fall on one class from which the network has collapsed."""

SURE = 2.0
"""Factor between the first loss and that of chance from which a network was wrongly sure before it had learned."""

WAITING = 0.5
"""Share of the time spent waiting for data from which the processor starves."""

NOTICED = 0.02
"""Seconds of waiting per step below which nobody notices."""

LEAKS = ("duplicates-across-splits", "near-duplicates-across-splits")
"""Findings of the audit that mean a leak."""


def collapsed_at_birth(case: Case) -> Verdict | None:
    """Before any update all answers were one class, and surely so: the last layer's bias decides, not the image.

    It comes before dead units: pushing such a bias down through the units before it kills them.
    """
    if case.learns or not case.from_start:
        return None
    stats = case.step_stats[0]
    share, favourite = float(stats.predicted.max() / stats.predicted.sum()), int(stats.predicted.argmax())
    if share < ONE_CLASS or stats.loss < SURE * case.chance_loss:
        return None
    return Verdict(
        "one-class-collapse",
        "fault",
        f"Before the first update, {percent(share, 0)} of the predictions were of a single class (index {favourite}), "
        f"and the loss was {stats.loss:.3g} ({case.chance_loss:.3g} at chance level). "
        f"The initial weights favour this class for any image.",
        {
            "share_of_answers": share,
            "share_of_labels": float(case.shares[favourite]),
            "first_loss": stats.loss,
            "loss_of_chance": case.chance_loss,
            "confidence": stats.confidence,
        },
        "reinitialise the weights, with all biases zero",
        case.initial_weights(),
    )


def one_class_collapse(case: Case) -> Verdict | None:
    """Nearly every answer is the same class, and that is no knowledge."""
    late = case.late
    if case.broke or case.best_skill > 0.1 or len(late) < 2 or case.steps < STEPS:
        return None
    predicted = np.sum([stats.predicted for stats in late], axis=0)
    share, favourite = float(predicted.max() / predicted.sum()), int(predicted.argmax())
    rare = case.majority >= 2 / len(case.counts) or case.majority > 0.7
    if share < ONE_CLASS or not (rare or case.end_loss > 1.1 * case.chance_loss):
        return None
    options: dict[str, Any]
    if rare and favourite == int(case.counts.argmax()):
        cause = (
            f"This is the most common class ({percent(case.majority, 0)} of "
            f"the training images), so always predicting it gives a low loss."
        )
        fix, options = "weight all classes equally", {"class_weight": "balanced"}
    else:
        cause = "The class frequencies do not explain this: the network favours this class for any image."
        fix, options = (
            "reinitialise the weights, with all biases zero, and lower the learning rate",
            {
                **case.initial_weights(),
                "lr": case.slower(),
            },
        )
    return Verdict(
        "one-class-collapse",
        "fault",
        f"{percent(share, 0)} of the predictions are of a single class (index {favourite}). {cause}",
        {
            "share_of_answers": share,
            "share_of_labels": float(case.shares[favourite]),
            "train_accuracy": case.train_accuracy,
            "end_loss": case.end_loss,
            "loss_of_chance": case.chance_loss,
        },
        fix,
        options,
    )


def shuffled_labels(case: Case) -> Verdict | None:
    """Validation stays at chance although gradients flow and weights move: the labels do not follow from the images.

    At chance: within two standard errors of what answers drawn like the labels reach, or of the commonest class, and
    less than a tenth of the way to perfect.
    """
    if case.broke or case.val_images < MIN_VALIDATION_IMAGES or case.steps < STEPS or not case.vitals.epochs:
        return None
    reached, known = case.val_accuracy, case.train_accuracy
    least = max(0.1, 3 * case.noise(case.drawn))
    memorised = known - case.majority > least and known - reached > least
    chance = case.drawn if memorised else case.val_majority
    gained = (reached - chance) / (1 - chance) if chance < 1 else 1.0
    if reached > chance + 2 * case.noise(chance) or gained > 0.2:
        return None
    if not memorised and not (case.travel > MOVED and case.end_loss < 1.1 * case.chance_loss):
        return None
    learned = (
        f"The network memorises the training images (training accuracy {percent(case.train_accuracy, 0)} so far)"
        if memorised
        else f"The weights change and the gradients are normal, but the "
        f"loss stays near chance level ({case.chance_loss:.3g})"
    )
    return Verdict(
        "shuffled-labels",
        "fault",
        f"{learned}. The validation accuracy is {percent(reached, 0)}, "
        f"no better than chance ({percent(chance, 0)}): "
        f"the labels are unrelated to the images. Either they were mixed "
        f"up, or they describe something that the images do not show.",
        {
            "train_accuracy": case.train_accuracy,
            "val_accuracy": reached,
            "chance": chance,
            "standard_error": case.noise(chance),
            "end_loss": case.end_loss,
            "loss_of_chance": case.chance_loss,
        },
        "inspect some images of each class and their labels, and check that images and labels are in the same order",
    )


def leaking_splits(case: Case) -> Verdict | None:
    """The audit found images of one split in another."""
    leaks = [finding for finding in case.findings if finding.code in LEAKS]
    if not leaks:
        return None
    evidence: dict[str, float] = {}
    for finding in leaks:
        name = finding.code.replace("-", "_") + "_at_least"
        most = float(max(map(len, finding.evidence.values()), default=0))
        evidence[name] = max(evidence.get(name, 0.0), most)
    found = "; ".join(finding.message.removesuffix(INFLATES) for finding in leaks)
    return Verdict(
        "leaking-splits", "warning", f"The same images are in several splits: {found}{INFLATES}.", evidence,
        "; ".join(dict.fromkeys(finding.fix for finding in leaks)),
    )  # fmt: skip


def starved_loader(case: Case) -> Verdict | None:
    """The processor waits for images most of the time."""
    waits, seconds = np.array(case.vitals.waits), np.array(case.vitals.seconds)
    if len(waits) < 10:
        return None
    share, wait = case.vitals.wait_share(), float(np.median(waits[2:]))
    if not share > WAITING or wait < NOTICED:
        return None
    words = case.augmentation.augment.split("+")
    dear = "strong" in words or "rand" in words or len(set(words) - {"none", "mirror", "flip"}) > 1
    return Verdict(
        "starved-loader",
        "warning",
        f"Training spends {percent(share, 0)} of the time waiting for images: {1000 * wait:.0f} ms of each step of "
        f"{1000 * float(np.median(seconds[2:])):.0f} ms.",
        {"wait_share": share, "wait_seconds_per_step": wait, "step_seconds": float(np.median(seconds[2:]))},
        "use cheaper augmentation, or keep the image cache (CLEARSIGHT_CACHE) on a fast local disk"
        if dear
        else "keep the image cache (CLEARSIGHT_CACHE) on a fast local disk, or pass the images as an array",
        {"augment": "light"} if dear else {},
    )
