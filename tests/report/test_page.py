"""The whole page: complete, self-contained, escaped, and true to the numbers it was given."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from markupsafe import Markup

from clearsight.calibration.binary import BinaryCalibration
from clearsight.data.audit import Finding
from clearsight.report.components.pieces import marked, sort_key
from clearsight.report.page import write_report
from clearsight.tasks import Anomaly, Multilabel, Regression
from clearsight.tasks.classification_evaluation import ClassEvaluation
from clearsight.tasks.evaluation import Evaluation
from clearsight.tasks.sections import ReportParts, Table, Tile
from clearsight.train.config import TrainConfig
from clearsight.train.halving import Trial
from clearsight.train.head_search import Candidate
from clearsight.train.recipe import Decision, Recipe

MakeRun = Callable[..., dict[str, Any]]
Evaluated = Callable[..., ClassEvaluation]

SECTIONS = [
    "verdict", "mistakes", "confusion", "classes", "curves-by-threshold", "calibration", "scores", "ood", "robustness",
    "data", "recipe", "curves", "use",
]  # fmt: skip


class Page(HTMLParser):
    """What a browser would see of a page: elements with their attributes, and the text."""

    VOID = frozenset({"meta", "link", "img", "br", "hr", "input"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {k: v or "" for k, v in attrs}))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {k: v or "" for k, v in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))

    def all(self, tag: str, **attributes: str) -> list[dict[str, str]]:
        wanted = {k.rstrip("_"): v for k, v in attributes.items()}
        return [a for t, a in self.elements if t == tag and all(a.get(k) == v for k, v in wanted.items())]


@pytest.fixture
def page(tmp_path: Path, make_run: MakeRun) -> Callable[..., Page]:
    """Write the page of a made-up run and read it back."""

    def make(*args: Any, **options: Any) -> Page:
        replaced = {k: options.pop(k) for k in ("evaluation", "validation") if k in options}
        path = tmp_path / "report.html"
        write_report(path, **{**make_run(*args, **options), **replaced})
        return Page(path.read_text(encoding="utf-8"))

    return make


def test_every_section_is_there_and_named(page: Callable[..., Page]) -> None:
    made = page(losses=[0.9, 0.5, 0.7])
    assert [a["id"] for a in made.all("section")] == SECTIONS
    titles = {a["id"] for a in made.all("h2")}
    assert all(a["aria-labelledby"] in titles for a in made.all("section"))
    assert [a["href"] for a in made.all("a") if "class" not in a] == [f"#{name}" for name in SECTIONS]
    assert [tag for tag, _ in made.elements if tag in ("header", "nav", "main", "footer")] == [
        "header", "nav", "main", "footer",
    ]  # fmt: skip


def test_headings_never_skip_a_level(page: Callable[..., Page]) -> None:
    levels = [int(tag[1]) for tag, _ in page().elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))


def test_nothing_is_loaded_from_anywhere(page: Callable[..., Page]) -> None:
    made = page(losses=[0.9, 0.5])
    for tag, attributes in made.elements:
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            link = attributes.get(name, "#")
            assert link.startswith(("#", "data:")), f"<{tag} {name}={link!r}>"
    assert "@import" not in made.html
    assert "url(" not in made.html
    policy = made.all("meta", **{"http-equiv": "Content-Security-Policy"})
    assert policy[0]["content"].startswith("default-src 'none'")


def test_the_verdict_states_the_numbers_of_the_evaluation(page: Callable[..., Page], evaluated: Evaluated) -> None:
    # 36 of 40 right: accuracy 0.9, Wilson interval 0.769 to 0.960; confidence 0.9 everywhere, so no calibration error
    test = evaluated([[18, 2], [2, 18]], ("cat", "dog"), indices=np.zeros(40, int), images=["#0"] * 40)
    assert f"{test.accuracy:.3f} {test.ece:.3f}" == "0.900 0.000"
    text = page(evaluation=test).text
    assert "Accuracy 90.0 % on 40 test images that were not used in training (95 % interval 76.9 % to 96.0 %)" in text
    assert "The mean confidence is 90.0 %, and" in text
    assert "the calibration error is 0.0 points (95 % interval 0.0 to" in text
    assert "0.0 points before calibration)" in text


def test_the_calibration_error_is_stated_before_and_after_calibration(
    page: Callable[..., Page], evaluated: Evaluated
) -> None:
    # confidence 0.9 before, 0.75 after temperature 2 (logit ln 9 halved is ln 3); all right: errors 0.1 and 0.25, of
    # which hardly anything is chance, as all images lie on one side of the line
    test = evaluated([[2000, 0], [0, 2000]], ("cat", "dog"), temperature=2.0)
    text = page(evaluation=test).text
    assert re.search(r"is 25.0 points \(95 % interval 23.\d to 2\d.\d; 10.0 points before calibration\)", text)


def test_confusion_cells_are_the_counts(page: Callable[..., Page]) -> None:
    counts = [[7, 0, 3], [1, 5, 0], [0, 2, 11]]
    html = page(("a", "b", "c"), counts=counts).html
    table = html[html.index('<table class="matrix"') : html.index("</table>", html.index('<table class="matrix"'))]
    rows = re.findall(r"<tr><th.*?</tr>", table, re.DOTALL)
    cells = [[int(n) for n in re.findall(r">(\d+)</td>", row)] for row in rows]
    assert cells == [[*row, sum(row)] for row in counts]


@pytest.mark.parametrize(
    "name", ["<b>x</b>", "\"double\" & 'single'", "{{ 7 * 7 }}", "木 Ä <script>alert(1)</script>", "a`b"]
)
def test_names_are_shown_as_they_are(page: Callable[..., Page], name: str) -> None:
    findings = (
        Finding("x", "warning", f"see {name}", name, {"files": [name], "more": {name: 3}, "pairs": [[name, 1]]}),
    )
    made = page(
        (name, "other"),
        name=name,
        origin=name,
        findings=findings,
        decisions=(Decision(name, name, name),),
    )
    assert made.text.count(name) > 10
    assert not made.all("b", **{"class": "x"})
    assert len(made.all("script")) == 1
    assert "<b>x" not in made.html
    assert "<script>alert" not in made.html
    assert made.all("h1")
    assert any(name in a["alt"] for a in made.all("img"))


def test_pictures_are_embedded_once_described_and_few(page: Callable[..., Page]) -> None:
    made = page(counts=[[10, 30], [0, 10]])
    images = made.all("img")
    assert all(a["src"].startswith("data:image/png;base64,") for a in images)
    assert all(a["alt"] for a in images)
    mistakes = [a for a in images if "predicted dog" in a["alt"]]
    assert len(mistakes) == 24
    assert "The 24 most confident of 30 mistakes" in made.text


def test_only_development_images_and_mistakes_are_shown(make_run: MakeRun, tmp_path: Path) -> None:
    parts = make_run(each=40, counts=[[20, 0], [0, 20]])
    write_report(tmp_path / "report.html", **parts)
    test = {f"#{i}" for i in parts["fitted"].prepared.split.test}
    shown = {a["alt"].split()[-1] for a in Page((tmp_path / "report.html").read_text()).all("img")}
    assert shown
    assert not shown & test


def test_large_colour_images_stay_small(page: Callable[..., Page]) -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (60, 3, 224, 224), dtype=np.uint8)  # the worst a JPEG can meet
    made = page([f"class {i}" for i in range(10)], images=noise, side=224)
    assert len(made.html) < 3_000_000
    images = made.all("img")
    assert all(a["src"].startswith("data:image/jpeg;base64,") for a in images)
    assert max(int(a["width"]) for a in images) <= 160


def test_thirty_classes(page: Callable[..., Page]) -> None:
    classes = [f"species number {i} with a long name" for i in range(30)]
    made = page(classes, each=6)
    assert len(made.all("th", title=classes[29])) == 2
    assert "Most common confusions" in made.text
    assert made.text.count(f"{classes[0]} predicted as {classes[1]}") == 1
    assert len(made.html) < 3_000_000


def test_more_classes_than_a_matrix_can_show(page: Callable[..., Page]) -> None:
    made = page([f"kind {i}" for i in range(60)], each=4)
    assert "30 other classes" in made.text
    assert len(made.all("table", class_="matrix")) == 1
    assert "The first 40 of 60 classes are shown" in made.text


def test_no_mistakes(page: Callable[..., Page]) -> None:
    text = page(counts=[[20, 0], [0, 20]]).text
    assert "None of the 40 test images is misclassified" in text
    assert "may still be as high as 8.8 %" in text  # Wilson's upper bound for 0 of 40
    assert "Weakest class" not in text
    assert "Most common confusions" not in text


def test_two_images_and_a_class_without_test_images(page: Callable[..., Page]) -> None:
    text = page(("a", "b", "c"), counts=[[1, 0, 0], [1, 0, 0], [0, 0, 0]]).text
    assert "Only 2 test images" in text
    assert "the probabilities are no better than the class frequencies" in text
    assert "No test image of ‘c’" in text
    assert "no test image" in text
    assert "not significantly better than that of always predicting the most common class (50.0 %)" in text


def test_without_history_there_are_no_curves(page: Callable[..., Page]) -> None:
    made = page()
    assert not made.all("section", id="curves")
    assert not made.all("a", href="#curves")


def test_curves_of_a_fine_tuning_that_was_not_kept_say_so(page: Callable[..., Page]) -> None:
    text = page(
        recipe=Recipe("probe", "efficientnet_lite0", {}, 224, ()),
        decisions=(Decision("fine-tuning", "not kept", "validation accuracy 80.0 % against 81.0 %"),),
        losses=[0.9, 0.5, 0.7],
    ).text
    assert "discarded" in text
    assert "Its best epoch was 2." in text


def test_candidates_stand_best_first_and_the_rest_is_folded(page: Callable[..., Page]) -> None:
    found = [Candidate("all", (0,), "softmax", {"L2": 0.1}, 0.5 + i / 100, 0.3) for i in range(14)]
    found.append(Candidate("last", (0,), "kernel SVM", {"C": 3.0}, 0.63, 0.2))  # as accurate as the best, and less loss
    made = page(recipe=Recipe("probe", "efficientnet_lite0", {}, 224, ()), candidates=tuple(found))
    text = made.text[made.text.index("The candidates") :]
    assert re.search(r"1 last chosen kernel SVM C 3 63\.0 % 0\.200 2 all softmax L2 0\.1 63\.0 % 0\.300", text)
    assert "3 more" in text
    assert text.count("chosen") == 2  # in the explanation and at the first line


def test_what_was_compared_stands_with_its_interval(page: Callable[..., Page]) -> None:
    """90 of 100: the Wilson interval is 82.6 % to 94.5 %."""
    found = Trial("efficientnet_lite2 at 352 pixels", 3.2e9, 600, np.arange(100) < 90, np.full(100, 0.25))
    text = page(trials=(found,)).text
    assert "efficientnet_lite2 at 352 pixels 600 3.2 90.0 % 82.6 % to 94.5 % 0.250" in text


def test_options_lead_to_the_command(page: Callable[..., Page]) -> None:
    text = page(config=TrainConfig.from_options(seed=3, lr=0.01, pretrained=False, out="elsewhere")).text
    assert "clearsight train digits --no-pretrained --lr 0.01 --seed 3" in text
    assert "elsewhere" not in text  # that folder is in use now


def test_test_classes_are_not_counted_in_the_data(page: Callable[..., Page]) -> None:
    made = page(each=40)
    text = made.text[made.text.index("Splits") : made.text.index("What the audit found")]
    assert "20 test" in text
    assert "Class Training Validation" in text


def test_a_failed_write_leaves_the_old_page(tmp_path: Path, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    path.write_text("the page of before")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_report(path, **make_run())
    assert path.read_text() == "the page of before"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_names_that_are_no_unicode_do_not_stop_the_page(page: Callable[..., Page]) -> None:
    assert page(("fine", "bad \udcff name")).all("h1")


def test_marked_words_are_escaped() -> None:
    assert marked("use `<a>` & go") == Markup("use <code>&lt;a&gt;</code> &amp; go")
    assert marked("odd ` one <") == Markup("odd ` one &lt;")
    assert marked("**2 > 1** `2 ** 3` **") == Markup("<strong>2 &gt; 1</strong> <code>2 ** 3</code> **")


@pytest.mark.parametrize(
    ("text", "key"), [("98.9 %", 98.9), ("1,797", 1797), ("± 0.25", 0.25), ("-3e-05 m", -3e-5), ("–", -1e9)]
)
def test_cells_sort_by_the_number_in_them(text: str, key: float) -> None:
    assert sort_key(text) == key


@dataclass(frozen=True, repr=False)
class Own(Evaluation):
    """The evaluation of a task that only this test knows."""

    n: int = 3
    mistakes: tuple[Any, ...] = ()

    def summary(self) -> dict[str, Any]:
        return {}

    @staticmethod
    def headline(summary: dict[str, Any], thing: str = "image", new: str = "") -> str:
        return ""

    def report(self, thing: str = "image", validation: Evaluation | None = None) -> ReportParts:
        table = Table(("Kind", "Score"), (("first <kind>", "0.5"), ("second", "–")))
        return ReportParts("It is **half** right", (Tile("Half", "0.5", "of all"),), table)


def test_a_task_known_to_this_test_alone_gets_a_whole_page(page: Callable[..., Page]) -> None:
    made = page(evaluation=Own(), validation=Own(), losses=[0.9, 0.5])
    assert [a["id"] for a in made.all("section")] == [
        "verdict", "scores", "ood", "robustness", "data", "recipe", "curves", "use",
    ]  # fmt: skip
    assert "It is half right" in made.text
    assert "Half 0.5 of all." in made.text
    assert "Kind Score first <kind> 0.5 second –" in made.text


DRAW = np.random.default_rng(0)
SHOWN = {"indices": np.zeros(40, int), "images": [f"<{i}>" for i in range(40)]}
HALF = (np.arange(40) % 2).astype(np.float32)
BOTH = np.stack([HALF, 1 - HALF], axis=1)
EVALUATIONS = {
    "multilabel": Multilabel(("a", "b"), BinaryCalibration.identity(2), (0.5, 0.5)).evaluate(
        4 * BOTH - 2 + DRAW.normal(size=(40, 2)), BOTH, **SHOWN
    ),
    "regression": Regression(
        ("a", "b"), "number", mean=(0.0, 0.0), std=(1.0, 1.0), errors=((0.1, 0.2), (0.1, 0.2))
    ).evaluate(BOTH + DRAW.normal(size=(40, 2)), BOTH, **SHOWN),
    "anomaly": Anomaly(("good",), known=tuple(np.linspace(-1, 1, 40).tolist())).evaluate(
        2 * HALF[:, None] + DRAW.normal(size=(40, 1)), HALF[:, None], **SHOWN
    ),
}
CARDS = {
    "multilabel": r"(missing|predicted but absent) [ab]",
    "regression": r"predicted \S+, \S+ true [01], [01]",
    "anomaly": "missed",
}


@pytest.mark.parametrize("task", EVALUATIONS)
def test_scores_and_mistakes_of_every_task(page: Callable[..., Page], task: str) -> None:
    made = page(evaluation=EVALUATIONS[task], validation=EVALUATIONS[task])
    assert [a["id"] for a in made.all("section")][1:3] == ["mistakes", "scores"]
    ids = [a["id"] for _, a in made.elements if "id" in a]
    assert len(ids) == len(set(ids))
    assert re.search(CARDS[task], made.text[made.text.index("These results apply") :])
    keys = [a["data-sort"] for a in made.all("td") if "data-sort" in a]
    assert keys
    assert all(np.isfinite(float(key)) for key in keys)


def test_warnings_of_the_audit_are_caveats(page: Callable[..., Page]) -> None:
    findings = (
        Finding("duplicates-across-splits", "warning", "2 images occur twice", "remove them"),
        Finding("pixels", "note", "EXIF orientation is applied"),
    )
    text = page(findings=findings).text
    assert "Reasons to trust it less" in text
    caveats = text[text.index("Reasons to trust it less") : text.index("These results apply")]
    assert "2 images occur twice. Remove them." in caveats
    assert "EXIF" not in caveats


def test_real_digits(page: Callable[..., Page], digits_arrays: tuple[np.ndarray, np.ndarray]) -> None:
    pixels, _ = digits_arrays
    made = page([str(i) for i in range(10)], images=pixels[:, 0], losses=[2.0, 0.4, 0.3, 0.35])
    assert "1,797" in made.text
    assert len([a for a in made.all("img") if "pixelated" in a["class"]]) == 80 + 9
    assert len(made.html) < 400_000
