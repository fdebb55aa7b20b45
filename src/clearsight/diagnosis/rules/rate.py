"""The learning rate, what it does to the loss, and weight decay, which it multiplies."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from clearsight.diagnosis.case import LEARNED, Case, Verdict, rounded
from clearsight.train.optimisers import default_weight_decay
from clearsight.wording import percent

HOT = 0.2
"""Update as a share of the weight, median over layers, from which a rate is too high where nothing is learned: five
such steps replace the weights. About 1e-3 is usual [Karpathy 2015, CS231n notes]; Adam's first steps reach 0.1."""

WARM = 0.02
"""The same where the loss itself rose or broke: ten to twenty times the usual."""

COLD = 1e-4
"""Update as a share of the weight below which, at the peak of the schedule, a rate is too low: ten times less than
usual, 10,000 steps to move the weights by their own length."""

SHORT = 0.2
"""Share of their own length below which the weights' whole path is too short to learn from random ones: networks that
have just learned easy images have gone 0.3 to 0.7 of it."""

RISEN = 2.0
"""Factor over the loss of chance, or of the first step if that was larger, that a smoothed loss does not reach unless
steps are too long: confident nonsense costs more than no knowledge."""

RELAPSE = 0.25
"""Rise of the loss over its least, as a share of log K, at which what was learned has been lost again."""

FALLING = 0.25
"""Share of the whole fall of the loss that fell in the last third of the steps, from which the run was cut short. A
straight line gives 0.33, a run that has converged nearly 0."""

SWING = 3.0
"""Factor between the loss's change from step to step and what drawing different images explains. The mean of B images
whose losses deviate by s changes by 0.95 s / sqrt(B) (median of |N(0, 2 s^2 / B)|). Healthy runs of 2 to 4 images a
step reach 2.5, as s is estimated from few images; where the change is three times what is noticeable, 1.5 will do."""

WAVES = 4
"""Turns of the smoothed loss, each by more than chance explains, from which it rises and falls in waves, as underdamped
momentum makes it: two whole ones. A run whose loss rises once and falls again has two turns."""

NOTICEABLE = 0.1
"""Changes of the loss below this share of log K, the loss of knowing nothing, are not called oscillation."""

DECAYED = 1.0
"""Sum over the steps of rate times weight decay from which decay alone shrinks weights by e."""

LOOKED = 20
"""Steps a run must have for a word on its speed."""


def broken_pixels(case: Case) -> Verdict | None:
    """The loss is not a number because pixels are not."""
    broken = case.vitals.broken
    if broken is None or broken.pixels_finite:
        return None
    return Verdict(
        "not-a-number",
        "fault",
        f"Some images contain pixel values that are not finite: the loss became {broken.loss} "
        f"in step {broken.step}, whose batch contained such an image.",
        {"step": float(broken.step)},
        "find the images with NaN or infinite values (numpy.isfinite), and repair or remove them",
    )


def weight_decay_too_high(case: Case) -> Verdict | None:
    """Weight decay pulls the weights to zero faster than the loss can build them up."""
    decay = case.regularization.weight_decay
    if case.learns or not decay or len(case.step_stats) < 2:
        return None
    shrinkage = decay * float(sum(case.vitals.rates))
    first, last = case.step_stats[0], case.step_stats[-1]
    known = first.weight > 0
    left = float(np.median(last.weight[known] / first.weight[known])) if known.any() else 1.0
    if case.optimization.opt in ("adamw", "muon", "gd", "sgd", "momentum", "nesterov"):
        share = decay * first.lr / case.ratios[0] if case.ratios[0] > 0 else 0.0
    else:  # coupled with a rate per weight: what counts is whose gradient is larger
        known &= np.isfinite(last.gradient)
        shrinkages = decay * last.weight[known]
        share = float(np.median(shrinkages / (shrinkages + last.gradient[known] + 1e-30))) if known.any() else 0.0
    usual = default_weight_decay(case.optimization.opt)
    if decay <= 2 * usual or shrinkage < DECAYED or not (left < 0.5 or share > 0.5):
        return None  # where the decay is the usual one and the pull is not, the rate is the cause
    return Verdict(
        "weight-decay-too-high",
        "fault",
        f"Weight decay ({decay:g}) shrinks the weights too much: their norms are {left:.2g} times the initial "
        f"values, and {percent(min(share, 1.0), 0)} of an update comes from weight decay rather than the "
        f"gradient (medians over the layers).",
        {"weight_decay": decay, "sum_of_rate_times_decay": shrinkage, "weight_left": left, "share_of_update": share},
        f"use the default weight decay for {case.optimization.opt}, {usual:g}",
        {"weight_decay": usual},
    )


def rate_too_high(case: Case) -> Verdict | None:
    """Long updates, and a loss that rose, broke, or never decreased."""
    if case.learns or not len(case.ratios):
        return None
    hottest = float(np.nanmax(np.where(np.isfinite(case.ratios), case.ratios, np.inf)))
    smooth = case.smooth_losses()
    base = max(case.chance_loss, float(case.losses[0]) if case.from_start and math.isfinite(case.losses[0]) else 0.0)
    peak = float(smooth.max()) if len(smooth) else math.inf
    lost = len(smooth) > 0 and float(smooth[int(smooth.argmin()) :].max()) > base  # all that had been learned
    risen = peak > RISEN * base or lost or case.relapse > RELAPSE * case.scale
    if not ((hottest >= WARM and (case.broke or risen)) or (hottest >= HOT and case.end_loss > 0.9 * case.chance_loss)):
        return None
    rate = case.vitals.rate
    least = float(smooth.min()) if len(smooth) else math.nan
    ending = f"became {case.vitals.broken.loss}" if case.vitals.broken else f"ended at {case.end_loss:.3g}"
    return Verdict(
        "rate-too-high",
        "fault",
        f"The learning rate ({rate:g}) is too high: a single update changed the weights by {percent(hottest, 0)} of "
        f"their norm (median over the layers). The loss had a minimum of {least:.3g} and a maximum of {peak:.3g}, "
        f"and it {ending}; at chance level, it is {case.chance_loss:.3g}.",
        {
            "rate": rate,
            "largest_update_to_weight": hottest,
            "highest_loss": peak,
            "end_loss": case.end_loss,
            "loss_of_chance": case.chance_loss,
            "broke_in_step": float(case.vitals.broken.step) if case.vitals.broken else math.nan,
        },
        "lower the learning rate so that each update changes the weights by a few thousandths of their norm",
        {"lr": case.slower()},
    )


def not_a_number(case: Case) -> Verdict | None:
    """The loss is not a number, and neither the pixels nor the length of the updates say why."""
    broken = case.vitals.broken
    if broken is None:
        return None
    half = case.optimization.amp in ("fp16", "bf16")
    options: dict[str, object] = {"lr": rounded(min(case.vitals.rate / 10, case.own_rate))}
    if half:
        options["amp"] = "off"
    if not case.optimization.clip:
        options["clip"] = 1.0
    return Verdict(
        "not-a-number",
        "fault",
        f"The loss became {broken.loss} in step {broken.step}. The pixel values are finite"
        + ("" if broken.weights_finite else ", but the weights no longer are")
        + (
            f". Training runs in {case.optimization.amp}, whose range or precision may be insufficient."
            if half
            else "."
        ),
        {"step": float(broken.step), "weights_finite": float(broken.weights_finite), "rate": case.vitals.rate},
        "lower the learning rate"
        + ("" if case.optimization.clip else " and clip the gradient norm")
        + (", and train in float32" if half else ""),
        options,
    )


def rate_too_low(case: Case) -> Verdict | None:
    """Gradients flow, but the updates are too short to get anywhere."""
    if case.learns or case.broke or case.steps < LOOKED or not len(case.ratios):
        return None
    longest = float(case.ratios.max())
    if not (longest < COLD and case.travel < SHORT):
        return None
    return Verdict(
        "rate-too-low",
        "fault",
        f"The learning rate ({case.vitals.rate:g}) is too low: no update changed the weights by more than "
        f"{longest:.1g} times their norm (median over the layers), so all {case.steps} steps together changed them by "
        f"at most {percent(case.travel)}.",
        {
            "rate": case.vitals.rate,
            "largest_update_to_weight": longest,
            "path": case.travel,
            "first_loss": float(case.losses[0]),
            "end_loss": case.end_loss,
        },
        "raise the learning rate so that each update changes the weights by a few thousandths of their norm",
        {"lr": case.faster()},
    )


def oscillating_loss(case: Case) -> Verdict | None:
    """In its second half the loss still swings more than the draw of the images explains, or it rose again."""
    loss, augmentation = case.optimization.loss, case.augmentation
    if case.broke or case.steps < LOOKED or not case.late:
        return None
    mixed = augmentation.mixup or augmentation.cutmix  # which has a floor of its own in each batch
    if loss not in ("cross-entropy", "kl") or mixed:
        return None
    swing = float(np.median(np.abs(np.diff(case.losses[case.steps // 2 :]))))
    spread = float(np.mean([stats.spread for stats in case.late]))
    images = case.optimization.images_per_step(int(case.counts.sum()))
    whole = images >= int(case.counts.sum())  # the same images in every step: nothing is drawn
    expected = 0.0 if whole else 0.954 * spread / math.sqrt(max(1, images))
    noticeable = NOTICEABLE * case.scale
    swings = swing > max(SWING * expected, noticeable) or swing > max(1.5 * expected, 3 * noticeable)
    smooth = case.smooth_losses()
    held = max(4, math.ceil(128 / max(1, case.vitals.batch))) * images  # images behind one smoothed loss
    widest = max(stats.spread for stats in case.late)
    waves = reversals(smooth[len(smooth) // 2 :], max(noticeable, SWING * 1.4 * widest / math.sqrt(held)))
    relapsed = case.relapse > RELAPSE * case.scale
    if not relapsed and waves < WAVES and not swings:
        return None
    options: dict[str, object] = {"lr": rounded(case.vitals.rate / 5)}
    if case.optimization.opt in ("momentum", "nesterov") and case.optimization.momentum > 0.95:
        options["momentum"] = 0.9
    return Verdict(
        "oscillating-loss",
        case.severity,
        (
            f"The loss rose again, from {smooth.min():.2g} to {case.end_loss:.2g} at the end"
            if relapsed
            else f"The loss oscillates: it changes direction {waves} times"
            if waves >= WAVES
            else f"The loss oscillates: it changes by {swing:.2g} from one step to the next, but the "
            f"differences between batches explain a change of only {expected:.2g}"
        )
        + ". The steps are so large that they overshoot the minimum.",
        {
            "turns": float(waves),
            "median_change_per_step": swing,
            "explained_by_sampling": expected,
            "relapse": case.relapse,
            "rate": case.vitals.rate,
            "end_loss": case.end_loss,
        },
        "lower the learning rate" + (" and the momentum" if "momentum" in options else ""),
        options,
    )


def reversals(values: NDArray[np.float64], least: float) -> int:
    """How often a series turns round, moves smaller than `least` not counted: 0 for one that falls throughout."""
    turns, direction, extreme = 0, 0, math.nan
    for value in values:
        if math.isnan(extreme):
            extreme = float(value)
        elif direction * (value - extreme) > 0 or (direction == 0 and abs(value - extreme) < least):
            extreme = float(value) if direction else extreme
        elif abs(value - extreme) >= least:
            turns += direction != 0
            direction, extreme = (1 if value > extreme else -1), float(value)
    return turns


def too_slow(case: Case) -> Verdict | None:
    """The run learns, but it ended long before it was done."""
    smooth = case.smooth_losses()
    if case.learns or case.broke or case.steps < LOOKED or len(smooth) < 6 or not len(case.ratios):
        return None
    few = max(1, len(smooth) // 9)
    start, last = float(smooth[:few].mean()), float(smooth[-few:].mean())
    near = len(smooth) - len(smooth) // 3 - few
    fall, late_fall = start - last, float(smooth[near : near + few].mean()) - last
    per_step = case.optimization.images_per_step(int(case.counts.sum()))
    images = few * max(4, math.ceil(128 / max(1, case.vitals.batch))) * per_step
    noise = 2 * 1.4 * case.late[-1].spread / math.sqrt(images)
    late = late_fall / fall if fall > 0.02 * case.chance_loss and late_fall > noise else 0.0
    stuck = case.best_skill < LEARNED / 2 or case.end_loss > 0.8 * case.chance_loss
    if not (late >= FALLING or (case.travel < SHORT and stuck)):
        return None
    longest = float(case.ratios.max())
    faster = longest < 1e-3
    adaptive = {} if faster else case.adaptive()
    return Verdict(
        "too-slow",
        "warning",
        f"Training is too slow for only {case.steps} steps: "
        + (
            f"{percent(late, 0)} of the decrease in the loss occurred in "
            f"the last third of the steps, so the network was still learning at the end."
            if late >= FALLING
            else "even if all updates had pointed in the same direction, the weights of a typical layer (median) would "
            f"have changed by only {percent(case.travel, 0)} of their norm."
        ),
        {
            "share_of_fall_in_last_third": late,
            "path": case.travel,
            "largest_update_to_weight": longest,
            "end_loss": case.end_loss,
            "train_accuracy": case.train_accuracy,
        },
        "raise the learning rate"
        if faster
        else "use an optimiser with adaptive learning rates, or train longer"
        if adaptive
        else "train longer",
        {"lr": case.faster()} if faster else adaptive or case.longer(),
    )
