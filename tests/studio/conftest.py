"""The studio as a visitor meets it: a server of a digits run, and Chromium without a window."""

import shutil
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from PIL import Image
from playwright.sync_api import expect

import clearsight as cs
from clearsight.api import retrieve, robustness
from clearsight.retrieval import Index
from clearsight.serving.app import build_app
from clearsight.serving.server import bound, make_server
from clearsight.serving.settings import ServeConfig

PATIENCE = 60.0
"""Seconds that an answer may take: far more than it does, so that no slow or busy machine fails."""

expect.set_options(timeout=1000 * PATIENCE)

TOKEN = "correct-horse-battery-staple"


@contextmanager
def _running(app):
    """The application at an address of this machine, ready."""
    made = bound("127.0.0.1", 0)
    server = make_server(app, ServeConfig())
    thread = threading.Thread(target=server.run, args=([made],))
    thread.start()
    address = f"http://127.0.0.1:{made.getsockname()[1]}"
    try:
        until = time.monotonic() + 120
        while httpx2.get(f"{address}/health", timeout=PATIENCE).status_code != 200:
            assert time.monotonic() < until
            time.sleep(0.05)
        yield address
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="session")
def running():
    """`_running`, for applications of a test's own."""
    return _running


@pytest.fixture(scope="session")
def full_run(once, digits_run):
    """A run with everything the studio shows: an index and an audit card too."""

    def make(folder):
        run = shutil.copytree(digits_run, folder / "digits")
        retrieve.index(run)
        robustness.robustness(run, changes=["noise"], images=12).save(run / "robustness")

    return once("studio", make) / "digits"


def _of_run(run):
    """A server of a run with an index."""
    return _running(build_app(cs.load(run, engine="torch").predictor, run=run, index=Index.load(run / "index")))


@pytest.fixture(scope="session")
def studio(full_run):
    """The address of a server that this machine alone may ask."""
    with _of_run(full_run) as address:
        yield address


@pytest.fixture(scope="session")
def labels_studio(labels_run):
    """The address of a server of a model of four labels, and the folder of its images."""
    with _of_run(labels_run) as address:
        yield address, labels_run.parent


@pytest.fixture(scope="session")
def angle_studio(angle_run):
    """The address of a server of a model of an angle, and the folder of its images."""
    with _of_run(angle_run) as address:
        yield address, angle_run.parent


@pytest.fixture(scope="session")
def numbers_studio(answering):
    """The address of a server of a model of two numbers, which has no folder."""
    with _running(build_app(answering("numbers", "resnet8"))) as address:
        yield address


@pytest.fixture(scope="session")
def direction_studio(answering):
    """The address of a server of a model of a direction, which has no folder."""
    with _running(build_app(answering("direction", "resnet8"))) as address:
        yield address


@pytest.fixture
def locked(full_run):
    """The address of a server that asks for a token, of a model without an index or a folder."""
    predictor = cs.load(full_run, engine="torch").predictor
    with _running(build_app(predictor, token=TOKEN, local=False)) as address:
        yield address


class Visit:
    """A page, and what a good page never does: ask another host, or complain in the console."""

    def __init__(self, context, address):
        self.origin = "/".join(address.split("/")[:3])
        self.elsewhere, self.complaints = [], []
        self.page = context.new_page()
        self.page.set_default_timeout(1000 * PATIENCE)
        context.on("request", self._asked)
        self.page.on("console", lambda m: self.complaints.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(address)

    def _asked(self, request):
        if not request.url.startswith((f"{self.origin}/", "data:", "blob:")):
            self.elsewhere.append(request.url)

    def ready(self):
        self.page.wait_for_selector("body.ready")
        return self.page


@pytest.fixture
def visit(browser):
    """A function that opens an address in a fresh context; afterwards nothing unexpected may have gone wrong."""
    opened = []

    def open_(address, **options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        made = Visit(context, address)
        opened.append((context, made))
        return made

    yield open_
    for context, made in opened:
        context.close()
        assert made.elsewhere == []
        assert made.complaints == []


@pytest.fixture(scope="session")
def five(tmp_path_factory, digits_arrays) -> Path:
    """A digit as a file."""
    images, labels = digits_arrays
    path = tmp_path_factory.mktemp("image") / "five.png"
    Image.fromarray(images[next(i for i in range(1700, 1797) if labels[i] == 5), 0]).save(path)
    return path


@pytest.fixture(scope="session")
def detector_studio(detector_run):
    """The address of a server of an anomaly model of plates that localises anomalies, with an index."""
    with _of_run(detector_run) as address:
        yield address


@pytest.fixture(scope="session")
def hearing_studio(hearing_run):
    """The address of a server of a detector of sounds, without an index."""
    with _running(build_app(cs.load(hearing_run, engine="torch").predictor, run=hearing_run)) as address:
        yield address
