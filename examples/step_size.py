"""Gradient descent on a quadratic converges at rates below 2/M and diverges above, M being the largest curvature.

A step of rate a multiplies the error along an eigenvector of the Hessian by 1 - a h, h its eigenvalue. All errors
shrink if and only if a < 2/M. The quadratic is real: the squared error of a linear classifier on the digits. M is found
by Lanczos iteration, from products of the Hessian with vectors alone.

Source: Nesterov 2004, Introductory Lectures on Convex Optimization, section 1.2.3; LeCun, Bottou, Orr, Müller 1998,
Efficient BackProp, section 5.
"""

import numpy as np

from clearsight.derivatives.curvature import largest_curvature
from clearsight.derivatives.objective import Objective
from clearsight.models.zoo import build_model
from gallery import BLUE, GRAY, ORANGE, PLUM, Found, digits, main, plt, tensors


def study(short: bool, seed: int) -> Found:
    data = digits(300 if short else 1200, seed)
    x, labels = tensors(data, data.train)
    network = build_model("linear", classes=10, channels=1, img_size=8)
    vary = tuple(name for name, _ in network.named_parameters())
    loss = Objective(network.double(), x.numpy(), labels.numpy(), vary, 10, loss="mse", batch=2000)
    start = loss.weights
    found = largest_curvature(lambda v: loss.hessian_vector(start, v), len(start), tolerance=1e-6)
    bound, steps = 2 / found.largest, 60 if short else 200

    curves = {}
    for share in (0.1, 0.5, 0.98, 1.02):
        w, curve = start.clone(), []
        for _ in range(steps):
            curve.append(loss.at(w)[0])
            w -= share * bound * loss.gradient(w)
        curves[share] = np.array(curve)

    figure, axis = plt.subplots()
    for (share, curve), colour in zip(curves.items(), (GRAY, BLUE, PLUM, ORANGE), strict=True):
        axis.plot(curve, color=colour, label=f"{share:g} of 2/M")
    axis.set(xlabel="step", ylabel="mean squared error", yscale="log", ylim=(curves[0.5].min() * 0.8, 30))
    axis.set_title(f"a linear classifier on the digits: M = {found.largest:.3f}, 2/M = {bound:.3f}")
    axis.legend(title="rate")

    x1 = np.hstack([x.flatten(1).double().numpy(), np.ones((len(x), 1))])
    direct = 2 / 10 * np.linalg.eigvalsh(x1.T @ x1 / len(x1))[-1]  # of the mean over ten outputs
    return Found(
        figure,
        {
            "M by Lanczos, and by eigendecomposition": f"{found.largest:.6f}, {direct:.6f}",
            "products with the Hessian needed": f"{found.steps}",
            **{f"loss after {steps} steps at {share:g} of 2/M": f"{c[-1]:.4g}" for share, c in curves.items()},
        },
        {
            "both methods find the same M": abs(found.largest / direct - 1) < 1e-4,
            "below 2/M the loss falls at every step": all(
                (np.diff(curves[s]) <= 1e-12).all() for s in (0.1, 0.5, 0.98)
            ),
            "2 % above it the loss grows in the end": curves[1.02][-1] > 2 * curves[1.02].min(),
        },
    )


if __name__ == "__main__":
    raise SystemExit(main(study))
