"""The public card of a model: what it knows and how good it is, without the paths and digests of its keeper."""

from __future__ import annotations

from pathlib import PurePath, PureWindowsPath
from typing import Any

from clearsight.bundle import versions
from clearsight.explanation.explain import methods_of
from clearsight.models.base import traceable
from clearsight.serving.worker import Worker


def model_card(worker: Worker) -> dict[str, Any]:
    """Plain values for JSON."""
    predictor, config = worker.predictor, worker.config
    bundle = predictor.bundle
    spec: Any = bundle.network.spec
    fast = predictor.device == "cpu" and predictor.engine != "torch" and traceable(predictor.network)
    images = bundle.data.get("images")
    return {
        "name": PurePath(PureWindowsPath(str(bundle.data.get("name", "a model"))).name).name or "a model",
        "task": bundle.task.name,
        "classes": list(bundle.classes),
        "task_card": bundle.task.public_card(),
        "studio": bundle.task.studio,
        "network": str(spec.get("name", spec.get("kind", "an ensemble"))),
        "input": {**bundle.form.to_dict(), **bundle.geometry.to_dict()},
        "temperature": bundle.temperature,
        "sounds": "sound" in bundle.data,
        "images": int(images) if images is not None else None,
        "ood_detector": bundle.ood_detector.card() if bundle.ood_detector else None,
        "scores": bundle.scores,
        "versions": versions(),
        "engine": "openvino" if fast else "torch",
        "methods": methods_of(predictor),
        "search": worker.index is not None,
        "accepts": {
            "max_body_megabytes": config.max_body,
            "max_megapixels": config.max_pixels,
            "max_images": config.max_images,
            "seconds": config.timeout,
            "explain_seconds": config.explain_timeout,
        },
    }
