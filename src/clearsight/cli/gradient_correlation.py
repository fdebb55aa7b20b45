"""Measure shattered gradients: how similar gradients at nearby inputs are in networks at initialisation.

Without MODEL, fully connected networks of width 200 are measured on numbers from -2 to 2, as in Balduzzi et al. 2017:
plain, with batch normalisation, and with skip connections. With MODEL..., networks of the registry are measured on the
line between two images. The measure is the autocorrelation of the gradients as a function of the lag: it is close to 1
if gradients at neighbouring inputs are similar, and 0 for white noise.
"""

from __future__ import annotations

import argparse
import os

from clearsight.cli.options import numbers, print_json
from clearsight.console import terminal
from clearsight.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "models",
        metavar="MODEL",
        nargs="*",
        help="networks to measure on the line between two images (default: dense networks of several depths)",
    )
    parser.add_argument(
        "--between", metavar="IMAGE", nargs=2, help="two image files (default: a 0 and a 1 from the built-in digits)"
    )
    parser.add_argument("--img-size", type=int, metavar="N", help="side length of the images in pixels (default: 32)")
    parser.add_argument(
        "--depths", metavar="N,...", help="numbers of hidden layers in the dense networks (default: 2,10,24,50)"
    )
    parser.add_argument(
        "--networks", type=int, default=10, metavar="N", help="number of networks to average over (default: 10)"
    )
    parser.add_argument(
        "--points", type=int, default=256, metavar="N", help="number of inputs on the line (default: 256)"
    )
    parser.add_argument("--lags", type=int, default=15, metavar="N", help="maximum lag in points (default: 15)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="random seed for the networks (default: 0)")
    parser.add_argument(
        "--out",
        metavar="FOLDER",
        default="gradient-correlation",
        help="output folder (default: gradient-correlation)",
    )


def run(arguments: argparse.Namespace) -> None:
    if arguments.depths and arguments.models:
        raise ConfigError(
            "--depths applies only to the dense networks; a named network has a fixed depth",
            fix="drop --depths or MODEL",
        )
    if arguments.img_size is not None and not arguments.models:
        raise ConfigError("--img-size applies only to named networks", fix="name a network, or drop --img-size")
    text, depths = arguments.depths, None
    if text is not None:
        expected = "comma-separated integers, such as 2,10,50"
        depths = numbers(text, int, ConfigError(f"--depths {text} is not a list of integers", expected=expected))
    with terminal() as console:
        from clearsight.api.gradient_correlation import gradient_correlation
        from clearsight.derivatives.gradient_correlation import DEPTHS

        found = gradient_correlation(
            arguments.models, depths=DEPTHS if depths is None else depths, between=arguments.between,
            networks=arguments.networks, points=arguments.points, lags=arguments.lags,
            img_size=32 if arguments.img_size is None else arguments.img_size, seed=arguments.seed,
            console=console,
        )  # fmt: skip
        page = found.save(arguments.out, overwrite=True)
    if arguments.json:
        print_json({**found.to_dict(), "report": str(page)})
        return
    print(f"{found.text()}\n\n  page   {os.path.relpath(page)}")
