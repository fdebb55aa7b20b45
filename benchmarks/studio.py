"""How long a visitor of the studio waits: first paint, ready for an image, the answer, an attack, a layer, a unit.

The model is trained on the digits first, or is the run named by CLEARSIGHT_BENCH_RUN. Chromium runs without a window on
this machine, asks over loopback, and starts each visit with an empty cache.

    python -m benchmarks studio
"""

from __future__ import annotations

import io
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.harness import spread
from benchmarks.serving import HOST, served

VISITS = 10
FIRST_PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime / 1000"


def measure() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        run = os.environ.get("CLEARSIGHT_BENCH_RUN") or _trained(folder)
        image = Path(folder) / "image.png"
        image.write_bytes(_image())
        with served(run) as (port, _):
            return _visits(f"http://{HOST}:{port}", image)


def _trained(folder: str) -> str:
    from clearsight.api.fit import fit

    return str(fit("digits", out=f"{folder}/run", epochs=2).folder)


def _image() -> bytes:
    """A digit as PNG."""
    from PIL import Image
    from sklearn.datasets import load_digits

    buffer = io.BytesIO()
    Image.fromarray((15 * load_digits().images[1700]).astype("uint8")).save(buffer, "PNG")
    return buffer.getvalue()


def _visits(address: str, image: Path) -> dict[str, Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = os.environ.get("CLEARSIGHT_CHROMIUM") or shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        _visit(browser, address, image)  # warms up
        found = [_visit(browser, address, image) for _ in range(VISITS)]
        browser.close()
    waits = {f"{name}_seconds": spread([visit[name] for visit in found]) for name in found[0]}
    return {"visits": VISITS, **waits, "bar": 1.0, "met": max(visit["first_paint"] for visit in found) < 1.0}


def _visit(browser: Any, address: str, image: Path) -> dict[str, float]:
    """Seconds until each thing stands, from the moment it was asked for, with nothing cached."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    waits: dict[str, float] = {}

    def timed(name: str, selector: str, ask: Callable[[], object] = lambda: None) -> None:
        began = time.perf_counter()
        ask()
        page.wait_for_selector(selector, timeout=60_000)
        waits[name] = time.perf_counter() - began

    timed("ready", "body.ready", lambda: page.goto(address))
    waits["first_paint"] = float(page.evaluate(FIRST_PAINT))
    timed("answer", "#answer .label", lambda: page.set_input_files("input[type=file]", str(image)))
    timed("faithfulness", "#heatmap .verdict")
    timed("attack", "#attack .three", lambda: page.goto(f"{address}/#/attack"))
    timed("network", "#network a.row .mini", lambda: page.goto(f"{address}/#/network"))
    timed("layer", "#network .tile", lambda: page.goto(f"{address}/#/network/7"))
    timed("unit", ".unit", lambda: page.goto(f"{address}/#/network/7/5"))
    timed("patches", ".patches li")
    context.close()
    return waits
