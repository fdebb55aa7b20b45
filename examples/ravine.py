"""In a ravine, plain gradient descent zigzags slowly; momentum, RMSProp and Adam reach the minimum faster.

On a quadratic with curvatures 1 and 100 the best rate for gradient descent shrinks the error by (k-1)/(k+1) a step, k
= 100 being their ratio; with momentum by about (√k-1)/(√k+1). RMSProp and Adam divide each direction by the size of
its own gradients, so the ratio hardly matters if the ravine is parallel to an axis.

Source: Polyak 1964, Some methods of speeding up the convergence of iteration methods; Tieleman, Hinton 2012, lecture
6.5; Kingma, Ba 2015, arXiv:1412.6980. There are no images; the optimisers are those of training.
"""

import numpy as np
import torch
from matplotlib.animation import FuncAnimation

from clearsight.train.optimisers import build_optimiser
from gallery import BLUE, GREEN, ORANGE, PLUM, Found, main, plt

STEEP = 100.0
NEAR = 3e-2
"""Distance from the bottom that counts as there."""

ROOT = STEEP**0.5
RUNS = {  # name: optimiser, rate, momentum; those of the first two are the best there are for this ravine
    "gradient descent": ("sgd", 2 / (1 + STEEP), 0.0),
    "momentum": ("momentum", 4 / (1 + ROOT) ** 2, ((ROOT - 1) / (ROOT + 1)) ** 2),
    "RMSProp": ("rmsprop", 0.04, 0.0),
    "Adam": ("adam", 0.15, 0.9),
}  # fmt: skip
COLOURS = (ORANGE, BLUE, GREEN, PLUM)


def value(x, y):
    return (x**2 + STEEP * y**2) / 2


def study(short: bool, seed: int) -> Found:
    paths, most = {}, 400
    for name, (optimiser, rate, momentum) in RUNS.items():
        place = torch.tensor([-4.0, 0.25], requires_grad=True)
        mover = build_optimiser(optimiser, [{"params": [place], "lr": rate}], momentum=momentum, weight_decay=0.0)
        path = []
        for _ in range(most):
            path.append(place.detach().numpy().copy())
            mover.zero_grad()
            value(place[0], place[1]).backward()
            mover.step()
        paths[name] = np.array(path)
    errors = {name: np.linalg.norm(path, axis=1) for name, path in paths.items()}
    arrived = {name: int(np.argmax(e < NEAR)) if (e < NEAR).any() else most for name, e in errors.items()}

    figure, (map_, curve) = plt.subplots(1, 2, figsize=(10, 4), width_ratios=(1.5, 1))
    x, y = np.meshgrid(np.linspace(-4.5, 1.5, 120), np.linspace(-1.1, 1.1, 120))
    map_.contour(x, y, value(x, y), levels=np.geomspace(0.05, 60, 12), colors="#c4c8cd", linewidths=0.8)
    lines = [map_.plot(*paths[name][:60].T, ".-", color=c, lw=1.3, ms=4, label=name)[0]
             for name, c in zip(RUNS, COLOURS, strict=True)]  # fmt: skip
    for name, colour in zip(RUNS, COLOURS, strict=True):
        curve.plot(errors[name][:300], color=colour)
    map_.set(xlabel="flat direction", ylabel="steep direction", title="the first 60 steps")
    map_.legend(loc="lower right", fontsize=9)
    map_.grid(False)
    curve.set(xlabel="step", ylabel="distance from the minimum", yscale="log", ylim=(1e-4, 10))

    def frame(step):
        for line, name in zip(lines, RUNS, strict=True):
            line.set_data(*paths[name][: step + 1].T)
        return lines

    shown = range(5 if short else 50)
    across = {name: float(np.abs(np.diff(path[:31, 1])).sum()) for name, path in paths.items()}
    shrink = (errors["gradient descent"][200] / errors["gradient descent"][100]) ** 0.01
    return Found(
        figure,
        {f"steps to converge, {name}": f"{steps}" if steps < most else "never" for name, steps in arrived.items()}
        | {"error factor per step, gradient descent": f"{shrink:.5f}, theory {(STEEP - 1) / (STEEP + 1):.5f}"},
        {
            "gradient descent shrinks the error as theory predicts": abs(shrink - (STEEP - 1) / (STEEP + 1)) < 1e-4,
            "momentum needs less than a quarter of the steps of gradient descent": arrived["momentum"]
            < arrived["gradient descent"] / 4,
            "Adam needs less than half": arrived["Adam"] < arrived["gradient descent"] / 2,
            "in 30 steps gradient descent moves ten times as far across the ravine as RMSProp and Adam": across[
                "gradient descent"
            ]
            > 10 * max(across["RMSProp"], across["Adam"]),
        },
        animation=FuncAnimation(figure, frame, frames=shown, interval=120),
    )


if __name__ == "__main__":
    raise SystemExit(main(study))
