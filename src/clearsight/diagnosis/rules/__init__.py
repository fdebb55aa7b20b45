"""Every rule in the order of causes, and which verdicts each makes superfluous.

A rule that speaks silences what it explains: a rate that is too high also kills units, swings the loss and breaks it;
reported once, at its cause, it has one fix.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from clearsight.diagnosis.case import Case, Verdict
from clearsight.diagnosis.rules.architecture import dropout_before_norm, tiny_batch_with_norm
from clearsight.diagnosis.rules.data import (
    collapsed_at_birth,
    leaking_splits,
    one_class_collapse,
    shuffled_labels,
    starved_loader,
)
from clearsight.diagnosis.rules.fit import held_down, no_better_than_chance, overfit, underfit
from clearsight.diagnosis.rules.rate import (
    broken_pixels,
    not_a_number,
    oscillating_loss,
    rate_too_high,
    rate_too_low,
    too_slow,
    weight_decay_too_high,
)
from clearsight.diagnosis.rules.signal import (
    born_dead,
    died,
    exploding_gradients,
    saturated_units,
    softmax_twice,
    unnormalised_input,
    vanishing_gradients,
)

__all__ = ["LAST", "RULES", "Rule"]


@dataclass(frozen=True)
class Rule:
    """name: of the verdict that `find` returns, if any. explains: verdicts not given beside this one."""

    name: str
    find: Callable[[Case], Verdict | None]
    explains: frozenset[str] = frozenset()


_WEAK = frozenset({"too-slow", "underfit", "shuffled-labels", "one-class-collapse"})
_STUCK = _WEAK | {"rate-too-low", "vanishing-gradients"}
_WILD = frozenset({"rate-too-high", "not-a-number", "oscillating-loss"})
_BROKEN = _STUCK | _WILD | {"dead-units", "saturated-units", "exploding-gradients", "weight-decay-too-high"}

RULES: tuple[Rule, ...] = (
    Rule("not-a-number", broken_pixels, _BROKEN | {"unnormalised-input", "overfit"}),
    Rule("unnormalised-input", unnormalised_input, _BROKEN),
    Rule("softmax-twice", softmax_twice, _STUCK | {"rate-too-high", "oscillating-loss"}),
    Rule("exploding-gradients", exploding_gradients, _BROKEN | {"overfit"}),
    Rule("one-class-collapse", collapsed_at_birth, _BROKEN | {"overfit"}),
    Rule("dead-units", born_dead, _STUCK | _WILD),
    Rule("weight-decay-too-high", weight_decay_too_high, _STUCK | _WILD | {"dead-units"}),
    Rule("underfit", held_down, _STUCK | _WILD | {"dead-units"}),
    Rule("rate-too-high", rate_too_high, _STUCK | _WILD | {"dead-units", "saturated-units", "overfit"}),
    Rule("saturated-units", saturated_units, _STUCK | {"oscillating-loss"}),
    Rule("vanishing-gradients", vanishing_gradients, _STUCK),
    Rule("tiny-batch-with-norm", tiny_batch_with_norm, _WEAK | {"oscillating-loss", "overfit"}),
    Rule("not-a-number", not_a_number, _WEAK | {"oscillating-loss", "overfit"}),
    Rule("rate-too-low", rate_too_low, _WEAK),
    Rule("one-class-collapse", one_class_collapse, _WEAK),
    Rule("shuffled-labels", shuffled_labels, _WEAK | {"dead-units", "overfit", "oscillating-loss"}),
    Rule("dead-units", died, _STUCK | {"oscillating-loss"}),
    Rule("oscillating-loss", oscillating_loss, frozenset({"too-slow", "underfit"})),
    Rule("leaking-splits", leaking_splits),
    Rule("dropout-before-norm", dropout_before_norm, frozenset({"overfit", "underfit"})),
    Rule("starved-loader", starved_loader),
    Rule("too-slow", too_slow, frozenset({"underfit"})),
    Rule("overfit", overfit),
    Rule("underfit", underfit),
)

LAST = Rule("no-better-than-chance", no_better_than_chance)
"""For where no other rule has found a fault."""
