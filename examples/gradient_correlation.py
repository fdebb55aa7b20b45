"""With depth, gradients of neighbouring inputs come to resemble white noise; skip connections keep them similar.

The gradient of the output is computed at inputs along a line. In a shallow network neighbours have similar gradients,
like the points of a Brownian path; in a network of fifty normalised layers they are unrelated, so a step that helps one
input need not help the next.

Source: Balduzzi et al. 2017, arXiv:1702.08591, figures 1 and 2. The networks are the paper's, dense, of width 200,
before training, so there are no images.
"""

from clearsight.derivatives.gradient_correlation import KINDS, gradient_correlation
from gallery import BLUE, GRAY, ORANGE, PLUM, Found, main, plt

COLOURS = {"plain": GRAY, "bn": ORANGE, "residual": BLUE, "scaled": PLUM}


def study(short: bool, seed: int) -> Found:
    depths, networks, points = ((2, 50), 2, 64) if short else ((2, 10, 24, 50), 10, 256)
    found = gradient_correlation(depths, networks=networks, points=points, seed=seed)
    near = {(row.kind, row.depth): float(row.autocorrelation[1]) for row in found.rows}
    paths = {(row.kind, row.depth): row.gradients for row in found.rows}

    figure = plt.figure(figsize=(10, 4.2))
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.2))
    axis = left.subplots()
    for kind in KINDS:
        axis.plot(depths, [near[kind, d] for d in depths], "o-", color=COLOURS[kind], label=KINDS[kind])
    axis.axhline(found.brownian[1], color="#c4c8cd", linestyle=":")
    axis.axhline(0, color="#c4c8cd", linestyle=":")
    axis.set(xlabel="hidden layers", ylabel="correlation with the neighbour's gradient", ylim=(-0.1, 1.1))
    axis.legend(fontsize=9, loc="center left", bbox_to_anchor=(0, 0.3))
    for cell, (kind, depth) in zip(
        right.subplots(3, 1, sharex=True), (("bn", 2), ("bn", 50), ("scaled", 50)), strict=True
    ):
        cell.plot(paths[kind, depth], color=COLOURS[kind], linewidth=1)
        cell.set_title(f"{depth} layers, {KINDS[kind]}", fontsize=9)
        cell.set_yticks([])
    cell.set_xlabel("position on the line of inputs")
    right.suptitle("gradients", fontsize=10)

    return Found(
        figure,
        {f"{depth} hidden layers, {KINDS[kind]}": f"{value:.2f}" for (kind, depth), value in near.items()}
        | {"a Brownian path, white noise": f"{found.brownian[1]:.2f}, {found.white[1]:.2f}"},
        {
            "gradients of all shallow networks resemble a Brownian path": min(near[k, 2] for k in KINDS) > 0.85,
            "those of fifty normalised layers resemble white noise": abs(near["bn", 50]) < 0.15,
            "with skip connections, neighbouring gradients stay far more similar": near["residual", 50]
            > near["bn", 50] + 0.2,
            "and even more with small blocks": near["scaled", 50] > near["residual", 50],
        },
    )


if __name__ == "__main__":
    raise SystemExit(main(study))
