"""A classifier from a pretrained network: a head on its frozen features first, then, if asked, its layers too.

    frozen   a head on features of several depths, chosen by cross-validation (`probe`)
    lower    the lower blocks stay frozen and run once per image; the blocks above are trained on their cached outputs
    none     every layer is trained, deeper ones at smaller rates (both `fine_tune`)

A budget goes to the blocks above the cut, which see four times as many images in it as the whole network does; every
layer is trained where there is no place to cut. What training gives is kept beside what there was, or one of them alone
where that is clearly better (`ensembling`).
"""

from __future__ import annotations

from clearsight.train.context import TrainContext, TrainResult
from clearsight.train.ensembling import better
from clearsight.train.strategies.fine_tune import train_all, train_upper
from clearsight.train.strategies.further import train_further
from clearsight.train.strategies.probe import Frozen, best_of, frozen_head, say_idle
from clearsight.wording import percent, points

MANY = 1000
"""Training images from which a network's own layers are worth training, rather than a head alone."""


def transfer(context: TrainContext) -> TrainResult:
    """Fit a head on frozen features; train layers where options or budget ask for it. The budget is for all of this."""
    how, budget, previous = context.config.model.freeze, context.config.run.budget, context.previous
    if previous is not None and previous.tuned and how != "all":
        further = train_further(context, previous)
        if further is not None:
            return further
    head_alone = how == "all" or (how == "auto" and budget is None)
    frozen = frozen_head(context, anew=not head_alone)
    if head_alone:
        more = "as --freeze all asks" if how == "all" else "and --budget or --freeze none trains them"
        say_idle(context, f"the network's weights stay as they are, {more}")
        return frozen.trained
    _say_recipe(context, frozen)
    best = frozen.trained
    if how in ("lower", "auto") and frozen.probe.taps:
        best = better(context, best, train_upper(context, frozen), "the upper blocks", forced=how == "lower")
    elif how in ("none", "auto"):
        best = better(context, best, train_all(context, frozen), "all layers", forced=how == "none")
    return best


def _say_recipe(context: TrainContext, frozen: Frozen) -> None:
    """Where the data stands in the table of transfer recipes: little or more of it, similar to the source or not.

    Similar: the last features, which classify ImageNet, do as well here as any depth, within one
    standard error.
    """
    last, best = best_of(frozen.result, "last features"), frozen.result.chosen
    error = (best.accuracy * (1 - best.accuracy) / max(1, len(frozen.trained.validation_indices))) ** 0.5
    similar, many = last.accuracy >= best.accuracy - error, len(context.data.split.train) >= MANY
    advice = {
        (False, True): "a linear head on the last features",
        (False, False): "a head on the depths with the best validation score",
        (True, True): "training from the top down",
        (True, False): "training every layer",
    }[many, similar]
    context.note(
        "transfer",
        f"{'more' if many else 'little'} data, {'similar to' if similar else 'different from'} the source, for which "
        f"the usual advice is {advice}",
        f"{len(context.data.split.train):,} training images ({MANY:,} count as more); the last features reach "
        f"{percent(last.accuracy)}, the best depths {percent(best.accuracy)}, one standard error is {points(error)}",
    )
