"""Results as a notebook shows them, in Chromium: readable in light and dark, and without effect on what is around."""

from dataclasses import replace

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.sample_results import MADE, index_result

PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>A notebook</title>
<style>body {{ margin: 20px; background: rgb(250, 240, 230) }} h2 {{ color: rgb(1, 2, 3) }}
tbody tr:nth-child(odd) {{ background: rgb(245, 245, 245) }}</style></head>
<body><main><h1>Notebook</h1><h2 id="outside">Outside</h2>{fragments}</main></body></html>"""


def violations(page, inside=None):
    """What axe finds on a page, or inside the elements that a selector names."""
    options = {"resultTypes": ["violations"], "iframes": False}
    found = Axe().run(page, context=inside, options=options).response["violations"]
    return [(v["id"], [n["target"] for n in v["nodes"]][:5], v["nodes"][0]["failureSummary"]) for v in found]


@pytest.fixture(scope="module")
def fragments(tmp_path_factory, digits_run, reopened):
    """All fragments below each other, as cells of a notebook: of every result, of a run and of a model."""
    run = reopened(digits_run)
    made = [make() for make in MADE.values()] + [index_result(tmp_path_factory.mktemp("index"))]
    made += [run, replace(run, test=run.model.evaluate()), run.model]
    return "\n".join(result._repr_html_() for result in made)


@pytest.fixture
def shown(browser, fragments):
    """A function that shows them in a fresh context; they ask for nothing and complain of nothing."""
    contexts, asked, complaints = [], [], []

    def show(**options):
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda r: None if r.url.startswith(("data:", "about:")) else asked.append(r.url))
        page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
        page.set_content(PAGE.format(fragments=fragments))
        return page

    yield show
    for context in contexts:
        context.close()
    assert asked == []
    assert complaints == []


def brightness(page, script):
    red, green, blue = (float(n) for n in page.evaluate(script).split("(")[1].split(")")[0].split(",")[:3])
    return (red + green + blue) / 3


@pytest.mark.parametrize("scheme", [pytest.param("light", marks=pytest.mark.long), "dark"])  # light: test_notebooks.py
def test_fragments_are_readable_and_keep_their_styles(shown, scheme):
    page = shown(color_scheme=scheme, viewport={"width": 1000, "height": 800}, java_script_enabled=True)
    style = "getComputedStyle(document.querySelector('.clearsight-result'))"
    paper, ink = brightness(page, f"{style}.backgroundColor"), brightness(page, f"{style}.color")
    assert (paper > 200 > 100 > ink) if scheme == "light" else (paper < 50 < 200 < ink)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(250, 240, 230)"
    assert page.evaluate("getComputedStyle(document.querySelector('#outside')).color") == "rgb(1, 2, 3)"
    assert violations(page, ".clearsight-result") == []


def test_fragments_are_no_wider_than_a_narrow_cell(shown):
    page = shown(viewport={"width": 360, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
