"""A numerical gradient confirms the analytic one, if the step size is neither too large nor too small.

The error of a one-sided difference is of order h, that of a central one of order h². For small h rounding dominates, as
two nearly equal losses are subtracted: the error curve is V-shaped, and the best h is about the cube root of the
rounding error. An incorrect backward pass is off by percents at every h that confirms a correct one.

Source: Nocedal, Wright 2006, Numerical Optimization, section 8.1; the checks of layers are those of
`clearsight.diagnosis.check_gradients`. A network of sigmoids on the digits, in float64.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional as F

from clearsight.diagnosis.gradient_check import check_gradients
from clearsight.models.zoo import build_model
from clearsight.wording import percent
from gallery import BLUE, GRAY, ORANGE, PLUM, Found, digits, main, plt, tensors

STEPS = np.logspace(-13, 0, 40)


class Wrong(torch.autograd.Function):
    """A square whose backward pass forgets a twentieth of the slope."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, gradient):
        return 1.9 * ctx.saved_tensors[0] * gradient


class Square(torch.nn.Module):
    """The first ten pixels squared, with a right or a wrong backward pass."""

    def __init__(self, square: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.square = square

    def forward(self, x):
        return self.square(x.flatten(1))[:, :10]


def central(loss: Callable[[float], float], slope: float) -> np.ndarray:
    """Relative errors of a slope, by central differences of a loss at each of the steps."""
    return np.array([abs((loss(h) - loss(-h)) / (2 * h) / slope - 1) for h in STEPS])


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

    true, here = float(analytic.norm()), loss_at(0.0)
    errors = {
        "one-sided": np.array([abs((loss_at(h) - here) / h / true - 1) for h in STEPS]),
        "central": central(loss_at, true),
    }
    loss_at(0.0)

    pixels = torch.rand(x[:4].shape, dtype=x.dtype).requires_grad_()
    squares = {"right": Square(torch.square), "wrong": Square(Wrong.apply)}
    slopes = {
        name: torch.autograd.grad(F.cross_entropy(square(pixels), labels[:4]), pixels)[0]
        for name, square in squares.items()
    }
    way = slopes["right"] / slopes["right"].norm()

    def squared_at(step: float) -> float:
        with torch.no_grad():
            return float(F.cross_entropy(squares["right"](pixels + step * way), labels[:4]))

    off = {name: central(squared_at, float((slope * way).sum())) for name, slope in slopes.items()}

    lenet = build_model("lenet5", classes=10, channels=1, img_size=8, width=2)
    whole = check_gradients(lenet, x[:2].float(), labels[:2], F.cross_entropy, per_tensor=2 if short else 8)
    broken = check_gradients(squares["wrong"], x[:4].float(), labels[:4], F.cross_entropy, per_tensor=2)

    figure, axis = plt.subplots()
    axis.loglog(STEPS, errors["one-sided"], color=ORANGE, label="one-sided difference")
    axis.loglog(STEPS, errors["central"], color=BLUE, label="central difference")
    axis.loglog(STEPS, off["wrong"], color=PLUM, linestyle="--", label="central, incorrect backward pass")
    axis.axhline(1e-4, color=GRAY, linestyle=":", label="tolerance of the check")
    axis.set(
        xlabel="h, the step in weights (in pixels for the incorrect pass)", ylabel="relative error", ylim=(1e-13, 10)
    )
    axis.legend(ncol=2, fontsize=9)

    power = {
        name: np.polyfit(np.log(STEPS[-9:-2]), np.log(values[-9:-2] + 1e-300), 1)[0] for name, values in errors.items()
    }
    best = STEPS[np.argmin(errors["central"])]
    confirms = off["right"] < 1e-4
    return Found(
        figure,
        {f"the error grows as h to the power, {name}": f"{value:.2f}" for name, value in power.items()}
        | {
            "best h, central": f"{best:.1e}, with an error of {errors['central'].min():.1e}",
            "largest error in LeNet-5": f"{whole.worst.error:.1e} of {len(whole.rows)} tensors",
            "error of the incorrect backward pass in the check": f"{percent(broken.worst.error)}",
            f"and at the {confirms.sum()} h that confirm the right one": (
                f"{percent(off['wrong'][confirms].min())} to {percent(off['wrong'][confirms].max())}"
            ),
        },
        {
            "the error of one-sided differences is of order h": abs(power["one-sided"] - 1) < 0.1,
            "that of central differences is of order h squared": abs(power["central"] - 2) < 0.1,
            "both errors grow if h is tiny": min(values[0] for values in errors.values())
            > 100 * errors["central"].min(),
            "every layer of LeNet-5 passes": whole.ok,
            "the incorrect backward pass fails": not broken.ok,
            "at every h that confirms the correct one its error is several percent": confirms.sum() > 10
            and off["wrong"][confirms].min() > 0.02,
        },
    )


if __name__ == "__main__":
    raise SystemExit(main(study))
