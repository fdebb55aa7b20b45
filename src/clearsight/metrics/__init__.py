"""Metric functions on NumPy arrays, by scikit-learn and SciPy where these have them: no torch, no plotting."""

from clearsight.metrics.calibration import expected_calibration_error, reliability_bins
from clearsight.metrics.classification import (
    accuracy,
    balanced_accuracy,
    brier_score,
    confusion_matrix,
    entropy,
    log_loss,
    precision_recall_f1,
    softmax,
    top_k_accuracy,
)
from clearsight.metrics.comparison import auroc_interval, wilson_interval
from clearsight.metrics.debiased_ece import debiased_ece, debiased_ece_interval
from clearsight.metrics.macro_f1 import macro_f1, macro_f1_interval

__all__ = [
    "accuracy",
    "auroc_interval",
    "balanced_accuracy",
    "brier_score",
    "confusion_matrix",
    "debiased_ece",
    "debiased_ece_interval",
    "entropy",
    "expected_calibration_error",
    "log_loss",
    "macro_f1",
    "macro_f1_interval",
    "precision_recall_f1",
    "reliability_bins",
    "softmax",
    "top_k_accuracy",
    "wilson_interval",
]
