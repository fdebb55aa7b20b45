"""Serve a model over HTTP: the studio at / is a web interface for trying out and inspecting the model.

For programs, there are endpoints to predict, explain, search, attack and more under /v1, as well as /health and
/metrics; /docs describes all of them. The server only accepts requests from this machine unless --host specifies
another address; every request then needs the token. One process uses all cores; for more throughput, start several
processes behind a load balancer. Ctrl-C or SIGTERM stops the server once the requests in flight have been answered; a
second Ctrl-C stops it immediately. Logs are written to standard error, one JSON object per line.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from dataclasses import fields
from typing import TYPE_CHECKING

from clearsight.cli.options import print_json
from clearsight.serving.settings import ServeConfig

if TYPE_CHECKING:
    from clearsight.serving.launch import Address


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="folder of a trained model")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument(
        "--port", type=int, default=8000, metavar="N", help="port number, 0 for any free port (default: 8000)"
    )
    parser.add_argument(
        "--token", metavar="WORD",
        help="token that clients must send (default: $CLEARSIGHT_TOKEN; with --host, a new token that is printed)",
    )  # fmt: skip
    parser.add_argument(
        "--engine",
        choices=("auto", "torch", "openvino"),
        default="auto",
        help="inference engine (default: auto)",
    )
    parser.add_argument(
        "--tls-certificate",
        metavar="FILE",
        help="PEM file of the certificate; with --tls-key, the server uses HTTPS (default: none, plain HTTP)",
    )
    parser.add_argument("--tls-key", metavar="FILE", help="PEM file of the private key, not encrypted (default: none)")
    group = parser.add_argument_group("limits")
    for f in fields(ServeConfig):
        default = "one per core, at most 8" if f.name == "workers" else f"{f.default:g}"
        group.add_argument(
            f"--{f.name.replace('_', '-')}", type=type(f.default), default=f.default, metavar=f.metadata["metavar"],
            help=f"{f.metadata['help']} (default: {default})",
        )  # fmt: skip


def run(arguments: argparse.Namespace) -> None:
    from clearsight.serving.launch import serve

    def started(address: Address) -> None:
        if arguments.json:
            print_json({"url": address.url, "run": arguments.run, "token": address.token})
        else:
            print(
                f"serving {arguments.run} at {address.url}, documentation at {address.url}/docs. Press Ctrl-C to stop\n"
                "loading the model; requests are answered after the line `ready` below"
            )
            if address.made:
                print(f"token: {address.token}")
        sys.stdout.flush()

    def stopping(waiting: int) -> None:
        signal.signal(signal.SIGINT, lambda number, frame: os._exit(130))  # threads at work would be waited for
        if not arguments.json:
            requests = f"{waiting} request{'s' * (waiting != 1)} in flight"
            print(
                f"stopping; waiting for {requests}. Press Ctrl-C again to stop immediately" if waiting else "stopping",
                flush=True,
            )

    limits = {f.name: getattr(arguments, f.name) for f in fields(ServeConfig)}
    serve(
        arguments.run, host=arguments.host, port=arguments.port, token=arguments.token, engine=arguments.engine,
        tls_certificate=arguments.tls_certificate, tls_key=arguments.tls_key,
        config=ServeConfig(**limits), started=started, stopping=stopping,
    )  # fmt: skip
