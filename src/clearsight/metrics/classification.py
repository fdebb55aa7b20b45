"""Scores of class predictions.

Shapes: N images, K classes. targets (N,) integers in [0, K); probabilities (N, K), rows summing to 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]


def softmax(logits: Floats, temperature: float = 1.0) -> NDArray[np.float64]:
    """exp(z/T) / sum exp(z/T) over the last axis, in float64 and shifted by the maximum so it cannot overflow."""
    z = np.asarray(logits, dtype=np.float64) / temperature
    z = np.exp(z - z.max(axis=-1, keepdims=True))
    return np.asarray(z / z.sum(axis=-1, keepdims=True))


def accuracy(targets: Ints, predicted: Ints) -> float:
    """Share of images whose predicted class is the target, in [0, 1]."""
    return float(np.mean(np.asarray(targets) == np.asarray(predicted)))


def top_k_accuracy(targets: Ints, probabilities: Floats, k: int = 5) -> float:
    """Share of images whose target is among the k likeliest classes."""
    top = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    return float(np.mean((top == np.asarray(targets)[:, None]).any(axis=1)))


def confusion_matrix(targets: Ints, predicted: Ints, classes: int) -> NDArray[np.int64]:
    """Counts (K, K): row = target class, column = predicted class."""
    return np.bincount(np.asarray(targets) * classes + np.asarray(predicted), minlength=classes**2).reshape(
        classes, classes
    )


def precision_recall_f1(confusion: Ints) -> tuple[Floats, Floats, Floats]:
    """Per-class precision, recall and F1 (K,) from a confusion matrix; 0 where nothing was predicted or present."""
    hits = np.diag(confusion).astype(np.float64)
    predicted, present = confusion.sum(axis=0), confusion.sum(axis=1)
    precision = np.divide(hits, predicted, out=np.zeros_like(hits), where=predicted > 0)
    recall = np.divide(hits, present, out=np.zeros_like(hits), where=present > 0)
    total = precision + recall
    f1 = np.divide(2 * precision * recall, total, out=np.zeros_like(hits), where=total > 0)
    return precision, recall, f1


def balanced_accuracy(confusion: Ints) -> float:
    """Mean recall over the classes that occur: what accuracy would be if all classes were equally common."""
    present = confusion.sum(axis=1) > 0
    return float(precision_recall_f1(confusion)[1][present].mean())


def log_loss(targets: Ints, probabilities: Floats) -> float:
    """Mean negative log-likelihood in nats; probabilities are floored at 1e-15, so one sure mistake costs 34.5."""
    p = np.asarray(probabilities)[np.arange(len(targets)), targets]
    return float(-np.log(np.maximum(p, 1e-15)).mean())


def brier_score(targets: Ints, probabilities: Floats) -> float:
    """Mean squared distance between the probability vector and the one-hot target, in [0, 2] [Brier 1950]."""
    onehot = np.eye(probabilities.shape[1])[targets]
    return float(((probabilities - onehot) ** 2).sum(axis=1).mean())


def entropy(probabilities: Floats) -> NDArray[np.float64]:
    """Shannon entropy of each row in nats, (N,): 0 = sure, log K = no idea."""
    p = np.asarray(probabilities, dtype=np.float64)
    return np.asarray(-(p * np.log(np.maximum(p, 1e-300))).sum(axis=1))
