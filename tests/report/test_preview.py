"""The picture of what training saw: true to the loop, from the training split alone, and the same every time."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from clearsight.data.augment import augment
from clearsight.data.loader import to_float
from clearsight.report.components.pictures import Picture, eight_bits
from clearsight.report.page import write_report
from clearsight.report.preview import ROWS, VERSIONS, preview
from clearsight.train.config import TrainConfig
from clearsight.train.resolve import resolve

MakeRun = Callable[..., dict[str, Any]]


def trained(augment: str = "light", **changes: Any) -> TrainConfig:
    return resolve(TrainConfig().with_options(epochs=1, batch_size=8, augment=augment, **changes))


def pixels(shown: Picture) -> np.ndarray:
    with Image.open(io.BytesIO(base64.b64decode(shown.uri.partition(",")[2]))) as image:
        return np.asarray(image)


@pytest.mark.parametrize("training", [None, trained("none"), trained("none+none")])
def test_there_is_none_where_images_were_not_changed(make_run: MakeRun, training: TrainConfig | None) -> None:
    assert preview(make_run(training=training)["fitted"], 0) is None


@pytest.mark.parametrize(
    "training", [trained(), trained("mirror+rand"), trained("none", mixup=0.4), trained("none", cutmix=1.0)]
)
def test_rows_are_a_training_image_and_seven_versions(make_run: MakeRun, training: TrainConfig) -> None:
    fitted = make_run(("a", "b", "c", "d", "e"), training=training)["fitted"]
    made = preview(fitted, 0)
    assert made is not None
    assert [len(row) for row in made.rows] == [1 + VERSIONS] * ROWS
    array, train = fitted.prepared.pixels.array[:, 0], fitted.prepared.split.train
    for first, *versions in made.rows:
        assert any((pixels(first) == array[i]).all() for i in train)
        distinct = {pixels(v).tobytes() for v in versions}
        assert len(distinct) == VERSIONS
    assert len({re.match(r"labelled (\w)", row[0].alt)[1] for row in made.rows}) == ROWS  # type: ignore[index]
    assert preview(fitted, 0) == made
    assert preview(fitted, 1) != made


def test_versions_are_what_the_training_loop_makes(make_run: MakeRun) -> None:
    """The first batch of versions, made again here: the sampled images in one batch, changed by the policy."""
    fitted = make_run(training=trained("mirror+noise"))["fitted"]
    made = preview(fitted, 5)
    assert made is not None
    stored = np.stack([pixels(row[0]) for row in made.rows])[:, None]
    expected = augment(to_float(stored), "mirror+noise", torch.Generator().manual_seed(5))
    assert (np.stack([pixels(row[1]) for row in made.rows]) == (expected[:, 0] * 255).round().numpy()).all()


def test_only_pixels_of_the_training_split_are_read(make_run: MakeRun) -> None:
    """Training images are darkened and all others made white: mixed with each other, the former stay dark."""
    fitted = make_run(training=trained("none", mixup=1.0))["fitted"]
    prepared = fitted.prepared
    array = np.full_like(prepared.pixels.array, 255)
    array[prepared.split.train] = prepared.pixels.array[prepared.split.train] // 2
    prepared = replace(prepared, pixels=replace(prepared.pixels, array=array))
    made = preview(replace(fitted, prepared=prepared), 0)
    assert made is not None
    assert all(pixels(shown).max() < 128 for row in made.rows for shown in row)


@pytest.mark.parametrize(("classes", "rows"), [(("a",), 4), (("a", "b"), 4), (("a", "b", "c"), 3)])
def test_few_classes_share_the_rows(make_run: MakeRun, classes: tuple[str, ...], rows: int) -> None:
    if len(classes) == 1:  # no run has one class, but a training split may
        fitted = make_run(("a", "b"), training=trained())["fitted"]
        fitted.prepared.dataset.labels[fitted.prepared.split.train] = 0
    else:
        fitted = make_run(classes, training=trained())["fitted"]
    made = preview(fitted, 0)
    assert made is not None
    labels = [re.match(r"labelled (\w)", row[0].alt)[1] for row in made.rows]  # type: ignore[index]
    assert labels == (list(classes) * 4)[:rows]
    assert len({row[0].alt for row in made.rows}) == rows


def test_mixed_labels_are_shown(make_run: MakeRun) -> None:
    made = preview(make_run(training=trained("light", cutmix=1.0))["fitted"], 0)
    assert made is not None
    alts = [shown.alt for row in made.rows for shown in row[1:]]
    shares = [[int(n) for n in re.findall(r"(\d+) % (?:cat|dog)", alt)] for alt in alts]
    assert any(len(s) == 2 for s in shares)
    assert all(not s or 99 <= sum(s) <= 101 for s in shares)
    assert "light (small random shifts, rotations and scale changes), then cutmix (a part of another" in made.words


def test_sixteen_bit_versions_are_stretched_like_their_image() -> None:
    """Twelve bits of sixteen; half as bright must look half as bright."""
    own = np.linspace(0, 4095, 64 * 64).reshape(1, 64, 64).astype(np.uint16)
    assert eight_bits(own // 2, like=own).max() == pytest.approx(128, abs=2)
    assert (eight_bits(own, like=own) == eight_bits(own)).all()


def test_the_page_shows_it(make_run: MakeRun, tmp_path: Path) -> None:
    write_report(tmp_path / "r.html", **make_run(training=trained("strong"), config=TrainConfig.from_options(seed=3)))
    html = (tmp_path / "r.html").read_text()
    assert html.count('<div class="changed">') == ROWS
    part = html[html.index("<h3>Training images</h3>") : html.index('<section id="use"')]
    assert part.count("<img") == ROWS * (1 + VERSIONS)
    assert "strong (mirror, affine, colour and erase combined)" in part
    write_report(tmp_path / "r.html", **make_run())
    assert "<h3>Training images</h3>" not in (tmp_path / "r.html").read_text()
