"""The choice between what there was, what training made of it, and both."""

import numpy as np
import pytest

from clearsight.train.ensembling import AFTER, BEFORE, BOTH, Comparison


def answers(right: int, of: int = 400, first: int = 0) -> np.ndarray:
    """`right` correct answers in a row out of `of`, the first of them at `first`."""
    return np.roll(np.arange(of) < right, first)


def test_both_answer_unless_one_alone_is_clearly_better():
    near = Comparison({BEFORE: answers(350, first=4), AFTER: answers(345), BOTH: answers(349)})
    assert near.choice == BOTH, "five answers won and four lost are within the standard error"
    worse = Comparison({BEFORE: answers(350), AFTER: answers(300), BOTH: answers(340)})
    assert worse.choice == BEFORE
    better = Comparison({BEFORE: answers(300), AFTER: answers(350), BOTH: answers(340)})
    assert better.choice == AFTER
    equal = Comparison({BEFORE: answers(300), AFTER: answers(350), BOTH: answers(350)})
    assert equal.choice == BOTH


def test_the_margin_is_paired():
    """10 answers of 400 differ, all in favour of one: 0.025 with a standard error of sqrt(0.025 * 0.975 / 400)."""
    comparison = Comparison({BEFORE: answers(350), AFTER: answers(200), BOTH: answers(340)})
    difference, error = comparison.margin(BEFORE)
    assert difference == pytest.approx(10 / 400)
    assert error == pytest.approx((0.025 * 0.975 / 400) ** 0.5)
