"""Filter an image with a kernel, given by name or by its values, and write the result as an image.

KERNEL is identity, box, gaussian, gaussian:SIGMA, sharpen, laplacian, sobel-x (which responds to vertical edges),
sobel-y, sobel (the strength of edges in any direction), or rows of numbers such as "0,1,0;1,-4,1;0,1,0". Results with
positive and negative values are shown around middle gray; all others are clipped to the pixel range.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from clearsight.cli.options import print_json
from clearsight.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("image", metavar="IMAGE", help="image to filter")
    parser.add_argument(
        "--kernel", required=True, metavar="KERNEL", help="kernel name, or kernel values such as 0,1,0;1,-4,1;0,1,0"
    )
    parser.add_argument(
        "--then",
        metavar="KERNEL",
        help="second kernel to combine with the first; the difference "
        "from filtering twice is also drawn (default: none)",
    )
    parser.add_argument(
        "--padding", default="reflect", choices=("zero", "reflect", "replicate", "valid"),
        help="padding at the border; valid adds no padding, so the image shrinks by the kernel size minus 1 "
        "(default: reflect)",
    )  # fmt: skip
    parser.add_argument(
        "--convolve",
        action="store_true",
        help="convolve instead of correlate: rotate the kernel by 180 degrees; implied by --then (default: no)",
    )
    parser.add_argument("--out", metavar="FILE", help="output image file (default: next to IMAGE)")


def run(arguments: argparse.Namespace) -> None:
    import numpy as np

    from clearsight.classical.filters import convolve, correlate, joined, kernel, sobel
    from clearsight.data.pixels import read_image
    from clearsight.report.drawings import as_drawn, save_picture

    source = Path(arguments.image).expanduser()
    strength = arguments.kernel == "sobel"
    if strength and arguments.then:
        raise ConfigError(
            "sobel is the norm of two filter responses and cannot be combined with another kernel",
            fix="use sobel-x or sobel-y",
        )
    first = None if strength else kernel(arguments.kernel)
    second = kernel(arguments.then) if arguments.then else None
    pixels = read_image(source)
    image = pixels.transpose(1, 2, 0) / np.iinfo(pixels.dtype).max
    difference = None
    if first is None:
        found = sobel(image, arguments.padding)
    elif second is not None:
        found = convolve(image, joined(first, second), arguments.padding)
        difference = np.abs(convolve(convolve(image, first, arguments.padding), second, arguments.padding) - found)
    else:
        found = (convolve if arguments.convolve else correlate)(image, first, arguments.padding)
    name = "-".join(word for word in (arguments.kernel, arguments.then) if word).replace(":", "-")
    name = name if all(c.isalnum() or c in "-." for c in name) else "filtered"
    out = Path(arguments.out).expanduser() if arguments.out else source.with_name(f"{source.stem}.{name}.png")
    written = [save_picture(as_drawn(found), out)]
    summary = {"picture": str(written[0]), "lowest": float(found.min()), "highest": float(found.max())}
    if difference is not None:
        if difference.max() > 1e-6:
            place = out.with_name(f"{out.stem}.difference{out.suffix}")
            written.append(save_picture(difference / difference.max(), place))
        rim = sum(len(k) // 2 for k in (first, second) if k is not None)
        interior = difference[rim:-rim, rim:-rim]
        summary |= {
            "difference": str(written[1]) if written[1:] else None, "difference_at_border": float(difference.max()),
            "difference_interior": float(interior.max()) if interior.size else 0.0,
        }  # fmt: skip
    if arguments.json:
        print_json(summary)
        return
    print(f"{written[0]}  values from {summary['lowest']:.3g} to {summary['highest']:.3g} (input pixels: 0 to 1)")
    if difference is not None:
        print(
            f"{written[-1]}  maximum difference between filtering with the combined kernel "
            f"and filtering twice: {summary['difference_interior']:.1g} "
            f"in the interior, {summary['difference_at_border']:.2g} at the border"
        )
