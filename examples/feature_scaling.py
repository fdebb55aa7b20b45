"""Features on different scales make gradient descent slow; standardised features need a fraction of the steps.

The number of steps grows with the condition number of the Hessian, the ratio of its largest to its smallest curvature:
the rate must stay below 2 over the largest curvature, so progress along the smallest is slow. Here a logistic
regression distinguishes ones and fives by two features: the amount of ink (0 to 255), and the asymmetry of the image (0
to 1).

Source: LeCun, Bottou, Orr, Müller 1998, Efficient BackProp, section 4.3; the features are those of Abu-Mostafa,
Magdon-Ismail, Lin 2012, Learning From Data, example 3.1.
"""

import numpy as np

from gallery import BLUE, ORANGE, Found, digits, main, plt

RIDGE = 1e-2
"""A little weight decay, so that there is one best place even for separable classes."""


def study(short: bool, seed: int) -> Found:
    data = digits(seed=seed)
    chosen = np.isin(data.labels, (1, 5))
    images, y = data.pixels[chosen, 0].astype(float), np.where(data.labels[chosen] == 1, 1.0, -1.0)
    ink = images.mean((1, 2))
    lopsided = np.abs(images - images[:, :, ::-1]).mean((1, 2)) / 255
    raw = np.stack([ink, lopsided], 1) - [ink.mean(), lopsided.mean()]
    scaled = raw / raw.std(0)
    most = 2000 if short else 20_000

    def loss(w, x):
        return np.logaddexp(0, -y * (x @ w)).mean() + RIDGE / 2 * w @ (w / unit)

    def gradient(w, x):
        return -(x.T @ (y / (1 + np.exp(y * (x @ w))))) / len(y) + RIDGE * w / unit

    steps, paths, conditions = {}, {}, {}
    for name, x in (("raw", raw), ("scaled", scaled)):
        unit = x.var(0) ** -1  # the same penalty in both, so that both have the same best answers
        hessian = x.T @ x / (4 * len(y)) + RIDGE * np.diag(1 / unit)  # at w = 0, where the logistic bends most
        curvatures = np.linalg.eigvalsh(hessian)
        conditions[name] = curvatures[-1] / curvatures[0]
        w, path = np.zeros(2), []
        while len(path) < most and (not path or np.linalg.norm(gradient(w, x) * np.sqrt(unit)) > 1e-4):
            path.append(w.copy())
            w = w - gradient(w, x) / curvatures[-1]
        paths[name], steps[name] = np.array(path), len(path)

    figure, axes = plt.subplots(1, 2, figsize=(9, 4.2))
    for axis, (name, x), colour in zip(axes, (("raw", raw), ("scaled", scaled)), (ORANGE, BLUE), strict=True):
        unit, path = x.var(0) ** -1, paths[name]
        low, high = path.min(0), path.max(0)
        room = 0.35 * (high - low) + 1e-9
        grid = [np.linspace(a, b, 60) for a, b in zip(low - room, high + room, strict=True)]
        values = [[loss(np.array([a, b]), x) for a in grid[0]] for b in grid[1]]
        axis.contour(*grid, values, levels=15, colors="#b9bec4", linewidths=0.8)
        axis.plot(*path.T, ".-", color=colour, markersize=4, linewidth=1)
        ended = "" if steps[name] < most else ", not converged"
        axis.set_title(f"{name} features: {steps[name]:,} steps{ended}")
        axis.set(xlabel="weight of ink", ylabel="weight of asymmetry")
        axis.grid(False)

    return Found(
        figure,
        {f"condition number, {name}": f"{value:,.1f}" for name, value in conditions.items()}
        | {f"steps, {name}": f"{value:,}" for name, value in steps.items()},
        {
            "the condition number is a thousand times larger for raw features": conditions["raw"]
            > 1000 * conditions["scaled"],
            "scaled features need less than a tenth of the steps": steps["scaled"] < steps["raw"] / 10,
        },
    )


if __name__ == "__main__":
    raise SystemExit(main(study))
