"""Say where in images classes are, by a model that learned class labels alone: boxes, masks, and a picture of them.

`cam` draws boxes around what speaks for the answer, in one look at the whole image; `window` lets the model slide over
the image at several scales. `--json` gives boxes as [x0, y0, x1, y1] in pixels of the image. Beside each picture lies
an .npz with the mask of each class and a label for each pixel.
"""

from __future__ import annotations

import argparse

from clearsight.cli.options import image_files, numbers, print_json
from clearsight.console import terminal
from clearsight.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a trained model's folder")
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="image files or folders of images")
    parser.add_argument(
        "--method", default="auto", metavar="NAME", help="auto, cam or window (default: auto, cam where there are maps)"
    )
    parser.add_argument(
        "--target", action="append", metavar="CLASS", help="class to look for; may be given again (default: the answer)"
    )
    parser.add_argument(
        "--threshold", type=float, metavar="X",
        help="least probability of a class, 0 to 1 (default: none for cam, 0.5 for windows, a label's own threshold)",
    )  # fmt: skip
    parser.add_argument(
        "--share", type=float, default=0.5, metavar="X",
        help="of a map's maximum from which a place belongs to the class (default: 0.5)",
    )  # fmt: skip
    parser.add_argument(
        "--iou",
        type=float,
        default=0.3,
        metavar="X",
        help="windows: overlap from which two boxes are of one thing (default: 0.3)",
    )
    parser.add_argument("--layer", default="", metavar="NAME", help="layer of the maps (default: the last with maps)")
    parser.add_argument(
        "--scales",
        metavar="X,...",
        help="windows: by which they see the image enlarged or made smaller (default: 1, 0.7, 0.5, ...)",
    )
    parser.add_argument(
        "--stride", type=int, metavar="N", help="windows: pixels from one to the next (default: an eighth of one)"
    )
    parser.add_argument("--background", metavar="CLASS", help="a class that is no thing, where no --target is named")
    parser.add_argument("--tight", action="store_true", help="windows: draw boxes closer, by the map within")
    parser.add_argument("--keep-ood", action="store_true", help="windows: also keep those that are out of distribution")
    parser.add_argument("--out", metavar="FILE.png", help="picture to write, or a folder (default: IMAGE.located.png)")
    parser.add_argument("--overwrite", action="store_true", help="replace files of an earlier result there")


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
