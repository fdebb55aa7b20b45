"""A task that only tests know: how many bright spots an image shows, learned with a Poisson loss."""

from dataclasses import dataclass

import numpy as np
from torch import nn

from clearsight.tasks import Task
from clearsight.tasks.task import Training, Words


def poisson(outputs, target):
    """minus the log likelihood of counts, less a constant: e^z - t z"""
    return (outputs.exp() - target * outputs).mean(1)


class Rates(nn.Module):
    def forward(self, outputs):
        return outputs.exp(), outputs


@dataclass(frozen=True)
class Counts(Task):
    """Outputs are logarithms of rates."""

    names: tuple[str, ...]

    name = "counts"
    words_used = Words(data="count columns", names=("count", "counts"))
    training = Training(head="regression", losses={"poisson": poisson})
    probabilistic = False
    output_names = ("rates", "outputs")

    def head_targets(self, encoded):
        return np.log(encoded.astype(np.float64) + 0.5)

    def activation(self):
        return Rates()


def spotted(count, seed=0):
    """Noise with up to five bright spots: (N, 16, 16), and how many (N,)."""
    rng = np.random.default_rng(seed)
    images, spots = rng.integers(0, 60, (count, 16, 16)).astype(np.uint8), rng.integers(0, 6, count)
    for image, n in zip(images, spots, strict=True):
        for place in rng.choice(16, n, replace=False):
            y, x = 4 * (place // 4), 4 * (place % 4)
            image[y : y + 3, x : x + 3] = 255
    return images, spots
