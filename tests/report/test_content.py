"""Words, pictures and tables behind the page."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import clearsight
from clearsight.diagnosis.command import train_command
from clearsight.models.base import ModelNetwork
from clearsight.models.network import Ensemble
from clearsight.report.command import run_commands
from clearsight.report.components.confusion import SHADES, matrix, most_confused, shade
from clearsight.report.components.pictures import eight_bits, picture
from clearsight.report.recipe_section import _members, recipe_section
from clearsight.tasks.classification_evaluation import ClassEvaluation
from clearsight.tasks.classification_verdict import verdict
from clearsight.train.config import TrainConfig
from clearsight.train.observer import Epoch
from clearsight.wording import count, duration, large, listed, percent, points, probability, sentence

MakeRun = Callable[..., dict[str, Any]]
Evaluated = Callable[..., ClassEvaluation]


def test_numbers_in_words() -> None:
    assert percent(0.98888) == "98.9 %"
    assert (points(0.0139), points(0.01)) == ("1.4 points", "1.0 point")
    assert (count(1, "image"), count(1797, "image"), count(2, "class", "classes")) == (
        "1 image", "1,797 images", "2 classes",
    )  # fmt: skip
    assert [duration(s) for s in (0.42, 17.4, 200, 59.7, 7500)] == [
        "0.4 s",
        "17 s",
        "3 min 20 s",
        "1 min 0 s",
        "2 h 5 min",
    ]
    assert [large(n) for n in (308, 78_000, 4_650_000, 2e9)] == ["308", "78 thousand", "4.7 million", "2.0 billion"]
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
    assert sentence("found it") == "Found it."
    assert sentence("") == ""


def test_no_probability_is_printed_as_certain() -> None:
    assert [probability(p) for p in (1.0, 0.9996, 0.9994, 0.5, 0.0006, 0.0004, 0.0)] == [
        "> 99.9 %", "> 99.9 %", "99.9 %", "50.0 %", "0.1 %", "< 0.1 %", "< 0.1 %",
    ]  # fmt: skip


def test_a_share_that_only_rounds_to_all_or_nothing_is_not_printed_as_such() -> None:
    shares = (1.0, 0.9996, 0.9994, 0.0006, 0.0004, 0.0, -0.0004, -0.5)
    assert [percent(s) for s in shares] == [
        "100.0 %", "> 99.9 %", "99.9 %", "0.1 %", "< 0.1 %", "0.0 %", "-0.0 %", "-50.0 %",
    ]  # fmt: skip
    assert [percent(s, 0) for s in (1.0, 0.996, 0.99, 0.004, 0.0)] == ["100 %", "> 99 %", "99 %", "< 1 %", "0 %"]


def test_no_other_place_formats_percentages() -> None:
    source = Path(clearsight.__file__).parent
    found = [
        f"{path.relative_to(source)}:{number}: {line.strip()}"
        for path in sorted([*source.rglob("*.py"), *source.rglob("*.html"), *source.rglob("*.js")])
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"\d%[}\"']|[\d}]%(?! ?[\d;,){}])(?=[ .,:)\"'`])", line)
        and "min(100%" not in line
        and "{%" not in line
    ]
    assert found == []


@pytest.mark.parametrize(
    ("counts", "calibration", "words"),
    [
        ([[900, 100], [100, 900]], "good", "the probabilities are calibrated"),
        (
            [[430, 70], [70, 430]],
            "unknown",
            "there are too few images to measure the calibration of the probabilities",
        ),
        ([[400, 100], [100, 400]], "poor", "the model is overconfident"),
        ([[500, 0], [0, 500]], "poor", "the model is underconfident"),
        ([[1, 0], [1, 0]], "poor", "the probabilities are no better than the class frequencies"),
    ],
)
def test_calibration_in_words(counts: list[list[int]], calibration: str, words: str, evaluated: Evaluated) -> None:
    found = verdict(evaluated(counts, ("a", "b")))  # confidence is 0.9 throughout
    assert (found.calibration, found.calibration_words) == (calibration, words)


def test_weak_and_commonest_class(evaluated: Evaluated) -> None:
    found = verdict(evaluated([[590, 10], [30, 70]], ("common", "rare")))
    assert (found.commonest, found.commonest_share) == ("common", pytest.approx(6 / 7))
    assert found.weakest is not None
    assert found.weakest.name == "rare"
    assert [c.text for c in found.caveats] == [
        "Recall well below the overall accuracy: ‘rare’ (70 of 100 test images).",
    ]


def test_matrix_shades_grow_with_the_share_of_the_row() -> None:
    assert [shade(n, 100) for n in (0, 1, 25, 100)] == [0, 1, 4, SHADES]  # 8 sqrt(share), rounded up
    assert shade(0, 0) == 0
    made = matrix(np.array([[8, 2], [0, 0]]), ("a", "b"))
    assert [[c.kind for c in r.cells] for r in made.rows] == [["right", "wrong"], ["wrong", "right"]]
    assert made.rows[0].cells[1].words == "labelled a, predicted as b: 2 of 10"


def test_most_confused_pairs() -> None:
    counts = np.array([[90, 5, 0], [5, 5, 0], [1, 0, 9]])
    pairs = most_confused(counts, ("a", "b", "c"), 5)
    assert [(p.label, p.predicted, p.images, p.total) for p in pairs] == [
        ("b", "a", 5, 10),
        ("a", "b", 5, 95),
        ("c", "a", 1, 10),
    ]
    assert [p.share for p in pairs] == pytest.approx([0.5, 5 / 95, 0.1])


def test_merging_classes_loses_no_image() -> None:
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 4, (100, 100))
    made = matrix(counts, [f"{i}" for i in range(100)])
    assert made.merged == 70
    assert sum(c.images for r in made.rows for c in r.cells) == counts.sum()
    assert made.rows[-1].cells[-1].kind == "mixed"
    first = int(made.rows[0].name)
    assert made.rows[0].images == counts[first].sum()


def test_sixteen_bits_are_stretched_to_eight() -> None:
    pixels = np.linspace(0, 4095, 64 * 64).reshape(1, 64, 64).astype(np.uint16)
    shown = eight_bits(pixels)
    assert shown.dtype == np.uint8
    assert (shown.min(), shown.max()) == (0, 255)
    assert shown[32, 0] == pytest.approx(128, abs=2)
    assert eight_bits(np.full((1, 8, 8), 9, np.uint16)).max() == 0  # flat, and no division by zero
    assert eight_bits(np.zeros((3, 5, 7), np.uint8)).shape == (5, 7, 3)


def test_small_pictures_keep_every_pixel(make_run: MakeRun) -> None:
    prepared = make_run()["fitted"].prepared
    made = picture(prepared, 3, 120, "alt")
    with Image.open(io.BytesIO(base64.b64decode(made.uri.partition(",")[2]))) as image:
        assert made.pixelated
        assert (np.asarray(image) == prepared.pixels.array[3, 0]).all()


def test_squashed_pictures_get_their_proportions_back(make_run: MakeRun) -> None:
    images = np.zeros((24, 100, 200), np.uint8)
    images += np.arange(24, dtype=np.uint8)[:, None, None]
    made = picture(make_run(images=images, side=64)["fitted"].prepared, 0, 120, "alt")
    assert (made.width, made.height, made.pixelated) == (120, 60, False)


def test_the_command_quotes_what_a_shell_would_split() -> None:
    assert train_command("elpv", TrainConfig().changed()) == "clearsight train elpv"
    made = train_command("/data/my photos", TrainConfig.from_options(pretrained=True, budget="5m").changed())
    assert made == "clearsight train '/data/my photos' --pretrained --budget 5m"
    python = train_command("a DataFrame", TrainConfig.from_options(seed=2).changed())
    assert python == "clearsight.fit(DATA, seed=2)  # DATA: a DataFrame"
    assert "clearsight predict 'my runs/a' IMAGE" in run_commands(Path("my runs/a")).values()


def test_the_length_of_training_is_in_epochs_however_often_it_was_validated(make_run: MakeRun) -> None:
    lines = tuple(Epoch(e, 5 * i, 0.1, 1.0, 0.5, 0.9 - 0.1 * i, 0.6, 2.0 * i) for i, e in enumerate((1, 1, 2, 2)))
    fitted = make_run(history=lines)["fitted"]
    words = recipe_section(fitted, 0).curve_words
    assert "Training took 2 epochs (passes over the training images) and 6.0 s." in words


def test_what_an_ensemble_consists_of() -> None:
    folds = Ensemble.of([ModelNetwork({"name": name}) for name in "abc"], [1.0] * 3)
    both = Ensemble.of([ModelNetwork({"name": name}) for name in "ab"], [1.0, 1.0])
    all_of_them = Ensemble.of([ModelNetwork({"name": "a"}), folds], [1.0, 1.0])
    first, last = "The model is an ensemble of", "The predicted probabilities are averaged."
    each = "3 fine-tuned networks, each trained without one fold of the images"
    assert _members(folds.member_networks, beside=False) == f"{first} {each}. {last}"
    assert _members(both.member_networks, beside=True) == (
        f"{first} the network before fine-tuning and the fine-tuned network. {last}"
    )
    assert (
        _members(all_of_them.member_networks, beside=True)
        == f"{first} the network before fine-tuning and {each}. {last}"
    )
