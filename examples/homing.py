"""To find the way home from a view, predicting a direction beats choosing among 36 classes of directions.

A walker looks at the ground under a heading of its own, and the middle of the ground is home. The direction is a unit
vector, of which the network predicts both parts, so that 359 and 1 degrees are neighbours; the error is the angle
between two directions, 180 degrees at most. A class for every ten degrees knows no neighbours, and is off by 2.5
degrees in the median even where it is right.

Source: Wehner, Räber 1979, on the snapshot memory of desert ants; Mahendran, Ali, Vidal 2017, arXiv:1708.05628, on
angles as numbers and as classes. The ground is a photograph of a rocket's launch; the views tested lie between those
learned.
"""

import numpy as np
from scipy.ndimage import map_coordinates
from skimage import data as pictures

from gallery import BLUE, GRAY, Found, main, plt, trained

SIDE, WINDOW, BINS = 32, 96, 36
HOW = {"model": "resnet8", "model_arg": {"width": 32, "patch": 4}, "augment": "none", "test_fraction": 0.01}
"""The network, which sees squares of 4x4 pixels first; views are not changed, as they lie anywhere already."""


def views(many, seed):
    """Views (N, 32, 32), and where home lies in them (N, 2): unit vectors, down and right."""
    rng = np.random.default_rng(seed)
    photo = pictures.rocket().astype(np.float32).mean(2)
    middle, size = np.array(photo.shape) / 2, np.array(photo.shape)
    grid = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32).reshape(2, -1) * (WINDOW / SIDE) - WINDOW / 2
    images, toward = np.zeros((many, SIDE, SIDE), np.uint8), np.zeros((many, 2))
    for i in range(many):
        place, heading = rng.uniform(0.7 * WINDOW, size - 0.7 * WINDOW), rng.uniform(0, 2 * np.pi)
        turn = np.array([[np.cos(heading), -np.sin(heading)], [np.sin(heading), np.cos(heading)]])
        images[i] = map_coordinates(photo, turn @ grid + place[:, None], order=1).reshape(SIDE, SIDE)
        way = turn.T @ (middle - place)
        toward[i] = way / np.hypot(*way)
    return images, toward


def angle_of(toward):
    return np.degrees(np.arctan2(toward[:, 0], toward[:, 1])) % 360


def apart(one, other):
    """The angle between directions in degrees, 180 at most."""
    return abs((one - other + 180) % 360 - 180)


def study(short: bool, seed: int) -> Found:
    images, toward = views(600 if short else 12_000, seed)
    asked, truth = views(200 if short else 1000, 1000 + seed)
    how = {**HOW, "epochs": 1 if short else 15, "seed": seed}
    number = trained(images, toward, task="regression", **how)
    label = trained(images, (angle_of(toward) // (360 // BINS)).astype(int).astype(str), **how)
    true = angle_of(truth)
    errors = {
        "unit vector": apart(angle_of(number.values(asked)), true),
        f"{BINS} classes": apart(
            np.array([int(name) for name in label.classes])[label.logits(asked).argmax(1)] * (360 / BINS) + 180 / BINS,
            true,
        ),
    }
    median = {name: float(np.median(error)) for name, error in errors.items()}

    figure = plt.figure(figsize=(10, 3.8))
    grid = figure.add_gridspec(2, 5, width_ratios=(1, 1, 1, 0.2, 4))
    for k in range(6):
        axis = figure.add_subplot(grid[k // 3, k % 3])
        axis.imshow(asked[k])
        down, right = truth[k] * 11
        axis.annotate("", (15.5 + right, 15.5 + down), (15.5, 15.5), arrowprops={"color": "#c9a24a", "width": 2})
        axis.set_axis_off()
    axis = figure.add_subplot(grid[:, 4])
    for (name, error), colour in zip(errors.items(), (BLUE, GRAY), strict=True):
        axis.plot(np.sort(error), np.linspace(0, 1, len(error)), color=colour, label=f"{name}: {median[name]:.1f}°")
    axis.set(xlabel="error in degrees", ylabel="share of views", xlim=(0, 30))
    axis.legend(title="median error", loc="lower right")

    return Found(
        figure,
        {f"median error, {name}": f"{value:.2f} degrees" for name, value in median.items()},
        {
            "the median error of the unit vector is 4 degrees at most": median["unit vector"] <= 4,
            "that of classes is larger": median[f"{BINS} classes"] > median["unit vector"],
        },
    )


if __name__ == "__main__":
    raise SystemExit(main(study))
