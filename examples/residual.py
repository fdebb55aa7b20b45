"""Without shortcuts, a network of 56 layers trains worse than one of 20 layers; with shortcuts, it does not.

The deeper plain network could represent the shallow one with identity layers in between, but gradient descent does not
find this. It is worse on the training images themselves, so this is not overfitting.

Source: He, Zhang, Ren, Sun 2015, arXiv:1512.03385, sections 1 and 4.2, figure 6. There on CIFAR-10, here on digits of
8x8 pixels and with Adam; the networks are the paper's, with batch normalisation.
"""

import torch

from clearsight.models.zoo import build_model
from gallery import BLUE, ORANGE, Found, digits, learn, main, plt

MARGIN, NEAR = 1.5, 0.05
"""Times a loss from which it counts as worse."""


def study(short: bool, seed: int) -> Found:
    data = digits(150 if short else 700, seed, held=100)
    epochs, batch, model_args = (2, 50, {"width": 4}) if short else (8, 50, {})
    losses = {}
    for name in ("plain20", "plain56", "resnet20", "resnet56"):
        torch.manual_seed(seed)
        body = build_model(name, classes=10, channels=1, img_size=8, **model_args)
        _, trained = learn(body, data, epochs=epochs, lr=0.003, opt="adam", seed=seed, batch=batch)
        losses[name] = [epoch.train_loss for epoch in trained.history]

    figure, axes = plt.subplots(1, 2, sharey=True)
    for axis, family, title in zip(axes, ("plain", "resnet"), ("without shortcuts", "with shortcuts"), strict=True):
        for depth, colour in (("20", BLUE), ("56", ORANGE)):
            axis.plot(range(1, epochs + 1), losses[family + depth], color=colour, label=f"{depth} layers")
        axis.set(title=title, xlabel="epoch")
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.legend()
    axes[0].set_ylabel("training loss (nats)")

    last = {name: values[-1] for name, values in losses.items()}
    return Found(
        figure,
        {f"training loss of {name}": f"{value:.3f}" for name, value in last.items()},
        {
            f"without shortcuts the deeper network has at least {MARGIN:g} times the loss": last["plain56"]
            > MARGIN * last["plain20"],
            f"with shortcuts the deeper one's loss is higher by less than {NEAR:g} nats, if at all": last["resnet56"]
            < last["resnet20"] + NEAR,
            f"and lower than that of the plain deep network by a factor of {MARGIN:g}": last["resnet56"] * MARGIN
            < last["plain56"],
        },
    )


if __name__ == "__main__":
    raise SystemExit(main(study))
