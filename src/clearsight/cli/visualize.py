"""Visualise a network: its first-layer weights, its feature maps, and what its units and classes respond to.

  filters    first-layer weights; one template per class for a linear classifier
  maps       feature maps of an image
  patches    image patches that activate a unit most strongly
  classes    images that maximise a class, or a unit (--layer NAME --unit N)
  inversion  an image reconstructed from the features of a layer
  gates      squeeze-and-excitation gates of each class

RUN may also be a network with published weights, such as efficientnet_lite0; in that case, pass images with --data.
"""

from __future__ import annotations

import argparse
import os

from clearsight.cli.options import print_json
from clearsight.console import terminal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="folder of a trained model")
    parser.add_argument(
        "image", metavar="IMAGE", nargs="?", help="image for maps and inversion (default: a training image)"
    )
    parser.add_argument(
        "--what", default="all", metavar="PART",
        help="filters, maps, patches, classes, inversion, gates, or all for every part that the model supports "
        "(default: all)",
    )  # fmt: skip
    parser.add_argument(
        "--layer", default="", metavar="NAME",
        help="layer for maps, patches, inversion and units; `list` shows the names (default: several layers)",
    )  # fmt: skip
    parser.add_argument(
        "--unit",
        type=int,
        action="append",
        default=[],
        metavar="N",
        help="index of the unit in the layer; may be repeated (default: for maps, the units that vary most; for "
        "patches, a random sample)",
    )
    parser.add_argument(
        "--class", dest="classes", action="append", default=[], metavar="CLASS",
        help="class to visualise; may be repeated (default: all, or the most probable classes for the image)",
    )  # fmt: skip
    parser.add_argument(
        "--modes", type=int, default=3, metavar="N", help="number of images to generate per class (default: 3)"
    )
    parser.add_argument(
        "--steps",
        type=int,
        metavar="N",
        help="number of optimisation steps (default: 64 for class images, 100 for inversion)",
    )
    parser.add_argument(
        "--data", metavar="DATA",
        help="labelled images for patches, classes and gates (default: the training images)",
    )  # fmt: skip
    parser.add_argument(
        "--images", type=int, default=500, metavar="N", help="maximum number of labelled images to use (default: 500)"
    )
    parser.add_argument(
        "--batch-size", type=int, default=16, metavar="N", help="number of images per batch (default: 16)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="random seed (default: 0)")
    parser.add_argument("--out", metavar="FOLDER", help="output folder (default: RUN/visualize)")
    parser.add_argument(
        "--data-dir",
        metavar="FOLDER",
        help="folder that contains the files of a built-in data set (default: the cache)",
    )


def run(arguments: argparse.Namespace) -> None:
    if arguments.layer == "list":
        _list(arguments)
        return
    with terminal() as console:
        from clearsight.api.results import result_folder
        from clearsight.api.visualize import visualize
        from clearsight.feature_vis import Settings

        steps = {} if arguments.steps is None else dict.fromkeys(("class_steps", "inversion_steps"), arguments.steps)
        settings = Settings(
            layer=arguments.layer, units=tuple(arguments.unit), classes=tuple(arguments.classes), modes=arguments.modes,
            batch=arguments.batch_size, seed=arguments.seed, **steps,
        )  # fmt: skip
        found = visualize(
            arguments.run, arguments.image, what=arguments.what, data=arguments.data, images=arguments.images,
            settings=settings, data_dir=arguments.data_dir, console=console,
        )  # fmt: skip
        page = found.save(result_folder(arguments.run, "visualize", arguments.out), overwrite=True)
    parts = found.part_words()
    if arguments.json:
        files = {part: str(page.with_name(f"{part}.png")) for part in parts}
        print_json({**found.to_dict(), "files": {**files, "page": str(page)}})
        return
    for part, words in parts.items():
        print(f"{part:<10} {words}; {part}.png")
    for line in found.left_out_lines():
        print(line)
    print(f"\n  report   {os.path.relpath(page)}")


def _list(arguments: argparse.Namespace) -> None:
    """The layers that --layer takes."""
    with terminal():
        from clearsight.feature_vis import layer_rows
        from clearsight.runs.load import load_predictor

        rows = layer_rows(load_predictor(arguments.run))
    if arguments.json:
        print_json({"layers": [row.to_dict() for row in rows]})
        return
    width = max(len(row.layer.short) for row in rows)
    print(f"{'layer':<{width}}  {'units':>5}  {'map':>9}  {'field':>5}  kind")
    for row in rows:
        found = row.layer
        size = f"{found.height}x{found.width}"
        print(f"{found.short:<{width}}  {found.units:>5}  {size:>9}  {row.receptive_field or '':>5}  {found.kind}")
    print("\nfield: side of the receptive field of a unit, in pixels")
