"""What a model in use is compared with: values of validation images."""

from __future__ import annotations

import numpy as np

from clearsight.ood.detector import OODDetector
from clearsight.ood.drift import KEPT, DriftReference
from clearsight.train.context import TrainContext, TrainResult
from clearsight.train.features import statistics_of


def drift_reference(context: TrainContext, result: TrainResult, detector: OODDetector | None) -> DriftReference:
    """The values of validation images that `serving.drift` compares with.

    Args:
        context: the data.
        result: the outputs for validation images.
        detector: the OOD detector, if there is one.

    Returns:
        The reference; without signals if there are too few validation images.
    """
    some = np.sort(np.random.default_rng(context.config.run.seed).permutation(len(result.logits))[:KEPT])
    statistics = statistics_of(context.data.pixels, result.validation_indices[some])
    values = {
        "output": result.task.drift_values(result.logits[some]),
        "brightness": statistics[:, : context.data.form.channels].mean(1),
    }
    return DriftReference.of(values if detector is None else {**values, "ood_score": detector.reference})
