"""Dropout keeps a network that is too large for its data from growing sure of it.

Each unit is left out of half the steps, so that none may rely on another. The network then fits the training images
less well and the held-out ones better.

Source: Srivastava et al. 2014, JMLR 15, sections 1 and 6. On few images of Fashion-MNIST, with far more weights than
pixels.
"""

import numpy as np
import torch

from clearsight.models.registry import build_model
from gallery import BLUE, ORANGE, Found, clothes, learn, main, plt


def study(short: bool, seed: int) -> Found:
    data = clothes(300, 1000 if short else 3000, seed)
    epochs, width = (30, 256) if short else (40, 512)
    curves = {}
    for share in (0.0, 0.5):
        torch.manual_seed(seed)
        knobs = {"img_size": data.pixels.shape[2], "widths": (width, width), "dropout": share}
        body = build_model("mlp", classes=10, channels=1, **knobs)
        _, trained = learn(body, data, epochs=epochs, lr=0.02, sched="constant", seed=seed, val_every=25)
        curves[share] = trained.history

    figure, axis = plt.subplots()
    for (share, history), colour in zip(curves.items(), (ORANGE, BLUE), strict=True):
        word = f"dropout {share:g}" if share else "no dropout"
        epoch = [line.epoch for line in history]
        axis.plot(epoch, [line.val_loss for line in history], color=colour, label=f"{word}, held out")
        axis.plot(epoch, [line.train_loss for line in history], ":", color=colour, label=f"{word}, training")
    axis.set(xlabel="epoch", ylabel="loss (nats)", yscale="log", ylim=(1e-2, 3))
    axis.set_title(f"{len(data.train)} images, {sum(p.numel() for p in body.parameters()):,} weights")
    axis.legend(fontsize=9)

    last = {share: history[-1] for share, history in curves.items()}
    late = {share: float(np.mean([e.val_loss for e in h[len(h) // 2 :]])) for share, h in curves.items()}
    return Found(
        figure,
        {f"held-out loss, second half, dropout {s:g}": f"{loss:.3f}" for s, loss in late.items()}
        | {f"held-out accuracy, dropout {s:g}": f"{e.val_accuracy:.1%}" for s, e in last.items()}
        | {f"training loss, dropout {s:g}": f"{e.train_loss:.4f}" for s, e in last.items()},
        {
            "with dropout the training images are fitted less well": last[0.5].train_loss > last[0.0].train_loss,
            "and the held-out ones better": late[0.5] < 0.95 * late[0.0],
        },
    )


if __name__ == "__main__":
    raise SystemExit(main(study))
