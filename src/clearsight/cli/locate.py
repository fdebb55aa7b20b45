"""Say where in images classes are, by a model that learned class labels alone: boxes, masks, and a picture of them.

`cam` draws boxes around what speaks for the answer, in one look at the whole image; `window` lets the model slide over
the image at several scales. `--json` gives boxes as [x0, y0, x1, y1] in pixels of the image. Beside each picture lies
an .npz with the mask of each class and of each detection, and a label for each pixel. A model trained on boxes detects
by windows of the sizes of its objects.
"""

from __future__ import annotations

import argparse

from clearsight.cli.options import image_files, numbers, print_json
from clearsight.console import terminal
from clearsight.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="folder of a trained model")
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="image files or folders of images")
    parser.add_argument(
        "--method", default="auto", metavar="NAME", help="auto, cam or window (default: auto, cam where there are maps)"
    )
    parser.add_argument(
        "--target",
        action="append",
        metavar="CLASS",
        help="class to locate; may be given several times (default: the predicted one)",
    )
    parser.add_argument(
        "--threshold", type=float, metavar="X",
        help="minimum probability of a class, 0 to 1 (default: none for cam, 0.5 for windows, a label's own threshold)",
    )  # fmt: skip
    parser.add_argument(
        "--share", type=float, metavar="X",
        help="threshold of a mask as a share of the map's maximum, 0 to 1 (default: 0.5; 0.4 for a model trained on "
        "boxes)",
    )  # fmt: skip
    parser.add_argument(
        "--iou",
        type=float,
        default=0.3,
        metavar="X",
        help="overlap (IoU) above which two windows show the same object, 0 to 1 (default: 0.3)",
    )
    parser.add_argument(
        "--layer", default="", metavar="NAME", help="layer of the maps (default: the last that has maps)"
    )
    parser.add_argument(
        "--scales",
        metavar="X,...",
        help="scales of the image that windows are taken from (default: 1,0.7,0.5,...)",
    )
    parser.add_argument(
        "--stride", type=int, metavar="N", help="step between windows in pixels (default: an eighth of a window)"
    )
    parser.add_argument(
        "--background", metavar="CLASS", help="class that is no object, ignored unless it is a --target (default: none)"
    )
    parser.add_argument(
        "--tight", action="store_true", help="shrink the boxes of windows to the map inside (default: no)"
    )
    parser.add_argument(
        "--keep-ood", action="store_true", help="also keep windows that are out of distribution (default: no)"
    )
    parser.add_argument("--out", metavar="FILE.png", help="image file or folder to write (default: IMAGE.located.png)")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace files of an earlier result there (default: no)"
    )


def run(arguments: argparse.Namespace) -> None:
    paths = image_files(arguments.images)
    text, scales = arguments.scales, None
    if text is not None:
        otherwise = ConfigError(f"--scales {text!r} cannot be read", expected="numbers such as 1,0.5")
        scales = tuple(numbers(text, float, otherwise))
    with terminal() as console:
        from clearsight.api.locate import locate, picture_files
        from clearsight.localisation import Settings
        from clearsight.localisation.results import image_lines

        settings = Settings(
            threshold=arguments.threshold, share=arguments.share, iou=arguments.iou, layer=arguments.layer,
            scales=scales, stride=arguments.stride, background=arguments.background, tight=arguments.tight,
            keep_ood=arguments.keep_ood,
        )  # fmt: skip
        out = arguments.out or "."
        found = locate(
            arguments.run, paths, method=arguments.method, target=arguments.target, settings=settings,
            out=out, overwrite=arguments.overwrite, console=console,
        )  # fmt: skip
    pictures = picture_files([one.image for one in found], out)
    if arguments.json:
        rows = [
            {**one.to_dict(), "picture": str(picture), "masks": str(picture.with_suffix(".npz"))}
            for one, picture in zip(found, pictures, strict=True)
        ]
        print_json({"located": rows})
        return
    for one, picture in zip(found, pictures, strict=True):
        print("\n".join([*image_lines(one), f"    {picture}"]))
