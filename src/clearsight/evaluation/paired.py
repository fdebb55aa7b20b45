"""Two classifiers on the same images: by how much does one beat the other, and could that be chance?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from clearsight.metrics import log_loss, wilson_interval
from clearsight.metrics.comparison import mcnemar
from clearsight.result import Result
from clearsight.wording import percent


@dataclass(frozen=True)
class Paired:
    """A second classifier against a first. Intervals hold with 95 % confidence.

    difference: its accuracy less the first one's, over the same n images. gained, lost: images that only it, and only
    the first one, is right about. p_value: how often so uneven a division of these would come by chance. knows: whether
    it was trained on some of these images, so that nothing of this can be trusted.
    """

    name: str
    n: int
    accuracy: float
    accuracy_interval: tuple[float, float]
    log_loss: float
    difference: float
    interval: tuple[float, float]
    gained: int
    lost: int
    p_value: float
    knows: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON.

        Returns:
            A dictionary.
        """
        return asdict(self)

    def words(self) -> str:
        """The difference in accuracy, with its interval and p-value.

        Returns:
            Text of one line.
        """
        low, high = self.interval
        return (
            f"{100 * self.difference:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f}), {self.gained} newly "
            f"correct, {self.lost} newly wrong, p = {self.p_value:.2g}"
            + ("; biased because some of these images were used in training" if self.knows else "")
        )


@dataclass(frozen=True, repr=False)
class ModelComparison(Result, Sequence[Paired]):
    """Models, test-time augmentation and ensembles on the same images: a sequence of `Paired`, the single model first,
    each compared with it.
    """

    rows: tuple[Paired, ...]

    @overload
    def __getitem__(self, place: int) -> Paired: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[Paired, ...]: ...

    def __getitem__(self, place: int | slice) -> Paired | tuple[Paired, ...]:
        return self.rows[place]

    def __len__(self) -> int:
        return len(self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON.

        Returns:
            Plain values for JSON.
        """
        return {"together": [row.to_dict() for row in self]}

    def text(self) -> str:
        """Each row against the single model.

        Returns:
            Text of several lines.
        """
        width = max(len(row.name) for row in self)
        lines = [f"{'':<{width}}  accuracy  log loss  compared with the single model"]
        for number, row in enumerate(self):
            words = row.words() if number else ""
            lines.append(f"{row.name:<{width}}  {percent(row.accuracy):>9}  {row.log_loss:8.3f}  {words}".rstrip())
        return "\n".join(lines)


def compare_paired(
    name: str,
    first: NDArray[np.floating],
    second: NDArray[np.floating],
    targets: NDArray[np.integer],
    knows: bool = False,
    predicted: tuple[NDArray[np.integer], NDArray[np.integer]] | None = None,
) -> Paired:
    """Compare probabilities (N, K) with probabilities (N, K) for the same images.

    The interval is Bonett and Price's adjusted Wald interval [2012, "Adjusted Wald confidence interval for a difference
    of binomial proportions based on paired data"], the p-value McNemar's exact one.

    Args:
        name: name of the second classifier.
        first: probabilities (N, K).
        second: probabilities (N, K).
        targets: class indices (N,).
        knows: see `Paired`.
        predicted: the classes (N,) that the first and the second predict; None for the most probable ones.

    Returns:
        The difference in accuracy, with its interval and p-value.
    """
    right, now = (one == targets for one in predicted or (first.argmax(1), second.argmax(1)))
    n, gained, lost = len(targets), int((now & ~right).sum()), int((right & ~now).sum())
    return Paired(
        name=name,
        n=n,
        accuracy=float(now.mean()),
        accuracy_interval=wilson_interval(int(now.sum()), n),
        log_loss=log_loss(targets, second),
        difference=(gained - lost) / n,
        interval=share_interval(gained, lost, n),
        gained=gained,
        lost=lost,
        p_value=mcnemar(right, now),
        knows=knows,
    )


def share_interval(gained: int, lost: int, n: int) -> tuple[float, float]:
    """The 95 % interval of the difference of two shares of the same n images: Bonett and Price's, as above.

    Args:
        gained: images that only the second is right about.
        lost: images that only the first is right about.
        n: all images.

    Returns:
        Lower and upper end, between -1 and 1.
    """
    up, down = (gained + 1) / (n + 2), (lost + 1) / (n + 2)
    from scipy.stats import norm

    half = float(norm.ppf(0.975)) * float(np.sqrt((up + down - (up - down) ** 2) / (n + 2)))
    return max(-1.0, up - down - half), min(1.0, up - down + half)


def paired_difference(
    before: NDArray[np.floating], after: NDArray[np.floating]
) -> tuple[float, tuple[float, float], float]:
    """The mean difference of two scores of the same images, its 95 % interval, and its p-value.

    Scores that are 0 or 1 are compared as shares, by `share_interval` and McNemar's test, others by the t distribution
    of their differences.

    Args:
        before: scores (N,).
        after: scores (N,).

    Returns:
        The difference, lower and upper end of the interval, and the two-sided p-value.
    """
    difference = np.asarray(after, np.float64) - before
    mean, n = float(difference.mean()), len(difference)
    if np.isin(before, (0, 1)).all() and np.isin(after, (0, 1)).all():
        interval = share_interval(int((difference > 0).sum()), int((difference < 0).sum()), n)
        return mean, interval, mcnemar(before > 0, after > 0)
    deviation = float(difference.std(ddof=1)) / n**0.5 if n > 1 else float("inf")
    if deviation == 0:
        return mean, (mean, mean), 1.0 if mean == 0 else 0.0
    from scipy.stats import t as student

    low, high = student.interval(0.95, max(1, n - 1), loc=mean, scale=deviation)
    return mean, (float(low), float(high)), float(2 * student.sf(abs(mean) / deviation, max(1, n - 1)))


def mean_of(probabilities: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """The mean of the probabilities (N, K) of several augmented images or models.

    Args:
        probabilities: arrays (N, K), rows sum to 1.

    Returns:
        float64 (N, K).
    """
    return np.asarray(np.mean(probabilities, axis=0))
