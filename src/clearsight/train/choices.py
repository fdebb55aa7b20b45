"""Values that options of training may have, each with its line of help."""

from __future__ import annotations

import sys
from typing import Any

TASKS = {
    "auto": "what the labels are: names, several names in one cell, or numbers",
    "classification": "one class per image",
    "multilabel": "any number of labels per image",
    "regression": "numbers, angles, or a direction in the plane",
    "ordinal": "one of several ordered grades",
    "hierarchy": "one class per image, or a parent of it in a tree of classes where the class is uncertain",
    "anomaly": "whether an image is unlike normal ones, learned from those alone",
}

ANOMALIES = {
    "auto": "decided from the images, before any anomaly is seen",
    "knn": "distance to the nearest normal images, by features of the whole image",
    "mahalanobis": "distance under one Gaussian of these features",
    "padim": "a Gaussian for each place of the image [Defard 2020]",
    "patchcore": "distance of each patch to the nearest of a memory of normal patches [Roth 2022]",
}

LOSSES = {
    "cross-entropy": "negative log probability of the true class",
    "bce": "binary cross-entropy of each class, summed",
    "focal": "cross-entropy that forgets what is easy: (1 - p)^2 weighs each image",
    "hinge": "multi-class hinge: the true class must lead by a margin of 1",
    "kl": "Kullback-Leibler divergence of the output from the target",
    "mse": "squared distance of the outputs from the one-hot target, mean over classes",
}

NUMBER_LOSSES = {
    "huber": "squared distance where it is small, absolute where it is large",
    "gaussian-nll": "the network says its own variance: minus log likelihood of a normal distribution",
}
"""Losses for numbers alone, beside mse."""


def known_tasks() -> dict[str, str]:
    """The tasks, with what each predicts.

    Returns:
        Lines of help by name, including tasks that are registered besides the built-in ones.
    """
    return TASKS | {task.name: task.words_used.data for task in _registered() if task.name not in TASKS}


def known_losses() -> dict[str, str]:
    """The losses, with what each is.

    Returns:
        Lines of help by name, including losses of tasks that are registered besides the built-in ones.
    """
    known = LOSSES | NUMBER_LOSSES
    own = {
        name: (loss.__doc__ or name).splitlines()[0]
        for task in _registered()
        for name, loss in task.training.losses.items()
    }
    return known | {name: words.partition("\n")[0] for name, words in own.items() if name not in known}


def _registered() -> tuple[Any, ...]:
    """Tasks registered by now; options are often parsed before `clearsight.tasks`, and PyTorch with it, is loaded."""
    registry = sys.modules.get("clearsight.tasks.registry")
    return registry.registered_tasks() if registry else ()


OPTIMISERS = {
    "gd": "gradient descent on all training images at once",
    "sgd": "stochastic gradient descent, no momentum",
    "momentum": "SGD with momentum",
    "nesterov": "SGD with momentum that looks ahead",
    "adagrad": "rates shrink with the sum of squared gradients",
    "adadelta": "rates from running averages of gradients and steps",
    "rmsprop": "rates from a running average of squared gradients",
    "adam": "momentum and RMSProp together; weight decay as L2",
    "adamw": "Adam with decoupled weight decay",
    "radam": "Adam whose first steps are rectified",
    "adabelief": "Adam whose rates follow the deviation of gradients from their average",
    "muon": "momentum whose steps move every direction of a weight matrix alike",
    "lars": "momentum with a rate per layer, for large batches",
    "lbfgs": "quasi-Newton with line search; takes large batches",
    "armijo": "SGD whose rate each step is found by Armijo line search",
}


WITHOUT_MOMENTUM = ("gd", "sgd", "adagrad", "adadelta", "rmsprop", "lbfgs", "armijo")
"""Optimisers without momentum, for which --momentum has no effect."""


SCHEDULES = {
    "constant": "the same rate throughout",
    "step": "a tenth of it after half the run, a hundredth after three quarters",
    "exponential": "the same factor every step, down to a thousandth",
    "cosine": "half a cosine down to zero",
    "one-cycle": "up for a quarter of the run, then down to nearly zero",
    "plateau": "a tenth of it whenever validation has not got better for a third of --patience",
}


AUGMENTATIONS = {
    "none": "no adversarial examples",
    "light": "shift, turn, zoom a little",
    "strong": "mirror, then more of light, colour and erasing",
    "mirror": "left to right, every other image",
    "flip": "left to right and top to bottom",
    "crop": "a random part, enlarged to the input size",
    "affine": "turn, shift, zoom",
    "perspective": "seen from another side",
    "colour": "brightness, contrast, saturation",
    "noise": "Gaussian noise",
    "blur": "Gaussian blur",
    "erase": "a square painted over",
    "rand": "RandAugment: two random changes per image",
}


INITIALISATIONS = {
    "xavier": "for tanh and sigmoid [Glorot 2010]",
    "he": "for ReLU [He 2015]",
    "uniform": "what was common before [Glorot 2010, equation 1]",
    "orthogonal": "orthonormal rows [Saxe 2013]",
}
