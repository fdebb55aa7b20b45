"""Losses: what training minimises, one number per image.

Shapes: N images, K classes, T numbers; logits (N, K) are the raw outputs of a network, target (N, K) probabilities, at
least 0, whose rows sum to 1. For a one-hot row each loss is the textbook formula. The training loop weights the losses
of images and takes their mean.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from clearsight.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

Loss = Callable[["Tensor", "Tensor"], "Tensor"]
"""(logits (N, K), target (N, K)) -> losses (N,), each 0 or more."""

FOCUS = 2
"""Gamma of the focal loss, the value the paper found best."""

LEAST = -7.0
"""Smallest logarithmic variance of standardised numbers in `gaussian_nll`: a deviation of 0.03."""


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Minus log probability of each class, weighted by the target: -sum_k t_k log p_k, p = softmax(logits).

    Args:
        logits: raw outputs (N, K).
        target: probabilities (N, K), rows sum to 1.

    Returns:
        Losses (N,), at least 0.

    Example:
        >>> import torch
        >>> cross_entropy(torch.zeros(1, 4), torch.eye(4)[:1])  # log 4
        tensor([1.3863])
    """
    return -(target * logits.log_softmax(1)).sum(1)


def binary_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Sum over K binary predictions, p_k = sigmoid(logit_k): -sum_k (t_k log p_k + (1 - t_k) log(1 - p_k)).

    Args:
        logits: raw outputs (N, K).
        target: probability of each label (N, K), 0 to 1; rows need not sum to 1.

    Returns:
        Losses (N,), at least 0.
    """
    from torch.nn import functional as F

    return F.binary_cross_entropy_with_logits(logits, target, reduction="none").sum(1)


def focal(logits: Tensor, target: Tensor) -> Tensor:
    """Focal loss, which gives little weight to confident predictions: -sum_k t_k (1 - p_k)^2 log p_k.

    Args:
        logits: raw outputs (N, K).
        target: probabilities (N, K), rows sum to 1.

    Returns:
        Losses (N,), at least 0.

    Reference:
        Lin et al., "Focal loss for dense object detection", 2017, arXiv:1708.02002.
    """
    log_p = logits.log_softmax(1)
    missing = -log_p.expm1()  # 1 - p without losing digits where p is nearly 1
    return -(target * missing**FOCUS * log_p).sum(1)


def hinge(logits: Tensor, target: Tensor) -> Tensor:
    """Multi-class hinge loss: max(0, 1 + largest wrong logit - true logit); for soft targets its expectation.

    Args:
        logits: raw outputs (N, K), K at least 2.
        target: probabilities (N, K), rows sum to 1.

    Returns:
        Losses (N,), at least 0.

    Reference:
        Crammer and Singer, "On the algorithmic implementation of multiclass kernel-based vector machines", 2001.
    """
    (best, second), top = logits.topk(2, dim=1).values.unbind(1), logits.argmax(1, keepdim=True)
    is_top = logits.isnan().scatter(1, top, True)
    rival = second[:, None].where(is_top, best[:, None])  # (N, K): the best logit of any other class
    return (target * (1 + rival - logits).clamp_min(0)).sum(1)


def kl(logits: Tensor, target: Tensor) -> Tensor:
    """Kullback-Leibler divergence KL(target || p) = sum_k t_k log(t_k / p_k), 0 log 0 = 0.

    This is the cross-entropy less the entropy of the target, so its minimum is 0.

    Args:
        logits: raw outputs (N, K); p is their softmax.
        target: probabilities (N, K), rows sum to 1.

    Returns:
        Losses (N,), at least 0.
    """
    return (target.xlogy(target) - target * logits.log_softmax(1)).sum(1)


def mean_squared_error(logits: Tensor, target: Tensor) -> Tensor:
    """Mean over classes of (logit_k - t_k)^2, without a softmax; the paper's rescaling for many classes is left out.

    Args:
        logits: raw outputs (N, K).
        target: targets (N, K).

    Returns:
        Losses (N,), at least 0.

    Reference:
        Hui and Belkin, "Evaluation of neural architectures trained with square loss vs cross-entropy", 2020,
        arXiv:2006.07322.
    """
    return (logits - target).square().mean(1)


LOSSES: dict[str, Loss] = {
    "cross-entropy": cross_entropy,
    "bce": binary_cross_entropy,
    "focal": focal,
    "hinge": hinge,
    "kl": kl,
    "mse": mean_squared_error,
}
"""Every loss by its name; `train.choices.LOSSES` says what each is."""


def huber(outputs: Tensor, target: Tensor) -> Tensor:
    """Huber loss, mean over numbers: d^2 / 2 for |d| up to 1, |d| - 1/2 beyond, where d = output - target.

    Args:
        outputs: predicted numbers (N, T), standardised.
        target: true numbers (N, T), standardised.

    Returns:
        Losses (N,), at least 0.

    Reference:
        Huber, "Robust estimation of a location parameter", 1964.
    """
    from torch.nn import functional as F

    return F.huber_loss(outputs, target, reduction="none").mean(1)


def gaussian_nll(outputs: Tensor, target: Tensor) -> Tensor:
    """Negative log likelihood of a normal distribution, less a constant: mean of (s + (m - t)^2 exp(-s)) / 2.

    Args:
        outputs: means m and logarithmic variances s (N, 2 T); s is at least `LEAST`.
        target: standardised numbers t (N, T).

    Returns:
        Losses (N,).

    Reference:
        Nix and Weigend, "Estimating the mean and variance of the target probability distribution", 1994.
    """
    mean, log_variance = outputs.chunk(2, dim=1)
    s = log_variance.clamp_min(LEAST)
    return 0.5 * (s + (mean - target).square() * (-s).exp()).mean(1)


def one_hot_targets(labels: Tensor, classes: int, smoothing: float = 0.0) -> Tensor:
    """One-hot rows of labels, with label smoothing.

    Args:
        labels: class indices (N,), int64.
        classes: number of classes K.
        smoothing: share of the target spread over all classes, in [0, 1).

    Returns:
        Targets (N, K), float32; rows sum to 1.

    Raises:
        DataError: a label lies outside [0, classes).

    Example:
        >>> import torch
        >>> one_hot_targets(torch.tensor([1]), 2, smoothing=0.2)
        tensor([[0.1000, 0.9000]])

    Reference:
        Szegedy et al., "Rethinking the Inception architecture for computer vision", 2016, arXiv:1512.00567, section 7.
    """
    wrong = labels[(labels < 0) | (labels >= classes)]
    if len(wrong):
        raise DataError("a label is not a valid class index", found=int(wrong[0]), expected=f"0 to {classes - 1}")
    import torch

    spread = torch.full((len(labels), classes), smoothing / classes, device=labels.device)
    return spread.scatter_(1, labels[:, None], 1 - smoothing + smoothing / classes)
