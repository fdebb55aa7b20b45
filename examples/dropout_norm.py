"""Dropout before, but not after, the last batch normalisation shifts the variance from training to inference.

Dropout scales what it keeps, so that the mean stays, and so raises the variance. A normalisation behind it learns this
variance, and in use, without dropout, meets a smaller one: its outputs are too small. Behind the last normalisation
dropout does no such harm.

Source: Li, Chen, Hu, Yang 2018, arXiv:1801.05134. Multilayer perceptrons of one design on the digits, dropout of one
half in front of the second normalisation, or behind it.
"""

import torch
from torch import nn

from clearsight.wording import percent
from gallery import BLUE, GRAY, ORANGE, Found, digits, learn, main, percent_axis, plt, tensors

WIDTH, SHARE = 128, 0.5


def network(place: str) -> nn.Sequential:
    """Two hidden layers with batch normalisation, and dropout "before" the second one, "after" it, or "none"."""
    drop = {name: nn.Dropout(SHARE) if name == place else nn.Identity() for name in ("before", "after")}
    first = [nn.Flatten(), nn.Linear(64, WIDTH), nn.BatchNorm1d(WIDTH), nn.ReLU(), drop["before"]]
    return nn.Sequential(
        *first, nn.Linear(WIDTH, WIDTH), nn.BatchNorm1d(WIDTH), nn.ReLU(), drop["after"], nn.Linear(WIDTH, 10)
    )


def study(short: bool, seed: int) -> Found:
    data = digits(300 if short else 600, seed)
    x, _ = tensors(data, data.train)
    ratio, accuracy, units = {}, {}, {}
    for place in ("none", "before", "after"):
        torch.manual_seed(seed)
        body = network(place)
        how = {"epochs": 3 if short else 40, "lr": 0.05, "seed": seed, "last": True}
        accuracy[place] = learn(body, data, **how)[1].history[-1].val_accuracy
        variances = {}
        layer = body[6]
        for training in (True, False):
            body.train(training)
            layer.eval()  # its statistics stay as they were learned
            seen = []
            handle = layer.register_forward_hook(lambda module, inputs, output, seen=seen: seen.append(inputs[0]))
            with torch.no_grad():
                for _ in range(20 if training else 1):
                    body(x)
            handle.remove()
            variances[training] = torch.cat(seen).var(0)
        units[place] = (variances[False] / variances[True]).sqrt()
        ratio[place] = float((variances[False] / variances[True]).median())

    figure, axes = plt.subplots(1, 2, figsize=(9, 4))
    for place, colour in (("none", GRAY), ("after", BLUE), ("before", ORANGE)):
        axes[0].plot(torch.linspace(0, 1, WIDTH), units[place].sort().values ** 2, color=colour, label=place)
    axes[0].set(xlabel="share of units", ylabel="variance in use / in training", ylim=(0, 1.6))
    axes[0].legend(title="dropout, beside the normalisation")
    axes[1].bar(list(accuracy), list(accuracy.values()), color=(GRAY, ORANGE, BLUE))
    axes[1].set(ylabel="held-out accuracy", ylim=(min(accuracy.values()) - 0.02, 1))
    percent_axis(axes[1].yaxis)

    return Found(
        figure,
        {f"variance in use over that in training, dropout {place}": f"{value:.3f}" for place, value in ratio.items()}
        | {f"held-out accuracy, dropout {place}": f"{percent(share)}" for place, share in accuracy.items()},
        {
            "dropout before it: the variance in use is a fifth smaller, or more": ratio["before"] < 0.8,
            "behind it: the same within a twentieth": abs(ratio["after"] - 1) < 0.05,
            "behind it, accuracy is no lower than in front of it": accuracy["after"] >= accuracy["before"] - 0.005,
        },
    )


if __name__ == "__main__":
    raise SystemExit(main(study))
