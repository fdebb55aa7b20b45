"""A steering angle can be predicted from a view of the road, and even from just the brightness changes while driving.

The angle is the one that leads to a point of the lane some way ahead (pure pursuit). A frame shows the road; an event
camera shows where the brightness rose and where it fell since a moment before, in two channels, as the car moved on.
An edge along the direction of travel causes no events, so a car that drives straight would not see its lane: it sees it
because the car also pitches a little on an uneven road.
Predicting the number beats choosing among fifteen classes of it, which cannot be better than their width.

Source: Bojarski et al. 2016, arXiv:1604.07316; Maqueda et al. 2018, arXiv:1804.01310, on event cameras; Coulter 1992,
Implementation of the pure pursuit path tracking algorithm. The roads are drawn in perspective on photographed grass and
gravel, with offsets, headings and bends at random.
"""

import numpy as np
from skimage import data as pictures
from sklearn.metrics import r2_score

from gallery import BLUE, GRAY, ORANGE, Found, main, plt, trained

SIDE, HORIZON, EYE, FOCAL = 32, 9, 1.2, 22.0
"""Pixels, the row of the horizon, the camera's height in metres, and its focal length in pixels."""

FINE = 2
"""Points along each side of a pixel over which its brightness is averaged."""

AHEAD, WHEELBASE, HALF_LANE, MOVED, PITCH, THRESHOLD, BINS = 8.0, 2.6, 1.8, 0.5, (0.5, 1.5), 0.12, 15
"""Distance of the point that is steered to, wheelbase, half the lane and the distance between two views, in metres; by
how many pixels the view pitches between them; the change of the logarithm of the brightness that causes an event.
"""

HOW = {"model": "resnet8", "model_arg": {"width": 32, "patch": 2}, "augment": "none", "test_fraction": 0.01}
"""The network, which sees squares of 2x2 pixels first; views are not changed, as a flipped one has another angle."""


def road(rng):
    """Offset (m), heading and bend (1/m) of the car in its lane, and the steering angle in degrees."""
    offset, heading, bend = rng.normal(0, 0.6), rng.normal(0, 0.08), rng.normal(0, 0.012)
    aside = offset + heading * AHEAD + bend * AHEAD**2 / 2
    return (offset, heading, bend), np.degrees(np.arctan(WHEELBASE * 2 * aside / AHEAD**2))


def look(lane, ground, gravel, origin, moved=0.0, turned=0.0, pitch=0.0):
    """A view (SIDE, SIDE) in [0, 1], after the car moved, turned, and pitched by so many pixels."""
    points = (np.arange(FINE * SIDE) + 0.5) / FINE - 0.5
    rows, columns = np.meshgrid(points[points > HORIZON + 0.5], points, indexing="ij")
    forward = FOCAL * EYE / np.maximum(rows - HORIZON - pitch, 0.3)
    aside = (columns - (SIDE - 1) / 2) * forward / FOCAL
    z = forward * np.cos(turned) - aside * np.sin(turned) + moved
    x = forward * np.sin(turned) + aside * np.cos(turned)
    offset, heading, bend = lane
    across = x - (offset + heading * z + bend * z**2 / 2)
    place = [((values + start) * 24).astype(int) % 512 for values, start in zip((z, x), origin, strict=True)]
    view = np.where(abs(across) < HALF_LANE, 0.25 + 0.3 * gravel[*place], 0.2 + 0.5 * ground[*place])
    view = np.where(abs(abs(across) - HALF_LANE) < 0.12 + 0.01 * forward, 0.95, view)
    out = np.full((SIDE, SIDE), 0.75)
    out[HORIZON + 1 :] = view.reshape(-1, FINE, SIDE, FINE).mean((1, 3))
    return out


def drives(many, seed):
    """Frames (N, S, S), events (N, S, S, 3), and angles. The first channel of events counts how often the brightness
    rose by the threshold, the last how often it fell; an event counts 32.
    """
    rng = np.random.default_rng(seed)
    ground, gravel = pictures.grass() / 255, pictures.gravel() / 255
    frames, events = np.zeros((many, SIDE, SIDE), np.uint8), np.zeros((many, SIDE, SIDE, 3), np.uint8)
    angles = np.zeros(many)
    for i in range(many):
        lane, angles[i] = road(rng)
        origin, light = rng.uniform(0, 20, 2), rng.uniform(0.6, 1)
        turned, pitch = MOVED * np.tan(np.radians(angles[i])) / WHEELBASE, rng.choice((-1, 1)) * rng.uniform(*PITCH)
        before, after = (look(lane, ground, gravel, origin, *move) for move in ((), (MOVED, turned, pitch)))
        noise = rng.normal(0, 0.02, (2, SIDE, SIDE))
        before, after = np.clip(light * before + noise[0], 0.02, 1), np.clip(light * after + noise[1], 0.02, 1)
        frames[i] = 255 * after
        count = np.trunc((np.log(after) - np.log(before)) / THRESHOLD)
        events[i, ..., 0], events[i, ..., 2] = np.clip(32 * count, 0, 255), np.clip(-32 * count, 0, 255)
    return frames, events, angles


def study(short: bool, seed: int) -> Found:
    frames, events, angles = drives(500 if short else 3000, seed)
    new_frames, new_events, truth = drives(200 if short else 1000, 1000 + seed)
    how = {**HOW, "epochs": 1 if short else 10, "seed": seed}
    edges = np.quantile(angles, np.linspace(0, 1, BINS + 1)[1:-1])
    bins = np.digitize(angles, edges)
    middles = np.array([angles[bins == k].mean() for k in range(BINS)])
    label = trained(frames, np.char.mod("%02d", bins), **how)
    found = {
        "frames": trained(frames, angles, task="regression", **how).values(new_frames)[:, 0],
        "events": trained(events, angles, task="regression", **how).values(new_events)[:, 0],
        f"frames, {BINS} classes": middles[label.logits(new_frames).argmax(1)],
    }
    scores = {name: float(r2_score(truth, values)) for name, values in found.items()}

    figure = plt.figure(figsize=(10.5, 3.8))
    grid = figure.add_gridspec(2, 5, width_ratios=(1, 1, 0.2, 2.4, 2.4))
    for k in range(2):
        for j, image in enumerate((new_frames[k], new_events[k])):
            axis = figure.add_subplot(grid[k, j])
            axis.imshow(image, vmin=0, vmax=255)
            axis.set_axis_off()
            if k == 0:
                axis.set_title(("frame", "events")[j], fontsize=10, loc="center")
    for j, (name, colour) in enumerate((("frames", BLUE), ("events", ORANGE))):
        axis = figure.add_subplot(grid[:, 3 + j])
        axis.plot(truth, found[name], ".", color=colour, markersize=3)
        axis.axline((0, 0), slope=1, color=GRAY, linewidth=1)
        axis.set(title=f"{name}: R² {scores[name]:.3f}", xlabel="steering angle in degrees")
    return Found(
        figure,
        {f"R², {name}": f"{value:.3f}" for name, value in scores.items()}
        | {"mean size of the angle": f"{abs(truth).mean():.1f} degrees"},
        {
            "from frames R² is 0.9 or more": scores["frames"] >= 0.9,
            "from events too": scores["events"] >= 0.9,
            "the number is no worse than the classes": scores["frames"] >= scores[f"frames, {BINS} classes"] - 0.005,
        },
    )


if __name__ == "__main__":
    raise SystemExit(main(study))
