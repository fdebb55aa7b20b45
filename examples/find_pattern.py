"""Sliding a pattern over an image locates it reliably only if the correlation is normalised.

The raw sum of products is largest where the picture is bright. The normalised coefficient, the cosine of template and
window after their means are subtracted, does not change with brightness or contrast, and finds the correct place.

Source: Lewis 1995, Fast normalized cross-correlation; Gonzalez, Woods 2018, Digital Image Processing, section 12.3.
The image consists of scikit-learn's digits; it gets brighter from left to right and is noisy.
"""

import numpy as np

from clearsight.classical.matching import match
from gallery import BLUE, ORANGE, Found, digits, main, plt


def study(short: bool, seed: int) -> Found:
    rng = np.random.default_rng(seed)
    images = digits(seed=seed).pixels[:, 0] / 255
    rows, columns, tries = (10, 16, 20) if short else (16, 24, 100)
    chosen = images[rng.choice(len(images), rows * columns, replace=False)]
    crowd = np.pad(chosen, ((0, 0), (1, 1), (1, 1))).reshape(rows, columns, 10, 10).swapaxes(1, 2)
    crowd = crowd.reshape(10 * rows, 10 * columns)
    light = np.linspace(0.4, 1.6, crowd.shape[1])
    picture = 0.2 + 0.4 * light * crowd + rng.normal(0, 0.02, crowd.shape)

    right = {"raw": 0, "normalised": 0}
    for number in rng.choice(rows * columns, tries, replace=False):
        row, column = 10 * (number // columns) + 1, 10 * (number % columns) + 1
        for way in right:
            found = match(picture, chosen[number], normalised=way == "normalised")
            right[way] += (found.row, found.column) == (row, column)
    example = match(picture, chosen[number])
    raw = match(picture, chosen[number], normalised=False)

    figure, axes = plt.subplots(1, 2, figsize=(10, 3.9))
    axes[0].imshow(picture)
    for place, colour, word in ((raw, ORANGE, "raw"), (example, BLUE, "normalised")):
        axes[0].add_patch(
            plt.Rectangle((place.column - 1.5, place.row - 1.5), 10, 10, fill=False, color=colour, lw=2.5)
        )
        axes[0].plot([], [], color=colour, label=word)
    axes[0].legend(loc="upper center", bbox_to_anchor=(0.5, -0.02), ncol=2)
    axes[0].set_title("the image, and where each method finds the pattern", fontsize=10)
    inset = axes[0].inset_axes((-0.13, 0.7, 0.1, 0.25))
    inset.imshow(chosen[number])
    drawn = axes[1].imshow(example.scores, cmap="RdBu_r", vmin=-1, vmax=1)
    axes[1].plot(example.column, example.row, "o", color="black", fillstyle="none", markersize=12)
    axes[1].set_title("normalised correlation at every place, and the largest", fontsize=10)
    figure.colorbar(drawn, ax=axes[1], shrink=0.6)
    for axis in (*axes, inset):
        axis.set_xticks([])
        axis.set_yticks([])
        axis.grid(False)

    return Found(
        figure,
        {f"patterns found, {way}": f"{n} of {tries}" for way, n in right.items()}
        | {"score of the example": f"{example.score:.3f}"},
        {
            "normalised correlation finds at least nine of ten patterns": right["normalised"] >= 0.9 * tries,
            "raw correlation misses most": right["raw"] < tries / 2,
        },
    )


if __name__ == "__main__":
    raise SystemExit(main(study))
