"""Independent sigmoids distinguish an image with all labels from one with none; a softmax, which sums to 1, cannot.

A softmax divides a probability of 1 among the labels: those that are present share it; if none is present, all of them
do. With four labels and at most two of them in an image, a threshold between 1/4 and 1/2 still separates the cases.
With two labels, both and neither give the same output. Sigmoids make one binary prediction per label.

Source: Bishop 2006, Pattern Recognition and Machine Learning, sections 4.2 and 5.2; Wei et al. 2014, arXiv:1406.5726.
Scenes of two places, in which none, one or two of the labels stand, digits of scikit-learn's; two other digits, or
nothing, fill the rest.
"""

import numpy as np
import torch

from clearsight.data.loader import Images
from clearsight.models.zoo import build_model
from clearsight.tasks import Classification, Multilabel
from clearsight.train.loop import Examples, logits_of
from clearsight.wording import percent
from gallery import BLUE, ORANGE, Found, digits, learn, main, percent_axis, plt

LINKS = {"sigmoids": ("bce", BLUE), "softmax": ("cross-entropy", ORANGE)}


def scenes(labels: int, count: int, held: int, seed: int) -> Examples:
    """Images (N, 1, 20, 20), which of the labels each shows (N, labels), and how many (N,)."""
    own, rng = digits(seed=seed), np.random.default_rng(seed)
    n = count + held
    pixels, shows = np.zeros((n, 1, 20, 20), np.uint8), np.zeros((n, labels), np.float32)
    many = rng.integers(0, 3, n)
    for i in range(n):
        pool = own.train if i < count else own.val  # a digit that was learned from is not asked about
        there = rng.permutation(labels)[: many[i]]
        shows[i, there] = 1
        others = rng.choice([labels, labels + 1, -1], 2 - many[i])
        for left, kind in zip((0, 10), rng.permutation([*there, *others]), strict=True):
            if kind >= 0:
                digit = rng.choice(pool[own.labels[pool] == kind])
                top, right = rng.integers(4, 9), left + rng.integers(0, 3)
                pixels[i, 0, top : top + 8, right : right + 8] = own.pixels[digit, 0]
    rows, weights = np.arange(n), np.ones(n, np.float32)
    task = Multilabel.unfitted(tuple(map(str, range(labels))))
    return Examples(pixels, many, weights, rows[:count], rows[count:], task, shows)


def exactly_right(data: Examples, link: str, seed: int, epochs: int) -> list[float]:
    """Share of the held-out images of none, one and two labels that are given exactly those."""
    labels, wanted, task = data.classes, data.targets, data.task
    if link == "softmax":  # a probability shared among the labels that are there; among all where there is none
        wanted = np.where(wanted.any(1, keepdims=True), wanted, 1)
        wanted = (wanted / wanted.sum(1, keepdims=True)).astype(np.float32)
        task = Classification(task.names)
    torch.manual_seed(seed)
    body = build_model("lenet5", classes=labels, channels=1, img_size=20, norm=True)
    part = Examples(data.pixels, data.labels, data.weights, data.train, data.val, task, wanted)
    network, _ = learn(body, part, epochs=epochs, batch=32, lr=0.05, loss=LINKS[link][0], seed=seed, last=True)

    def probabilities(rows: np.ndarray) -> np.ndarray:
        logits = logits_of(network, Images(data.pixels), rows, 500)
        return (logits.sigmoid() if link == "sigmoids" else logits.softmax(1)).numpy()

    train, thresholds, truth = probabilities(data.train), np.linspace(0.05, 0.95, 91), data.targets > 0.5
    scores = [((train > t) == truth[data.train]).all(1).mean() for t in thresholds]
    found = probabilities(data.val) > thresholds[int(np.argmax(scores))]  # each link with the threshold that suits it
    right = (found == truth[data.val]).all(1)
    return [float(right[data.labels[data.val] == n].mean()) for n in range(3)]


def study(short: bool, seed: int) -> Found:
    sets = {labels: scenes(labels, 300 if short else 2500, 200 if short else 2000, seed) for labels in (4, 2)}
    epochs = 2 if short else 12
    exact = {(labels, link): exactly_right(data, link, seed, epochs) for labels, data in sets.items() for link in LINKS}

    figure = plt.figure(figsize=(10.5, 4))
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.7))
    data = sets[4]
    shown = [np.flatnonzero(data.labels[data.val] == n)[i] for i in (0, 1) for n in range(3)]
    for cell, row in zip(left.subplots(2, 3).flat, shown, strict=True):
        cell.imshow(data.pixels[data.val[row], 0])
        there = np.flatnonzero(data.targets[data.val[row]])
        cell.set_title(" and ".join(map(str, there)) or "none", loc="center", fontsize=10)
        cell.set_axis_off()
    axes = right.subplots(1, 2, sharey=True)
    for axis, labels, title in zip(axes, sets, ("labels 0 to 3, at most two", "labels 0 and 1"), strict=True):
        for k, (link, (_, colour)) in enumerate(LINKS.items()):
            bars = axis.bar(np.arange(3) + 0.4 * k, exact[labels, link], 0.38, color=colour, label=link)
            axis.bar_label(bars, [f"{percent(v, 0)}" for v in exact[labels, link]], padding=2, fontsize=8)
        axis.set_xticks(np.arange(3) + 0.2, ["none", "one", "two"])
        axis.set(xlabel="labels in the image", title=title, ylim=(0, 1.2))
        axis.grid(False, axis="x")
    axes[0].set(ylabel="share with exactly the right labels", yticks=np.linspace(0, 1, 6))
    percent_axis(axes[0].yaxis)
    axes[0].legend(ncol=2, loc="upper center", fontsize=9)

    return Found(
        figure,
        {
            f"{labels} labels, exactly right, {link}": ", ".join(
                f"{n} {percent(v)}" for n, v in zip(("none", "one", "two"), values, strict=True)
            )
            for (labels, link), values in exact.items()
        },
        {
            "with two labels, sigmoids are right about most images with neither, one and both": min(
                exact[2, "sigmoids"]
            )
            > 0.5,
            "softmax gives the same output for both and neither: it is wrong about nearly all images of one kind": min(
                exact[2, "softmax"]
            )
            < 0.1,
            "with four labels, at most two per image, softmax is right about at least half of each kind": min(
                exact[4, "softmax"]
            )
            > 0.5,
            "but sigmoids are more accurate on average": np.mean(exact[4, "sigmoids"]) > np.mean(exact[4, "softmax"]),
        },
    )


if __name__ == "__main__":
    raise SystemExit(main(study))
