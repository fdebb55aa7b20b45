"""The scale of initial weights matters: signals survive twenty layers with He's weights and vanish with smaller ones.

A rectifier halves the mean square of its input, so weights of variance 2 / inputs preserve it from layer to layer. With
Glorot's rule, which has half that variance, the signal loses a factor of 2 per layer; with the older uniform rule, a
factor of 6.

Source: He et al. 2015, arXiv:1502.01852, section 2.2; Glorot, Bengio 2010; Saxe et al. 2013 for orthogonal weights.
The signals are those of the digits.
"""

import torch

from clearsight.models.initialization import METHODS
from clearsight.models.zoo import build_model
from clearsight.wording import percent
from gallery import Found, digits, learn, main, percent_axis, plt, tensors

DEPTH = 20


def study(short: bool, seed: int) -> Found:
    data = digits(400 if short else 1000, seed, held=100)
    x, _ = tensors(data, data.train[:256])
    epochs = 2 if short else 15
    sizes, curves = {}, {}
    for init in METHODS:
        torch.manual_seed(seed)
        body = build_model("mlp", classes=10, channels=1, img_size=8, widths=(128,) * DEPTH, init=init)
        signal, sizes[init] = x.flatten(1), []
        with torch.no_grad():
            for layer in body.hidden:
                signal = layer(signal)
                sizes[init].append(float(signal.square().mean().sqrt()))
        _, trained = learn(body, data, epochs=epochs, lr=0.02, seed=seed)
        curves[init] = [epoch.train_accuracy for epoch in trained.history]

    figure, axes = plt.subplots(1, 2)
    for init in METHODS:
        axes[0].plot(range(1, DEPTH + 1), sizes[init], label=init)
        axes[1].plot(range(1, epochs + 1), curves[init], label=init)
    axes[0].set(xlabel="layer", ylabel="root mean square of the signal", yscale="log", title="before training")
    axes[1].set(xlabel="epoch", ylabel="training accuracy", ylim=(0, 1.02), title=f"{DEPTH} rectified layers")
    percent_axis(axes[1].yaxis)
    axes[0].legend(loc="lower left")

    factor = {init: (values[-1] / values[4]) ** (2 / (DEPTH - 5)) for init, values in sizes.items()}
    return Found(
        figure,
        {f"mean square, factor per layer, {init}": f"{value:.2f}" for init, value in factor.items()}
        | {f"training accuracy in the last epoch, {init}": f"{percent(c[-1])}" for init, c in curves.items()},
        {
            "with He's weights the signal changes by less than a tenth per layer": abs(factor["he"] - 1) < 0.1,
            "with Glorot's it loses half per layer": abs(factor["xavier"] - 0.5) < 0.1,
            "with the uniform rule it loses five sixths": abs(factor["uniform"] - 1 / 6) < 0.05,
            "with He's and orthogonal weights twenty layers learn": min(curves["he"][-1], curves["orthogonal"][-1])
            > 0.5,
            "with the uniform rule they do not": curves["uniform"][-1] < 0.3,
        },
    )


if __name__ == "__main__":
    raise SystemExit(main(study))
