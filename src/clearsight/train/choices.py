"""Values that options of training may have, each with its line of help."""

from __future__ import annotations

import sys
from typing import Any

TASKS = {
    "auto": "inferred from the labels: names, several names in one cell, or numbers",
    "classification": "one class per image",
    "multilabel": "any number of labels per image",
    "regression": "numbers, angles, or a direction in the plane",
    "ordinal": "one of several ordered grades",
    "hierarchy": "one class per image, or a parent of it in a tree of classes if the class is uncertain",
    "anomaly": "whether an image is an anomaly, trained only on normal images",
}

ANOMALIES = {
    "auto": "chosen on the normal images",
    "knn": "distance to the nearest normal images, by features of the whole image",
    "mahalanobis": "Mahalanobis distance under one Gaussian of these features",
    "padim": "a Gaussian for each position in the image [Defard 2020]",
    "patchcore": "distance of each patch to the nearest stored normal patch [Roth 2022]",
}

LOSSES = {
    "cross-entropy": "negative log probability of the true class",
    "bce": "binary cross-entropy of each class, summed",
    "focal": "cross-entropy weighted by (1 - p)^2, which gives confident predictions little weight",
    "hinge": "multi-class hinge: the true class needs a margin of 1",
    "kl": "Kullback-Leibler divergence of the output from the target",
    "mse": "squared distance of the outputs from the one-hot target, mean over classes",
}

NUMBER_LOSSES = {
    "huber": "squared error for small errors, absolute error for large ones",
    "gaussian-nll": "negative log likelihood of a normal distribution whose variance the network predicts",
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
    "nesterov": "SGD with Nesterov momentum",
    "adagrad": "learning rates decrease with the sum of squared gradients",
    "adadelta": "learning rates from moving averages of gradients and steps",
    "rmsprop": "learning rates from a moving average of squared gradients",
    "adam": "momentum combined with RMSProp; weight decay as L2",
    "adamw": "Adam with decoupled weight decay",
    "radam": "Adam with rectified first steps",
    "adabelief": "Adam with learning rates from the deviation of gradients from their average",
    "muon": "momentum with orthogonalised steps of the weight matrices",
    "lars": "momentum with a learning rate per layer, for large batches",
    "lbfgs": "quasi-Newton with line search; needs large batches",
    "armijo": "SGD with an Armijo line search in each step",
}


WITHOUT_MOMENTUM = ("gd", "sgd", "adagrad", "adadelta", "rmsprop", "lbfgs", "armijo")
"""Optimisers without momentum, for which --momentum has no effect."""


SCHEDULES = {
    "constant": "constant learning rate",
    "step": "a tenth of the rate after half of the run, a hundredth after three quarters",
    "exponential": "exponential decrease to a thousandth",
    "cosine": "half a cosine, decreasing to zero",
    "one-cycle": "increase for a quarter of the run, then decrease almost to zero",
    "plateau": "a tenth of the rate whenever validation has not improved for a third of --patience",
}


AUGMENTATIONS = {
    "none": "no augmentation",
    "light": "small shifts, rotations and scalings",
    "strong": "mirror, stronger light, colour and erase",
    "mirror": "flip left to right, for half of the images",
    "flip": "flip left to right and top to bottom",
    "crop": "a random crop, resized to the input size",
    "affine": "rotation, shift and scaling",
    "perspective": "random change of perspective",
    "colour": "brightness, contrast, saturation",
    "noise": "Gaussian noise",
    "blur": "Gaussian blur",
    "erase": "a square erased",
    "rand": "RandAugment: two random changes per image",
}


INITIALISATIONS = {
    "xavier": "for tanh and sigmoid [Glorot 2010]",
    "he": "for ReLU [He 2015]",
    "uniform": "uniform in +-1 / sqrt(fan in) [Glorot 2010, equation 1]",
    "orthogonal": "orthonormal rows [Saxe 2013]",
}
