"""Desert or beach: the two most common colours of an image can be enough to recognise where it was taken.

Each picture is described by eight numbers, its two most common colours and their shares, and gets the class of its
nearest neighbour. This works if the scenes differ in colour, but uses nothing else: at half the brightness, in gray, or
with red and blue exchanged it is far less accurate.

Source: Swain, Ballard 1991, Color indexing. No pictures of deserts and beaches come with Python's packages, so six
photographs represent six places: crops of their left halves for training, and of their right halves for testing.
"""

import numpy as np
import torch
from skimage import data as pictures
from sklearn.datasets import load_sample_image

from clearsight.classical.colour import frequent_colours
from clearsight.wording import percent
from gallery import Found, main, plt

SIDE = 64


def study(short: bool, seed: int) -> Found:
    rng, each = np.random.default_rng(seed), 30 if short else 60
    places = {
        "rocket": pictures.rocket(), "coffee": pictures.coffee(), "cat": pictures.chelsea(),
        "astronaut": pictures.astronaut(), "temple": load_sample_image("china.jpg"),
        "flower": load_sample_image("flower.jpg"),
    }  # fmt: skip

    def crops(half: int):
        found = []
        for photo in places.values():
            width = photo.shape[1] // 2
            for _ in range(each):
                top = rng.integers(0, photo.shape[0] - SIDE)
                left = half * width + rng.integers(0, width - SIDE)
                found.append(photo[top : top + SIDE, left : left + SIDE])
        return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2).float() / 255

    known, asked, labels = crops(0), crops(1), np.repeat(np.arange(len(places)), each)

    def right(images: torch.Tensor) -> float:
        one, other = (frequent_colours(x, 2).flatten(1) for x in (images, known))
        return float((labels[torch.cdist(one, other).argmin(1).numpy()] == labels).mean())

    accuracy = {
        "unchanged": right(asked),
        "at half the brightness": right(asked / 2),
        "red and blue exchanged": right(asked.flip(1)),
        "in gray": right(asked.mean(1, keepdim=True).expand(-1, 3, -1, -1)),
    }

    figure, axes = plt.subplots(2, len(places), figsize=(9.5, 3.1), height_ratios=(3, 1))
    colours = frequent_colours(asked, 2)
    for k, name in enumerate(places):
        axes[0, k].imshow(asked[k * each].permute(1, 2, 0).numpy())
        axes[0, k].set_title(name, loc="center", fontsize=10)
        (*first, share), (*second, rest) = colours[k * each].tolist()
        axes[1, k].bar([0], [1], width=share / (share + rest), align="edge", color=first)
        axes[1, k].bar([share / (share + rest)], [1], width=rest / (share + rest), align="edge", color=second)
        axes[1, k].set(xlim=(0, 1), ylim=(0, 1))
    for cell in axes.flat:
        cell.set_axis_off()
    words = "      ".join(f"{word}: {percent(share, 0)}" for word, share in accuracy.items())
    figure.supxlabel(f"right, by two colours       {words}", fontsize=10)

    chance = 1 / len(places)
    return Found(
        figure,
        {f"right of {len(labels)} crops, {word}": f"{percent(share)}" for word, share in accuracy.items()}
        | {"by chance": f"{percent(chance)}"},
        {
            "two colours identify most places": accuracy["unchanged"] > 3 * chance,
            "at half the brightness, at most half as many": accuracy["at half the brightness"]
            <= accuracy["unchanged"] / 2,
            "in gray, or with red and blue exchanged, at most two thirds as many": max(
                accuracy["in gray"], accuracy["red and blue exchanged"]
            )
            <= accuracy["unchanged"] * 2 / 3,
        },
    )


if __name__ == "__main__":
    raise SystemExit(main(study))
