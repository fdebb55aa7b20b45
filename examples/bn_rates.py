"""Batch normalisation allows much larger learning rates.

Without it, a step that is too large makes the next activations too large, and the loss explodes. With it, the scale of
the weights does not affect the output of a layer, so large steps do no harm.

Source: Ioffe, Szegedy 2015, arXiv:1502.03167, sections 3.3 and 4.2; Bjorck et al. 2018, arXiv:1806.02375. On the
digits, with a VGG-like chain of seven convolutions (ResNet-8 without its shortcuts).
"""

import torch

from clearsight.models.zoo import build_model
from clearsight.wording import percent
from gallery import BLUE, ORANGE, Found, accuracy_or_chance, digits, main, percent_axis, plt

LEARNS = 0.6
"""Held-out accuracy from which a rate counts as one that works."""


def study(short: bool, seed: int) -> Found:
    data = digits(200 if short else 500, seed, held=100 if short else 500)
    rates = (0.1, 1.0) if short else (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
    epochs, batch = 2 if short else 8, 20
    reached = {}
    for norm in (True, False):
        for rate in rates:
            torch.manual_seed(seed)
            model_args = {"residual": False, "norm": norm, "width": 4 if short else 16}
            body = build_model("resnet8", classes=10, channels=1, img_size=8, **model_args)
            how = {"epochs": epochs, "lr": rate, "opt": "sgd", "sched": "constant", "batch": batch, "seed": seed}
            reached[norm, rate] = accuracy_or_chance(body, data, **how)

    figure, axis = plt.subplots()
    for norm, colour, word in ((True, BLUE, "with batch normalisation"), (False, ORANGE, "without")):
        axis.plot(rates, [reached[norm, r] for r in rates], "o-", color=colour, label=word)
    axis.axhline(0.1, color="#7a8490", linewidth=1, linestyle=":")
    axis.text(rates[0], 0.115, "guessing", color="#7a8490", fontsize=9)
    axis.set(xscale="log", xlabel="learning rate", ylabel=f"held-out accuracy after {epochs} epochs", ylim=(0, 1.02))
    percent_axis(axis.yaxis)
    axis.legend()

    largest = {norm: max((r for r in rates if reached[norm, r] > LEARNS), default=0.0) for norm in (True, False)}
    return Found(
        figure,
        {f"held-out accuracy at {r:g}, {'with' if n else 'without'}": f"{percent(v)}" for (n, r), v in reached.items()}
        | {"largest rate that works, with": f"{largest[True]:g}", "and without": f"{largest[False]:g}"},
        {
            "with normalisation, a rate of 1 works": largest[True] >= 1,
            "without it, only rates at least three times smaller work": 0 < largest[False] < 1 / 3,
        },
    )


if __name__ == "__main__":
    raise SystemExit(main(study))
