"""The numerical gradient confirms the analytic one, if its step is neither too long nor too short.

A difference on one side is off by h, a central one by h². Below some h rounding takes over, as two losses that are
nearly alike are subtracted: the error has the shape of a V, and its best h is about the third root of the rounding
error. A backward pass with a mistake is off by percents at every h.

Source: Nocedal, Wright 2006, Numerical Optimization, section 8.1; the checks of layers are those of
`clearsight.diagnose.check_gradients`. A network of sigmoids on the digits, in float64.
"""

import numpy as np
import torch
from torch.nn import functional as F

from clearsight.diagnose.gradient_check import check_gradients
from clearsight.models.registry import build_model
from gallery import BLUE, GRAY, ORANGE, PLUM, Found, digits, main, plt, tensors


class Wrong(torch.autograd.Function):
    """A square whose backward pass forgets a twentieth of the slope."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, gradient):
        return 1.9 * ctx.saved_tensors[0] * gradient


class Broken(torch.nn.Module):
    def forward(self, x):
        return Wrong.apply(x.flatten(1))[:, :10]


def study(short: bool, seed: int) -> Found:
    data = digits(100, seed)
    x, labels = tensors(data, data.train[:8])
    x = x.double()
    torch.manual_seed(seed)
    network = build_model("mlp", classes=10, channels=1, img_size=8, widths=(32,), activation="sigmoid").double()
    weight = network.fc.weight
    (analytic,) = torch.autograd.grad(F.cross_entropy(network(x), labels), weight)
    direction = analytic / analytic.norm()
    own = weight.detach().clone()

    def loss_at(step: float) -> float:
        with torch.no_grad():
            weight.copy_(own + step * direction)
            return float(F.cross_entropy(network(x), labels))

    steps, true = np.logspace(-13, 0, 40), float(analytic.norm())
    here = loss_at(0.0)
    one_sided = np.array([abs((loss_at(h) - here) / h / true - 1) for h in steps])
    central = np.array([abs((loss_at(h) - loss_at(-h)) / (2 * h) / true - 1) for h in steps])
    loss_at(0.0)

    lenet = build_model("lenet5", classes=10, channels=1, img_size=8, width=2)
    whole = check_gradients(lenet, x[:2].float(), labels[:2], F.cross_entropy, per_tensor=2 if short else 8)
    broken = check_gradients(Broken(), x[:4].float(), labels[:4], F.cross_entropy, per_tensor=2)

    figure, axis = plt.subplots()
    axis.loglog(steps, one_sided, color=ORANGE, label="one-sided difference")
    axis.loglog(steps, central, color=BLUE, label="central difference")
    axis.axhline(broken.worst.error, color=PLUM, linestyle="--", label="a wrong backward pass")
    axis.axhline(1e-4, color=GRAY, linestyle=":", label="what the check allows")
    axis.set(xlabel="h, how far the weights are moved", ylabel="relative error", ylim=(1e-13, 10))
    axis.legend(ncol=2, fontsize=9)

    slope = {
        name: np.polyfit(np.log(steps[-9:-2]), np.log(errors[-9:-2] + 1e-300), 1)[0]
        for name, errors in (("one-sided", one_sided), ("central", central))
    }
    best = steps[np.argmin(central)]
    return Found(
        figure,
        {
            "error grows as h to the power, one-sided": f"{slope['one-sided']:.2f}",
            "error grows as h to the power, central": f"{slope['central']:.2f}",
            "best h, central": f"{best:.1e}, with an error of {central.min():.1e}",
            "largest error in LeNet-5": f"{whole.worst.error:.1e} of {len(whole.rows)} tensors",
            "error of the wrong backward pass": f"{broken.worst.error:.1%}",
        },
        {
            "one-sided differences are off by h": abs(slope["one-sided"] - 1) < 0.1,
            "central ones by h squared": abs(slope["central"] - 2) < 0.1,
            "both are worse where h is tiny": min(one_sided[0], central[0]) > 100 * central.min(),
            "every layer of LeNet-5 passes": whole.ok,
            "the wrong backward pass does not": not broken.ok,
        },
    )


if __name__ == "__main__":
    raise SystemExit(main(study))
