"""Features learned from photographs transfer well to other photographs, but less well to other kinds of images.

A network trained on ImageNet gives features at every depth. On a few other photographs, a linear classifier of features
is far more accurate than a small network trained from random weights. On another kind of images, few or many, the small
network is more accurate, and far cheaper to run.

Source: Yosinski et al. 2014, arXiv:1411.1792; the four quadrants are those of Karpathy's CS231n notes, Transfer
learning. EfficientNet-Lite0 with ImageNet's weights, at the depth that cross-validation on the training images
prefers; crops of six photographs (similar), and scikit-learn's digits (different).
"""

import numpy as np
import torch
from skimage import data as pictures
from sklearn.datasets import load_sample_image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.nn import functional as F

from clearsight.models.base import capture
from clearsight.models.network import frozen
from clearsight.models.pretrained import imagenet_network
from clearsight.models.zoo import build_model
from clearsight.tasks import Classification
from clearsight.train.loop import Examples
from clearsight.wording import percent
from gallery import BLUE, GRAY, ORANGE, Found, digits, learn, main, percent_axis, plt

DEPTHS = {"in the middle": "blocks.2", "last": "bn2"}


def photographs(count: int, held: int, seed: int) -> Examples:
    """160x160 pixels at half size: to learn from, of the left halves of six photographs; held out, of the right."""
    rng = np.random.default_rng(seed)
    photos = [pictures.rocket(), pictures.coffee(), pictures.chelsea(), pictures.astronaut(),
              load_sample_image("china.jpg"), load_sample_image("flower.jpg")]  # fmt: skip
    task = Classification(("rocket", "coffee", "chelsea", "astronaut", "china", "flower"))
    labels = np.arange(count + held) % len(photos)
    crops = []
    for number, label in enumerate(labels):
        photo = photos[label]
        half = photo.shape[1] // 2
        top = rng.integers(0, photo.shape[0] - 160)
        left = rng.integers(0, half - 160) + (half if number >= count else 0)
        crops.append(photo[top : top + 160 : 2, left : left + 160 : 2])
    rows = np.arange(len(labels))
    weights = np.ones(len(labels), np.float32)
    return Examples(np.stack(crops).transpose(0, 3, 1, 2), labels, weights, rows[:count], rows[count:], task)


def features(data: Examples) -> dict[str, np.ndarray]:
    """Averages over the positions of the maps at each depth (N, D), from images of 80x80 pixels."""
    network, found = imagenet_network()[0], {word: [] for word in DEPTHS}
    x = torch.from_numpy(data.pixels).float() / 255
    with frozen(network), torch.no_grad():
        for part in x.split(50):
            with capture(network, [f"body.{layer}" for layer in DEPTHS.values()]) as seen:
                network(F.interpolate(part.expand(-1, 3, -1, -1), 80, mode="bilinear"))
            for word, layer in DEPTHS.items():
                found[word].append(seen[f"body.{layer}"].mean((2, 3)))
    return {word: torch.cat(parts).numpy() for word, parts in found.items()}


def study(short: bool, seed: int) -> Found:
    held = 100 if short else 300
    amounts = {"little": 30, "more": 150 if short else 600}
    reached, taken = {}, {}
    for kind in ("similar", "different"):
        most = amounts["more"]
        whole = photographs(most, held, seed) if kind == "similar" else digits(most, seed, held)
        described = features(whole)
        for amount, count in amounts.items():
            rows = whole.train[:count]
            preferred = []
            for word, x in described.items():
                head = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
                folds = KFold(5, shuffle=True, random_state=seed)
                preferred.append(cross_val_score(head, x[rows], whole.labels[rows], cv=folds).mean())
                head.fit(x[rows], whole.labels[rows])
                reached[kind, amount, word] = float(head.score(x[whole.val], whole.labels[whole.val]))
            taken[kind, amount] = tuple(DEPTHS)[int(np.argmax(preferred))]  # of equals the earlier depth
            torch.manual_seed(seed)
            channels, size = whole.pixels.shape[1:3]
            body = build_model(
                "resnet8", classes=whole.classes, channels=channels, img_size=size, patch=5 if size > 8 else 1
            )
            part = Examples(whole.pixels, whole.labels, whole.weights, rows, whole.val, whole.task)
            epochs = 2 if short else (60 if amount == "little" else 15)
            _, trained = learn(body, part, epochs=epochs, lr=0.05, batch=32, seed=seed, last=True)
            reached[kind, amount, "from scratch"] = trained.history[-1].val_accuracy

    figure, axes = plt.subplots(2, 2, figsize=(9, 5), sharex=True, sharey=True)
    words = (*DEPTHS, "from scratch")
    for row, kind in zip(axes, ("similar", "different"), strict=True):
        relation = {"similar": "similar to photographs", "different": "different from them"}[kind]
        for axis, amount in zip(row, amounts, strict=True):
            values = [reached[kind, amount, word] for word in words]
            bars = axis.barh(words, values, color=(BLUE, ORANGE, GRAY), height=0.6)
            axis.bar_label(bars, [f"{percent(v, 0)}" for v in values], padding=4)
            axis.set(title=f"{amount} data ({amounts[amount]}), {relation}", xlim=(0, 1.12), ylim=(2.6, -0.6))
            axis.grid(False, axis="y")
            percent_axis(axis.xaxis)
    figure.supxlabel("held-out accuracy: linear classifier on features, and a small residual network", fontsize=10)

    ahead = {
        key: reached[*key, depth] - reached[*key, "from scratch"] for key, depth in taken.items()
    }  # in accuracy, of features over a network from scratch, on the same images
    return Found(
        figure,
        {f"{kind}, {amount}, {word}": f"{percent(value)}" for (kind, amount, word), value in reached.items()}
        | {
            f"{kind}, {amount}, features ahead by": f"{100 * value:+.1f} points, {taken[kind, amount]}"
            for (kind, amount), value in ahead.items()
        },
        {
            "few similar images: features beat a network from scratch": ahead["similar", "little"] > 0.05,
            "few different images: the network from scratch beats features": ahead["different", "little"] < 0,
            "more similar images: features are no worse than from scratch, within a point": ahead["similar", "more"]
            >= -0.01,
            "more different images: the network from scratch beats features": ahead["different", "more"] < 0,
        },
    )


if __name__ == "__main__":
    raise SystemExit(main(study))
