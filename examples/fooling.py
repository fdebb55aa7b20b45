"""Noise can be optimised until a classifier gives any class a probability of 99 %; an OOD detector flags most of it.

Softmax divides a probability of 1 among the known classes, so an image far from all training images can still get a
probability near 1. The distance from the known images reveals it.

Source: Nguyen, Yosinski, Clune 2015, arXiv:1412.1897 (fooling images); Sun, Ming, Zhu, Li 2022, arXiv:2204.06507
(distance to the nearest known features). A run of `cs.fit` on three quarters of the digits, with the OOD score it chose
by leaving classes out; the real digits are the remaining quarter.
"""

import tempfile

import numpy as np

import clearsight as cs
from clearsight.attacks.fooling import fool
from clearsight.wording import percent
from gallery import BLUE, ORANGE, Found, digits, main, plt


def study(short: bool, seed: int) -> Found:
    data = digits(500 if short else 1350, seed, held=200 if short else 447)
    images, labels = data.pixels[data.train, 0], data.labels[data.train]
    with tempfile.TemporaryDirectory() as folder:
        clf = cs.fit(images, labels, epochs=2 if short else 15, seed=seed, out=f"{folder}/digits").predictor
    made = fool(clf, rounds=50 if short else 1000, seed=seed)
    real = data.pixels[data.val]
    answers = clf.predict_proba(real).argmax(1)
    ood_percentile, flagged = clf.detect_ood(real)
    odd, caught = clf.detect_ood(made.pixels)

    figure = plt.figure(figsize=(10, 4.2))
    top, bottom = figure.subfigures(2, 1, height_ratios=(1, 1.1))
    for k, cell in enumerate(top.subplots(1, 10)):
        cell.imshow(made.pixels[k, 0], vmin=0, vmax=1)
        cell.set_title(f"{made.classes[k]}, {percent(made.probabilities[k])}", loc="center", fontsize=9)
        cell.set_axis_off()
    axis = bottom.subplots()
    axis.hist(ood_percentile, bins=25, range=(0, 1), color=BLUE, alpha=0.7, density=True, label="real digits, held out")
    axis.hist(odd, bins=25, range=(0, 1), color=ORANGE, alpha=0.7, density=True, label="fooling images")
    axis.set(xlabel="OOD percentile: share of known images with a lower OOD score", ylabel="density")
    axis.legend(loc="upper center")

    return Found(
        figure,
        {
            f"right of {len(real)} real digits, held out": f"{percent(np.mean(answers == data.labels[data.val]))}",
            "lowest probability of the fooling images": f"{percent(made.probabilities.min())}",
            "OOD scores combined": ", ".join(clf.bundle.ood_detector.tails),
            "real digits flagged as OOD": f"{percent(flagged.mean())}",
            "fooling images flagged as OOD": f"{percent(caught.mean(), 0)}",
        },
        {
            "every class has a noise image with a probability of 99 %": bool((made.probabilities > 0.99).all()),
            "the OOD detector flags most of these images": caught.mean() >= 0.7,
            "and at most one in ten real digits": flagged.mean() <= 0.1,
        },
    )


if __name__ == "__main__":
    raise SystemExit(main(study))
