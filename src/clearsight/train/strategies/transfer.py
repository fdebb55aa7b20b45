"""A classifier from a pretrained network: a head on its frozen features first, then, if asked, its layers too.

    frozen   a head on features of several depths, chosen by cross-validation (`probe`)
    lower    the lower blocks stay frozen and run once per image; the blocks above are trained on their cached outputs
    none     every layer is trained, deeper ones at smaller rates (both `fine_tune`)
    recipe   one of these, by how much data there is and how similar to ImageNet

`--freeze-to LAYER` trains the layers above one, at the rates of `none`.

A budget goes to the blocks above the cut, which see four times as many images in it as the whole network does; every
layer is trained where there is no place to cut. What training gives is kept beside what there was, or one of them alone
where that is clearly better (`ensembling`).
"""

from __future__ import annotations

from clearsight.train.allowance import head_only, searches
from clearsight.train.context import TrainContext, TrainResult
from clearsight.train.ensembling import better
from clearsight.train.strategies.depth_selection import train_as_measured
from clearsight.train.strategies.fine_tune import train_all, train_upper
from clearsight.train.strategies.further import train_further
from clearsight.train.strategies.probe import ALL_DEPTHS, LAST_FEATURES, Frozen, best_of, frozen_head, say_idle
from clearsight.wording import percent, points

MANY = 1000
"""Training images from which a network's own layers are worth training, rather than a head alone."""


def transfer(context: TrainContext) -> TrainResult:
    """Fit a head on frozen features; train layers where options or budget ask for it. The budget is for all of this."""
    how, previous = context.config.model.freeze, context.previous
    if previous is not None and previous.tuned and how != "all":
        further = train_further(context, previous)
        if further is not None:
            return further
    above = context.config.transfer.freeze_to
    if above is not None:  # and every layer above it leads to the last features
        frozen = frozen_head(context, LAST_FEATURES)
        return better(context, frozen.trained, train_all(context, frozen), f"the layers above {above}", forced=True)
    measured = searches(context.config) and previous is None
    head_alone = how == "all" or (how == "auto" and head_only(context.config))
    frozen = frozen_head(context, reuse=head_alone)
    if how == "recipe":
        return _by_recipe(context, frozen)
    if measured and frozen.probe.taps:
        return train_as_measured(context, frozen)
    if head_alone:
        more = ", as requested by --freeze all" if how == "all" else "; use --budget or --freeze none to train them"
        say_idle(context, f"the network's weights are frozen{more}")
        return frozen.trained
    _say_recipe(context, frozen)
    best = frozen.trained
    if how in ("lower", "auto") and frozen.probe.taps:
        best = better(context, best, train_upper(context, frozen), "the upper blocks", forced=how == "lower")
    elif how in ("none", "auto"):
        best = better(context, best, train_all(context, frozen), "all layers", forced=how == "none")
    return best


def _by_recipe(context: TrainContext, frozen: Frozen) -> TrainResult:
    """What the table of transfer recipes advises, whatever validates better."""
    many, similar = _say_recipe(context, frozen)
    if not many:
        say_idle(context, "the network's weights are frozen, as recommended for few images")
        return frozen_head(context, LAST_FEATURES).trained if similar else frozen.trained
    if similar and frozen.probe.taps:
        return better(context, frozen.trained, train_upper(context, frozen), "the upper blocks", forced=True)
    if frozen.probe.taps:  # a head that does not see the last features would leave the layers before them untrained
        frozen = frozen_head(context, ALL_DEPTHS if len(frozen.probe.taps) > 1 else LAST_FEATURES)
    return better(context, frozen.trained, train_all(context, frozen), "all layers", forced=True)


def _say_recipe(context: TrainContext, frozen: Frozen) -> tuple[bool, bool]:
    """Where the data stands in the table of transfer recipes: whether it is more than a little, and similar to the
    source.

    Similar: the last features, which classify ImageNet, do as well here as any depth, within one
    standard error.
    """
    last, best = best_of(frozen.result, LAST_FEATURES), frozen.result.chosen
    error = (best.accuracy * (1 - best.accuracy) / max(1, len(frozen.trained.validation_indices))) ** 0.5
    similar, many = last.accuracy >= best.accuracy - error, len(context.data.split.train) >= MANY
    advice = {
        (False, True): "a linear head on the last features",
        (False, False): "a head on the depths with the best validation score",
        (True, True): "training the upper layers",
        (True, False): "training every layer",
    }[many, similar]
    context.note(
        "transfer",
        f"{'many' if many else 'few'} images, {'similar to' if similar else 'different from'} "
        f"ImageNet; the usual recommendation is {advice}",
        f"{len(context.data.split.train):,} training images (many: {MANY:,} or more); the validation accuracy is "
        f"{percent(last.accuracy)} with the last features and {percent(best.accuracy)} with the best depths, with a "
        f"standard error of {points(error)}",
    )
    return many, similar
