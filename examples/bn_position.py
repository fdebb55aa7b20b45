"""Whether batch normalisation comes before or after the activation matters less than whether it is used at all.

The paper puts it before, so that the activation sees a signal of mean 0; others found it slightly better after, so that
the next layer does. Here either is better than none.

Source: Ioffe, Szegedy 2015, arXiv:1502.03167, section 3.2; Mishkin, Sergievskiy, Matas 2017, arXiv:1606.02228,
section 3.2. On the digits, with a chain of seven convolutions (ResNet-8 without its shortcuts).
"""

import numpy as np
import torch

from clearsight.models.zoo import build_model
from gallery import BLUE, GRAY, ORANGE, Found, digits, learn, main, plain_log, plt

PLACES = {
    "before": {"norm_position": "before"}, "after": {"norm_position": "after"}, "none": {"norm": False},
}  # fmt: skip


def study(short: bool, seed: int) -> Found:
    data = digits(200 if short else 600, seed, held=100 if short else 500)
    seeds, epochs, width = (2, 2, 4) if short else (3, 8, 16)
    losses = {place: [] for place in PLACES}
    for number in range(seed, seed + seeds):
        for place, model_args in PLACES.items():
            torch.manual_seed(number)
            body = build_model("resnet8", classes=10, channels=1, img_size=8, residual=False, width=width, **model_args)
            _, trained = learn(body, data, epochs=epochs, lr=0.05, seed=number, batch=25, last=True)
            losses[place].append(trained.history[-1].val_loss)

    figure, axis = plt.subplots()
    for level, (place, colour) in enumerate(zip(PLACES, (BLUE, ORANGE, GRAY), strict=True)):
        axis.scatter(losses[place], [level] * seeds, color=colour, s=60, alpha=0.7)
        axis.plot([np.mean(losses[place])] * 2, [level - 0.25, level + 0.25], color=colour, linewidth=3)
    axis.set_yticks(range(3), ["before the activation", "after it", "no normalisation"])
    axis.set(xlabel="held-out loss (nats); a dot for each seed, a bar for the mean", xscale="log", ylim=(2.6, -0.6))
    axis.grid(False, axis="y")
    plain_log(axis.xaxis)

    mean = {place: float(np.mean(values)) for place, values in losses.items()}
    between = abs(np.log(mean["before"] / mean["after"]))
    gained = np.log(mean["none"] / max(mean["before"], mean["after"]))
    return Found(
        figure,
        {f"held-out loss, {place}": f"{np.mean(v):.3f} ± {np.std(v, ddof=1):.3f}" for place, v in losses.items()},
        {
            "either position is better than none, for every seed": all(
                max(b, a) < n for b, a, n in zip(*losses.values(), strict=True)
            ),
            "normalising gains more, as a ratio of losses, than the choice of position": gained > between,
        },
    )


if __name__ == "__main__":
    raise SystemExit(main(study))
