"""The studio as a visitor meets it: a server of a digits run, and Chromium without a window."""

import os
import shutil
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import httpx2
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from playwright.sync_api import sync_playwright

import clearsight as cs
from clearsight.api import retrieve, robustness
from clearsight.retrieval import Index
from clearsight.serving.app import build_app
from clearsight.serving.server import bound, make_server
from clearsight.serving.settings import ServeConfig

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
        while httpx2.get(f"{address}/health").status_code != 200:
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
def full_run(digits_run, tmp_path_factory):
    """A run with everything the studio shows: an index and an audit card too."""
    folder = tmp_path_factory.mktemp("studio") / "digits"
    shutil.copytree(digits_run, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLEARSIGHT_CACHE", str(tmp_path_factory.mktemp("cache")))
        retrieve.index(folder)
        robustness.audit(folder, changes=["noise"], images=12)
    return folder


@pytest.fixture(scope="session")
def studio(full_run):
    """The address of a server that this machine alone may ask."""
    predictor = cs.load(full_run, engine="torch")
    with _running(build_app(predictor, run=full_run, index=Index.load(full_run / "index"))) as address:
        yield address


def _filed(folder, images, columns):
    """A table of image files in a folder."""
    for i, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{i}.png")
    pd.DataFrame({"image_path": [f"{i}.png" for i in range(len(images))], **columns}).to_csv(
        folder / "scenes.csv", index=False
    )
    return folder / "scenes.csv"


@contextmanager
def _of_task(folder, table, **options):
    """A server of a model trained on a table, with an index, and the folder of its images."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLEARSIGHT_CACHE", str(folder / "cache"))
        run = cs.fit(table, out=folder / "run", **options).folder
        retrieve.index(run)
        app = build_app(cs.load(run, engine="torch"), run=run, index=Index.load(run / "index"))
        with _running(app) as address:
            yield address, folder


@pytest.fixture(scope="session")
def labels_studio(tmp_path_factory, scenes):
    """The address of a server of a model of four labels, and the folder of its images."""
    folder = tmp_path_factory.mktemp("labels")
    images, truth = scenes(400)
    cells = ["|".join(str(k) for k in np.flatnonzero(row)) for row in truth]
    with _of_task(folder, _filed(folder, images, {"label": cells}), epochs=10) as made:
        yield made


@pytest.fixture(scope="session")
def angle_studio(tmp_path_factory, pointers):
    """The address of a server of a model of an angle, and the folder of its images."""
    folder = tmp_path_factory.mktemp("angle")
    images, degrees = pointers(300)
    with _of_task(folder, _filed(folder, images, {"heading": degrees.round(1)}), angle="degrees", epochs=10) as made:
        yield made


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
    predictor = cs.load(full_run, engine="torch")
    with _running(build_app(predictor, token=TOKEN, local=False)) as address:
        yield address


@pytest.fixture(scope="module")
def browser():
    """Chromium. Of a module, not of the session: while it runs, its event loop is this thread's."""
    path = os.environ.get("CLEARSIGHT_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.fail(
            "the studio is tested in a real browser, and there is no Chromium here. Run `apt-get install -y chromium`, "
            "or name one in CLEARSIGHT_CHROMIUM."
        )
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield made
        made.close()


class Visit:
    """A page, and what a good page never does: ask another host, or complain in the console."""

    def __init__(self, context, address):
        self.origin = "/".join(address.split("/")[:3])
        self.elsewhere, self.complaints = [], []
        self.page = context.new_page()
        self.page.set_default_timeout(20_000)
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
    """The address of a server of a detector that tells places of plates, with an index."""
    app = build_app(cs.load(detector_run, engine="torch"), run=detector_run, index=Index.load(detector_run / "index"))
    with _running(app) as address:
        yield address


@pytest.fixture(scope="session")
def hearing_studio(hearing_run):
    """The address of a server of a detector of sounds, without an index."""
    with _running(build_app(cs.load(hearing_run, engine="torch"), run=hearing_run)) as address:
        yield address
