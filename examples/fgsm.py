"""A perturbation of 10/255 along the gradient's sign changes predictions that 20/255 in random directions does not.

FGSM moves every pixel by epsilon in the direction of the gradient's sign. The loss is close to linear around an
image, so the small changes of hundreds of pixels add up.

Source: Goodfellow, Shlens, Szegedy 2015, arXiv:1412.6572, sections 3 and 4. On Fashion-MNIST, LeNet-5; pixels from 0
to 1.
"""

import numpy as np
import torch

from clearsight.attacks.gradient import fgsm
from clearsight.data.loader import to_float
from clearsight.models.network import frozen
from clearsight.models.zoo import build_model
from clearsight.wording import percent
from gallery import BLUE, ORANGE, Found, class_names, clothes, learn, main, percent_axis, plt


def study(short: bool, seed: int) -> Found:
    data = clothes(300 if short else 6000, 100 if short else 1000, seed)
    torch.manual_seed(seed)
    body = build_model("lenet5", classes=10, channels=1, img_size=data.pixels.shape[2], norm=True)
    network, _ = learn(body, data, epochs=2 if short else 8, batch=32, lr=0.05, seed=seed, last=True)
    x, labels = to_float(data.pixels[data.val]), torch.from_numpy(data.labels[data.val])
    epsilons = (0, 2, 5, 10, 20) if short else (0, 1, 2, 4, 6, 8, 10, 15, 20)  # gray levels of 255
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed)).sign()
    right = {"FGSM": [], "random signs": []}
    with frozen(network), torch.no_grad():
        for epsilon in epsilons:
            moved = {"FGSM": fgsm(network, x, labels, epsilon / 255), "random signs": x + epsilon / 255 * noise}
            for name, images in moved.items():
                right[name].append(float((network(images.clamp(0, 1)).argmax(1) == labels).float().mean()))
        example = fgsm(network, x, labels, 10 / 255)
        before, after = network(x).softmax(1), network(example).softmax(1)
    turned = (before.argmax(1) == labels) & (after.argmax(1) != labels)
    shown = int(np.argmax((before.max(1).values * after.max(1).values * turned).numpy()))

    figure = plt.figure(figsize=(10, 4))
    left, beside = figure.subfigures(1, 2, width_ratios=(1, 1.15))
    axis = left.subplots()
    for (name, shares), colour in zip(right.items(), (ORANGE, BLUE), strict=True):
        axis.plot(epsilons, shares, "o-", color=colour, label=name)
    axis.set(xlabel="epsilon (gray levels of 255)", ylabel="right", ylim=(0, 1))
    percent_axis(axis.yaxis)
    axis.legend(loc="lower left")
    change, names = example[shown] - x[shown], class_names()
    words = (f"{names[int(before[shown].argmax())]}, {percent(before[shown].max(), 0)}", "the change, times 10",
             f"{names[int(after[shown].argmax())]}, {percent(after[shown].max(), 0)}")  # fmt: skip
    for cell, image, word in zip(
        beside.subplots(1, 3), (x[shown], 0.5 + 10 * change, example[shown]), words, strict=True
    ):
        cell.imshow(image[0].numpy(), vmin=0, vmax=1)
        cell.set_title(word, loc="center", fontsize=10)
        cell.set_axis_off()

    return Found(
        figure,
        {
            f"accuracy at epsilon {epsilon}/255: FGSM, random": f"{percent(a)}, {percent(b)}"
            for epsilon, a, b in zip(epsilons, *right.values(), strict=True)
        },
        {
            "twenty gray levels along the gradient change a third of the correct predictions": right["FGSM"][-1]
            < right["FGSM"][0] * 2 / 3,
            "ten change at least a tenth of them": right["FGSM"][list(epsilons).index(10)] < 0.9 * right["FGSM"][0],
            "twenty in a random direction change fewer than one in twenty": right["random signs"][-1]
            > 0.95 * right["random signs"][0],
        },
    )


if __name__ == "__main__":
    raise SystemExit(main(study))
