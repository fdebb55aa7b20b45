"""A digits model behind HTTP, in this process, and its images as files."""

import io
import threading
import time
from contextlib import contextmanager

import httpx2
import pytest
from PIL import Image
from starlette.testclient import TestClient

import clearsight as cs
from clearsight.serving.app import build_app
from clearsight.serving.server import bound, make_server
from clearsight.serving.settings import ServeConfig


@contextmanager
def _serving(predictor, **options):
    """A client of an application that is ready."""
    with TestClient(build_app(predictor, **options), base_url="http://localhost") as client:
        until = time.monotonic() + 120
        while client.get("/health").status_code != 200:
            assert time.monotonic() < until
            time.sleep(0.02)
        yield client


@contextmanager
def _listening(predictor, config=None):
    """A server in a thread of this process, ready; its address."""
    config = config or ServeConfig()
    made = bound("127.0.0.1", 0)
    running = make_server(build_app(predictor, config=config), config)
    thread = threading.Thread(target=running.run, args=([made],))
    thread.start()
    address = made.getsockname()
    try:
        until = time.monotonic() + 120
        while httpx2.get(f"http://127.0.0.1:{address[1]}/health", timeout=60).status_code != 200:
            assert time.monotonic() < until
            time.sleep(0.05)
        yield address
    finally:
        running.should_exit = True
        thread.join()


@pytest.fixture(scope="session")
def listening():
    return _listening


@pytest.fixture(scope="session")
def serving():
    return _serving


@pytest.fixture(scope="session")
def png():
    return _png


@pytest.fixture(scope="session")
def predictor(digits_run):
    return cs.load(digits_run, engine="torch").predictor


@pytest.fixture(scope="session")
def client(predictor):
    with _serving(predictor) as made:
        yield made


@pytest.fixture(scope="session")
def pngs(digits_arrays):
    """40 digits as PNG files in memory."""
    return [_png(image[0]) for image in digits_arrays[0][-40:]]


def _png(array, kind="PNG"):
    """The file, in memory, of an array of pixels."""
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind)
    return buffer.getvalue()
