"""On a convex loss, every start leads to the same minimum; on others, the minimum depends on the start and step size.

A function is convex if its chords lie above it: f(E x) <= E f(x), Jensen's inequality. Descent with a step below 2 over
the largest curvature then reaches the one lowest value; up a concave one's sides it runs away; of a function that is
neither, each start has a valley of its own, and a longer step may leap into another one. The loss of a linear
classifier is convex in its weights, that of a network with hidden layers is not.

Source: Jensen 1906; Boyd, Vandenberghe 2004, Convex Optimization, sections 3.1 and 9.3; Goodfellow, Vinyals, Saxe 2015,
arXiv:1412.6544. The losses are those of a softmax and an MLP on the digits.
"""

import numpy as np
import torch
from torch.nn import functional as F
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from clearsight.models.zoo import build_model
from gallery import BLUE, GRAY, ORANGE, PLUM, Found, digits, learn, main, plt, tensors

SHAPES = {
    "convex": (lambda x: x**2 / 2, lambda x: x),
    "concave": (lambda x: -(x**2) / 2, lambda x: -x),
    "neither": (lambda x: x**4 / 4 - x**2 / 2 + x / 10, lambda x: x**3 - x + 1 / 10),
}
"""Functions of one number, and their slopes."""


def descended(slope, start, rate, steps=200):
    """Where descent arrives; it stops where it runs away."""
    x = start
    for _ in range(steps):
        x = x - rate * slope(x)
        if abs(x) > 1e3:
            break
    return x


def jensen(value, points, shares):
    """By how much the mean of the values exceeds the value at the mean, for pairs of points (2, ...) and shares."""
    first, second = points
    mean = shares * first + (1 - shares) * second
    return shares * value(first) + (1 - shares) * value(second) - value(mean)


def study(short: bool, seed: int) -> Found:
    rng = np.random.default_rng(seed)
    many = 200 if short else 5000
    gaps = {name: jensen(f, rng.uniform(-2, 2, (2, many)), rng.random(many)) for name, (f, _) in SHAPES.items()}
    starts = np.linspace(-1.8, 1.8, 12)
    ends = {name: np.array([descended(slope, x, 0.1) for x in starts]) for name, (_, slope) in SHAPES.items()}
    by_rate = {rate: descended(SHAPES["convex"][1], 1.0, rate) for rate in (0.1, 1.0, 1.9, 2.1)}
    longer = descended(SHAPES["neither"][1], 1.6, 0.75)

    data = digits(300 if short else 1200, seed)
    x, labels = tensors(data, data.train)
    middles = {}
    for name, args in (("linear", {}), ("mlp", {"widths": (32, 32)})):
        found = []
        for number in range(2):
            torch.manual_seed(10 * seed + number)
            body = build_model(name, classes=10, channels=1, img_size=8, **args)
            learn(body, data, epochs=2 if short else 20, lr=0.05, seed=10 * seed + number, last=True)
            found.append(parameters_to_vector(body.parameters()).detach())

        @torch.no_grad()
        def loss(share, body=body, found=found):
            vector_to_parameters(share * found[0] + (1 - share) * found[1], body.parameters())
            return float(F.cross_entropy(body(x), labels))

        middles[name] = [loss(share) for share in np.linspace(0, 1, 21)]
    above = {name: line[10] - (line[0] + line[-1]) / 2 for name, line in middles.items()}

    figure, axes = plt.subplots(1, 3, figsize=(11, 3.7))
    line = np.linspace(-2, 2, 200)
    for (name, (f, _)), colour in zip(SHAPES.items(), (BLUE, ORANGE, PLUM), strict=True):
        axes[0].plot(line, f(line), color=colour, label=name)
    axes[0].plot([-1.5, 1], SHAPES["convex"][0](np.array([-1.5, 1])), "o--", color=GRAY, markersize=4, linewidth=1)
    axes[0].set(title="a chord lies above a convex function", xlabel="x", ylim=(-2, 2.2))
    axes[0].legend(fontsize=9)
    for name, colour in (("convex", BLUE), ("neither", PLUM)):
        axes[1].plot(starts, ends[name], "o", color=colour, label=name)
    axes[1].set(title="descent: where each start arrives", xlabel="start", ylabel="end")
    axes[1].legend(fontsize=9)
    for (name, values), colour in zip(middles.items(), (BLUE, PLUM), strict=True):
        axes[2].plot(np.linspace(0, 1, 21), values, color=colour, label=name)
    axes[2].set(title="between two trained networks", xlabel="share of the first one's weights", ylabel="training loss")
    axes[2].legend(fontsize=9)

    return Found(
        figure,
        {f"least excess of the mean of f over f at the mean, {name}": f"{gap.min():.3f}" for name, gap in gaps.items()}
        | {f"end of a convex descent from 1 at rate {rate}": f"{end:.3g}" for rate, end in by_rate.items()}
        | {"end from 1.6 at rate 0.1, and at 0.75": f"{descended(SHAPES['neither'][1], 1.6, 0.1):.2f}, {longer:.2f}"}
        | {f"loss halfway above the mean of both, {name}": f"{value:.3f}" for name, value in above.items()},
        {
            "Jensen's inequality holds for the convex function": gaps["convex"].min() >= -1e-12,
            "it is reversed for the concave one": gaps["concave"].max() <= 1e-12,
            "for the third it holds at some places alone": gaps["neither"].min() < -0.01 < 0.01 < gaps["neither"].max(),
            "convex: all starts end together": np.ptp(ends["convex"]) < 1e-6,
            "concave: all starts run away": bool((abs(ends["concave"]) > 1e3).all()),
            "neither: starts end in two valleys": len(set(ends["neither"].round(3))) == 2,
            "a rate below 2 over the curvature converges, above it diverges": max(
                abs(by_rate[rate]) for rate in (0.1, 1.0, 1.9)
            )
            < 1e-6
            and abs(by_rate[2.1]) > 1e3,
            "halfway between two linear classifiers the loss is no higher than their mean": above["linear"] <= 1e-6,
            "halfway between two MLPs it is higher": above["mlp"] > 0.1,
        },
    )


if __name__ == "__main__":
    raise SystemExit(main(study))
