"""Scores of class predictions, by scikit-learn and SciPy.

Shapes: N images, K classes. targets (N,) integers in [0, K); probabilities (N, K), rows summing to 1.

scikit-learn is imported by the functions that call it: it takes as long to load as PyTorch, and prediction needs only
`softmax` and `entropy`. Scores of no images raise scikit-learn's ValueError.
"""

from __future__ import annotations

import numpy as np
import scipy
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]

SMALLEST = 1e-15
"""Smallest probability whose logarithm is taken: one certain mistake costs 34.5 nats."""


def softmax(logits: Floats, temperature: float = 1.0) -> NDArray[np.float64]:
    """exp(z/T) / sum exp(z/T) over the last axis, in float64.

    Args:
        logits: outputs (..., K).
        temperature: divisor of the logits, above 0.

    Returns:
        float64 (..., K), sums to 1 over the last axis.
    """
    return np.asarray(scipy.special.softmax(np.asarray(logits, dtype=np.float64) / temperature, axis=-1))


def entropy(probabilities: Floats) -> NDArray[np.float64]:
    """Shannon entropy of each row in nats (N,), between 0 (one class is certain) and log K (all are equally likely).

    Args:
        probabilities: probabilities (N, K), rows sum to 1.

    Returns:
        float64 (N,), in [0, log K].
    """
    return np.asarray(scipy.special.entr(np.asarray(probabilities, dtype=np.float64)).sum(axis=-1))


def accuracy(targets: Ints, predicted: Ints) -> float:
    """Share of images whose predicted class is the target, in [0, 1].

    Args:
        targets: class indices (N,).
        predicted: predicted class indices (N,).

    Returns:
        The accuracy, in [0, 1].
    """
    from sklearn.metrics import accuracy_score

    return float(accuracy_score(targets, predicted))


def top_k_accuracy(targets: Ints, probabilities: Floats, k: int = 5) -> float:
    """Share of images whose target is among the k most probable classes; 1 if there are no more than k classes.

    Args:
        targets: class indices (N,).
        probabilities: probabilities or logits (N, K).
        k: number of classes that count as a prediction.

    Returns:
        The accuracy, in [0, 1].
    """
    from sklearn.metrics import top_k_accuracy_score

    classes = probabilities.shape[1]
    if k >= classes:
        return 1.0
    if classes == 2:  # scikit-learn wants the scores of the second class alone
        return accuracy(targets, probabilities.argmax(axis=1))
    return float(top_k_accuracy_score(targets, probabilities, k=k, labels=np.arange(classes)))


def confusion_matrix(targets: Ints, predicted: Ints, classes: int) -> NDArray[np.int64]:
    """Counts (K, K): row = target class, column = predicted class.

    Args:
        targets: class indices (N,).
        predicted: predicted class indices (N,).
        classes: number of classes K.

    Returns:
        int64 (K, K).
    """
    from sklearn import metrics

    if not len(targets):
        return np.zeros((classes, classes), np.int64)
    return np.asarray(metrics.confusion_matrix(targets, predicted, labels=np.arange(classes)), np.int64)


def precision_recall_f1(targets: Ints, predicted: Ints, classes: int) -> tuple[Floats, Floats, Floats]:
    """Precision, recall and F1 of each class (K,); 0 where a class was not predicted or does not occur.

    Args:
        targets: class indices (N,).
        predicted: predicted class indices (N,).
        classes: number of classes K.

    Returns:
        Precision, recall and F1, each (K,), in [0, 1].
    """
    from sklearn.metrics import precision_recall_fscore_support

    labels = np.arange(classes)
    precision, recall, f1, _ = precision_recall_fscore_support(targets, predicted, labels=labels, zero_division=0.0)
    return precision, recall, f1


def balanced_accuracy(targets: Ints, predicted: Ints) -> float:
    """Mean recall over the classes that occur in `targets`: the accuracy if all of them were equally common.

    Args:
        targets: class indices (N,).
        predicted: predicted class indices (N,).

    Returns:
        The mean recall, in [0, 1].
    """
    from sklearn.metrics import recall_score

    # balanced_accuracy_score is the same, but warns of predicted classes that do not occur
    return float(recall_score(targets, predicted, labels=np.unique(targets), average="macro"))


def log_loss(targets: Ints, probabilities: Floats) -> float:
    """Mean negative log-likelihood in nats; probabilities below `SMALLEST` count as that.

    Args:
        targets: class indices (N,).
        probabilities: probabilities (N, K), rows sum to 1.

    Returns:
        The loss in nats, at least 0.
    """
    from sklearn import metrics

    clipped = np.clip(np.asarray(probabilities, np.float64), SMALLEST, 1)
    return float(metrics.log_loss(targets, clipped, labels=np.arange(clipped.shape[1])))


def brier_score(targets: Ints, probabilities: Floats) -> float:
    """Mean squared distance between the probability vector and the one-hot target, in [0, 2] [Brier 1950].

    Args:
        targets: class indices (N,).
        probabilities: probabilities (N, K), rows sum to 1.

    Returns:
        The score, in [0, 2].
    """
    from sklearn.metrics import brier_score_loss

    labels = np.arange(probabilities.shape[1])
    return float(brier_score_loss(targets, probabilities, labels=labels, scale_by_half=False))
