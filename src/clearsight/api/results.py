"""What the verbs share: the images to evaluate on, and where results are written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from clearsight.arguments import at_least
from clearsight.console import Console
from clearsight.predictor import Predictor
from clearsight.result import Result
from clearsight.runs.images import HeldOut, held_out
from clearsight.runs.load import ModelSource, folder_of, predictor_of

R = TypeVar("R", bound=Result)


def saved(result: R, out: str | Path | None) -> R:
    """The result, saved if a folder is given."""
    if out is not None:
        result.save(out)
    return result


def model_name(model: ModelSource) -> str:
    """The name of a model on its page."""
    folder = Path(model) if isinstance(model, str) else folder_of(model)
    return folder.name if folder is not None else str(predictor_of(model).bundle.data.get("name", "a model"))


def evaluation_images(
    model: ModelSource,
    data: Any,
    images: int,
    seed: int,
    console: Console,
    data_dir: str | None,
    check: Callable[[Predictor], None],
) -> HeldOut:
    """At most `images` images to evaluate a model on. check: of the model, before any image is read."""
    at_least(1, images=images)
    at_least(0, seed=seed)
    return held_out(model, data, console=console, data_dir=data_dir, check=check).sample(images, seed)


def result_folder(model: ModelSource, name: str, out: str | Path | None) -> Path:
    """The requested folder, or one of this name in the run's folder, or here without a run's folder."""
    if out:
        return Path(out).expanduser()
    folder = folder_of(model)
    return Path(name) if folder is None else folder / name
