"""Push a model to the Hugging Face Hub, with a model card.

The repository contains model.safetensors, config.json, the card (README.md), the OOD detector and the digests of the
training images; neither images nor names or paths of files. Each push is a commit, and `cs.load("USER/NAME",
revision=COMMIT)` loads exactly this state.

The account is that of `hf auth login`, or of the token in HF_TOKEN.
"""

from __future__ import annotations

import argparse

from clearsight.cli.options import print_json
from clearsight.console import terminal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="folder of a trained model")
    parser.add_argument("name", metavar="USER/NAME", help="name on the Hub")
    parser.add_argument(
        "--license", metavar="LICENCE", help="licence of the model, such as apache-2.0 (default: not stated)"
    )
    parser.add_argument(
        "--data-license", metavar="LICENCE",
        help="licence of the training data (default: that of a built-in data set, or not stated)",
    )  # fmt: skip
    parser.add_argument(
        "--weights-license", metavar="LICENCE",
        help="licence of the pretrained weights (default: that of published weights, or not stated)",
    )  # fmt: skip
    parser.add_argument(
        "--intended-use", metavar="TEXT", help="what the model is for, in sentences (default: not stated)"
    )
    parser.add_argument(
        "--private", action="store_true", help="create a repository that only its owner can see (default: no)"
    )
    parser.add_argument(
        "--out", metavar="FOLDER", help="write the files to this folder, and upload nothing (default: upload them)"
    )


def run(arguments: argparse.Namespace) -> None:
    with terminal() as console:
        from clearsight.api.push import push

        pushed = push(
            arguments.run, arguments.name, license=arguments.license, data_license=arguments.data_license,
            weights_license=arguments.weights_license, intended_use=arguments.intended_use,
            private=arguments.private, out=arguments.out, console=console,
        )  # fmt: skip
    if arguments.json:
        print_json({**pushed.to_dict(), "files": arguments.out})
        return
    print(pushed.text() + (f"\n\n  files    {arguments.out}" if arguments.out else ""))
