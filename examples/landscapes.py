"""Around the weights of a deep network, the loss rises far more steeply without shortcuts than with them.

The loss is drawn over a plane through the trained weights, in two random directions in which every filter is as long
as the network's own, so that scales do not matter: 1 means that every filter has moved by its own length. With
shortcuts the surface is a wide bowl, and a step in a wrong direction costs little.

Source: Li, Xu, Taylor, Studer, Goldstein 2018, arXiv:1712.09913, sections 4 to 6 and figure 1. Networks of 56 layers
(20 in the short form), on the digits.
"""

import numpy as np
import torch

from clearsight.derivatives.objective import Objective
from clearsight.derivatives.slices import filter_normalised, plane
from clearsight.models.zoo import build_model
from clearsight.wording import percent
from gallery import Found, digits, learn, main, plt

TINY = 1e-6
"""Nats that a rise counts as at least, so that it has a logarithm."""


def study(short: bool, seed: int) -> Found:
    data = digits(250 if short else 700, seed, held=200)
    depth, side, images, epochs = (20, 5, 20, 1) if short else (56, 15, 80, 10)
    steps = np.linspace(-1, 1, side)
    grids, reached = {}, {}
    for family in ("plain", "resnet"):
        torch.manual_seed(seed)
        body = build_model(f"{family}{depth}", classes=10, channels=1, img_size=8, width=8)
        network, trained = learn(body, data, epochs=epochs, lr=0.05, seed=seed, batch=50)
        vary = tuple(name for name, _ in network.named_parameters())
        some = data.train[:images]
        loss = Objective(network, data.pixels[some], data.labels[some], vary, 10)
        directions = [filter_normalised(loss, seed=2 * seed + k) for k in (0, 1)]
        grids[family], _ = plane(loss.at, loss.weights, directions, steps)
        reached[family] = (trained.best.train_loss, trained.best.val_accuracy)

    figure, axes = plt.subplots(1, 2, figsize=(9, 4.2))
    levels = np.geomspace(max(1e-3, min(g.min() for g in grids.values())), max(g.max() for g in grids.values()), 16)
    for axis, family, title in zip(axes, grids, ("without shortcuts", "with shortcuts"), strict=True):
        drawn = axis.contourf(
            steps, steps, np.log10(grids[family]), levels=np.log10(levels), cmap="viridis", extend="both"
        )
        axis.contour(steps, steps, np.log10(grids[family]), levels=np.log10(levels), colors="white", linewidths=0.4)
        axis.plot(0, 0, "x", color="white")
        axis.set(title=f"{depth} layers, {title}", xlabel="first direction", aspect="equal")
        axis.grid(False)
    axes[0].set_ylabel("second direction")
    bar = figure.colorbar(drawn, ax=axes, label="loss (nats)")
    marks = [v for v in (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 1000, 10_000) if levels[0] <= v <= levels[-1]]
    bar.set_ticks(np.log10(marks), labels=[f"{v:g}" for v in marks])

    middle = side // 2
    rise = {
        family: float(np.exp(np.mean([np.log(max(way[-1] - way[0], TINY)) for way in _ways(grid, middle)])))
        for family, grid in grids.items()
    }
    backwards = {
        family: float(np.mean([np.diff(way) < 0 for way in _ways(grid, middle)])) for family, grid in grids.items()
    }
    return Found(
        figure,
        {f"training loss, held-out accuracy, {f}": f"{a:.3f}, {percent(b)}" for f, (a, b) in reached.items()}
        | {f"rise of the loss at a distance of 1, {f}": f"{v:.1f}" for f, v in rise.items()}
        | {f"steps away that lower the loss, {f}": f"{percent(v, 0)}" for f, v in backwards.items()},
        {
            "with shortcuts hardly any step away lowers the loss": backwards["resnet"] < 0.1,
            "without them it rises more than three times as much within a distance of 1": rise["plain"]
            > 3 * rise["resnet"],
        },
    )


def _ways(grid, middle):
    """The four ways from the middle outwards, along the axes."""
    return (grid[middle, middle:], grid[middle, middle::-1], grid[middle:, middle], grid[middle::-1, middle])


if __name__ == "__main__":
    raise SystemExit(main(study))
