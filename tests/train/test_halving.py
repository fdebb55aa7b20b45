"""Successive halving: which candidates reach the next round, which wins, and when the search stops."""

import numpy as np
import pytest

from clearsight.train.allowance import SPEED, Work, head_only, searches, work_of
from clearsight.train.config import TrainConfig
from clearsight.train.halving import Trial, halve, preferred
from clearsight.train.network_selection import sizes


def trial(name, images, errors, loss, work=1.0, of=400):
    """A trial with so many errors, whose log losses vary a little around one value."""
    losses = loss + 0.05 * np.random.default_rng(1).random(of)
    return Trial(name, work, images, np.arange(of) >= errors, losses)


LOSSES = {"a": 0.5, "b": 0.4, "c": 0.45, "d": 0.6}
WORK = {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0}


def run(losses, errors=100, affordable=lambda name, images: True):
    """The winner, and the names tried on each round."""
    seen = []

    def measure(name, images):
        seen.append((name, images))
        return trial(name, images, errors, losses[name], WORK[name])

    return halve(list(losses), (200, 600), measure, affordable)[0], seen


def test_the_better_half_reaches_the_next_round():
    best, seen = run(LOSSES)
    assert best == "b"
    assert seen == [("a", 200), ("b", 200), ("c", 200), ("d", 200), ("b", 600), ("c", 600)]


def test_few_errors_end_the_search_after_the_first_candidate():
    """5 errors: a step that removes a quarter of them gains 1.25 answers, with a standard error of 1.1."""
    assert run(LOSSES, errors=5) == ("a", [("a", 200)])
    assert trial("a", 200, 10, 0.1).may_improve
    assert not trial("a", 200, 8, 0.1).may_improve


def test_what_cannot_be_afforded_is_left_out_but_for_the_first():
    best, seen = run(LOSSES, affordable=lambda name, images: name != "b")
    assert best == "c"
    assert ("b", 200) not in seen
    assert run(LOSSES, affordable=lambda name, images: False)[0] == "a"


def test_a_more_expensive_candidate_must_be_better_than_the_noise():
    cheap, dear = trial("cheap", 200, 100, 0.5, work=1), trial("dear", 200, 100, 0.5, work=2)
    dear.losses[:2] += (-4, 2)  # a gain of 2 / 400, with a standard error of 20 ** 0.5 / 400
    assert dear.log_loss < cheap.log_loss
    assert preferred([cheap, dear]) is cheap
    assert preferred([cheap, trial("dear", 200, 100, 0.4, work=2)]).name == "dear"
    assert preferred([cheap, trial("dear", 200, 101, 0.4, work=2)]) is cheap, "no more errors than the cheaper one"


def test_intervals_are_those_of_wilson():
    low, high = trial("a", 200, 40, 0.5).interval
    assert (low, high) == pytest.approx((0.8670, 0.9259), abs=1e-3)  # 360 of 400


@pytest.mark.parametrize(
    ("own", "short", "expected"),
    [
        (224, 250, [224, 320]),  # its own size is hardly larger than that of the weights
        (224, 300, [224, 288, 448]),
        (224, 400, [224, 384]),
        (224, 2000, [224, 320, 448]),
        (224, 100, [224]),  # an image that is enlarged more than one and a half times shows no more
        (256, 250, [256, 352]),
    ],
)
def test_sizes_to_try(own, short, expected):
    assert sizes(own, short) == expected


def test_a_budget_is_counted_in_operations():
    assert work_of(TrainConfig.from_options(budget="10m")).limit == 600 * SPEED
    assert work_of(TrainConfig()).limit == Work().limit == pytest.approx(300 * SPEED)


def test_options_that_leave_the_choice_to_measurement():
    assert searches(TrainConfig())
    assert searches(TrainConfig.from_options(budget="5m"))
    assert not searches(TrainConfig.from_options(budget="30s"))
    assert not searches(TrainConfig.from_options(freeze="all"))
    assert not searches(TrainConfig.from_options(head_widths=(64,)))
    assert head_only(TrainConfig.from_options(budget="30s"))
    assert not head_only(TrainConfig.from_options(budget="2m"))
