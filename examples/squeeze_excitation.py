"""Squeeze-and-excitation adds almost no multiply-adds, and its gates separate the classes in deep layers.

A block's maps are averaged, two small dense layers turn the averages into a gate between 0 and 1 for each map. In
ResNet-50 that adds a tenth of the weights and less than a thousandth of the multiply-adds, counted in convolutions and
dense layers, without the averages and the products with the gates. Later gates differ more from class to class than
early ones.

Source: Hu, Shen, Albanie, Sun, Wu 2018, arXiv:1709.01507, table 2 and section 7.2. Costs from the networks
themselves; gates of a ResNet-20 trained on the digits.
"""

import numpy as np
import torch

from clearsight.models.anatomy import anatomy
from clearsight.models.layers import SqueezeExcitation
from clearsight.models.zoo import build_model
from clearsight.wording import percent
from gallery import BLUE, ORANGE, Found, digits, learn, main, plt, tensors


def study(short: bool, seed: int) -> Found:
    plain, gated = anatomy("resnet50"), anatomy("seresnet50")
    more_weights = gated.parameters / plain.parameters - 1
    more_work = gated.multiply_adds / plain.multiply_adds - 1

    data = digits(200 if short else 1200, seed, held=200 if short else 500)
    torch.manual_seed(seed)
    body = build_model("resnet20", classes=10, channels=1, img_size=8, se=True, width=16)
    _, trained = learn(body, data, epochs=1 if short else 12, lr=0.05, seed=seed)
    body.eval()
    x, labels = tensors(data, data.val)
    seen = []
    blocks = [m for m in body.modules() if isinstance(m, SqueezeExcitation)]
    hooks = [m.gate.register_forward_hook(lambda m, i, out: seen.append(out.flatten(1))) for m in blocks]
    with torch.no_grad():
        body(x)
    for hook in hooks:
        hook.remove()
    classes = [torch.stack([g[labels == k].mean(0) for k in range(10)]) for g in seen]  # (10, maps) a block
    between = [float(c.var(0).mean()) for c in classes]
    within = [float(np.mean([g[labels == k].var(0).mean() for k in range(10)])) for g in seen]
    share = [b / (b + w) for b, w in zip(between, within, strict=True)]

    figure, axes = plt.subplots(1, 2, figsize=(10, 4), width_ratios=(1, 1.3))
    axes[0].plot(range(1, len(share) + 1), share, "o-", color=BLUE)
    axes[0].set(
        xlabel="block, counted from the image", ylabel="share of the gates' variance between classes", ylim=(0, 1)
    )
    drawn = axes[1].imshow(classes[-1].numpy(), aspect="auto", cmap="viridis", vmin=0, vmax=1)
    axes[1].set(xlabel="map of the last block", ylabel="digit", yticks=range(10), title="mean gate")
    axes[1].grid(False)
    figure.colorbar(drawn, ax=axes[1])
    axes[0].axhline(np.mean(share[:3]), color=ORANGE, linestyle=":", label="mean of the first three blocks")
    axes[0].legend()

    return Found(
        figure,
        {
            "SE-ResNet-50: weights": f"+{percent(more_weights)}",
            "multiply-adds of convolutions and dense layers": f"+{percent(more_work, 2)}",
            "held-out accuracy of the gated ResNet-20": f"{percent(trained.best.val_accuracy)}",
            "share between classes, first three blocks": f"{np.mean(share[:3]):.2f}",
            "share between classes, last three blocks": f"{np.mean(share[-3:]):.2f}",
        },
        {
            "gates add about a tenth to the weights": 0.08 < more_weights < 0.12,
            "and less than a thousandth to the multiply-adds": more_work < 1e-3,
            "late gates separate classes better than early ones": np.mean(share[-3:]) > np.mean(share[:3]) + 0.1,
        },
    )


if __name__ == "__main__":
    raise SystemExit(main(study))
