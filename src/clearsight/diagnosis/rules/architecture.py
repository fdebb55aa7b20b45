"""Batch normalisation's two old traps: batches too small for it, and dropout before it."""

from __future__ import annotations

from clearsight.diagnosis.case import Case, Verdict
from clearsight.wording import count

SMALL_BATCH = 16
"""Images per batch below which batch statistics are too noisy [Wu, He 2018, arXiv:1803.08494, figure 1: the error of
ResNet-50 on ImageNet is 23.7 % at 16 images, 24.8 at 8, 27.3 at 4 and 34.7 at 2]."""


def tiny_batch_with_norm(case: Case) -> Verdict | None:
    """Batch normalisation over fewer than 16 images."""
    norms = sum(kind == "norm" for _, kind in case.vitals.sequence)
    batch = case.vitals.batch
    if not norms or case.optimization.freeze_bn or not 0 < batch < SMALL_BATCH:
        return None
    images = int(case.counts.sum())
    room = images >= 2 * SMALL_BATCH
    return Verdict(
        "tiny-batch-with-norm",
        "fault" if batch <= 4 else "warning",
        f"Batch normalisation ({count(norms, 'layer')}) uses batches of {count(batch, 'image')}. Statistics of so few "
        "images are noisy and do not match the running averages used in validation.",
        {"batch_size": float(batch), "normalisation_layers": float(norms)},
        "use a batch size of 32 (gradient accumulation does not help, as each batch is normalised separately)"
        if room
        else f"omit batch normalisation, as there are only {images} training images",
        {"batch_size": 32} if room else case.model_arg(norm=False),
    )


def dropout_before_norm(case: Case) -> Verdict | None:
    """Dropout somewhere before a batch normalisation, whose running variance is then wrong in evaluation."""
    kinds = [kind for _, kind in case.vitals.sequence]
    if "dropout" not in kinds or "norm" not in kinds[kinds.index("dropout") :] or case.optimization.freeze_bn:
        return None
    start = kinds.index("dropout")
    dropout = case.vitals.sequence[start][0]
    norm = next(name for name, kind in case.vitals.sequence[start:] if kind == "norm")
    after = sum(kind == "norm" for kind in kinds[start:])
    return Verdict(
        "dropout-before-norm",
        "warning",
        f"Dropout ({dropout}) precedes batch normalisation ({norm}). Dropout raises the variance of the activations, "
        "but only in training, so the running variance used in evaluation is wrong [Li et al. 2018, arXiv:1801.05134].",
        {"dropout_layers": float(kinds.count("dropout")), "normalisation_layers_after": float(after)},
        "use dropout only after the last normalisation layer, or not at all",
        case.model_arg(dropout=0.0),
    )
