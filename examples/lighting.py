"""If each image is normalised to mean 0 and standard deviation 1, a dark and a bright copy are the same to the network.

Light multiplies pixels, a haze adds to them: a x + b. Normalised by its own mean and deviation, an image loses both a
and b. Normalisation by numbers of the training set keeps them, and so do pixels in [0, 1] or [-1, 1]; networks trained
so have seen no such light, and fail in the dark.

Source: LeCun, Bottou, Orr, Müller 1998, Efficient BackProp, section 4.3; Jarrett et al. 2009, What is the best
multi-stage architecture, on contrast normalisation. On Fashion-MNIST, or the digits where it is not installed.
"""

import numpy as np
import torch
from torch import nn

from clearsight.data.loader import to_float
from clearsight.models.network import InputLayer
from clearsight.models.zoo import build_model
from clearsight.wording import percent
from gallery import BLUE, GRAY, ORANGE, PLUM, Found, clothes, main, percent_axis, plt

LIGHT = {"as it is": (1, 0), "dim": (0.5, 0), "dark": (0.2, 0), "haze": (0.5, 0.5), "bright haze": (0.3, 0.7)}
"""What becomes of a pixel x from 0 to 1: a x + b."""


def study(short: bool, seed: int) -> Found:
    data = clothes(600 if short else 3000, 500 if short else 2000, seed)
    x, labels = to_float(data.pixels[data.train]), torch.from_numpy(data.labels[data.train])
    held, truth = to_float(data.pixels[data.val]), data.labels[data.val]
    mean, deviation = float(x.mean()), float(x.std())
    inputs = {
        "[0, 1]": InputLayer([0.0], [1.0]),
        "[-1, 1]": InputLayer([0.5], [0.5]),
        "training set": InputLayer([mean], [deviation]),
        "each image": InputLayer([0.0], [1.0], "image"),
    }
    accuracy, moved = {}, {}
    for name, layer in inputs.items():
        torch.manual_seed(seed)
        network = nn.Sequential(layer, build_model("lenet5", classes=10, channels=1, img_size=x.shape[2]))
        epochs, batch = (1, 50) if short else (5, 50)
        steps = epochs * (len(x) // batch)
        optimiser = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        network.train()
        for _ in range(epochs):
            for rows in torch.randperm(len(x)).split(batch)[: len(x) // batch]:
                optimiser.zero_grad()
                nn.functional.cross_entropy(network(x[rows]), labels[rows]).backward()
                optimiser.step()
                schedule.step()
        network.eval()
        with torch.no_grad():
            plain = network(held)
            for light, (a, b) in LIGHT.items():
                logits = network(a * held + b)
                accuracy[name, light] = float((logits.argmax(1).numpy() == truth).mean())
                moved[name, light] = float((logits - plain).abs().max())

    figure = plt.figure(figsize=(10.5, 4.4))
    grid = figure.add_gridspec(3, 7, width_ratios=(1, 1, 1, 1, 1, 0.2, 6))
    one = held[1:2]
    for k, (light, (a, b)) in enumerate(LIGHT.items()):
        for j, name in enumerate(("[0, 1]", "training set", "each image")):
            axis = figure.add_subplot(grid[j, k])
            seen = inputs[name](a * one + b)[0, 0].numpy()
            axis.imshow(seen, vmin=(0, -1, -1)[j], vmax=(1, 2.5, 2.5)[j])
            axis.set(xticks=[], yticks=[])
            axis.grid(False)
            if j == 0:
                axis.set_title(light, fontsize=9, loc="center")
            if k == 0:
                axis.set_ylabel(name, fontsize=9)
    axis = figure.add_subplot(grid[:, 6])
    for name, colour in zip(inputs, (GRAY, PLUM, ORANGE, BLUE), strict=True):
        axis.plot(list(LIGHT), [accuracy[name, light] for light in LIGHT], "o-", color=colour, label=name)
    axis.set(ylim=(0, 1), ylabel="held-out accuracy")
    percent_axis(axis.yaxis)
    axis.legend(title="normalised by", loc="lower left")

    changed = [light for light in LIGHT if light != "as it is"]
    others = [name for name in inputs if name != "each image"]
    lost = {n: np.mean([accuracy[n, "as it is"] - accuracy[n, light] for light in changed]) for n in inputs}
    return Found(
        figure,
        {f"held-out accuracy, {n}": ", ".join(f"{percent(accuracy[n, light])}" for light in LIGHT) for n in inputs}
        | {"largest change of a logit, each image": f"{max(moved['each image', light] for light in changed):.2g}"},
        {
            "as the images are, they differ by less than ten points": np.ptp([accuracy[n, "as it is"] for n in inputs])
            < 0.1,
            "normalised each by itself, other light costs less than a point": max(
                abs(accuracy["each image", "as it is"] - accuracy["each image", light]) for light in changed
            )
            < 0.01,
            "otherwise it costs ten points on average": all(lost[n] > 0.1 for n in others),
        },
    )


if __name__ == "__main__":
    raise SystemExit(main(study))
