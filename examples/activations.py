"""Each activation has a closed-form derivative, confirmed numerically; the sigmoid's is σ (1 - σ), at most 1/4.

A layer multiplies the gradient on its way back by this slope. That of a sigmoid or a tanh vanishes on both sides,
where the unit is saturated; that of a rectifier is 1 wherever it is on and 0 elsewhere, where a leaky one keeps a
little; GELU and SiLU are smooth rectifiers, whose slopes exceed 1 and fall below 0. A central difference of step h is
off by h², but for a kink, where there is no derivative.

Source: LeCun, Bottou, Orr, Müller 1998, Efficient BackProp, section 4.4; Maas, Hannun, Ng 2013, Rectifier
nonlinearities; Hendrycks, Gimpel 2016, arXiv:1606.08415. Mathematics, so no images; the activations are those
of the zoo, in float64.
"""

import numpy as np
import torch
from scipy.stats import norm

from clearsight.models.layers import activation
from gallery import BLUE, ORANGE, Found, main, plt

STEP, REACH = 1e-5, 6.0


def sigma(x):
    return 1 / (1 + np.exp(-x))


FORMULAS = {
    "sigmoid": lambda x: sigma(x) * (1 - sigma(x)),
    "tanh": lambda x: 1 - np.tanh(x) ** 2,
    "relu": lambda x: (x > 0).astype(float),
    "leaky_relu": lambda x: np.where(x > 0, 1, 0.01),
    "elu": lambda x: np.where(x > 0, 1, np.exp(x)),
    "relu6": lambda x: ((x > 0) & (x < 6)).astype(float),
    "silu": lambda x: sigma(x) * (1 + x * (1 - sigma(x))),
    "gelu": lambda x: norm.cdf(x) + x * norm.pdf(x),
}
"""The derivatives by hand."""


def study(short: bool, seed: int) -> Found:
    rng = np.random.default_rng(seed)
    x = np.sort(rng.uniform(-REACH - 1, REACH + 1, 200 if short else 2000))
    x = x[np.minimum(abs(x), abs(x - 6)) > 2 * STEP]  # a step away from the kinks
    drawn = np.linspace(-REACH, REACH, 401)
    errors, by_hand, slopes = {}, {}, {}
    figure, axes = plt.subplots(2, 4, figsize=(10.5, 4.8), sharex=True)
    for axis, (name, formula) in zip(axes.flat, FORMULAS.items(), strict=True):
        layer = activation(name)

        def value(at, layer=layer):
            return layer(torch.from_numpy(at)).numpy()

        point = torch.from_numpy(x).requires_grad_()
        (slope,) = torch.autograd.grad(layer(point).sum(), point)
        difference = (value(x + STEP) - value(x - STEP)) / (2 * STEP)
        errors[name] = float(abs(formula(x) - difference).max())
        by_hand[name] = float(abs(formula(x) - slope.numpy()).max())
        slopes[name] = formula(drawn)
        axis.plot(drawn, value(drawn), color=BLUE, label=name)
        axis.plot(drawn, slopes[name], color=ORANGE, label="its derivative", linewidth=1.5)
        axis.set(title=name, ylim=(-1.2, 2.2))
    axes[0, 0].legend(["value", "derivative"], loc="upper left", fontsize=9)

    middle = float(FORMULAS["sigmoid"](np.zeros(1))[0])
    far = np.array([-REACH, REACH])
    return Found(
        figure,
        {f"largest difference of formula and differences, {name}": f"{e:.1e}" for name, e in errors.items()}
        | {"slope of a sigmoid at 0, and at 6": f"{middle:.4f}, {FORMULAS['sigmoid'](far)[1]:.4f}"},
        {
            "differences confirm every formula to 1e-8": max(errors.values()) < 1e-8,
            "so does backpropagation to 1e-12": max(by_hand.values()) < 1e-12,
            "σ' is 1/4 at 0 and less elsewhere": middle == 0.25 and slopes["sigmoid"].max() <= 0.25,
            "sigmoid and tanh saturate: a slope below 1/100 at -6 and 6": max(
                FORMULAS[name](far).max() for name in ("sigmoid", "tanh")
            )
            < 0.01,
            "GELU and SiLU have slopes above 1 and below 0": all(
                slopes[name].max() > 1 and slopes[name].min() < 0 for name in ("gelu", "silu")
            ),
        },
    )


if __name__ == "__main__":
    raise SystemExit(main(study))
