"""Some functions need only a few units in a deep network, but exponentially many in a shallow one.

The tent map t(x) = 2 relu(x) - 4 relu(x - 1/2) folds [0, 1] once. Composed with itself k times, it takes 2k units and
has 2^k linear pieces. A network with one hidden layer of m units has at most m + 1 pieces, so it needs at least 2^k - 1
units, and 2^k are enough.

Boosted trees are step functions, and need more leaves than there are pieces.

Source: Telgarsky 2015, arXiv:1509.08101; Montúfar et al. 2014, arXiv:1402.1869. There are no images. This is about what
networks can represent, not about what they learn: gradient descent does not find the deep network by itself.
"""

import numpy as np
import torch
from sklearn.ensemble import GradientBoostingRegressor
from torch import nn

from gallery import BLUE, ORANGE, PLUM, Found, main, plain_log, plt


class Deep(nn.Module):
    """The tent map k times: two units a layer."""

    def __init__(self, folds: int) -> None:
        super().__init__()
        self.folds = folds

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(self.folds):
            x = 2 * x.relu() - 4 * (x - 0.5).relu()
        return x


def shallow(units: int, x: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The best hidden layer of so many units that bend at 0, 1 / units, 2 / units, ..., by least squares."""
    design = np.maximum(x[:, None] - np.arange(units) / units, 0)
    design = np.c_[np.ones(len(x)), design]
    return design @ np.linalg.lstsq(design, wanted, rcond=None)[0]


def leaves(x: np.ndarray, wanted: np.ndarray, most: int) -> int:
    """Leaves of the fewest boosted trees, of two leaves each, whose error is a quarter of the function's deviation."""
    trees = GradientBoostingRegressor(max_depth=1, n_estimators=most, learning_rate=1.0, random_state=0)
    trees.fit(x[:, None], wanted)
    for count, found in enumerate(trees.staged_predict(x[:, None]), 1):
        if np.sqrt(np.mean((found - wanted) ** 2)) < wanted.std() / 4:
            return 2 * count
    return 2 * most


def pieces(y: np.ndarray) -> int:
    """Straight pieces of values at equal distances."""
    return int((np.abs(np.diff(y, 2)) > 1e-9).sum()) + 1


def study(short: bool, seed: int) -> Found:
    folds = range(1, 7 if short else 9)
    counts, deepest = {}, folds[-1]
    for k in folds:
        x = np.linspace(0, 1, 2**k * 4 + 1)
        y = Deep(k)(torch.from_numpy(x)).numpy()
        counts[k] = (2 * k, pieces(y), np.abs(shallow(2**k, x, y) - y).max())  # its units bend where the deep one does

    boosted = {}
    for k in folds[: 3 if short else 5]:
        x = np.linspace(0, 1, 513)
        boosted[k] = leaves(x, Deep(k)(torch.from_numpy(x)).numpy(), 200 if short else 1500)

    k, x = 5, np.linspace(0, 1, 1025)
    wave = Deep(k)(torch.from_numpy(x)).numpy()
    drawn = {m: shallow(m, x, wave) for m in (4, 8, 10, 16, 32)}
    errors = {m: float(np.sqrt(np.mean((y - wave) ** 2))) for m, y in drawn.items()}

    figure, axes = plt.subplots(1, 2, figsize=(10, 3.9), width_ratios=(1.4, 1))
    axes[0].plot(x, wave, color=BLUE, label="five layers, 10 units")
    axes[0].plot(x, drawn[10], color=ORANGE, label="one layer, 10 units")
    axes[0].set(xlabel="x", ylabel="output", ylim=(-0.05, 1.25))
    axes[0].legend(ncol=2, loc="upper center")
    axes[1].plot(list(folds), [c[0] for c in counts.values()], "o-", color=BLUE, label="deep")
    axes[1].plot(list(folds), [2**n for n in folds], "o-", color=ORANGE, label="one hidden layer")
    axes[1].plot(list(boosted), list(boosted.values()), "o-", color=PLUM, label="boosted trees (leaves)")
    axes[1].set(xlabel="times folded", ylabel="units or leaves needed", yscale="log")
    plain_log(axes[1].yaxis)
    axes[1].legend()

    return Found(
        figure,
        {
            f"pieces of {deepest} folds, with {counts[deepest][0]} units": f"{counts[deepest][1]}",
            **{f"leaves of boosted trees for an error of a quarter, {k} folds": f"{n}" for k, n in boosted.items()},
            **{f"error of one hidden layer of {m} units at five folds": f"{e:.3f}" for m, e in errors.items()},
        },
        {
            "boosted trees need more leaves than there are pieces": all(n > 2**k for k, n in boosted.items()),
            "from one fold to five their leaves become 16 times as many, or more": boosted[max(boosted)]
            >= 2 ** (max(boosted) - 1) * boosted[1],
            "k folds of two units have 2^k pieces": all(c[1] == 2**k for k, c in counts.items()),
            "one layer of 2^k units represents the same function": all(c[2] < 1e-8 for c in counts.values()),
            "with only 10 units and evenly spaced bends, one layer is hardly better than a constant": errors[10]
            > 0.9 * float(wave.std()),
        },
    )


if __name__ == "__main__":
    raise SystemExit(main(study))
