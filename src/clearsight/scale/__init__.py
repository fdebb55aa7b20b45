"""Millions of images: predictions and features written to files, on one machine or a cluster of Ray's.

from clearsight import scale
scale.predict("runs/photos", "s3://bucket/photos/", out="predictions/")
dataset.map_batches(scale.Predict, fn_constructor_args=["runs/photos"], concurrency=4, batch_format="pyarrow")
"""

from __future__ import annotations

_HOMES = {
    "Embed": "clearsight.scale.actors",
    "Predict": "clearsight.scale.actors",
    "embed": "clearsight.scale.bulk",
    "predict": "clearsight.scale.bulk",
}

__all__ = ["Embed", "Predict", "embed", "predict"]


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module 'clearsight.scale' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
