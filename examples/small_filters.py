"""Two 3x3 convolutions have the receptive field of one 5x5, and three that of one 7x7, with fewer weights.

Between C maps, 2 · 9 C² weights stand against 25 C², and 27 C² against 49 C²; and each layer adds a rectifier.

Source: Simonyan, Zisserman 2014, arXiv:1409.1556, section 2.3. Weights and receptive fields are those of Clearsight's
anatomy, checked by the pixels that a unit's gradient reaches; then both kinds of networks are trained on Fashion-MNIST.
"""

import torch
from torch import nn

from clearsight.models.anatomy import anatomy
from clearsight.wording import percent
from gallery import BLUE, ORANGE, Found, clothes, learn, main, plt

WIDTH = 16
STACKS = {"one 5x5": (5,), "two 3x3": (3, 3), "one 7x7": (7,), "three 3x3": (3, 3, 3)}


def stack(sides: tuple[int, ...], between: type[nn.Module] = nn.Identity) -> nn.Sequential:
    convolutions = ((nn.Conv2d(WIDTH, WIDTH, p, padding=p // 2, bias=False), between(WIDTH), nn.ReLU()) for p in sides)
    return nn.Sequential(*(layer for group in convolutions for layer in group))


class Classifier(nn.Module):
    """Patches of 4x4 pixels, the stack with normalisation, and a dense layer on the means of its maps."""

    def __init__(self, sides: tuple[int, ...]) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, WIDTH, 4, stride=4)
        self.stack = stack(sides, nn.BatchNorm2d)
        self.last = nn.Linear(WIDTH, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.stack(self.first(x)).mean((2, 3)))


def study(short: bool, seed: int) -> Found:
    data = clothes(200 if short else 4000, 100 if short else 2000, seed)
    weights, seen, reached = {}, {}, {}
    for name, sides in STACKS.items():
        body = anatomy(stack(sides), img_size=28, channels=WIDTH)
        weights[name], field = body.parameters, body.receptive_field
        linear = nn.Sequential(*(m for m in stack(sides) if isinstance(m, nn.Conv2d)))  # no unit is off
        x = torch.randn(1, WIDTH, 15, 15, requires_grad=True)
        (gradient,) = torch.autograd.grad(linear(x)[0, 0, 7, 7], x)
        side = int((gradient[0].abs().sum(0) > 0).any(0).sum())
        seen[name] = (field, side)
        torch.manual_seed(seed)
        _, trained = learn(Classifier(sides), data, epochs=1 if short else 8, lr=0.05, batch=32, seed=seed, last=True)
        reached[name] = trained.history[-1].val_accuracy

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.8))
    colours = (ORANGE, BLUE, ORANGE, BLUE)
    for axis, values, words in (
        (axes[0], weights, "{:,.0f}"), (axes[1], {k: 100 * v for k, v in reached.items()}, "{:.1f} %"),
    ):  # fmt: skip
        bars = axis.barh(list(values), list(values.values()), color=colours, height=0.6)
        axis.bar_label(bars, [words.format(v) for v in values.values()], padding=4)
        axis.invert_yaxis()
        axis.margins(x=0.2)
        axis.grid(False, axis="y")
    axes[0].set(xlabel=f"weights between {WIDTH} maps", title="the same field of view, 5 and 7 pixels")
    axes[1].set(xlabel="held-out accuracy (%)", title="as the middle of a small network")

    return Found(
        figure,
        {f"{name}: weights, receptive field": f"{weights[name]:,}, {seen[name][0]} pixels" for name in STACKS}
        | {f"{name}: held-out accuracy": f"{percent(value)}" for name, value in reached.items()},
        {
            "the receptive fields are 5, 5, 7 and 7, and gradients reach exactly that far": list(seen.values())
            == [(5, 5), (5, 5), (7, 7), (7, 7)],
            "two 3x3 need 18/25 of the weights of one 5x5": weights["two 3x3"] * 25 == weights["one 5x5"] * 18,
            "three 3x3 need 27/49 of the weights of one 7x7": weights["three 3x3"] * 49 == weights["one 7x7"] * 27,
            "with small filters the networks are no worse, within three points": reached["two 3x3"]
            > reached["one 5x5"] - 0.03
            and reached["three 3x3"] > reached["one 7x7"] - 0.03,
        },
    )


if __name__ == "__main__":
    raise SystemExit(main(study))
