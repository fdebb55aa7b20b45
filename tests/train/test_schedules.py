"""Schedules against their formulas, by hand."""

from __future__ import annotations

import math

import pytest

from clearsight.errors import ConfigError
from clearsight.train.choices import SCHEDULES
from clearsight.train.config import TrainConfig
from clearsight.train.schedules import Schedule, drops, one_cycle, rate_factor

BY_HAND = {  # factors at 0, 1/4, 1/2, 3/4 and 1 of the run
    "constant": (1, 1, 1, 1, 1),
    "step": (1, 1, 0.1, 0.01, 0.01),
    "exponential": (1, 1e-3**0.25, 1e-3**0.5, 1e-3**0.75, 1e-3),
    "cosine": (1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2, 0),
    "one-cycle": (1 / 25, 1, 1e-4 + (1 - 1e-4) * 0.75, 1e-4 + (1 - 1e-4) * 0.25, 1e-4),
    "plateau": (1, 1, 1, 1, 1),
}


def test_every_schedule_is_worked_by_hand() -> None:
    assert list(BY_HAND) == list(SCHEDULES)


@pytest.mark.parametrize("name", BY_HAND)
def test_by_hand(name: str) -> None:
    found = [rate_factor(name, quarter / 4) for quarter in range(5)]
    assert found == pytest.approx(BY_HAND[name], abs=1e-12)


@pytest.mark.parametrize("name", [n for n in SCHEDULES if n != "one-cycle"])
def test_a_warm_up_rises_in_a_line_and_the_schedule_fills_the_rest(name: str) -> None:
    """With half of the run to warm up the ramp goes by 0.01 and 0.505, then the schedule's own quarters follow."""
    assert rate_factor(name, 0, 0.5) == pytest.approx(0.01)
    assert rate_factor(name, 0.25, 0.5) == pytest.approx(0.505)
    found = [rate_factor(name, 0.5 + 0.5 * quarter / 4, 0.5) for quarter in range(5)]
    assert found == pytest.approx(BY_HAND[name], abs=1e-12)


def test_a_warm_up_replaces_one_cycles_own() -> None:
    assert rate_factor("one-cycle", 0.1, 0.1) == pytest.approx(1)
    assert rate_factor("one-cycle", 0.05, 0.1) == pytest.approx((1 + 1 / 25) / 2)
    assert rate_factor("one-cycle", 0.55, 0.1) == pytest.approx((1 + 1e-4) / 2)
    assert rate_factor("one-cycle", 0.3) == one_cycle(0.3)


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ((), 1),
        ((5, 4, 3, 2, 1), 1),
        ((1, 2, 2), 1),  # two without progress, three are needed
        ((1, 2, 2, 2), 0.1),
        ((1, 1, 1, 1), 0.1),  # as good as the best is no better
        ((1, 2, 2, 2, 2, 2), 0.1),  # the count starts anew after a drop
        ((1, 2, 2, 2, 2, 2, 2), 0.01),
        ((1, 2, 2, 0.9, 2, 2), 1),  # progress starts it anew too
        ((1, 2, 2, 2, 0.9, 2, 2, 2), 0.01),
        ((1, 2, 2, 2, 1.5, 1.2, 1.1), 0.01),  # better than of late, but not than the best
        ((math.nan, math.nan, math.nan), 0.1),
    ],
)
def test_plateau_by_hand(losses: tuple[float, ...], expected: float) -> None:
    for patience in (9, 10, 11):  # a third of each is 3
        assert rate_factor("plateau", 0.7, 0.0, losses, patience) == pytest.approx(expected)


def test_plateau_with_little_patience_waits_for_one_validation() -> None:
    assert rate_factor("plateau", 0.7, 0.0, (1, 2), 1) == pytest.approx(0.1)
    assert rate_factor("plateau", 0.7, 0.0, (1, 2, 2), 2) == pytest.approx(0.01)


def test_only_plateau_looks_at_the_losses() -> None:
    for name in SCHEDULES:
        same = rate_factor(name, 0.3) == rate_factor(name, 0.3, 0.0, (1.0,) * 20)
        assert same == (name != "plateau")


def test_a_drop_stays() -> None:
    """What has happened is never taken back: more losses never mean fewer drops."""
    losses = [1, 2, 3, 0.5, 4, 4, 0.4, 5, 5, 5, 5]
    counts = [drops(losses[:n], 2) for n in range(len(losses) + 1)]
    assert counts == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 4]


def test_an_unknown_name_is_explained() -> None:
    with pytest.raises(ConfigError, match=r"unknown schedule 'cosin'. Did you mean cosine\?"):
        rate_factor("cosin", 0.5)


def test_step_and_exponential_take_their_factors_per_epoch() -> None:
    """Of ten epochs, a drop to a third every two; and nine tenths per epoch."""
    step = Schedule("step", step_factor=1 / 3, step_every=2)
    found = [step.factor(epoch / 10, 10) for epoch in range(10)]
    assert found == pytest.approx([3.0 ** -(epoch // 2) for epoch in range(10)])
    exponential = Schedule("exponential", decay=0.9)
    assert [exponential.factor(e / 10, 10) for e in range(11)] == pytest.approx([0.9**e for e in range(11)])


def test_epochs_are_counted_from_the_end_of_the_warm_up() -> None:
    schedule = Schedule("step", warm_up=0.2, step_factor=0.5, step_every=4)
    assert [schedule.factor(e / 10, 10) for e in (2, 5, 6, 10)] == pytest.approx([1, 1, 0.5, 0.25])


def test_plateau_takes_the_factor_of_a_step() -> None:
    assert Schedule("plateau", patience=1, step_factor=0.5).factor(0.7, 10, (1, 2)) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"step_every": 2}, "--step-every has no effect with --sched one-cycle: drop it, or use --sched step"),
        ({"step_factor": 0.5, "sched": "cosine"}, "--step-factor has no effect with --sched cosine"),
        ({"decay": 0.9, "sched": "step"}, "--decay has no effect with --sched step: drop it, or use --sched exp"),
        ({"decay": 1.5, "sched": "exponential"}, "--decay must be at least 0 and below 1, not 1.5"),
    ],
)
def test_options_of_other_schedules_are_refused(options, text) -> None:
    with pytest.raises(ConfigError, match=text):
        TrainConfig.from_options(**options)
