"""Heatmaps of a model's predictions, written as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from clearsight.console import Console
from clearsight.disk import disk_errors, own_name
from clearsight.explanation import Explanation, Settings
from clearsight.predictor import Predictor
from clearsight.runs.load import ModelSource, load


def explain(
    model: ModelSource,
    images: Any,
    *,
    method: str | None = None,
    target: str | int | None = None,
    settings: Settings | None = None,
    judged: bool = True,
    out: str | Path = "explained",
    console: Console | None = None,
) -> list[tuple[Explanation, Path]]:
    """Heatmaps of images and the pictures of them: `cs.explain("runs/photos", "new.jpg", method="grad-cam")`.

    images: in any form that `Predictor.predict` takes. method: as `explanation.METHODS` names them, or "all" for those
    the model has; smoothgrad unless given, occlusion for a model without gradients, anomaly-map for a detector that
    compares places. target: the class to explain, by name, or by index where no class has that name; the answer unless
    given. judged: say how faithful each map is. out: the folder that gets, for each image, a picture, and an .npz with
    each method's map.
    """
    from clearsight.explanation import explain as explained
    from clearsight.explanation import methods_of, usual_method
    from clearsight.report.drawings import save_picture
    from clearsight.report.heatmaps import heat_sheet

    predictor = model if isinstance(model, Predictor) else load(model)
    methods = methods_of(predictor)
    chosen = methods if method == "all" else [method or usual_method(predictor)]
    folder = Path(out).expanduser()
    given = predictor.inputs(images)
    names = given.names
    found: list[tuple[Explanation, Path]] = []
    run = explained(predictor, given, method=chosen, target=target, settings=settings, judged=judged, console=console)
    for number, name in enumerate(names):
        stem = own_name(name, number, names)
        maps: list[Explanation] = []
        for _ in chosen:  # what is there is kept after each method: they may take minutes, and be stopped
            maps.append(next(run))
            file = folder / f"{stem}.npz"
            heats: dict[str, Any] = {**_maps_of(file, maps[0].pixels), **{m.method: m.heat for m in maps}}
            with disk_errors(folder, "the heatmaps", "free some space or choose another --out"):
                folder.mkdir(parents=True, exist_ok=True)
                np.savez_compressed(file, pixels=maps[0].pixels, **heats)
            picture = save_picture(heat_sheet(maps), folder / f"{stem}.{method or chosen[0]}.png")
        found += [(m, picture) for m in maps]
    return found


def _maps_of(file: Path, pixels: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """The maps of other methods that a file already has of the same image."""
    try:
        with np.load(file) as kept:
            if np.array_equal(kept["pixels"], pixels):
                return {name: kept[name] for name in kept.files if name != "pixels"}
    except (OSError, ValueError, KeyError, BadZipFile):  # none there, or not one of ours
        pass
    return {}
