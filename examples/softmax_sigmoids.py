"""Where an image may show several things or none, independent sigmoids say so and a softmax cannot.

A softmax divides a belief of 1 among the labels: two true ones share it, and none at all is not an answer. Sigmoids
ask one question a label.

Source: Bishop 2006, Pattern Recognition and Machine Learning, sections 4.2 and 5.2; Wei et al. 2014, arXiv:1406.5726.
Scenes of two of scikit-learn's digits side by side, or one, or none; the labels are 0, 1, 2 and 3, and other digits
may stand there too.
"""

import numpy as np
import torch

from clearsight.data.loader import Images
from clearsight.models.registry import build_model
from clearsight.train.loop import Examples, logits_of
from gallery import BLUE, ORANGE, Found, digits, learn, main, percent_axis, plt

LABELS = 4


def scenes(count: int, held: int, seed: int) -> Examples:
    """Images (N, 1, 20, 20) of two places, and which of the labels each shows (N, 4)."""
    own, rng = digits(seed=seed), np.random.default_rng(seed)
    pixels, shows = np.zeros((count + held, 1, 20, 20), np.uint8), np.zeros((count + held, LABELS), np.float32)
    for i in range(count + held):
        pool = own.train if i < count else own.val  # a digit that was learned from is not asked about
        for left in (0, 10):
            kind = rng.integers(0, 7)
            if kind < 6:
                digit = rng.choice(pool[own.labels[pool] == kind])
                top, right = rng.integers(0, 13), left + rng.integers(0, 3)
                pixels[i, 0, top : top + 8, right : right + 8] = own.pixels[digit, 0]
                if kind < LABELS:
                    shows[i, kind] = 1
    rows, groups = np.arange(count + held), shows.sum(1).astype(np.int64)
    weights = np.ones(count + held, np.float32)
    return Examples(pixels, groups, weights, rows[:count], rows[count:], LABELS, task="multilabel", targets=shows)


def study(short: bool, seed: int) -> Found:
    data = scenes(1200 if short else 4000, 500 if short else 2000, seed)
    truth, shown = data.targets[data.val] > 0.5, data.labels[data.val]
    exact = {}
    for link, loss in (("sigmoids", "bce"), ("softmax", "cross-entropy")):
        torch.manual_seed(seed)
        body = build_model("lenet5", classes=LABELS, channels=1, img_size=20, norm=True)
        wanted = data.targets
        if link == "softmax":  # a belief shared among the labels that are there; none where there is none
            wanted = wanted / np.maximum(wanted.sum(1, keepdims=True), 1)
        how = {"epochs": 8 if short else 12, "lr": 0.05, "loss": loss, "seed": seed, "last": True}
        part = Examples(data.pixels, data.labels, data.weights, data.train, data.val, LABELS, data.task, wanted)
        network, _ = learn(body, part, **how)

        def belief(rows, network=network, link=link):
            logits = logits_of(network, Images(data.pixels), rows, 500)
            return (logits.sigmoid() if link == "sigmoids" else logits.softmax(1)).numpy()

        train, thresholds = belief(data.train), np.linspace(0.05, 0.95, 19)
        scores = [((train > t) == (data.targets[data.train] > 0.5)).all(1).mean() for t in thresholds]
        found = belief(data.val) > thresholds[int(np.argmax(scores))]  # each link with the threshold that suits it
        exact[link] = [float((found == truth).all(1)[shown == n].mean()) for n in range(3)]

    figure = plt.figure(figsize=(10, 4))
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.3))
    for cell, row in zip(
        left.subplots(2, 3).flat, [np.flatnonzero(shown == n)[i] for i in (0, 1) for n in range(3)], strict=True
    ):
        cell.imshow(data.pixels[data.val[row], 0])
        there = np.flatnonzero(truth[row])
        cell.set_title(" and ".join(map(str, there)) or "none", loc="center", fontsize=10)
        cell.set_axis_off()
    axis = right.subplots()
    for k, (link, colour) in enumerate((("sigmoids", BLUE), ("softmax", ORANGE))):
        bars = axis.bar(np.arange(3) + 0.38 * k, exact[link], 0.36, color=colour, label=link)
        axis.bar_label(bars, [f"{v:.0%}" for v in exact[link]], padding=2, fontsize=9)
    axis.set_xticks(np.arange(3) + 0.19, ["none", "one", "two"])
    axis.set(xlabel="labels in the image", ylabel="given exactly its labels", ylim=(0, 1.15))
    percent_axis(axis.yaxis)
    axis.grid(False, axis="x")
    axis.legend(ncol=2, loc="upper center")

    return Found(
        figure,
        {
            f"exactly right where {n} is there: sigmoids, softmax": f"{a:.1%}, {b:.1%}"
            for n, a, b in zip(("none", "one", "two"), *exact.values(), strict=True)
        },
        {
            "sigmoids find none, one and two, softmax fails at one of them": min(exact["sigmoids"])
            > min(exact["softmax"]) + 0.1,
            "over the three kinds sigmoids are right more often": np.mean(exact["sigmoids"])
            > np.mean(exact["softmax"]),
        },
    )


if __name__ == "__main__":
    raise SystemExit(main(study))
