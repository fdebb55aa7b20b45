"""Explain predictions with heatmaps, shown next to the image and over it, and measure their faithfulness.

Faithfulness is the area between the insertion curve and the deletion curve, minus the same area for a random order of
the regions. At 0 or below, the map is no better than chance. A map that stays the same when all weights are shuffled
depends on the image, not on the model. For each image and method, a picture and an .npz file with the map are written
to OUT.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from clearsight.cli.options import image_files, print_json
from clearsight.console import terminal
from clearsight.errors import ConfigError, ImageError

if TYPE_CHECKING:
    from clearsight.predictor import Predictor


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="folder of a trained model")
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="image files or folders of images")
    parser.add_argument(
        "--method", metavar="NAME",
        help="saliency, smoothgrad, integrated-gradients, guided, grad-cam, occlusion, lime, shap, or all for every "
        "method that the model supports (default: anomaly-map for anomaly models that compute an anomaly map; "
        "otherwise smoothgrad, or occlusion for models without gradients)",
    )  # fmt: skip
    parser.add_argument("--target", metavar="CLASS", help="class to explain (default: the predicted class)")
    parser.add_argument(
        "--layer",
        metavar="NAME",
        help="layer for grad-cam (default: the last layer with at least 16 spatial positions; if the head uses "
        "features from several layers, all of them)",
    )
    parser.add_argument(
        "--samples",
        type=int,
        metavar="N",
        help="number of noisy copies or integration steps (default: 50), or of perturbed images for lime and shap "
        "(default: 500)",
    )
    parser.add_argument(
        "--noise",
        type=float,
        metavar="X",
        help="standard deviation of the smoothgrad noise, as a share of the pixel range (default: 0.1)",
    )
    parser.add_argument(
        "--window",
        type=int,
        metavar="N",
        help="side length of the occluding square in pixels (default: an eighth of the shorter image side)",
    )
    parser.add_argument(
        "--batch-size", type=int, default=16, metavar="N", help="number of images per batch (default: 16)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="random seed (default: 0)")
    parser.add_argument("--fast", action="store_true", help="skip the faithfulness measurement (default: no)")
    parser.add_argument("--out", metavar="FOLDER", default="explained", help="output folder (default: explained)")
    parser.add_argument(
        "--overwrite", action="store_true", help="overwrite the files of an earlier result (default: no)"
    )


USES = {
    "samples": ("smoothgrad", "integrated-gradients", "lime", "shap"),
    "noise": ("smoothgrad",),
    "window": ("occlusion",),
    "layer": ("grad-cam",),
}
"""Options, and the methods they say something to."""


def run(arguments: argparse.Namespace) -> int:
    for option, methods in USES.items():
        if getattr(arguments, option) is not None and arguments.method not in (None, *methods, "all"):
            ways = " or ".join((*methods, "all"))
            raise ConfigError(f"--{option} has no effect with --method {arguments.method}", expected=f"--method {ways}")
    with terminal() as console:
        paths = image_files(arguments.images)
        from clearsight.api.explain import explain
        from clearsight.explanation import Settings
        from clearsight.explanation.results import image_lines
        from clearsight.runs.load import load_predictor

        given = {name: getattr(arguments, name) for name in USES if getattr(arguments, name) is not None}
        settings = Settings(batch=arguments.batch_size, seed=arguments.seed, **given)
        predictor = load_predictor(arguments.run)
        paths, failed = _readable(predictor, paths)
        found = explain(
            predictor, paths, method=arguments.method, target=arguments.target, settings=settings,
            faithfulness=not arguments.fast, out=arguments.out, overwrite=arguments.overwrite, console=console,
        )  # fmt: skip
    folder = Path(arguments.out).expanduser()
    pictures = [folder / f"{stem}.{found.method}.png" for stem in found.stems]
    if arguments.json:
        rows = [
            {**one.to_dict(), "picture": str(picture)}
            for maps, picture in zip(found.by_image, pictures, strict=True)
            for one in maps
        ]
        print_json({"explanations": rows, "failed": failed})
    for maps, picture in () if arguments.json else zip(found.by_image, pictures, strict=True):
        first, *others = image_lines(maps)
        print("\n".join([first, f"    saved to {os.path.relpath(picture)}", *others]))
    for why in failed.values():
        print(f"clearsight: {why}", file=sys.stderr)
    return 2 if failed else 0


def _readable(predictor: Predictor, paths: list[str]) -> tuple[list[str], dict[str, str]]:
    """The files that the model can read, and of the others why it cannot; ImageError where it can read none."""
    from clearsight.data.pixels import read_bytes

    good, failed = [], {}
    for path in paths:
        try:
            predictor.decoded(read_bytes(Path(path)), path)
            good.append(path)
        except ImageError as error:
            failed[path] = str(error)
            first = error
    if not good:
        raise first
    return good, failed
