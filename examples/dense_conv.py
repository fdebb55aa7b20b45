"""Convolutions need a tiny fraction of a dense layer's weights, and still recognise patterns that have moved.

From 28x28 pixels to 6 maps of 24x24: a dense layer has one weight for each pair, 2.7 million; a 5x5 convolution has
156, because it looks at a neighbourhood and uses the same weights everywhere. So what is learned in one place applies
everywhere: with the same number of weights, a network with convolutions is far more accurate on images moved two pixels
down and to the right, which neither network was trained on.

Source: LeCun, Bottou, Bengio, Haffner 1998, Gradient-based learning applied to document recognition, section II. On
Fashion-MNIST.
"""

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from clearsight.data.loader import Images
from clearsight.models.anatomy import anatomy
from clearsight.models.zoo import build_model
from clearsight.train.loop import logits_of
from clearsight.wording import percent
from gallery import BLUE, ORANGE, Found, clothes, learn, main, percent_axis, plain_log, plt


def study(short: bool, seed: int) -> Found:
    side = 28
    dense = anatomy(nn.Sequential(nn.Flatten(), nn.Linear(side**2, 6 * 24**2)), img_size=side, channels=1).parameters
    shared = anatomy(nn.Sequential(nn.Conv2d(1, 6, 5)), img_size=side, channels=1).parameters

    data = clothes(300 if short else 3000, 200 if short else 2000, seed)
    moved = replace(data, pixels=np.pad(data.pixels, ((0, 0), (0, 0), (2, 0), (2, 0)))[:, :, :-2, :-2])
    size = data.pixels.shape[2]
    families = {
        "dense layers": [("mlp", {"widths": (w,), "norm": True}) for w in ((8, 55) if short else (8, 24, 55, 150))],
        "convolutions": [("lenet5", {"width": w, "norm": True}) for w in ((2, 5) if short else (2, 3, 5, 8))],
    }
    points = {}
    for family, networks in families.items():
        for name, model_args in networks:
            torch.manual_seed(seed)
            body = build_model(name, classes=10, channels=1, img_size=size, **model_args)
            network, trained = learn(body, data, epochs=2 if short else 8, batch=32, lr=0.05, seed=seed, last=True)
            count = sum(p.numel() for p in body.parameters())
            shifted = logits_of(network, Images(moved.pixels), data.val, 500).argmax(1).numpy()
            right = float((shifted == data.labels[data.val]).mean())
            points.setdefault(family, []).append((count, trained.best.val_accuracy, right))

    figure, axes = plt.subplots(1, 2, sharey=True)
    for axis, column, title in ((axes[0], 1, "held-out images"), (axes[1], 2, "the same, moved by two pixels")):
        for (family, found), colour in zip(points.items(), (ORANGE, BLUE), strict=True):
            axis.plot([p[0] for p in found], [p[column] for p in found], "o-", color=colour, label=family)
        axis.set(xscale="log", xlabel="weights", title=title)
        plain_log(axis.xaxis)
    axes[0].set_ylabel("accuracy")
    percent_axis(axes[0].yaxis)
    axes[0].legend()

    mine, theirs = points["convolutions"][-1 if short else 2], points["dense layers"][-1 if short else 2]
    return Found(
        figure,
        {
            "weights of a dense layer from 28x28 to 6 x 24x24": f"{dense:,}",
            "and of a 5x5 convolution": f"{shared:,}",
            "weights: convolutional, dense": f"{mine[0]:,}, {theirs[0]:,}",
            "held-out accuracy: convolutional, dense": f"{percent(mine[1])}, {percent(theirs[1])}",
            "moved by two pixels: convolutional, dense": f"{percent(mine[2])}, {percent(theirs[2])}",
        },
        {
            "dense: (28² + 1) · 6 · 24²; convolution: (25 + 1) · 6": (dense, shared) == (785 * 6 * 576, 26 * 6),
            "the two networks have the same number of weights, within 5 %": abs(mine[0] / theirs[0] - 1) < 0.05,
            "on moved images the convolutional one is more accurate by at least seven points": mine[2]
            > theirs[2] + 0.07,
        },
    )


if __name__ == "__main__":
    raise SystemExit(main(study))
