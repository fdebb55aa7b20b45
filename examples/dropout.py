"""Dropout reduces the overfitting of a network that is too large for its data, and lowers the held-out loss.

Each unit is left out in half of the steps, so that no unit can rely on another. The network then fits the training
images less well and the held-out loss is lower.

Source: Srivastava et al. 2014, JMLR 15, sections 1 and 6. On few images of Fashion-MNIST, with far more weights than
pixels; all losses are those of the whole network, with dropout switched off.
"""

from dataclasses import replace

import numpy as np
import torch

from clearsight.models.zoo import build_model
from gallery import BLUE, ORANGE, Found, clothes, learn, main, plt


def study(short: bool, seed: int) -> Found:
    data = clothes(300, 200 if short else 3000, seed)
    epochs, width = (6, 64) if short else (40, 512)
    curves, shares = {}, (0.0, 0.5)
    for share in shares:
        model_args = {"img_size": data.pixels.shape[2], "widths": (width, width), "dropout": share}
        for part, rows in (("held out", data.val), ("training", data.train)):  # one training, evaluated on either
            torch.manual_seed(seed)
            body = build_model("mlp", classes=10, channels=1, **model_args)
            how = {"epochs": epochs, "lr": 0.02, "sched": "constant", "seed": seed, "val_every": 25}
            _, trained = learn(body, replace(data, val=rows), **how)
            curves[share, part] = trained.history

    figure, axis = plt.subplots()
    for (share, part), history in curves.items():
        word = f"dropout {share:g}" if share else "no dropout"
        line = {"color": BLUE if share else ORANGE, "linestyle": ":" if part == "training" else "-"}
        axis.plot([e.epoch for e in history], [e.val_loss for e in history], label=f"{word}, {part}", **line)
    axis.set(xlabel="epoch", ylabel="loss (nats)", yscale="log")
    axis.set_title(f"{len(data.train)} images, {sum(p.numel() for p in body.parameters()):,} weights")
    axis.legend(fontsize=9)

    fitted = {share: curves[share, "training"][-1].val_loss for share in shares}
    late = {share: float(np.mean([e.val_loss for e in _second_half(curves[share, "held out"])])) for share in shares}
    return Found(
        figure,
        {f"held-out loss, second half, dropout {s:g}": f"{loss:.3f}" for s, loss in late.items()}
        | {f"training loss, dropout {s:g}": f"{loss:.4f}" for s, loss in fitted.items()},
        {
            "with dropout, the training loss is higher": fitted[0.5] > fitted[0.0],
            "and the held-out loss is lower": late[0.5] < 0.95 * late[0.0],
        },
    )


def _second_half(history):
    return history[len(history) // 2 :]


if __name__ == "__main__":
    raise SystemExit(main(study))
