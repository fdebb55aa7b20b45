"""With batch normalisation, the scale of the weights only changes the effective learning rate.

BN(a W x) = BN(W x): weights scaled by a give the same outputs, and gradients scaled by 1/a. So training from weights
scaled by a, at a rate scaled by a², is the same step by step; and growing weights lower the effective rate, rate /
|W|², by themselves.

Source: Ioffe, Szegedy 2015, arXiv:1502.03167, section 3.3; van Laarhoven 2017, arXiv:1706.05350, section 2. On the
digits; in float64 and with the normalisation's epsilon near 0, as both statements are exact without it.
"""

import copy

import numpy as np
import torch
from torch.nn import functional as F

from clearsight.models.zoo import build_model
from gallery import BLUE, GRAY, ORANGE, Found, digits, main, plt, tensors


def study(short: bool, seed: int) -> Found:
    data = digits(500, seed)
    x, labels = tensors(data, data.train[:128])
    x, steps = x.double(), 15 if short else 60
    torch.manual_seed(seed)
    network = build_model("resnet8", classes=10, channels=1, img_size=8, width=8, residual=False).double()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = 1e-30
    kernels = [name for name, p in network.named_parameters() if p.ndim == 4]  # every convolution has a norm behind it

    answers, gradients, curves = {}, {}, {}
    for scale in (0.1, 1.0, 10.0):
        grown = copy.deepcopy(network)
        own = dict(grown.named_parameters())
        with torch.no_grad():
            for name in kernels:
                own[name].mul_(scale)
        groups = [
            {"params": [own[name] for name in kernels], "lr": 0.05 * scale**2},
            {"params": [p for name, p in own.items() if name not in kernels], "lr": 0.05},
        ]
        optimiser, curves[scale] = torch.optim.SGD(groups), []
        for step in range(steps):
            logits = grown(x)
            loss = F.cross_entropy(logits, labels)
            optimiser.zero_grad()
            loss.backward()
            if step == 0:
                answers[scale] = logits.detach()
                gradients[scale] = float(torch.cat([own[name].grad.flatten() for name in kernels]).norm())
            optimiser.step()
            curves[scale].append(float(loss.detach()))

    figure, axes = plt.subplots(1, 2)
    axes[0].plot(list(gradients), list(gradients.values()), "o-", color=BLUE)
    axes[0].set(xscale="log", yscale="log", xlabel="all kernels multiplied by", ylabel="norm of the gradient")
    axes[0].set_title("first step")
    for (scale, curve), colour, wide in zip(curves.items(), (GRAY, BLUE, ORANGE), (7, 4, 1.5), strict=True):
        axes[1].plot(curve, color=colour, linewidth=wide, label=f"weights × {scale:g}, rate × {scale**2:g}")
    axes[1].set(xlabel="step", ylabel="training loss (nats)", title="three runs, one curve")
    axes[1].legend()

    apart = max(float((answers[s] - answers[1.0]).abs().max()) for s in answers)
    slope = np.log(gradients[10.0] / gradients[0.1]) / np.log(100)
    drift = max(abs(a - b) for s in curves for a, b in zip(curves[s][:15], curves[1.0][:15], strict=True))
    return Found(
        figure,
        {
            "largest difference of logits between scales": f"{apart:.1e}",
            "gradient over scale, slope of the logarithms": f"{slope:.6f}",
            "largest difference of losses in 15 steps": f"{drift:.1e}",
        },
        {
            "the outputs do not depend on the scale": apart < 1e-8,
            "the gradient falls as 1 / scale": abs(slope + 1) < 1e-6,
            "with the rate times its square, training is the same": drift < 1e-6,
        },
    )


if __name__ == "__main__":
    raise SystemExit(main(study))
