"""Load a trained model, or a network with published weights, and find the folder of a model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol, runtime_checkable

from clearsight.bundle import Bundle
from clearsight.data.geometry import Geometry
from clearsight.data.pixels import PixelFormat
from clearsight.errors import BundleError, did_you_mean
from clearsight.hub.download import downloaded
from clearsight.hub.names import hub_name
from clearsight.predictor import Predictor
from clearsight.spelling import close_names
from clearsight.tasks import Classification
from clearsight.wording import listed


@runtime_checkable
class HasPredictor(Protocol):
    """A model in memory, and the folder it lies in, if any: what `Run` and `Model` are."""

    @property
    def predictor(self) -> Predictor: ...

    @property
    def folder(self) -> Path | None: ...


ModelSource = str | os.PathLike[str] | Predictor | HasPredictor
"""What verbs take as a model: a run, a loaded model, the folder of a run, the name of a network with published weights,
or a predictor.
"""


def predictor_of(model: ModelSource) -> Predictor:
    """The predictor of a model; loaded where it is named by a folder or a network's name."""
    if isinstance(model, Predictor):
        return model
    return model.predictor if isinstance(model, HasPredictor) else load_predictor(model)


def folder_of(model: ModelSource) -> Path | None:
    """The folder of a run or model; None where it has none."""
    if isinstance(model, Predictor):
        return None
    if isinstance(model, HasPredictor):
        return model.folder
    path = Path(model).expanduser()
    return path if path.is_dir() else None


def load_predictor(folder: str | os.PathLike[str], *, engine: str = "auto", device: str = "auto") -> Predictor:
    """The predictor of a run's folder, of a model on the Hugging Face Hub by its name, or of a network with published
    ImageNet weights by its name.
    """
    if not Path(folder).expanduser().exists():
        if (on_hub := hub_name(str(folder))) is not None:
            return Predictor(Bundle.load(downloaded(on_hub)), engine=engine, device=device)
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
        hint = f"no weights are published for {name}; train it first" if name in model_names() else ""
        raise BundleError(
            f"{name} does not exist", expected="a trained model's folder",
            fix=hint or _runs_near(name) or did_you_mean(name, [known for known in model_names() if published(known)]),
        )  # fmt: skip
    return Predictor(Bundle.load(folder), engine=engine, device=device)


RUNS = 10
"""Runs that an error names at most."""


def _runs_near(name: str) -> str | None:
    """A hint for the path of a run that does not exist: runs of a similar name, or all that lie in the same folder."""
    beside = (Path(name).expanduser().parent, Path("runs"))
    runs = {str(card.parents[1]) for folder in beside for card in folder.glob("*/model/card.json")}
    if close := close_names(Path(name).name, [Path(run).name for run in runs]):
        return f"did you mean {' or '.join(run for run in sorted(runs) if Path(run).name in close)}?"
    return f"existing runs: {listed(sorted(runs), RUNS)}" if runs else None
