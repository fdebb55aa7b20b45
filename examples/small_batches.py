"""Batch normalisation needs sixteen images per batch or more; with fewer, its statistics are noisy and accuracy falls.

In training each batch is normalised by its own mean and variance, in use by averages of these. The fewer images, the
further a batch is from the average, as 1 / √n. A network without normalisation does not mind small batches, as long
as the rate is in proportion.

Source: Ioffe, Szegedy 2015, arXiv:1502.03167; Wu, He 2018, arXiv:1803.08494, figure 1. Multilayer perceptrons on the
digits; for half as many images the rate is half as large, and the number of epochs stays.
"""

import numpy as np
import torch
from torch import nn

from clearsight.models.zoo import build_model
from clearsight.wording import percent
from gallery import BLUE, ORANGE, PLUM, Found, digits, learn, main, percent_axis, plain_log, plt, tensors

PER_IMAGE = 0.1 / 64
"""The rate, for each image of a batch."""


def study(short: bool, seed: int) -> Found:
    data = digits(300 if short else 600, seed)
    sizes, epochs = ((2, 16), 1) if short else ((2, 4, 16, 64), 6)
    accuracy, away = {}, {}
    for norm in (True, False):
        for size in sizes:
            torch.manual_seed(seed)
            body = build_model("mlp", classes=10, channels=1, img_size=8, widths=(64, 64), norm=norm)
            how = {"epochs": epochs, "batch": size, "lr": PER_IMAGE * size, "seed": seed, "last": True}
            _, trained = learn(body, data, **how)
            accuracy[norm, size] = trained.history[-1].val_accuracy
            if norm:
                away[size] = _distance(body, tensors(data, data.train)[0], size, seed)

    figure, axes = plt.subplots(1, 2, figsize=(9, 4))
    for norm, colour in ((True, BLUE), (False, ORANGE)):
        line = [accuracy[norm, size] for size in sizes]
        axes[0].plot(sizes, line, "o-", color=colour, label="batch normalisation" if norm else "none")
    axes[0].set(xlabel="images in a batch", ylabel="held-out accuracy", xscale="log")
    axes[1].plot(sizes, list(away.values()), "o-", color=PLUM, label="measured")
    axes[1].plot(
        sizes, [away[sizes[-1]] * np.sqrt(sizes[-1] / n) for n in sizes], "--", color="#7a8490", label="1 / √n"
    )
    axes[1].set(xlabel="images in a batch", ylabel="mean of a batch, off by (deviations)", xscale="log", yscale="log")
    percent_axis(axes[0].yaxis)
    for axis in axes:
        plain_log(axis.xaxis)
        axis.legend()

    full, least = sizes[-1], sizes[0]
    lost = {norm: accuracy[norm, full] - accuracy[norm, least] for norm in (True, False)}
    return Found(
        figure,
        {
            f"held-out accuracy, {'with' if norm else 'without'} normalisation, {size} a batch": f"{percent(share)}"
            for (norm, size), share in accuracy.items()
        }
        | {f"mean of {size} images, off by": f"{value:.2f} deviations" for size, value in away.items()},
        {
            "a mean of 2 images is off by twice as much as one of 16, or more": away[least] >= 2 * away[16],
            "with batch normalisation, two images a batch cost three points or more": lost[True] >= 0.03,
            "without it they cost two points less": lost[False] <= lost[True] - 0.02,
            "from 16 images on batch normalisation loses less than two points": accuracy[True, full]
            - accuracy[True, 16]
            < 0.02,
        },
    )


@torch.no_grad()
def _distance(body: nn.Module, x: torch.Tensor, size: int, seed: int) -> float:
    """By how many deviations a batch's mean of a unit, in the first normalisation, is off (root mean square)."""
    seen = []
    layer = next(module for module in body.modules() if isinstance(module, nn.BatchNorm1d))
    handle = layer.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    body.eval()(x)
    handle.remove()
    (values,) = seen
    rows = torch.randperm(len(values), generator=torch.Generator().manual_seed(seed))[: len(values) // size * size]
    means = values[rows].view(-1, size, values.shape[1]).mean(1)
    return float((((means - values.mean(0)) / values.std(0).clamp_min(1e-6)) ** 2).mean().sqrt())


if __name__ == "__main__":
    raise SystemExit(main(study))
