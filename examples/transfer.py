"""Which features to take over depends on how much data there is and how like photographs it is.

A network trained on photographs gives features at every depth. For few images that are photographs too, a linear
classifier of its last features does best. For few that are not, features from lower down do better than the last.
With many of another kind, a small network trained from random weights catches up.

Source: Yosinski et al. 2014, arXiv:1411.1792; Karpathy's CS231n notes, Transfer learning. EfficientNet-Lite0 with
ImageNet's weights; crops of six photographs (similar), and scikit-learn's digits (different).
"""

import numpy as np
import torch
from skimage import data as pictures
from sklearn.datasets import load_sample_image
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch.nn import functional as F

from clearsight.models.network import LayerOutput
from clearsight.models.pretrained import imagenet_network
from clearsight.models.registry import build_model
from clearsight.train.loop import Examples
from gallery import BLUE, GRAY, ORANGE, Found, digits, learn, main, percent_axis, plt

DEPTHS = {"in the middle": "blocks.2", "last": "bn2"}


def photographs(count: int, held: int, seed: int) -> Examples:
    """Crops of 48x48 pixels: to learn from the left halves of six photographs, held out the right halves."""
    rng = np.random.default_rng(seed)
    photos = [pictures.rocket(), pictures.coffee(), pictures.chelsea(), pictures.astronaut(),
              load_sample_image("china.jpg"), load_sample_image("flower.jpg")]  # fmt: skip
    labels = np.arange(count + held) % len(photos)
    crops = []
    for number, label in enumerate(labels):
        photo = photos[label]
        width = photo.shape[1] // 2
        top, left = rng.integers(0, photo.shape[0] - 96), rng.integers(0, width - 96)
        crops.append(photo[top : top + 96 : 2, (number >= count) * width + left :][:, :96:2])
    pixels = np.stack(crops).transpose(0, 3, 1, 2)
    rows = np.arange(len(labels))
    return Examples(pixels, labels, np.ones(len(labels), np.float32), rows[:count], rows[count:], len(photos))


def features(data: Examples, layer: str, side: int) -> np.ndarray:
    """Averages over the positions of a layer's maps (N, D), images enlarged to `side` pixels."""
    network = LayerOutput(imagenet_network()[0], layer).eval()
    x = torch.from_numpy(data.pixels).float() / 255
    with torch.inference_mode():
        parts = [network(F.interpolate(p.expand(-1, 3, -1, -1), side, mode="bilinear")) for p in x.split(64)]
    return torch.cat(parts).numpy()


def study(short: bool, seed: int) -> Found:
    side, held = (64, 120) if short else (96, 400)
    amounts = {"little": 30, "more": 180 if short else 1000}
    reached = {}
    for kind in ("similar", "different"):
        most = amounts["more"]
        whole = photographs(most, held, seed) if kind == "similar" else digits(most, seed)
        whole = Examples(
            whole.pixels[: most + held], whole.labels[: most + held], whole.weights[: most + held], whole.train,
            whole.val[:held], whole.classes,
        )  # fmt: skip
        taken = {word: features(whole, layer, side) for word, layer in DEPTHS.items()}
        for amount, count in amounts.items():
            rows = whole.train[:count]
            for word, x in taken.items():
                scale = StandardScaler().fit(x[rows])
                head = LogisticRegression(C=0.01, max_iter=2000).fit(scale.transform(x[rows]), whole.labels[rows])
                reached[kind, amount, word] = float(head.score(scale.transform(x[whole.val]), whole.labels[whole.val]))
            torch.manual_seed(seed)
            channels, size = whole.pixels.shape[1:3]
            body = build_model(
                "resnet8", classes=whole.classes, channels=channels, img_size=size, patch=4 if size > 8 else 1
            )
            part = Examples(whole.pixels, whole.labels, whole.weights, rows, whole.val, whole.classes)
            epochs = (40 if amount == "little" else 8) if short else (60 if amount == "little" else 15)
            _, trained = learn(body, part, epochs=epochs, lr=0.05, batch=32, seed=seed, last=True)
            reached[kind, amount, "from scratch"] = trained.history[-1].val_accuracy

    figure, axes = plt.subplots(2, 2, figsize=(9, 5), sharex=True, sharey=True)
    words = (*DEPTHS, "from scratch")
    for row, kind in zip(axes, ("similar", "different"), strict=True):
        for axis, amount in zip(row, amounts, strict=True):
            values = [reached[kind, amount, word] for word in words]
            bars = axis.barh(words, values, color=(BLUE, ORANGE, GRAY), height=0.6)
            axis.bar_label(bars, [f"{v:.0%}" for v in values], padding=4)
            axis.set(
                title=f"{amount} data ({amounts[amount]}), {kind} to photographs", xlim=(0, 1.12), ylim=(2.6, -0.6)
            )
            axis.grid(False, axis="y")
            percent_axis(axis.xaxis)
    figure.supxlabel("held-out accuracy: linear classifier of features, and a small residual network", fontsize=10)

    r = reached
    return Found(
        figure,
        {f"{kind}, {amount}, {word}": f"{value:.1%}" for (kind, amount, word), value in reached.items()},
        {
            "little, similar: the last features beat a network from scratch": r["similar", "little", "last"]
            > r["similar", "little", "from scratch"],
            "little, different: features from the middle beat the last": r["different", "little", "in the middle"]
            > r["different", "little", "last"],
            "more, similar: features still do no worse than from scratch": r["similar", "more", "last"]
            >= r["similar", "more", "from scratch"] - 0.02,
            "more, different: from scratch beats the last features": r["different", "more", "from scratch"]
            > r["different", "more", "last"],
        },
    )


if __name__ == "__main__":
    raise SystemExit(main(study))
