"""The studio of models of labels, of numbers and of anomalies: what applies is there, and works; the rest is not."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import expect

import clearsight as cs


def tabs(page):
    return page.get_by_role("tab").all_inner_texts()


def give(page, path):
    page.set_input_files("input[type=file]", str(path))
    page.wait_for_selector("#answer .bars, #answer .scale")


def text(page, selector):
    return page.locator(selector).first.inner_text()


def bearable(page, width):
    """No wider than the window, and nothing that axe-core finds grave."""
    page.wait_for_timeout(300)  # transitions have ended
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = Axe().run(page, options={"resultTypes": ["violations"], "iframes": False}).response["violations"]
    assert [(v["id"], v["nodes"][0]["html"]) for v in found if v["impact"] in ("serious", "critical")] == []


WIDE_FIRST = [("light", 1280), pytest.param("dark", 360, marks=pytest.mark.long)]
SMALL_FIRST = [("dark", 360), pytest.param("light", 1280, marks=pytest.mark.long)]
"""One window for each commit, in turn the wide and the small one; the other in the long tier."""


@pytest.mark.parametrize(("scheme", "width"), WIDE_FIRST)
def test_labels_stand_as_bars_with_their_thresholds(visit, labels_studio, scheme, width):
    address, folder = labels_studio
    predictor = cs.load(folder / "run", engine="torch").predictor
    answers = predictor.predict([str(folder / f"{i}.png") for i in range(40)])
    chosen = next(i for i, a in enumerate(answers) if len(a.labels) == 2)
    page = visit(address, color_scheme=scheme, viewport={"width": width, "height": 800}).ready()
    assert tabs(page) == ["Heatmap", "Similar", "Network", "Report"]
    assert "4 labels" in text(page, "#about")
    assert "mean average precision" in text(page, "#about")
    give(page, folder / f"{chosen}.png")
    assert text(page, "#answer .label") == ", ".join(answers[chosen].labels)
    rows = page.locator("#answer .bars li")
    assert rows.count() == page.locator("#answer .bar-mark").count() == 4
    assert page.locator("#answer .bars li.inside").count() == 2
    message = [row.replace("\n", " ") for row in page.locator("#answer .bar-name").all_text_contents()]
    assert [t.endswith("(predicted)") for t in message] == [True, True, False, False]
    assert page.locator("#answer .segments").count() == 0, "sets are for classes"
    page.wait_for_selector("#heatmap .verdict")
    bearable(page, width)
    page.get_by_label("Target", exact=True).select_option("3")
    expect(page.locator("#heatmap .quality")).to_contain_text("Probability of 3")
    page.goto(f"{address}/#/alike")
    page.wait_for_selector("#alike li")
    assert "have exactly" in text(page, "#alike .lead")
    own = ", ".join(sorted(answers[chosen].labels))
    names = page.locator("#alike li").evaluate_all(
        "all => all.map((e) => [e.className, e.querySelector('strong').textContent])"
    )
    assert all((name == own) == (kind == "") for kind, name in names)
    bearable(page, width)
    page.goto(f"{address}/#/network")
    page.wait_for_selector("#network a.row .mini")
    page.goto(f"{address}/#/report")
    page.wait_for_selector("#report iframe")
    assert page.locator("#report .segments").count() == 0, "there is no audit card"


@pytest.mark.parametrize(("scheme", "width"), SMALL_FIRST)
def test_an_angle_stands_on_a_dial(visit, angle_studio, scheme, width):
    address, folder = angle_studio
    (answer,) = cs.load(folder / "run", engine="torch").predictor.predict(str(folder / "3.png"))
    page = visit(address, color_scheme=scheme, viewport={"width": width, "height": 800}).ready()
    assert tabs(page) == ["Heatmap", "Similar", "Network", "Report"]
    assert "median error" in text(page, "#about")
    give(page, folder / "3.png")
    shown = float(text(page, "#answer .scale .label").rstrip("°"))
    assert shown == pytest.approx(answer.values["heading"], rel=6e-3)
    label = page.get_by_role("img", name=re.compile("^heading:"))
    assert "°" in label.get_attribute("aria-label")
    before = page.locator(".dial .sector").get_attribute("d")
    page.locator("#answer label", has_text="50 %").click()
    expect(page.locator(".dial .sector")).not_to_have_attribute("d", before)
    expect(page.locator("#answer .set .small")).to_contain_text("50 of 100")
    page.wait_for_selector("#heatmap .verdict")
    expect(page.locator("#heatmap .quality")).to_contain_text("heading: ")
    bearable(page, width)
    page.goto(f"{address}/#/alike")
    page.wait_for_selector("#alike li img")
    numbers = [float(t) for t in page.locator("#alike li strong").all_inner_texts()]
    assert len(numbers) == 12
    assert all(0 <= n <= 360 for n in numbers)
    bearable(page, width)
    page.goto(f"{address}/#/network/3/1")
    page.wait_for_selector(".patches li")


@pytest.mark.parametrize(("scheme", "width"), WIDE_FIRST)
def test_numbers_stand_on_an_axis(visit, numbers_studio, noise, tmp_path, scheme, width):
    Image.fromarray(noise(1)[0, 0]).save(tmp_path / "noise.png")
    page = visit(numbers_studio, color_scheme=scheme, viewport={"width": width, "height": 800}).ready()
    assert "2 numbers" in text(page, "#about")
    give(page, tmp_path / "noise.png")
    assert page.locator("#answer .axis").count() == 2
    message = page.locator("#answer .axis").first.get_attribute("aria-label")
    assert re.match(r"size: [-\d.]+, interval [-\d.]+ to [-\d.]+; training images range from 20 to 60", message)
    spans = page.locator("#answer .axis-span").evaluate_all("all => all.map((e) => e.getBoundingClientRect().width)")
    page.locator("#answer label", has_text="50 %").click()
    expect(page.locator("#answer .set .small")).to_contain_text("50 of 100")
    narrow = page.locator("#answer .axis-span").evaluate_all("all => all.map((e) => e.getBoundingClientRect().width)")
    assert all(a <= b for a, b in zip(narrow, spans, strict=True))
    assert narrow != spans
    page.wait_for_selector("#heatmap .verdict")
    page.get_by_label("Target", exact=True).select_option("age")
    expect(page.locator("#heatmap .quality")).to_contain_text("age: ")
    bearable(page, width)
    page.goto(f"{numbers_studio}/#/alike")
    expect(page.locator("#alike .absent")).to_contain_text("clearsight index RUN")


@pytest.mark.parametrize(("scheme", "width"), SMALL_FIRST)
def test_a_direction_stands_as_an_arrow(visit, direction_studio, noise, tmp_path, scheme, width):
    Image.fromarray(noise(1)[0, 0]).save(tmp_path / "noise.png")
    page = visit(direction_studio, color_scheme=scheme, viewport={"width": width, "height": 800}).ready()
    assert "a direction" in text(page, "#about")
    give(page, tmp_path / "noise.png")
    assert page.locator("#answer .dial .tip").count() == 2
    assert "within" in text(page, "#answer .scale")
    bearable(page, width)
    page.locator("#answer label", has_text="99 %").click()
    expect(page.locator("#answer .set .small")).to_contain_text("Too few validation images for a coverage of 99")
    assert "any error is possible" in text(page, "#answer .scale")


@pytest.mark.parametrize(("scheme", "width"), WIDE_FIRST)
def test_an_anomaly_is_shown(visit, detector_studio, plates, tmp_path, scheme, width):
    Image.fromarray(plates(1, seed=5)[0]).save(tmp_path / "whole.png")
    Image.fromarray(plates(1, seed=6, spotted=True)[0]).save(tmp_path / "spot.png")
    page = visit(detector_studio, color_scheme=scheme, viewport={"width": width, "height": 800}).ready()
    assert tabs(page) == ["Heatmap", "Similar", "Network", "Report"]
    assert "normal: whole" in text(page, "#about")
    assert "AUROC" in text(page, "#about")
    assert page.get_by_role("button", name="Draw one").count() == 1, "the images are small and gray"
    give(page, tmp_path / "whole.png")
    assert text(page, "#answer .label") == "normal"
    assert re.match(r"\d+\.\d % of normal images score at least as high\.", text(page, "#answer .sure"))
    share = float(text(page, "#answer .bar-value").strip("<>%"))
    give(page, tmp_path / "spot.png")
    expect(page.locator("#answer .label")).to_have_text("an anomaly")
    assert float(text(page, "#answer .bar-value").strip("<>%")) > share
    answer = text(page, "#answer")
    assert "at most 5 % of normal images have a score at least as high" in answer
    assert "None of the 24 normal images used for comparison scores at least as high: 1 in 25 is the smallest" in answer
    assert "The probability assumes that 50 % of all images are anomalies" in answer
    assert page.locator("#answer .segments").count() == 0, "sets are for classes"
    expect(page.locator("#heatmap .key")).to_contain_text("standard deviations above")
    assert page.get_by_label("Method").input_value() == "anomaly-map"
    assert page.get_by_label("Target", exact=True).count() == page.locator("#heatmap .gauge").count() == 0
    over = page.locator("#heatmap img.over")
    page.get_by_label("Opacity").fill("0.2")
    assert float(over.evaluate("e => getComputedStyle(e).opacity")) == pytest.approx(0.2)
    bearable(page, width)
    page.get_by_label("Method").select_option("saliency")
    expect(page.locator("#heatmap .key")).to_contain_text("weak to strong")
    page.goto(f"{detector_studio}/#/alike")
    page.wait_for_selector("#alike li img")
    assert set(page.locator("#alike li strong").all_inner_texts()) == {"whole"}
    bearable(page, width)
    page.goto(f"{detector_studio}/#/network")
    page.wait_for_selector("#network a.row .mini")
    page.goto(f"{detector_studio}/#/report")
    page.wait_for_selector("#report iframe")


@pytest.mark.parametrize(("scheme", "width"), SMALL_FIRST)
def test_a_sound_is_given_and_seen(visit, hearing_studio, tone, tmp_path, scheme, width):
    (tmp_path / "high.wav").write_bytes(tone(60, high=True))
    page = visit(hearing_studio, color_scheme=scheme, viewport={"width": width, "height": 800}, has_touch=True).ready()
    assert "32×32 spectrograms" in text(page, "#about")
    assert text(page, "#hint") == "Drop a sound here\na WAV file"
    assert page.locator("#actions").inner_text() == "Choose a sound", "it is neither drawn nor photographed"
    assert "image=@hum.wav" in text(page, "footer code")
    give(page, tmp_path / "high.wav")
    assert text(page, "#answer .label") == "an anomaly"
    assert text(page, "#caption") == "as the network sees it: a spectrogram of 32×32 pixels"
    expect(page.locator("#heatmap .key")).to_contain_text("anomalous")
    bearable(page, width)
    page.goto(f"{hearing_studio}/#/network")
    expect(page.locator("#network .absent")).to_contain_text("has no layers")
