"""Signals on their way through the network: pixels in, logits out, activations forwards, gradients backwards.

Rules about activations and gradients speak only where the run does not learn: a network may lose some units or shrink
some gradients and be well.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from clearsight.diagnosis.case import Case, Verdict
from clearsight.diagnosis.step_stats import StepStats
from clearsight.models.zoo import model_names
from clearsight.wording import count, percent

PIXEL_SCALE = 5.0
"""Root mean square of the first layer's input from which it counts as unnormalised. Inputs should have mean 0 and
deviation 1 [LeCun et al. 1998, "Efficient BackProp", section 4.3]; [0, 1] pixels have 0.3 to 0.7, 8-bit ones 100."""

PIXEL_FLAT = 0.05
"""Deviation below which the first layer sees hardly any contrast."""

PROBABILITY = 0.02
"""How far a row of probabilities may be from the sum 1: bfloat16 rounds to 1/256, and a few such errors add up."""

LARGE_GRADIENT = 100.0
"""Norm of the whole first gradient from which it explodes. Cross-entropy's gradient at the logits is at most sqrt(2)
per image, so that of the last layer is at most sqrt(2) times the length of its input: 90 for 4,096 features of 1."""

STEEP = 1e3
"""Factor between the relative gradients of the first and last third of the layers from which the gradient explodes,
or its inverse vanishes, on the way back. Networks that train stay within 30 either way; eight sigmoid layers, each of
which scales the gradient by a quarter at most [Glorot, Bengio 2010], reach 4^-8."""

DEAD = 0.8
"""Share of a layer's units that are never above zero from which the layer counts as dead. Healthy layers may have many
such units: PyTorch's own initialisation leaves 40 % in a LeNet's dense layers without light on 32 digits."""

CUT = 0.9
"""Share of a layer's units whose death cuts the network in two."""

UNITS = 8
"""Layers of fewer ReLU units, such as those in gates, are reported only if all of them are dead."""

SATURATED = 0.5
"""Share of a layer's outputs on the flat ends from which the layer counts as saturated."""


FAINT = 0.7
"""Factor by which signals shrink from layer to layer, below which the initial weights are too small: 0.7 in 10 layers
leaves 3 %; Xavier's rule before ReLU has it, He's keeps signals as they are."""


def unnormalised_input(case: Case) -> Verdict | None:
    """The first layer's input is far from mean 0 and deviation 1."""
    seen = [stats.inputs for stats in case.step_stats if math.isfinite(stats.inputs[0])]
    if not seen:
        return None
    mean, std, low, high = (float(v) for v in np.median(np.array(seen), axis=0))
    size = math.hypot(mean, std)
    if std >= PIXEL_FLAT and size <= PIXEL_SCALE:
        return None
    what = (
        f"a root mean square of {size:.3g} (values from {low:.3g} to {high:.3g})"
        if size > PIXEL_SCALE
        else f"very low contrast (standard deviation {std:.2g})"
    )
    return Verdict(
        "unnormalised-input",
        case.severity,
        f"The inputs of the first layer have {what}; networks expect a mean of 0 and a standard deviation of 1. No "
        f"learning rate suits both the first layer and the others.",
        {"mean": mean, "std": std, "low": low, "high": high},
        "pass images as 8-bit or 16-bit integers or as floats in [0, 1], and let the input layer normalise them "
        "with the mean and standard deviation of the training images, as `clearsight train` does",
    )


def softmax_twice(case: Case) -> Verdict | None:
    """The network already returns probabilities, and the loss takes their softmax again."""
    if case.optimization.loss == "mse" or len(case.step_stats) < 3:
        return None
    sums = max(stats.sums for stats in case.step_stats)
    low, high = min(stats.low for stats in case.step_stats), max(stats.high for stats in case.step_stats)
    if sums > PROBABILITY or low < 0 or high > 1 + PROBABILITY:
        return None
    k = len(case.counts)
    floor = math.log(1 + (k - 1) / math.e)  # cross-entropy of the logits (1, 0, ..., 0)
    return Verdict(
        "softmax-twice",
        "fault",
        f"The network's outputs are already probabilities: every row is in [0, 1] and sums to 1. The loss "
        f"({case.optimization.loss}) converts them to probabilities a second time, so the cross-entropy cannot fall "
        f"below {floor:.2f} and its gradient stays small.",
        {"largest_distance_of_a_row_sum_from_1": sums, "lowest_output": low, "highest_output": high, "floor": floor},
        "remove the softmax at the end of the network; the loss and `predict_proba` apply it",
    )


def exploding_gradients(case: Case) -> Verdict | None:
    """Before any update the gradient is already far too large, or it grows steeply towards the input.

    Where the run learns in spite of it, only ten times as much of both counts.
    """
    if not case.from_start:
        return None
    stats = case.step_stats[0]
    total, slope = stats.total_gradient(), case.gradient_slope(stats)
    limit = LARGE_GRADIENT * (math.sqrt(len(case.counts)) if case.optimization.loss == "bce" else 1)
    blatant = total > 10 * limit and stats.loss > 10 * case.chance_loss
    if not (blatant or (not case.learns and (total > limit or slope > STEEP))):
        return None
    spread = stats.std[np.isfinite(stats.std)]
    evidence = {"first_gradient_norm": total, "first_loss": stats.loss, "loss_of_chance": case.chance_loss}
    if math.isfinite(slope):
        evidence["first_layers_over_last_layers"] = slope
    if len(spread) > 1:
        evidence["activation_std_first"], evidence["activation_std_last"] = float(spread[0]), float(spread[-1])
    remedy = case.model_arg(norm=True)
    options = {**case.initial_weights(same_layers=not remedy), **remedy}
    if not case.optimization.clip:
        options["clip"] = 1.0
    return Verdict(
        "exploding-gradients",
        case.severity,
        f"The gradients explode. Before the first update, their norm is {total:.3g}, and the loss is {stats.loss:.3g} "
        f"({case.chance_loss:.3g} at chance level): the initial weights are too large, so "
        "signals grow from layer to layer.",
        evidence,
        "use smaller initial weights, batch normalisation and gradient clipping",
        options,
    )


def born_dead(case: Case) -> Verdict | None:
    """ReLU units that are zero for every image from before the first update to the end: no gradient passes them.

    Where the gradient fades by a factor of a thousand without being cut off, that is named instead: weights too small
    leave the biases to decide which units live.
    """
    if case.learns or len(case.step_stats) < 3 or not case.from_start:
        return None
    first, last = dead_shares(case, case.step_stats[:1]), dead_shares(case, case.step_stats[-3:])
    stayed = {name: min(first.get(name, 0.0), share) for name, share in last.items()}
    if not stayed or (most := max(stayed.values())) < DEAD:
        return None
    if most < CUT and 0 < case.gradient_slope(case.step_stats[0]) < 1 / STEEP:
        return None
    leaky = case.model_arg(activation="leaky_relu")
    return _dead(
        stayed,
        "They were already dead before the first update.",
        "use He initialisation with all biases zero, or leaky ReLU",
        {**case.initial_weights(), **leaky},
    )


def died(case: Case) -> Verdict | None:
    """ReLU units that lived and are zero for every image of the last three looks."""
    if case.learns or len(case.step_stats) < 3:
        return None
    last = dead_shares(case, case.step_stats[-3:])
    if not last or max(last.values()) < DEAD:
        return None
    return _dead(
        last,
        "They died during training.",
        "lower the learning rate, or use leaky ReLU, whose gradient is never zero",
        {"lr": case.slower(), **case.model_arg(activation="leaky_relu")},
    )


def dead_shares(case: Case, step_stats: list[StepStats]) -> dict[str, float]:
    """The share of units of each large enough ReLU layer that are dead in all of these steps."""
    found = {}
    for i, part in enumerate(case.vitals.nonlinear):
        masks = [stats.alive[i] for stats in step_stats]
        if not len(masks[0]) or any(len(m) != len(masks[0]) for m in masks):
            continue
        share = float(1 - np.logical_or.reduce(masks).mean())
        if len(masks[0]) >= UNITS or share == 1:
            found[part.name] = share
    return found


def _dead(shares: dict[str, float], when: str, fix: str, options: dict[str, Any]) -> Verdict:
    worst = max(shares, key=lambda name: shares[name])
    layers = sum(share >= DEAD for share in shares.values())
    return Verdict(
        "dead-units",
        "fault",
        f"{percent(shares[worst], 0)} of the ReLU units of {worst} are dead: their output is zero for every image. "
        f"In {layers} of {count(len(shares), 'layer')}, at least {percent(DEAD, 0)} of the units are dead. Dead units "
        f"pass neither signals nor gradients, so they cannot recover. {when}",
        {"dead_share_worst_layer": shares[worst], "dead_layers": float(layers), "layers": float(len(shares))},
        fix,
        options,
    )


def saturated_units(case: Case) -> Verdict | None:
    """Outputs of sigmoid or tanh on the flat ends of the curve, where the slope is nearly zero."""
    if case.learns or not case.step_stats:
        return None
    shares = np.array([stats.saturated for stats in case.step_stats])
    known = np.isfinite(shares).any(axis=0)
    if not known.any():
        return None
    names = [part.name for part, there in zip(case.vitals.nonlinear, known, strict=True) if there]
    typical = np.nanmedian(shares[:, known], axis=0)
    if typical.max() < SATURATED:
        return None
    worst = int(typical.argmax())
    drawn = {"init": "xavier"} if case.model in model_names() else {}
    if case.config.model.init == "xavier":  # which was not enough: units without a flat end, and the rule made for them
        drawn = {"init": "he"}
    remedy = case.model_arg(norm=True, **({"activation": "relu"} if drawn.get("init") == "he" else {}))
    return Verdict(
        "saturated-units",
        "fault",
        f"{percent(typical[worst], 0)} of the outputs of {names[worst]} are saturated: the slope of the "
        f"activation function is below a twentieth of its maximum there, so almost no "
        f"gradient passes. The weights of the preceding layer are too large.",
        {
            "saturated_share_worst_layer": float(typical[worst]),
            "saturated_share_at_start": float(shares[0, known][worst]),
            "saturated_layers": float((typical >= SATURATED).sum()),
        },
        "use Xavier initialisation, batch normalisation or ReLU",
        {**drawn, **remedy},
    )


def vanishing_gradients(case: Case) -> Verdict | None:
    """The first layers get hardly any gradient compared with the last."""
    if case.learns:
        return None
    slopes = np.array([case.gradient_slope(stats) for stats in case.step_stats])
    slopes = slopes[np.isfinite(slopes)]
    if len(slopes) < 2 or not (typical := float(np.median(slopes))) < 1 / STEEP:
        return None
    stats = case.step_stats[0]
    remedy = case.model_arg(activation="relu", norm=True, residual=True)
    faint = case.growth < FAINT  # the signals fade on their way forwards too: the initial weights are too small
    drawn = case.initial_weights(same_layers=not remedy) if faint else {}
    return Verdict(
        "vanishing-gradients",
        "fault",
        "The gradients vanish towards the input: relative to the weights, the gradients of the first layers are "
        + (f"{1 / typical:,.0f} times smaller than those of the last layers" if typical else "exactly zero")
        + ", so the first layers hardly change.",
        {
            "first_layers_over_last_layers": typical,
            "gradient_norm_first_layer": float(stats.gradient[0]),
            "gradient_norm_last_layer": float(stats.gradient[-1]),
            "layers": float(len(stats.gradient)),
        },
        "use ReLU instead of sigmoid or tanh, batch normalisation, skip connections or fewer layers"
        + (", and use larger initial weights" if drawn else ""),
        {**drawn, **remedy} or {"model": "resnet8"},
    )
