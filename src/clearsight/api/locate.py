"""Where in images classes are, by a model that learned class labels alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clearsight.arguments import known_arguments
from clearsight.console import Console, usual_console
from clearsight.errors import ConfigError
from clearsight.localisation import Locations, Settings
from clearsight.result import refuse_existing
from clearsight.runs.load import ModelSource, predictor_of


@known_arguments
def locate(
    model: ModelSource,
    images: Any,
    *,
    method: str = "auto",
    target: str | int | Sequence[str | int] | None = None,
    settings: Settings | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    console: Console | None = None,
) -> Locations:
    """Boxes, masks and a label for each pixel: `cs.locate("runs/photos", "new.jpg").plot()`.

    Args:
        model: a run, its folder, or a loaded model.
        images: in any form that `Predictor.predict` takes.
        method: "cam", "window", or "auto", which is cam where the model has class activation maps.
        target: the class or classes to look for, by name or number; None is the predicted one.
        settings: thresholds, layer, scales and stride.
        out: folder to save to, or of one image the picture, as soon as each image is done; None writes nothing.
        overwrite: replace files that are in `out`.
        console: where progress is shown; by default below the cell of a notebook, nowhere elsewhere.

    Returns:
        A sequence of `Located`. `save` writes, for each image, IMAGE.located.png, and beside it an .npz with `labels`
        (T,), `heat` and `masks` (T, H, W), `segments` (H, W) and `instances` (P, H, W) of `Located`.

    Raises:
        ModelError: the method does not suit the model.
        ConfigError: there is no such method, class or setting.
        OutputError: `out` holds files of an earlier result.
    """
    from clearsight.localisation import locate as located

    predictor = predictor_of(model)
    given = predictor.inputs(images)
    files = [] if out is None else picture_files(given.names, out)
    if files:
        from clearsight.report.picture_results import write_located

        if not overwrite:
            there = [str(path) for file in files for path in (file, file.with_suffix(".npz"))]
            refuse_existing("", there, "add --overwrite (overwrite=True in Python)")
    found = []
    for number, one in enumerate(
        located(predictor, given, method=method, target=target, settings=settings, console=console or usual_console())
    ):
        found.append(one)
        if files:
            write_located(one, files[number])
    return Locations(tuple(found))


def picture_files(names: Sequence[str], out: str | Path) -> list[Path]:
    """The picture of each image: `out` itself if it is a file name, or a file in the folder `out`.

    Args:
        names: names of the images.
        out: file or folder to write.

    Returns:
        Paths of the pictures, one per image.

    Raises:
        ConfigError: one file is named for several images.
    """
    from clearsight.localisation.results import picture_names

    place = Path(out).expanduser()
    if not place.suffix:
        return [place / name for name in picture_names(names)]
    if len(names) > 1:
        raise ConfigError(
            f"--out {out} is a single file, which cannot hold several images",
            found=f"{len(names)} images",
            fix="pass a folder with --out",
        )
    return [place]
