"""A fully trained network is overconfident; dividing its logits by a scalar corrects that and changes no prediction.

Training keeps lowering the loss of images that are already classified correctly, by making logits larger. One
temperature, fitted on images held out, calibrates the probabilities: predictions with a confidence of 80 % are correct
in 80 % of cases.

Source: Guo, Pleiss, Sun, Weinberger 2017, arXiv:1706.04599, sections 2 and 4.2. On Fashion-MNIST; the temperature is
fitted on one half of the held-out images and evaluated on the other.
"""

import torch

from clearsight.calibration.temperature import fit_temperature
from clearsight.data.loader import Images
from clearsight.metrics import accuracy, expected_calibration_error, reliability_bins, softmax
from clearsight.models.zoo import build_model
from clearsight.train.loop import logits_of
from clearsight.wording import percent
from gallery import BLUE, GRAY, ORANGE, Found, clothes, learn, main, percent_axis, plt


def study(short: bool, seed: int) -> Found:
    data = clothes(500 if short else 4000, 400 if short else 6000, seed)
    torch.manual_seed(seed)
    body = build_model("mlp", classes=10, channels=1, img_size=data.pixels.shape[2], widths=(256, 128))
    network, _ = learn(body, data, epochs=5 if short else 40, lr=0.05, seed=seed, last=True)
    half = len(data.val) // 2
    fitted, held_out = data.val[:half], data.val[half:]
    logits = {
        name: logits_of(network, Images(data.pixels), rows, 500).numpy()
        for name, rows in (("fit", fitted), ("test", held_out))
    }
    temperature = fit_temperature(logits["fit"], data.labels[fitted])
    truth = data.labels[held_out]
    probabilities = {
        "before": softmax(logits["test"]),
        f"divided by {temperature:.2f}": softmax(logits["test"], temperature),
    }
    gaps = {name: expected_calibration_error(truth, p) for name, p in probabilities.items()}
    right = [accuracy(truth, p.argmax(1)) for p in probabilities.values()]

    figure, axes = plt.subplots(1, 2, figsize=(9, 4.4), sharey=True)
    for axis, (name, p), colour in zip(axes, probabilities.items(), (ORANGE, BLUE), strict=True):
        bins = [b for b in reliability_bins(truth, p, 10) if b.count >= 10]
        axis.plot([0, 1], [0, 1], ":", color=GRAY)
        axis.vlines(
            [b.confidence for b in bins], [b.confidence for b in bins], [b.accuracy for b in bins], color=colour
        )
        sizes = [20 + 400 * b.count / len(truth) for b in bins]
        axis.scatter([b.confidence for b in bins], [b.accuracy for b in bins], s=sizes, color=colour)
        axis.set(title=f"{name}: ECE {100 * gaps[name]:.1f} points", xlabel="confidence", aspect="equal")
        axis.set(xlim=(0.15, 1.03), ylim=(0.15, 1.03))
        percent_axis(axis.xaxis)
        percent_axis(axis.yaxis)
    axes[0].set_ylabel("share of correct predictions")

    before, after = gaps.values()
    return Found(
        figure,
        {
            "temperature": f"{temperature:.3f}",
            "accuracy, before and after": f"{percent(right[0])}, {percent(right[1])}",
            "expected calibration error, before and after": f"{percent(before, 2)}, {percent(after, 2)}",
        },
        {
            "the network was overconfident: its temperature is above 1": temperature > 1.1,
            "the calibration error falls to less than half": after < 0.5 * before,
            "no prediction changes": right[0] == right[1],
        },
    )


if __name__ == "__main__":
    raise SystemExit(main(study))
