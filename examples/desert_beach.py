"""A linear classifier of two colours separates deserts from beaches, as long as the lighting does not change.

Each picture becomes two numbers, the blueness of its two most common colours, and a linear classifier draws a line
through their plane. It knows nothing else: where the evening sky turns orange, or the sea gray, beaches become deserts.

Source: Swain, Ballard 1991, Color indexing; Rosenblatt 1958, The perceptron. No pictures of deserts and beaches come
with Python's packages, so the scenes are drawn: sky above sand, or above sea with a strip of sand, each with colours
and a horizon of its own, in noise.
"""

import numpy as np
import torch

from clearsight.classical.colour import frequent_colours
from clearsight.train.classifiers import fit_classifier, settings_of
from clearsight.train.head_search import Targets
from clearsight.wording import percent
from gallery import BLUE, ORANGE, Found, main, plt

SKY, SAND, SEA, EVENING = (150, 190, 235), (215, 180, 120), (30, 90, 160), (235, 150, 95)


def scenes(rng, many, sky=SKY, sea=SEA):
    """Pictures (N, 3, 40, 48) in [0, 1], every other one a desert (label 1)."""
    found = []
    for i in range(many):
        above, sand, water = np.array([sky, SAND, sea]) + rng.integers(-20, 21, (3, 3))
        picture, horizon = np.empty((40, 48, 3)), rng.integers(12, 22)
        picture[:horizon], picture[horizon:] = above, sand if i % 2 else water
        if not i % 2:
            picture[rng.integers(33, 37) :] = sand
        found.append(np.clip(picture + rng.normal(0, 6, picture.shape), 0, 255) / 255)
    return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2).float(), np.arange(many) % 2


def blueness(images):
    """Blue less red of the two most common colours of each picture (N, 2), the bluer one first."""
    found = frequent_colours(images, 2).view(len(images), 2, 4)
    return np.sort((found[..., 2] - found[..., 0]).numpy(), axis=1)[:, ::-1].astype(np.float32).copy()


def study(short: bool, seed: int) -> Found:
    rng = np.random.default_rng(seed)
    images, labels = scenes(rng, 60 if short else 200)
    x = blueness(images)
    targets = Targets(labels.astype(np.int64), np.ones(len(x), np.float32), 2)
    head = fit_classifier("svm", x, targets, settings_of("svm", len(x))[0], seed=seed)[1]

    def right(images, labels):
        with torch.no_grad():
            return float((head(torch.from_numpy(blueness(images))).argmax(1).numpy() == labels).mean())

    many = 100 if short else 400
    asked = {
        "as they are": scenes(rng, many), "at sunset": scenes(rng, many, sky=EVENING),
        "under clouds": scenes(rng, many, sky=(190, 190, 190), sea=(120, 125, 125)),
    }  # fmt: skip
    accuracy = {name: right(*them) for name, them in asked.items()}
    dimmed, kinds = asked["as they are"]
    accuracy["in half the light"] = right(dimmed / 2, kinds)

    figure = plt.figure(figsize=(10, 4))
    grid = figure.add_gridspec(2, 4, width_ratios=(1, 1, 0.2, 3.2))
    for k, name in enumerate(("as they are", "at sunset")):
        for j, what in enumerate(("beach", "desert")):
            axis = figure.add_subplot(grid[j, k])
            axis.imshow(asked[name][0][j].permute(1, 2, 0).numpy())
            axis.set_title(f"{what} {name}" if k else what, fontsize=9)
            axis.set_axis_off()
    axis = figure.add_subplot(grid[:, 3])
    for k, (what, colour) in enumerate((("beach", BLUE), ("desert", ORANGE))):
        axis.plot(*x[labels == k].T, ".", color=colour, label=what)
    side = np.linspace(-0.8, 0.8, 200, dtype=np.float32)
    plane = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
    with torch.no_grad():
        score = head(torch.from_numpy(plane)).numpy()
    axis.contour(side, side, (score[:, 1] - score[:, 0]).reshape(200, 200), levels=[0], colors="#1c2024")
    axis.set(xlabel="blueness of the bluer colour", ylabel="blueness of the other", xlim=(-0.1, 0.8), ylim=(-0.8, 0.8))
    axis.legend(loc="upper left")

    return Found(
        figure,
        {f"right of {many} unseen scenes, {name}": f"{percent(share)}" for name, share in accuracy.items()},
        {
            "the line separates nearly all unseen scenes": accuracy["as they are"] >= 0.95,
            "at sunset it is right a quarter less often": accuracy["at sunset"] <= accuracy["as they are"] - 0.25,
            "under clouds too": accuracy["under clouds"] <= accuracy["as they are"] - 0.25,
        },
    )


if __name__ == "__main__":
    raise SystemExit(main(study))
