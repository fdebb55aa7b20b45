"""The choice between what there was, what training made of it, and both."""

import numpy as np

from clearsight.train.ensembling import AFTER, BEFORE, BOTH, Comparison
from clearsight.train.halving import Trial


def answers(name: str, right: int, loss: float, of: int = 400) -> Trial:
    """`right` correct answers out of `of`, each image with about this log loss."""
    losses = loss + 0.1 * np.random.default_rng(0).random(of)
    return Trial(name, 0.0, of, np.arange(of) < right, losses)


def choice(before: tuple[int, float], after: tuple[int, float], both: tuple[int, float]) -> str:
    """The choice between models of so many correct answers and such a log loss."""
    named = zip((BEFORE, AFTER, BOTH), (before, after, both), strict=True)
    return Comparison({name: answers(name, *numbers) for name, numbers in named}).choice


def test_an_ensemble_is_kept_only_if_it_is_better_than_either_network():
    assert choice((350, 0.4), (345, 0.4), (352, 0.3)) == BOTH
    assert choice((350, 0.4), (345, 0.4), (350, 0.4)) == BEFORE, "a tie is won by one network"
    assert choice((350, 0.4), (351, 0.4), (350, 0.4)) == AFTER
    assert choice((350, 0.4), (345, 0.4), (349, 0.3)) == BEFORE, "a lower log loss does not make up for more errors"
    assert choice((300, 0.4), (350, 0.3), (350, 0.35)) == AFTER


def test_a_gain_within_the_noise_does_not_count():
    """400 images of which one gains 4 and one loses 2: the mean is 2 / 400, the standard error 20 ** 0.5 / 400."""
    plain, lucky = answers(BEFORE, 350, 0.4), answers(BOTH, 350, 0.4)
    lucky.losses[:2] += (-4, 2)
    gain, error = lucky.gain_over(plain)
    assert abs(gain - 2 / 400) < 1e-9
    assert abs(error - 20**0.5 / 400) < 1e-4
    assert Comparison({BEFORE: plain, AFTER: answers(AFTER, 300, 0.5), BOTH: lucky}).choice == BEFORE
