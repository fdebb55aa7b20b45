"""Clearsight turns labelled images into a classifier you can trust.

    import clearsight as cs
    run = cs.fit("photos/")
    run.model.predict("new.jpg")

Names are loaded when first used, so `import clearsight` is quick.
"""

from __future__ import annotations

import os

if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"} & os.environ.keys():
    # Threads of OpenMP that wait for others keep their core busy for milliseconds by default. Where another program
    # wants the cores too, the thread that is waited for does not get one, and both programs slow down many times over.
    # They sleep instead. Read when PyTorch is loaded, so there is no effect afterwards.
    os.environ |= {"GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0"}

__version__ = "0.1.0"

_HOMES = {
    "ClearsightError": "clearsight.errors",
    "ImageClassifier": "clearsight.api.estimator",
    "Model": "clearsight.api.model",
    "Run": "clearsight.api.run",
    "attack": "clearsight.api.attack",
    "audit": "clearsight.api.audit",
    "build_model": "clearsight.models.zoo",
    "compare": "clearsight.api.compare",
    "compare_models": "clearsight.api.ensembles",
    "compare_runs": "clearsight.api.compare_runs",
    "evaluate": "clearsight.api.evaluate",
    "explain": "clearsight.api.explain",
    "export": "clearsight.exporting",
    "fit": "clearsight.api.fit",
    "gradient_correlation": "clearsight.api.gradient_correlation",
    "index": "clearsight.api.retrieve",
    "landscape": "clearsight.api.landscape",
    "load": "clearsight.api.model",
    "locate": "clearsight.api.locate",
    "push": "clearsight.api.push",
    "robustness": "clearsight.api.robustness",
    "search": "clearsight.api.retrieve",
    "serve": "clearsight.serving.launch",
    "visualize": "clearsight.api.visualize",
}

__all__ = [
    "ClearsightError",
    "ImageClassifier",
    "Model",
    "Run",
    "attack",
    "audit",
    "build_model",
    "compare",
    "compare_models",
    "compare_runs",
    "evaluate",
    "explain",
    "export",
    "fit",
    "gradient_correlation",
    "index",
    "landscape",
    "load",
    "locate",
    "push",
    "robustness",
    "search",
    "serve",
    "visualize",
]


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module 'clearsight' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
