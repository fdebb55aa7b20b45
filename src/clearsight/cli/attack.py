"""Measure adversarial robustness: how much an image must be changed before the prediction changes.

The command computes robust accuracy, the share of images that are still classified correctly under attack, as a
function of epsilon. Epsilon is the maximum change of any pixel, for pixel values in [0, 1] (linf; 8/255 is 0.031), or
the Euclidean norm of the whole change (l2). A stronger attack finds smaller changes, so the accuracy under pgd is an
upper bound; apgd and autoattack come closer to the true one. Without DATA, the test split of the model's own run is
attacked. If DATA is a single image, it is attacked away from the model's own prediction. --fool generates images from
noise that the model classifies with high confidence.
"""

from __future__ import annotations

import argparse
import os

from clearsight.cli.options import add_sample, numbers, print_json
from clearsight.console import terminal
from clearsight.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_sample(parser, "RUN/attack")
    parser.add_argument(
        "--method",
        default="pgd",
        choices=("fgsm", "pgd", "apgd", "square", "autoattack"),
        help="attack method: fgsm takes one step along the gradient, pgd many; apgd adapts the size of its steps; "
        "square searches at random and needs no gradients; autoattack makes APGD, APGD towards each of nine probable "
        "wrong classes, and the square attack, which is slow (default: pgd)",
    )
    parser.add_argument(
        "--norm", default="linf", choices=("linf", "l2"), help="norm that bounds the perturbation (default: linf)"
    )
    parser.add_argument(
        "--epsilon",
        metavar="X,...",
        help="maximum perturbations to test, for pixel values from 0 to 1 (default: "
        "0.005,0.01,0.02,0.05,0.1,0.2; for l2: 0.1,0.2,0.5,1,2,4; smaller ones are added if all attacks succeed at the "
        "smallest)",
    )
    parser.add_argument(
        "--steps", type=int, metavar="N",
        help="number of steps, or of queries for square (default: pgd 20, apgd 100, square 1000; autoattack 100, and "
        "50 queries for each)",
    )  # fmt: skip
    parser.add_argument(
        "--restarts", type=int, default=1, metavar="N",
        help="number of random starts of pgd, apgd and autoattack (default: 1)",
    )  # fmt: skip
    parser.add_argument("--target", metavar="CLASS", help="target class (default: any wrong class)")
    parser.add_argument("--fool", action="store_true", help="also generate one fooling image per class (default: no)")
    parser.add_argument(
        "--batch-size", type=int, default=64, metavar="N", help="number of images per batch (default: 64)"
    )


def run(arguments: argparse.Namespace) -> None:
    text, epsilons = arguments.epsilon, None
    if text is not None:
        expected = "comma-separated numbers, such as 0.01,0.03"
        epsilons = numbers(text, float, ConfigError(f"--epsilon {text} is not a list of numbers", expected=expected))
    with terminal() as console:
        from clearsight.api.attack import attack
        from clearsight.api.results import result_folder

        found = attack(
            arguments.run, arguments.data, method=arguments.method, norm=arguments.norm,
            epsilons=epsilons, steps=arguments.steps, restarts=arguments.restarts, target=arguments.target,
            images=arguments.images, fool=arguments.fool, batch=arguments.batch_size, seed=arguments.seed,
            data_dir=arguments.data_dir, console=console,
        )  # fmt: skip
        page = found.save(result_folder(arguments.run, "attack", arguments.out), overwrite=True)
    if arguments.json:
        print_json({**found.to_dict(), "report": str(page)})
        return
    print(f"{found.text()}\n  report   {os.path.relpath(page)}")
