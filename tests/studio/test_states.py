"""Every state of the page: reachable for all (axe-core), no wider than a small phone, in light and dark."""

import pytest
from axe_playwright_python.sync_playwright import Axe

SERIOUS = ("serious", "critical")


def grave(page):
    """What axe-core finds that keeps people out."""
    found = Axe().run(page, options={"resultTypes": ["violations"], "iframes": False}).response["violations"]
    return [
        (v["id"], [n["target"] for n in v["nodes"]][:5], v["nodes"][0]["failureSummary"])
        for v in found
        if v["impact"] in SERIOUS
    ]


def states(page, address, five, tmp_path):
    """Walk through the states, each named once it stands."""

    def at(tab, *selectors):
        page.goto(f"{address}/#/{tab}")
        for selector in selectors:
            page.wait_for_selector(selector)

    yield "empty"
    page.set_input_files("input[type=file]", str(five))
    page.wait_for_selector("#answer .label")
    page.wait_for_selector("#heatmap .verdict")
    yield "explained"
    at("alike", "#alike li")
    yield "similar"
    at("attack", "#attack .three")
    yield "attacked"
    at("network", "#network a.row .mini")
    yield "network"
    at("network/7", "#network .tile")
    yield "layer"
    at("network/7/5", ".terms li", ".patches li")
    yield "unit"
    at("report", "#report iframe")
    yield "report"
    at("heatmap")
    page.click("#draw")
    page.wait_for_selector("canvas")
    yield "drawing"
    wrong = tmp_path / "notes.txt"
    wrong.write_text("no image")
    page.set_input_files("input[type=file]", str(wrong))
    page.wait_for_selector("#answer .trouble")
    yield "error"


@pytest.mark.parametrize(("scheme", "width"), [pytest.param("light", 1280, marks=pytest.mark.long), ("dark", 360)])
def test_no_state_keeps_anybody_out(visit, studio, five, tmp_path, scheme, width):
    made = visit(studio, color_scheme=scheme, viewport={"width": width, "height": 780})
    page = made.ready()
    names = []
    for name in states(page, studio, five, tmp_path):
        names.append(name)
        page.wait_for_timeout(300)  # transitions have ended
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        assert grave(page) == [], name
    assert len(names) == 10
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 24, 27)"
    assert dark == (scheme == "dark")
    made.complaints = [c for c in made.complaints if "422" not in c]


def test_the_token_s_field_keeps_nobody_out(visit, locked):
    made = visit(locked)
    made.page.wait_for_selector("#lock[open]")
    assert grave(made.page) == []
    made.complaints = [c for c in made.complaints if "401" not in c]


def test_the_page_of_requests_leads_back(visit, studio):
    page = visit(f"{studio}/docs").page
    page.wait_for_selector(".opblock")
    page.get_by_role("link", name="Clearsight studio").click()
    page.wait_for_selector("body.ready")
