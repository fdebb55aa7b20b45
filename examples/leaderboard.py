"""Classifiers have improved since the perceptron; on a few thousand images, hand-crafted descriptors match networks.

All models are trained on the same few thousand images and tested on the same other ones, which were not used for any
choice. With so few images, hand-made gradient features are hard to beat; a network needs more images to learn better
ones.

Source: Rosenblatt 1958 (perceptron); Cover, Hart 1967 (nearest neighbours); Rumelhart et al. 1986 (hidden layers);
Swain, Ballard 1991 (histograms of colours, here of grays); LeCun et al. 1998 (convolutions); Csurka et al. 2004 (bags
of visual words); Dalal, Triggs 2005 (oriented gradients) with Cortes, Vapnik 1995 (support vectors); He et al. 2015
(residual networks). On part of Fashion-MNIST; the second half of the claim was tested on no other data. `clearsight
compare` makes this comparison on any data.
"""

import numpy as np
import torch
from sklearn.linear_model import Perceptron
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from clearsight.classical.encodings import learn_words, pyramid, words_of
from clearsight.classical.hog import hog
from clearsight.classical.sift import dense_sift
from clearsight.data.loader import to_float
from clearsight.metrics import wilson_interval
from clearsight.models.zoo import build_model
from clearsight.wording import percent
from gallery import BLUE, GRAY, ORANGE, Found, class_names, clothes, learn, main, percent_axis, plt

NETWORKS = (1986, 1998, 2015)


def grays(x, bins=16):
    """Share of each level of gray in images (N, 1, S, S), which says nothing of where: (N, bins)."""
    levels = (x.flatten(1) * bins).long().clamp(max=bins - 1)
    return torch.nn.functional.one_hot(levels, bins).float().mean(1).numpy()


def bags(x, learned_from, seed, words=200):
    """Share of each visual word in images (N, 1, S, S), the words learned from some of them: (N, words)."""
    local = dense_sift(x, step=2, cell=3)
    sample = local[torch.from_numpy(learned_from)].flatten(0, 2).numpy()
    rows = np.random.default_rng(seed).choice(len(sample), min(len(sample), 30_000), replace=False)
    vocabulary = torch.from_numpy(learn_words(sample[rows], words, seed=seed))
    return pyramid(words_of(local, vocabulary), words, levels=1).numpy()


def study(short: bool, seed: int) -> Found:
    data = clothes(300 if short else 3000, 200 if short else 2000, seed)
    x, size = to_float(data.pixels), data.pixels.shape[2]
    pixels, gradients = x.flatten(1).numpy(), hog(x, cell=max(2, size // 7)).numpy()
    n, right = len(data.val), {}

    for year, name, model, described in (
        (1958, "perceptron", Perceptron(random_state=seed), pixels),
        (1967, "nearest neighbour", KNeighborsClassifier(1), pixels),
        (1991, "histogram of grays", KNeighborsClassifier(5), grays(x)),
        (2004, "bag of words", SVC(C=100, gamma=100.0), bags(x, data.train, seed)),
        (2005, "oriented gradients,\nsupport vectors", SVC(C=10), gradients),
    ):
        model.fit(described[data.train], data.labels[data.train])
        right[year] = (name, float(model.score(described[data.val], data.labels[data.val])))
    for year, name, network, model_args in (
        (1986, "two hidden layers", "mlp", {"widths": (128, 64)}),
        (1998, "LeNet-5", "lenet5", {"norm": True}),
        (2015, "residual network", "resnet8", {"patch": 2} if size > 8 else {}),
    ):
        torch.manual_seed(seed)
        body = build_model(network, classes=10, channels=1, img_size=size, **model_args)
        how = {"epochs": 1 if short else 8, "batch": 32, "lr": 0.05, "last": True, "seed": seed, "weight_decay": 5e-4}
        _, trained = learn(body, data, **how)
        right[year] = (name, trained.history[-1].val_accuracy)
    right = dict(sorted(right.items()))
    spans = {year: wilson_interval(round(share * n), n) for year, (_, share) in right.items()}

    figure, axis = plt.subplots(figsize=(9, 4.4))
    for (year, (name, share)), colour in zip(
        right.items(), (GRAY, GRAY, BLUE, ORANGE, BLUE, ORANGE, ORANGE, BLUE), strict=True
    ):
        low, high = spans[year]
        axis.errorbar(year, share, yerr=[[share - low], [high - share]], fmt="o", color=colour, ms=8, capsize=4)
        below = year == 2004  # where there is room for its name
        words = {"xytext": (0, -5 if below else 5), "textcoords": "offset points", "ha": "center", "fontsize": 9}
        axis.annotate(
            f"{name}\n{percent(share)}", (year, low if below else high), va="top" if below else "bottom", **words
        )
    axis.set(xlabel="year", ylabel=f"right of {n:,} held-out images", xlim=(1950, 2022))
    axis.margins(y=0.25)
    percent_axis(axis.yaxis)
    axis.set_title("gray: no learned features; blue: networks; orange: hand-made descriptors")

    shares = {year: share for year, (_, share) in right.items()}
    low, high = ({year: spans[year][side] for year in spans} for side in (0, 1))
    oldest = max(high[1958], high[1967])
    others = min(low[year] for year in low if year != 1991)
    claims = {
        "every network beats the two oldest models, with separate intervals": min(low[year] for year in NETWORKS)
        > oldest,
        "so do oriented gradients, with separate intervals": low[2005] > oldest,
        "the histogram of grays, which ignores positions, is the worst, with separate intervals": high[1991] < others,
    }
    if class_names() != tuple("0123456789"):  # of digits, each at a place of its own, convolutions know more
        best = max(shares[year] for year in NETWORKS)
        claims["oriented gradients match the best network, within two points"] = shares[2005] > best - 0.02
    return Found(
        figure,
        {f"{year} {name.replace(chr(10), ' ')}": f"{percent(share)}, interval {' to '.join(map(percent, spans[year]))}"
         for year, (name, share) in right.items()},
        claims,
    )  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main(study))
