"""With few training images, a weight penalty of the right strength improves a classifier.

L2 makes all weights small; L1 makes many of them zero, and so shows which pixels matter. The held-out loss has a
minimum over the strength: overfitting to its left, underfitting to its right.

Source: Tibshirani 1996; Ng 2004, Feature selection, L1 vs. L2 regularization; Bishop 2006, section 3.1.4. A linear
classifier on 200 images of Fashion-MNIST.
"""

import numpy as np
import torch

from clearsight.models.zoo import build_model
from clearsight.wording import percent
from gallery import BLUE, ORANGE, Found, class_names, clothes, learn, main, plt

TINY = 0.01
"""A weight below this share of the largest counts as nothing."""


def study(short: bool, seed: int) -> Found:
    data = clothes(200, 200 if short else 4000, seed)
    strengths = (1e-4, 0.05, 5.0) if short else tuple(np.logspace(-4, 1, 11))
    losses, sparse, templates = {}, {}, {}
    for kind in ("l2", "l1"):
        for strength in strengths:
            torch.manual_seed(seed)
            body = build_model("linear", classes=10, channels=1, img_size=data.pixels.shape[2])
            penalty = {"weight_decay": strength} if kind == "l2" else {"l1": strength / 10}
            how = {"epochs": 10 if short else 400, "lr": 0.01, "opt": "adam", "last": True, "seed": seed}
            _, trained = learn(body, data, batch=200, **how, **penalty)
            losses[kind, strength] = trained.history[-1].val_loss
            templates[kind, strength] = body.templates()[:, 0]
            w = templates[kind, strength].abs()
            sparse[kind, strength] = float((w < TINY * w.max()).float().mean())

    figure = plt.figure(figsize=(9, 4.2))
    left, right = figure.subfigures(1, 2, width_ratios=(1.1, 1))
    axis = left.subplots()
    best = {}
    for kind, colour in (("l2", BLUE), ("l1", ORANGE)):
        axis.plot(strengths, [losses[kind, s] for s in strengths], "o-", color=colour, label=kind.upper())
        best[kind] = min(strengths, key=lambda s: losses[kind, s])
    axis.set(xscale="log", xlabel="strength (of L1: a tenth)", ylabel="held-out loss (nats)")
    axis.legend()
    for row, kind in zip(right.subplots(2, 4), ("l2", "l1"), strict=True):
        for digit, cell in enumerate(row):
            t = templates[kind, best[kind]][digit].numpy()
            cell.imshow(t, cmap="RdBu_r", vmin=-np.abs(t).max(), vmax=np.abs(t).max())
            cell.set_axis_off()
            cell.set_title(f"{class_names()[digit]}, {kind.upper()}", fontsize=9, loc="center")

    weakest, strongest = strengths[0], strengths[-1]
    valley = all(losses[k, best[k]] < min(losses[k, weakest], losses[k, strongest]) for k in best)
    return Found(
        figure,
        {f"held-out loss, {k} {s:.2g}": f"{losses[k, s]:.3f}" for k in best for s in (weakest, best[k], strongest)}
        | {f"zero weights, best {k}": f"{percent(sparse[k, best[k]], 0)}" for k in best},
        {
            "for both penalties the best strength lies between the extremes": valley,
            "L1 sets twice as many weights to zero as L2": sparse["l1", best["l1"]] > 2 * sparse["l2", best["l2"]],
        },
    )


if __name__ == "__main__":
    raise SystemExit(main(study))
