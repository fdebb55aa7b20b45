"""A decaying learning rate reaches a lower loss than a constant one.

A large rate makes fast progress at first, but its steps are too large to converge: the loss keeps fluctuating above the
minimum. With every schedule that ends near zero, it converges.

Source: Robbins, Monro 1951, conditions on the steps; Loshchilov, Hutter 2017, arXiv:1608.03983 (cosine); Smith, Topin
2018, arXiv:1708.07120 (one-cycle). On Fashion-MNIST, one hidden layer, batches of 16; the schedules are those of
training.
"""

import numpy as np
import torch

from clearsight.models.zoo import build_model
from clearsight.train.schedules import rate_factor
from clearsight.wording import percent
from gallery import GRAY, Found, clothes, learn, main, plt

SCHEDULES = ("constant", "step", "exponential", "cosine", "one-cycle")


def study(short: bool, seed: int) -> Found:
    data = clothes(300 if short else 3000, 100 if short else 1000, seed)
    epochs, chosen = (3, ("constant", "cosine", "one-cycle")) if short else (12, SCHEDULES)
    histories = {}
    for sched in chosen:
        torch.manual_seed(seed)
        body = build_model("mlp", classes=10, channels=1, img_size=data.pixels.shape[2], widths=(128,))
        how = {"epochs": epochs, "lr": 0.2, "batch": 16, "opt": "sgd", "sched": sched}
        _, trained = learn(body, data, seed=seed, **how)
        histories[sched] = trained.history

    figure, axes = plt.subplots(1, 2, figsize=(9, 4.2))
    progress = np.linspace(0, 1, 200)
    colours = dict(zip(SCHEDULES, (GRAY, "#3f7f4f", "#8f4a78", "#0b62a4", "#a84a08"), strict=True))
    for sched, history in histories.items():
        axes[0].plot(progress * epochs, [rate_factor(sched, p) for p in progress], color=colours[sched], label=sched)
        axes[1].plot([e.epoch for e in history], [e.train_loss for e in history], color=colours[sched])
    axes[0].set(xlabel="epoch", ylabel="share of the largest rate")
    axes[1].set(xlabel="epoch", ylabel="training loss (nats)")
    axes[0].legend()

    last = {sched: history[-1] for sched, history in histories.items()}
    return Found(
        figure,
        {f"training loss in the last epoch, {s}": f"{e.train_loss:.3f}" for s, e in last.items()}
        | {f"held-out accuracy, {s}": f"{percent(e.val_accuracy)}" for s, e in last.items()},
        {
            f"{sched} ends with a lower loss than constant": last[sched].train_loss < last["constant"].train_loss
            for sched in last
            if sched != "constant"
        },
    )


if __name__ == "__main__":
    raise SystemExit(main(study))
