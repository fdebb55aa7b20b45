"""A deep network does not learn with sigmoid activations, but does with ReLU.

The slope of a sigmoid is at most 1/4, so each layer makes the backpropagated gradient several times smaller. A
rectifier's slope is 1 wherever it is active. With eight hidden layers, the first layer of a sigmoid network gets almost
no gradient.

Source: Glorot, Bordes, Bengio 2011, Deep sparse rectifier neural networks; Bengio, Simard, Frasconi 1994. On the
digits; every network starts from Glorot's weights for sigmoids, from He's for rectifiers.
"""

import torch
from torch.nn import functional as F

from clearsight.models.zoo import build_model
from clearsight.wording import percent
from gallery import BLUE, ORANGE, Found, digits, learn, main, percent_axis, plt, tensors


def study(short: bool, seed: int) -> Found:
    data = digits(300 if short else 1200, seed)
    depths, epochs = ((1, 8), 2) if short else ((1, 2, 4, 6, 8), 20)
    x, labels = tensors(data, data.train[:256])
    reached, gradients = {}, {}
    for activation, init in (("sigmoid", "xavier"), ("relu", "he")):
        for depth in depths:
            torch.manual_seed(seed)
            body = build_model(
                "mlp", classes=10, channels=1, img_size=8, widths=(64,) * depth, activation=activation, init=init
            )
            loss = F.cross_entropy(body(x), labels)
            slopes = torch.autograd.grad(loss, [layer.fc.weight for layer in body.hidden])
            gradients[activation, depth] = [float(g.norm()) for g in slopes]
            _, trained = learn(body, data, epochs=epochs, lr=0.05, seed=seed, last=True)
            reached[activation, depth] = trained.history[-1].val_accuracy

    figure, axes = plt.subplots(1, 2)
    for activation, colour in (("relu", BLUE), ("sigmoid", ORANGE)):
        axes[0].plot(range(1, depths[-1] + 1), gradients[activation, depths[-1]], "o-", color=colour, label=activation)
        axes[1].plot(depths, [reached[activation, d] for d in depths], "o-", color=colour, label=activation)
    axes[0].set(xlabel="hidden layer, counted from the image", ylabel="norm of the gradient", yscale="log")
    axes[0].set_title(f"{depths[-1]} hidden layers, before training")
    axes[1].set(xlabel="hidden layers", ylabel="held-out accuracy", ylim=(0, 1.02), title=f"after {epochs} epochs")
    percent_axis(axes[1].yaxis)
    axes[1].legend(loc="center right")

    deep = depths[-1]
    shrunk = {a: gradients[a, deep][0] / gradients[a, deep][-1] for a in ("sigmoid", "relu")}
    return Found(
        figure,
        {f"gradient, first layer over last, {a}": f"{v:.2g}" for a, v in shrunk.items()}
        | {f"held-out accuracy, {a}, {d} hidden": f"{percent(v)}" for (a, d), v in reached.items()},
        {
            "through eight sigmoids the gradient becomes a thousand times smaller": shrunk["sigmoid"] < 1e-3,
            "through eight rectifiers it stays within a factor of ten": 0.1 < shrunk["relu"] < 10,
            "eight layers of sigmoids learn nothing": reached["sigmoid", deep] < 0.3,
            "eight layers of rectifiers learn": reached["relu", deep] > 0.8,
            "one layer of sigmoids learns": reached["sigmoid", 1] > 0.7,
        },
    )


if __name__ == "__main__":
    raise SystemExit(main(study))
