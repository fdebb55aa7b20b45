"""Losses: what training minimises, one number per image.

Shapes: N images, K classes; logits (N, K) are a network's raw outputs, target (N, K) probabilities, rows of numbers not
below 0 that sum to 1. With such soft targets each loss is written so that a one-hot row gives the textbook
formula. How losses of images are weighed and averaged is the loop's affair.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from clearsight.errors import DataError

Loss = Callable[[Tensor, Tensor], Tensor]
"""(logits (N, K), target (N, K)) -> losses (N,), each 0 or more."""

FOCUS = 2
"""Gamma of the focal loss, the value the paper found best."""


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Minus log probability of each class, weighted by the target: -sum_k t_k log p_k, p = softmax(logits)."""
    return -(target * logits.log_softmax(1)).sum(1)


def binary_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """K yes-or-no questions, p_k = sigmoid(logit_k): -sum_k (t_k log p_k + (1 - t_k) log(1 - p_k))."""
    return F.binary_cross_entropy_with_logits(logits, target, reduction="none").sum(1)


def focal(logits: Tensor, target: Tensor) -> Tensor:
    """-sum_k t_k (1 - p_k)^2 log p_k: confident images count little [Lin 2017, arXiv:1708.02002]."""
    log_p = logits.log_softmax(1)
    missing = -torch.expm1(log_p)  # 1 - p without losing digits where p is nearly 1
    return -(target * missing**FOCUS * log_p).sum(1)


def hinge(logits: Tensor, target: Tensor) -> Tensor:
    """max(0, 1 + best wrong logit - true logit) [Crammer, Singer 2001]; for soft targets its expectation over them.

    K is 2 or more.
    """
    (best, second), top = logits.topk(2, dim=1).values.unbind(1), logits.argmax(1, keepdim=True)
    is_top = torch.zeros_like(logits, dtype=torch.bool).scatter_(1, top, True)
    rival = torch.where(is_top, second[:, None], best[:, None])  # (N, K): the best logit of any other class
    return (target * (1 + rival - logits).clamp_min(0)).sum(1)


def kl(logits: Tensor, target: Tensor) -> Tensor:
    """KL(target || p) = sum_k t_k log(t_k / p_k), 0 log 0 = 0: cross-entropy less what the target cannot avoid."""
    return (torch.xlogy(target, target) - target * logits.log_softmax(1)).sum(1)


def mean_squared_error(logits: Tensor, target: Tensor) -> Tensor:
    """Mean over classes of (logit_k - t_k)^2, no softmax between [Hui, Belkin 2020, arXiv:2006.07322].

    The paper's rescaling for many classes is left out.
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
"""Every loss by its name; `train.config.LOSSES` says what each is."""


def huber(outputs: Tensor, target: Tensor) -> Tensor:
    """Mean over numbers of d^2 / 2 up to |d| = 1, of |d| - 1/2 beyond, d = output - target [Huber 1964]."""
    return F.huber_loss(outputs, target, reduction="none").mean(1)


def one_hot_targets(labels: Tensor, classes: int, smoothing: float = 0.0) -> Tensor:
    """One-hot rows (N, K) float32 of labels (N,) int64, of which the share `smoothing` is spread over all classes.

    smoothing in [0, 1) [Szegedy 2016, arXiv:1512.00567, section 7]. DataError for a label outside [0, classes).
    """
    wrong = labels[(labels < 0) | (labels >= classes)]
    if len(wrong):
        raise DataError("a label is not the number of a class", found=int(wrong[0]), expected=f"0 to {classes - 1}")
    spread = torch.full((len(labels), classes), smoothing / classes, device=labels.device)
    return spread.scatter_(1, labels[:, None], 1 - smoothing + smoothing / classes)
