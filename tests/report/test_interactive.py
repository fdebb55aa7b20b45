"""The report in Chromium: what its script adds, that nothing overlaps or is cut off, and that it is accessible.

Results are made up: no model is trained. `interactive` writes the page of K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from sklearn import metrics

from clearsight.calibration.binary import BinaryCalibration
from clearsight.report.mistake_details import MistakeDetails, Neighbours
from clearsight.report.page import write_report
from clearsight.report.test_images import MOST
from clearsight.tasks import Anomaly, Classification, Multilabel, Ordinal, Regression
from clearsight.tasks.outcomes import Outcomes, outcomes

WIDTHS = (320, 768, 1280, 2560)


@dataclass(frozen=True)
class Made:
    """A page and what it is made of."""

    path: Path
    truth: np.ndarray
    chances: np.ndarray
    found: Outcomes
    classes: tuple[str, ...]


def made_up(make_run: Callable[..., Any], folder: Path, classes: tuple[str, ...], each: int, side: int = 8) -> Made:
    """The report of a run whose test images are predicted rightly in about four of five cases."""
    rng, k = np.random.default_rng(1), len(classes)
    coarse = rng.integers(0, 256, (k * each, 8, 8), dtype=np.uint8)
    images = coarse.repeat(side // 8, 1).repeat(side // 8, 2)
    parts = make_run(classes, images=images, side=side, counts=np.eye(k, dtype=int).tolist())
    fitted = parts["fitted"]
    rows, task = fitted.prepared.split.test, Classification(classes)
    truth = fitted.prepared.labels[rows]
    outputs = rng.normal(size=(len(rows), k)) + (1 + 0.6 * np.log(k)) * np.eye(k)[truth]
    names = [f"folder/{i}.png" for i in rows]
    found = outcomes(task, outputs, truth)
    features = rng.normal(size=(len(images), 4))
    train = fitted.prepared.split.train
    details = MistakeDetails(
        fitted, None, Neighbours.of(train, features[train]), {int(i): features[i] for i in rows},
        dict(zip(rows.tolist(), found.shares, strict=True)),
    )  # fmt: skip
    parts["evaluation"] = parts["validation"] = task.evaluate(outputs, truth, indices=rows, images=names)
    write_report(folder / "report.html", **parts, outcomes=found, details=details, predictions=("predictions.csv",))
    return Made(folder / "report.html", truth, task.decode(outputs), found, classes)


@pytest.fixture
def ten(make_run: Callable[..., Any], tmp_path: Path) -> Made:
    """Ten classes, some with long names."""
    names = tuple(f"class {i}" + " with a very long name" * (i % 3 == 0) for i in range(10))
    return made_up(make_run, tmp_path, names, 40)


@pytest.fixture
def visit(browser: Any) -> Any:
    """A function that opens a page of a window; it asks for nothing and complains of nothing."""
    contexts, asked, complaints = [], [], []

    def opened(path: Path, width: int = 1280, **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda r: None if r.url.startswith(("data:", "file:")) else asked.append(r.url))
        page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(path.as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert asked == []
    assert complaints == []


def faults(page: Any) -> list[Any]:
    """What axe-core finds."""
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [(v["id"], [n["target"] for n in v["nodes"]][:3], v["nodes"][0]["failureSummary"]) for v in found]


LAYOUT = """() => {
  const wrong = [];
  if (document.documentElement.scrollWidth > innerWidth) wrong.push("the page is wider than the window");
  const boxes = (all) => [...all].map((e) => [e, e.getBoundingClientRect()]).filter(([, b]) => b.width && b.height);
  for (const table of document.querySelectorAll("table.matrix")) {
    const cells = boxes(table.querySelectorAll("td[data-cell]"));
    for (const [e, b] of cells) {
      const inner = e.firstElementChild ?? e;
      if (inner.scrollWidth > Math.ceil(b.width) + 1) wrong.push(`a cell is cut off: ${e.textContent}`);
    }
    for (const selector of ["thead th", "tbody th"]) {
      const heads = boxes(table.querySelectorAll(selector)).map(([, b]) => b);
      for (let i = 1; i < heads.length; i++) {
        const [a, b] = [heads[i - 1], heads[i]];
        const apart = b.left >= a.right - 1 || b.top >= a.bottom - 1;
        if (!apart) wrong.push(`names overlap in ${selector}`);
      }
    }
  }
  for (const grid of document.querySelectorAll(".gallery, .mistakes, .tiles")) {
    const items = boxes(grid.children).map(([, b]) => b);
    for (let i = 1; i < items.length; i++) {
      const [a, b] = [items[i - 1], items[i]];
      if (b.left < a.right - 1 && b.top < a.bottom - 1) wrong.push("cards overlap");
    }
  }
  for (const [e, b] of boxes(document.querySelectorAll("h1, h2, h3, p, dt, dd, summary, button, label"))) {
    if (e.closest(".scroll, .hidden, dialog, .skip") || getComputedStyle(e).overflow === "hidden") continue;
    const cut = b.right > innerWidth + 1 || (e.scrollWidth > e.clientWidth + 2 && e.clientWidth);
    if (cut) wrong.push(`cut off: ${e.textContent}`);
  }
  for (const [e, b] of boxes(document.querySelectorAll("main *:not(svg *)"))) {
    const style = getComputedStyle(e);
    if (style.overflowX !== "hidden" || e.closest(".hidden") || e.matches(".frame, .split svg")) continue;
    const over = e.scrollWidth > e.clientWidth + 1 || e.scrollHeight > e.clientHeight + 1;
    if (over) wrong.push(`clipped: ${e.textContent}`);
  }
  return wrong;
}"""


def test_two_actions_lead_to_the_images_of_a_confusion(ten: Made, visit: Any) -> None:
    page = visit(ten.path)
    counts = metrics.confusion_matrix(ten.truth, ten.chances.argmax(1))
    np.fill_diagonal(counts, 0)
    i, j = np.unravel_index(counts.argmax(), counts.shape)
    page.get_by_role("link", name="Confusion matrix").click()
    page.locator(f'td[data-cell="{i} {j}"] button').click()
    dialog = page.get_by_role("dialog")
    assert dialog.get_by_role("heading").inner_text() == f"Labelled {ten.classes[i]}, predicted as {ten.classes[j]}"
    assert dialog.locator(".gallery li").count() == counts[i, j]
    shown = dialog.locator("canvas").first
    assert shown.evaluate(
        "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((v, i) => i % 4 < 3 && v)"
    )
    assert faults(page) == []
    page.keyboard.press("Escape")
    assert not dialog.is_visible()


def test_a_threshold_counts_everything_again(ten: Made, visit: Any) -> None:
    page = visit(ten.path)
    confidence, predicted = ten.chances.max(1), ten.chances.argmax(1)
    some = confidence >= 0.7
    assert 10 < some.sum() < len(some)
    slider = page.locator(".slider").first
    slider.locator("input").evaluate("e => { e.value = 70; e.dispatchEvent(new Event('input', { bubbles: true })); }")
    facts = slider.locator("dl").inner_text()
    assert f"{metrics.accuracy_score(ten.truth[some], predicted[some]):.1%}".replace("%", " %") in facts
    assert f"{some.sum()} of {len(some)}" in facts
    cells = page.locator("td[data-cell]").all_inner_texts()
    counts = metrics.confusion_matrix(ten.truth[some], predicted[some], labels=range(10))
    assert [int(c) for c in cells] == counts.ravel().tolist()
    recall = metrics.recall_score(ten.truth[some], predicted[some], labels=range(10), average=None, zero_division=0)
    for k, given in enumerate(page.locator('tr[data-class] [data-quantity="recall"]').all_inner_texts()):
        assert given == (f"{recall[k]:.1%}".replace("%", " %") if (ten.truth[some] == k).any() else "–")
    assert page.locator("#confusion .threshold-note").is_visible()
    slider.get_by_role("button").click()
    counts = metrics.confusion_matrix(ten.truth, predicted)
    assert [int(c) for c in page.locator("td[data-cell]").all_inner_texts()] == counts.ravel().tolist()
    assert not page.locator("#confusion .threshold-note").is_visible()


def test_a_class_has_a_threshold_of_its_own(ten: Made, visit: Any) -> None:
    page = visit(ten.path)
    slider = page.locator(".slider").nth(1)
    slider.locator("select").select_option("4")
    slider.locator("input").evaluate("e => { e.value = 30; e.dispatchEvent(new Event('input', { bubbles: true })); }")
    given, facts = ten.chances[:, 4] >= 0.3, slider.locator("dl").inner_text()
    assert f"Precision\n{metrics.precision_score(ten.truth == 4, given):.1%}".replace("%", " %") in facts
    assert f"Recall (true positive rate)\n{metrics.recall_score(ten.truth == 4, given):.1%}".replace("%", " %") in facts
    assert f"F1\n{metrics.f1_score(ten.truth == 4, given):.3f}" in facts


def test_images_are_filtered_and_sorted(ten: Made, visit: Any) -> None:
    page = visit(ten.path)
    form, status = page.locator("#browse"), page.locator("#browse-status")
    wrong = int((ten.chances.argmax(1) != ten.truth).sum())
    form.get_by_label("Show").select_option("1")
    assert f"of {wrong} matching" in status.inner_text()
    form.get_by_label("Show").select_option("")
    form.get_by_label("Label").select_option("2")
    assert f"of {(ten.truth == 2).sum()} matching" in status.inner_text()
    form.get_by_label("Search").fill("no such image")
    assert status.inner_text() == "No image matches."
    form.get_by_label("Search").fill("")
    form.get_by_label("Label").select_option("")
    form.get_by_label("Order").select_option("name")
    names = page.locator("#browsed .file").all_inner_texts()
    assert len(names) == 24
    numbers = [int(name.removeprefix("folder/").removesuffix(".png").removeprefix("#")) for name in names]
    assert all(a < b for a, b in pairwise(numbers))
    page.locator("#browse-more").click()
    assert page.locator("#browsed > li").count() == 48


def test_without_a_script_and_in_print_it_is_whole(ten: Made, visit: Any) -> None:
    page = visit(ten.path, java_script_enabled=False)
    assert page.locator(".slider:visible, #browse:visible").count() == 0
    assert page.locator("td[data-cell]").first.inner_text().isdigit()
    assert page.locator("#mistakes img:visible").count() > 6
    page = visit(ten.path)
    page.emulate_media(media="print")
    assert page.locator(".controls:visible, .copy:visible").count() == 0


SIZES = [(2, 100), (10, 40), (100, 8), (1000, 4)]


@pytest.mark.parametrize(("scheme", "width"), [("dark", 320), ("light", 1280)])
def test_accessible_and_nothing_overlaps(ten: Made, visit: Any, scheme: str, width: int) -> None:
    page = visit(ten.path, width, color_scheme=scheme)
    assert page.evaluate(LAYOUT) == []
    assert faults(page) == []


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("classes", "each"), SIZES)
def test_any_number_of_classes_in_any_window(
    make_run: Callable[..., Any], tmp_path: Path, visit: Any, classes: int, each: int
) -> None:
    names = tuple(f"species {i} of a genus" + " with a very long name" * (i % 7 == 0) for i in range(classes))
    made = made_up(make_run, tmp_path, names, each)
    size = made.path.stat().st_size
    assert size <= (8e6 if classes <= 100 else 20e6)
    for scheme in ("light", "dark"):
        for width in WIDTHS:
            page = visit(made.path, width, color_scheme=scheme)
            assert page.evaluate(LAYOUT) == [], (scheme, width)
            assert faults(page) == [], (scheme, width)


def test_more_mistakes_than_the_page_holds_are_chosen_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    from clearsight.report import test_images

    assert MOST == 1000
    monkeypatch.setattr(test_images, "MOST", 6)
    truth = np.array([0] * 9 + [1] * 9)
    outputs = np.zeros((18, 2))
    outputs[:8, 1] = np.arange(8) + 1  # eight images of class 0 predicted as 1, one right
    outputs[8, 0] = 1
    outputs[9:11, 0] = 5  # two of class 1 predicted as 0
    outputs[11:, 1] = 1
    found = outcomes(Classification(("a", "b")), outputs, truth)
    some = test_images.chosen(found)
    assert len(some) == 6
    assert {9, 10} <= set(some.tolist())  # each confusion can be opened


def task_and_truth(name: str, n: int) -> tuple[Any, np.ndarray, np.ndarray]:
    """A task of this name, with outputs and truth of n images."""
    rng = np.random.default_rng(0)
    if name == "labels":
        truth = rng.integers(0, 2, (n, 2))
        task: Any = Multilabel(("a", "b"), BinaryCalibration.identity(2), (0.3, 0.6))
        return task, 2.0 * truth - 1 + rng.normal(size=(n, 2)), truth
    if name == "grades":
        grades = rng.integers(0, 3, n)
        boundaries = 3.0 * (grades[:, None] > np.arange(2)) - 1.5 + rng.normal(size=(n, 2))
        return Ordinal(("low", "middle", "high"), BinaryCalibration.identity(2)), boundaries, grades
    if name == "anomalies":
        truth = rng.integers(0, 2, (n, 1))
        return Anomaly(("good",), known=tuple(np.linspace(-1, 1, 40).tolist())), truth + rng.normal(size=(n, 1)), truth
    truth = rng.uniform(0, 360, (n, 1)).astype(np.float32)
    turns = 2 * np.pi * (truth[:, 0] + rng.normal(0, 20, n)) / 360
    task = Regression(("heading",), "angle", unit="degrees", errors=(tuple(np.linspace(0, 40, 40).tolist()),))
    return task, np.stack([np.cos(turns), np.sin(turns)], 1), truth


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("labels", ("Precision", "Recall (true positive rate)", "F1")),
        ("grades", ("Predictions used", "Accuracy of these")),
        ("anomalies", ("False alarms", "Missed")),
        ("angles", ("Within the tolerance", "Further off")),
    ],
)
def test_other_tasks(
    make_run: Callable[..., Any], tmp_path: Path, visit: Any, name: str, facts: tuple[str, ...]
) -> None:
    parts = make_run(each=60)
    rows = parts["fitted"].prepared.split.test
    task, outputs, truth = task_and_truth(name, len(rows))
    found = outcomes(task, outputs, truth)
    parts["evaluation"] = parts["validation"] = task.evaluate(
        outputs, truth, indices=rows, images=[f"#{i}" for i in rows], groups=["good"] * len(rows)
    )
    write_report(tmp_path / "report.html", **parts, outcomes=found)
    page = visit(tmp_path / "report.html", 320, color_scheme="dark")
    text = page.locator(".slider dl").first.inner_text()
    assert all(fact in text for fact in facts)
    page.locator("#browse").get_by_label("Show").select_option("1")
    assert f"of {int(found.wrong.sum())} matching" in page.locator("#browse-status").inner_text()
    assert page.evaluate(LAYOUT) == []
    assert faults(page) == []
