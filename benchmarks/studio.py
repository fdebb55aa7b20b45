"""How long the studio's visitor waits: first paint, ready for an image, the answer, a step of the attack, a layer, a unit.

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
    from clearsight.workflow import fit

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

    waits: dict[str, list[float]] = {}

    def timed(name: str, act: Callable[[], object]) -> None:
        began = time.perf_counter()
        act()
        waits.setdefault(name, []).append(time.perf_counter() - began)

    with sync_playwright() as playwright:
        path = os.environ.get("CLEARSIGHT_CHROMIUM") or shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        for number in range(VISITS + 1):
            if number == 1:
                waits.clear()  # the first visit warms up
            context = browser.new_context(viewport={"width": 1280, "height": 900})
            page = context.new_page()
            timed("ready", lambda: (page.goto(address), page.wait_for_selector("body.ready")))
            waits.setdefault("first_paint", []).append(float(page.evaluate(FIRST_PAINT)))
            page.set_input_files("input[type=file]", str(image))
            timed("answer", lambda: page.wait_for_selector("#answer .label"))
            timed("heatmap", lambda: page.wait_for_selector("#heatmap img.over"))
            timed("judged", lambda: page.wait_for_selector("#heatmap .verdict"))
            page.goto(f"{address}/#/attack")
            timed("attack", lambda: page.wait_for_selector("#attack .three"))
            page.goto(f"{address}/#/network")
            timed("network", lambda: page.wait_for_selector("#network a.row .mini"))
            page.goto(f"{address}/#/network/7")
            timed("layer", lambda: page.wait_for_selector("#network .tile"))
            page.goto(f"{address}/#/network/7/5")
            timed("unit", lambda: page.wait_for_selector(".unit"))
            timed("patches", lambda: page.wait_for_selector(".patches li"))
            context.close()
        browser.close()
    found = {f"{name}_seconds": spread(values) for name, values in waits.items()}
    return {"visits": VISITS, **found, "bar": 1.0, "met": max(waits["first_paint"]) < 1.0}
