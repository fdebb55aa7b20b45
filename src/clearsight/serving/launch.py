"""`serve`: a model behind HTTP until the process is stopped."""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from clearsight.arguments import known_arguments
from clearsight.environment import variable
from clearsight.errors import ConfigError
from clearsight.serving.settings import ServeConfig
from clearsight.serving.tls import Tls

if TYPE_CHECKING:
    from pathlib import Path

    from clearsight.predictor import Predictor
    from clearsight.retrieval import Index
    from clearsight.runs.load import ModelSource

PACKAGES = ("fastapi", "fastapi_offline", "httptools", "prometheus_client", "pydantic", "python_multipart", "uvicorn")

LEAST_TOKEN = 16
"""Characters of a token, at least: a short one can be guessed."""


@dataclass(frozen=True)
class Address:
    """Where a server listens, and the token that its clients must show, if any. made: it was generated."""

    url: str
    token: str | None
    made: bool


@known_arguments
def serve(
    model: ModelSource,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str | None = None,
    engine: str = "auto",
    tls_certificate: str | Path | None = None,
    tls_key: str | Path | None = None,
    config: ServeConfig | None = None,
    started: Callable[[Address], None] | None = None,
    stopping: Callable[[int], None] = lambda waiting: None,
) -> None:
    """Serve a model over HTTP until SIGINT or SIGTERM: `cs.serve("runs/photos")`.

    Args:
        model: a run, its folder, or a loaded model.
        host: address to listen on. Other than loopback, clients need a token.
        port: 0 takes any that is free.
        token: what clients must show; None is that of CLEARSIGHT_TOKEN, or one that is made where it is needed.
        engine: "auto", "torch" or "openvino".
        tls_certificate: PEM file; with it and `tls_key` the server uses HTTPS.
        tls_key: PEM file of the private key, not encrypted.
        config: limits and timeouts.
        started: called with the address once the port is open; the engine warms after that, and /health says when it
            is ready.
        stopping: called when the server takes no more requests, with the number of those it still answers.

    Raises:
        ConfigError: the port cannot be had, the token is weak, the certificate and key do not fit, or packages are
            missing.
        BundleError: there is no model in the folder.

    Example:
        This is not run as a test, since it serves until it is interrupted.

        >>> cs.serve("runs/digits", port=8000)  # doctest: +SKIP
    """
    _require_packages()
    if not 0 <= port <= 65535:
        raise ConfigError(f"--port must be in [0, 65535], not {port}")
    config = config or ServeConfig()
    token = token or variable("CLEARSIGHT_TOKEN")
    _check_token(token)
    tls = Tls.of(tls_certificate, tls_key)

    from clearsight.serving.app import build_app
    from clearsight.serving.logs import log_to_stderr
    from clearsight.serving.server import bound, make_server

    predictor, run, index = _loaded(model, engine)
    listening = bound(host, port)
    with listening:
        name, number = listening.getsockname()[:2]
        local = ipaddress.ip_address(name.partition("%")[0]).is_loopback
        made = token is None and not local
        token = secrets.token_urlsafe(24) if made else token
        log_to_stderr()
        failures: list[BaseException] = []

        def failed(error: BaseException) -> None:
            failures.append(error)
            server.should_exit = True

        app = build_app(predictor, config=config, index=index, run=run, token=token, local=local, failed=failed)
        server = make_server(app, config, stopping, tls)
        shown = f"[{name}]" if ":" in name else name
        if started:
            started(Address(f"{'https' if tls else 'http'}://{shown}:{number}", token, made))
        server.run([listening])
    if failures:
        raise failures[0]


def _require_packages() -> None:
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise ConfigError(
            "serving requires packages that are not installed",
            found=f"no {', '.join(missing)}",
            fix="run pip install 'clearsight[serve]'",
        )


def _check_token(token: str | None) -> None:
    if token is not None and (
        len(token) < LEAST_TOKEN or not token.isascii() or not token.isprintable() or " " in token
    ):
        raise ConfigError(
            "the token is too short or contains invalid characters",
            expected=f"{LEAST_TOKEN} or more ASCII characters without spaces",
            fix="omit it; a token is generated if the server needs one",
        )


def _loaded(model: ModelSource, engine: str) -> tuple[Predictor, Path | None, Index | None]:
    """A predictor that answers single images fast, the folder of its run and the run's index, where it has them."""
    from clearsight.predictor import Predictor
    from clearsight.retrieval import Index
    from clearsight.runs.load import folder_of, predictor_of

    if isinstance(model, Predictor):
        return model, None, None
    predictor, run = Predictor(predictor_of(model).bundle, engine=engine, hint="latency"), folder_of(model)
    if run is None or not (run / "index").is_dir():
        return predictor, run, None
    index = Index.load(run / "index", run)
    index.check(predictor.bundle)
    return predictor, run, index
