"""Values that options of training may have, each with its line of help."""

from __future__ import annotations

import sys
from typing import Any

TASKS = {
    "auto": "inferred from the labels: class names, several names per cell, or numbers",
    "classification": "one class per image",
    "multilabel": "any number of labels per image",
    "regression": "numbers, angles or 2-D directions",
    "ordinal": "one of several ordered grades",
    "hierarchy": "one class per image from a tree of classes, or a parent class if the prediction is uncertain",
    "anomaly": "whether an image is an anomaly; only normal images are used for training",
}

ANOMALIES = {
    "auto": "the method with the best AUROC on synthetic anomalies (CutPaste); knn if there are several normal classes",
    "knn": "distance to the nearest normal images in the space of whole-image features",
    "mahalanobis": "Mahalanobis distance to a Gaussian fitted to whole-image features",
    "padim": "Mahalanobis distance to one Gaussian per image position [Defard 2020]",
    "patchcore": "distance from each patch to the nearest stored normal patch [Roth 2022]",
}

LOSSES = {
    "cross-entropy": "negative log-likelihood of the true class",
    "bce": "binary cross-entropy, summed over classes",
    "focal": "cross-entropy weighted by (1 - p)^2, which down-weights confident predictions",
    "hinge": "multi-class hinge loss with a margin of 1",
    "kl": "Kullback-Leibler divergence between target and predicted probabilities",
    "mse": "mean squared error between outputs and targets (one-hot for classes)",
}

NUMBER_LOSSES = {
    "huber": "Huber loss: quadratic for small errors, linear for large ones",
    "gaussian-nll": "Gaussian negative log-likelihood, with a variance predicted by the network",
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


NORMALIZATIONS = {
    "auto": "pretrained for published weights, standardize for a network trained from scratch",
    "unit": "0 to 1",
    "symmetric": "-1 to 1",
    "standardize": "mean 0 and standard deviation 1 of each channel over the training images",
    "per-image": "mean 0 and standard deviation 1 in each image, so that brightness and contrast have no effect",
    "pretrained": "as the published weights of the network were trained",
}
"""Scales of the pixels, for --normalize."""


OPTIMISERS = {
    "gd": "full-batch gradient descent",
    "sgd": "stochastic gradient descent without momentum",
    "momentum": "SGD with momentum",
    "nesterov": "SGD with Nesterov momentum",
    "adagrad": "per-weight learning rates that decrease with the sum of squared gradients",
    "adadelta": "per-weight learning rates from moving averages of squared gradients and squared steps",
    "rmsprop": "per-weight learning rates from a moving average of squared gradients",
    "adam": "RMSProp combined with momentum; weight decay is an L2 penalty",
    "adamw": "Adam with decoupled weight decay",
    "radam": "Rectified Adam: corrects the variance of the adaptive learning rate in early steps",
    "adabelief": "Adam with step sizes based on the deviation of gradients from their moving average",
    "muon": "momentum with orthogonalised updates of weight matrices",
    "lars": "momentum with layer-wise learning rates, for large batches",
    "lbfgs": "quasi-Newton method with line search; needs large batches",
    "armijo": "SGD with an Armijo line search at each step",
}


WITHOUT_MOMENTUM = ("gd", "sgd", "adagrad", "adadelta", "rmsprop", "lbfgs", "armijo")
"""Optimisers without momentum, for which --momentum has no effect."""


SCHEDULES = {
    "constant": "constant learning rate",
    "step": "drops by --step-factor after half of the run and again after three quarters, or at --step-every",
    "exponential": "exponential decay to a thousandth of the peak, or by --decay per epoch",
    "cosine": "cosine decay to zero",
    "one-cycle": "increase for the first quarter of the run, then decay almost to zero",
    "plateau": "drops by --step-factor whenever the validation loss has not improved for a third of --patience",
}


AUGMENTATIONS = {
    "none": "no augmentation",
    "light": "small random shifts, rotations and scale changes",
    "strong": "mirror, affine, colour and erase combined",
    "mirror": "horizontal flip with probability 0.5",
    "flip": "horizontal and vertical flip, each with probability 0.5",
    "crop": "random crop, resized to the input size",
    "affine": "random rotation, shift and scaling",
    "perspective": "random perspective transform",
    "colour": "random brightness, contrast and saturation",
    "hue": "random change of hue, for colour images",
    "noise": "Gaussian noise",
    "blur": "Gaussian blur",
    "erase": "random erasing of a square with probability 0.5",
    "rand": "RandAugment: two random transforms per image",
}


INITIALISATIONS = {
    "xavier": "for tanh and sigmoid [Glorot 2010]",
    "he": "for ReLU [He 2015]",
    "uniform": "uniform in [-a, a] with a = 1 / sqrt(fan_in) [Glorot 2010, equation 1]",
    "orthogonal": "orthonormal rows [Saxe 2013]",
}
