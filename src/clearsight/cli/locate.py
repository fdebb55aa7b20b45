"""Locate objects with boxes and masks, using a model that was trained only on class labels.

`cam` draws boxes around the regions that support the prediction, in one pass over the whole image; `window` applies the
model to sliding windows at several scales. `--json` prints boxes as [x0, y0, x1, y1] in pixels of the image. Next to
each picture, an .npz file contains the mask of each class and of each detection, and a label for each pixel. A model
that was trained on boxes uses windows of the sizes of its objects.
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
        "--method",
        default="auto",
        metavar="NAME",
        help="auto, cam (class activation maps) or window (sliding windows); auto chooses cam if the model has feature "
        "maps, otherwise window (default: auto)",
    )
    parser.add_argument(
        "--target",
        action="append",
        metavar="CLASS",
        help="class to locate; may be repeated (default: the predicted class)",
    )
    parser.add_argument(
        "--threshold", type=float, metavar="X",
        help="minimum probability of a class, 0 to 1 (default: none for cam, 0.5 for window; for multi-label models, "
        "the threshold of each label)",
    )  # fmt: skip
    parser.add_argument(
        "--share", type=float, metavar="X",
        help="mask threshold, as a share of the maximum of the class activation map, 0 to 1 (default: 0.5; 0.4 for a "
        "model trained on boxes)",
    )  # fmt: skip
    parser.add_argument(
        "--iou",
        type=float,
        default=0.3,
        metavar="X",
        help="IoU threshold for non-maximum suppression of windows, 0 to 1 (default: 0.3)",
    )
    parser.add_argument(
        "--layer",
        default="",
        metavar="NAME",
        help="layer that provides the class activation maps (default: the last layer with feature maps)",
    )
    parser.add_argument(
        "--scales",
        metavar="X,...",
        help="image scales at which windows are classified (default: 1,0.7,0.5,...)",
    )
    parser.add_argument(
        "--stride", type=int, metavar="N", help="stride between windows in pixels (default: an eighth of a window)"
    )
    parser.add_argument(
        "--background",
        metavar="CLASS",
        help="background class, ignored unless given as a --target (default: none)",
    )
    parser.add_argument(
        "--tight",
        action="store_true",
        help="shrink window boxes to the region of the class activation map inside them (default: no)",
    )
    parser.add_argument(
        "--keep-ood", action="store_true", help="also keep windows that are out of distribution (default: no)"
    )
    parser.add_argument("--out", metavar="FILE.png", help="output image file or folder (default: IMAGE.located.png)")
    parser.add_argument(
        "--overwrite", action="store_true", help="overwrite the files of an earlier result (default: no)"
    )


def run(arguments: argparse.Namespace) -> None:
    text, scales = arguments.scales, None
    if text is not None:
        otherwise = ConfigError(
            f"--scales {text!r} is not a list of numbers", expected="comma-separated numbers, such as 1,0.5"
        )
        scales = tuple(numbers(text, float, otherwise))
    with terminal() as console:
        paths = image_files(arguments.images)
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
