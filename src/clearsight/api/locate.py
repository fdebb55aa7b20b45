"""Where in images classes are, by a finished model, with the pictures of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from clearsight.console import Console
from clearsight.disk import disk_errors, own_name
from clearsight.errors import ConfigError
from clearsight.localisation import Located, Settings
from clearsight.predictor import Predictor
from clearsight.runs.load import ModelSource, load


def locate(
    model: ModelSource,
    images: Any,
    *,
    method: str = "auto",
    target: str | int | Sequence[str | int] | None = None,
    settings: Settings | None = None,
    out: str | Path | None = None,
    console: Console | None = None,
) -> list[tuple[Located, Path]]:
    """Boxes, masks and a label for each pixel, and the pictures of them: `cs.locate("runs/photos", "new.jpg")`.

    method: cam, window, or auto, which is cam where the model has maps. target: the class or classes to look for, by
    name or number; the answer unless given. out: the picture to write, or the folder of several; IMAGE.located.png here
    unless given. Beside each picture lies an .npz with `labels` (T,), `heat` and `masks` (T, H, W), `segments` (H, W)
    of `Located`.
    """
    from clearsight.localisation import locate as located
    from clearsight.report.detections import located_sheet
    from clearsight.report.drawings import save_picture

    predictor = model if isinstance(model, Predictor) else load(model)
    given = predictor.inputs(images)
    names = given.names
    place = Path(out).expanduser() if out else None
    if place and place.suffix and len(names) > 1:
        raise ConfigError(
            f"--out {out} names one picture", found=f"{len(names)} images", fix="name a folder to write the pictures to"
        )
    found = []
    for number, one in enumerate(
        located(predictor, given, method=method, target=target, settings=settings, console=console)
    ):
        file = (
            place if place and place.suffix else (place or Path()) / f"{own_name(one.image, number, names)}.located.png"
        )
        found.append((one, save_picture(located_sheet(one), file)))
        with disk_errors(file.parent, "the masks", "free some space or choose another --out"):
            np.savez_compressed(
                file.with_suffix(".npz"), labels=np.array(one.labels, str), heat=one.heat.astype(np.float16),
                masks=one.heat >= one.share, segments=one.segments.astype(np.int32),
            )  # fmt: skip
    return found
