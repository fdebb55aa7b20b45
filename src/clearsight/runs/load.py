"""Load a trained model, or a network with published weights."""

from __future__ import annotations

import os
from difflib import get_close_matches
from pathlib import Path

from clearsight.bundle import Bundle
from clearsight.data.geometry import Geometry
from clearsight.data.pixels import PixelFormat
from clearsight.errors import BundleError
from clearsight.predictor import Predictor
from clearsight.tasks import Classification

ModelSource = str | os.PathLike[str] | Predictor
"""What verbs take as a model: the folder of a run, a run, the name of a network with published weights, or a
predictor.
"""


def load(folder: str | os.PathLike[str], *, engine: str = "auto", device: str = "auto") -> Predictor:
    """The predictor of a run's folder, or of a network with published ImageNet weights by its name."""
    if not Path(folder).expanduser().exists():
        from clearsight.models.pretrained import imagenet_network
        from clearsight.models.zoo import model_names, published, weight_facts

        name = str(folder)
        if (name in model_names() or name.startswith("timm/")) and published(name):
            network, classes = imagenet_network(name)
            side = weight_facts(name).img_size
            bundle = Bundle(
                network,
                Classification(classes),
                PixelFormat(3, 8),
                Geometry(side, side, "crop"),
                data={"name": "ImageNet-1k"},
            )
            return Predictor(bundle, engine=engine, device=device)
        hint = f"{name} has no published weights; train it first" if name in model_names() else ""
        close = get_close_matches(name, [n for n in model_names() if published(n)], n=1)
        raise BundleError(
            f"{name} does not exist", expected="a trained model's folder",
            fix=hint or (f"did you mean {close[0]}?" if close else None),
        )  # fmt: skip
    return Predictor(Bundle.load(folder), engine=engine, device=device)
