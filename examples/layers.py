"""Accuracy rises from one layer to two hidden layers, and again with convolutions.

One layer compares the image with one template a class. Hidden layers combine templates. Convolutions look for the
same small patterns everywhere and put them together.

Source: LeCun, Bottou, Bengio, Haffner 1998, Gradient-based learning applied to document recognition, figure 9, on
MNIST. Here on Fashion-MNIST, which has the same format, is harder, and is available as a Debian package.
"""

import torch

from clearsight.metrics import wilson_interval
from clearsight.models.zoo import build_model
from clearsight.wording import percent
from gallery import BLUE, GRAY, ORANGE, Found, class_names, clothes, learn, main, percent_axis, plt


def study(short: bool, seed: int) -> Found:
    data = clothes(300 if short else 8000, 200 if short else 4000, seed)
    size = data.pixels.shape[2]
    networks = {
        "one layer": ("linear", {}, 0.01, 6),
        "two hidden layers": ("mlp", {"widths": (256, 128)}, 0.05, 10),
        "convolutions": ("lenet5", {"norm": True, "width": 6 if short else 12}, 0.05, 6),
    }
    right, templates = {}, None
    for word, (name, model_args, rate, epochs) in networks.items():
        torch.manual_seed(seed)
        body = build_model(name, classes=10, channels=1, img_size=size, **model_args)
        _, trained = learn(
            body, data, epochs=2 if short else epochs, lr=rate, seed=seed, batch=64, weight_decay=5e-4, last=True
        )
        right[word] = trained.history[-1].val_accuracy
        templates = body.templates()[:, 0].numpy() if name == "linear" else templates
    n = len(data.val)
    spans = {word: wilson_interval(round(share * n), n) for word, share in right.items()}

    figure = plt.figure(figsize=(9.5, 4))
    left, beside = figure.subfigures(1, 2, width_ratios=(1.3, 1))
    axis = left.subplots()
    for level, ((word, share), colour) in enumerate(zip(right.items(), (GRAY, ORANGE, BLUE), strict=True)):
        low, high = spans[word]
        axis.errorbar(share, level, xerr=[[share - low], [high - share]], fmt="o", color=colour, ms=9, capsize=4)
        axis.text(high + 0.004, level, f"{percent(share)}", va="center", color=colour)
    axis.set_yticks(range(3), list(right))
    axis.set(xlabel=f"right of {n:,} held-out images, and the 95 % interval", ylim=(2.6, -0.6))
    percent_axis(axis.xaxis)
    axis.margins(x=0.2)
    axis.grid(False, axis="y")
    beside.suptitle("templates of the single layer", fontsize=10)
    for name, template, cell in zip(class_names(), templates, beside.subplots(2, 5).flat, strict=True):
        most = abs(template).max()
        cell.imshow(template, cmap="RdBu_r", vmin=-most, vmax=most)
        cell.set_title(name, loc="center", fontsize=7)
        cell.set_axis_off()

    one, two, convolutions = right.values()
    return Found(
        figure,
        {
            f"right, {word}": f"{percent(s)}, interval {percent(spans[word][0])} to {percent(spans[word][1])}"
            for word, s in right.items()
        },
        {
            "two hidden layers are more accurate than one layer": two > one,
            "convolutions are even more accurate": convolutions > two,
            "and their interval lies above that of one layer": spans["convolutions"][0] > spans["one layer"][1],
        },
    )


if __name__ == "__main__":
    raise SystemExit(main(study))
