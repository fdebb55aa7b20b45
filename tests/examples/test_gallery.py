"""Every script of the gallery draws its figure and gives its numbers in its short form. Whether its claims hold is
asked of the full form with three seeds, in the long tier: `make gallery`.
"""

import importlib
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = ROOT / "examples"
SCRIPTS = sorted(p.stem for p in EXAMPLES.glob("*.py") if p.stem != "gallery")


@pytest.fixture(scope="module", autouse=True)
def on_the_path():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        yield
    for name in ("gallery", *SCRIPTS):
        sys.modules.pop(name, None)


SLOW = {
    "bn_position", "boundaries", "fooling", "homing", "imagenet_cost", "initialisations", "landscapes", "layers",
    "lighting", "penalties", "ravine", "residual", "schedules", "sgd_adam", "steering", "transfer",
}  # fmt: skip
"""Scripts that train longest, also in their short form: in the long tier."""


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.long) if n in SLOW else n for n in SCRIPTS])
def test_the_short_form_draws_the_figure_and_gives_the_numbers(name, tmp_path, monkeypatch, capsys):
    gallery, script = importlib.import_module("gallery"), importlib.import_module(name)
    kept = []
    monkeypatch.setattr(gallery, "_studied", lambda study, short, seed: kept.append(study(short, seed)) or kept[-1])
    assert gallery.main(script.study, ["--short", "--out", str(tmp_path)]) == 0
    (found,) = kept
    text = capsys.readouterr().out
    assert found.numbers
    assert all(f"  {what:<52} {value}\n" in text for what, value in found.numbers.items())
    assert found.claims
    assert all(f"  not checked: {claim}\n" in text for claim in found.claims)
    assert all(isinstance(holds, bool | np.bool_) for holds in found.claims.values())
    picture = np.asarray(Image.open(tmp_path / f"{name}.png").convert("L"))
    assert min(picture.shape) > 200
    assert picture.std() > 5, "the figure is blank"
    moving = tmp_path / f"{name}.gif"
    assert moving.is_file() == (name == "ravine")
    if moving.is_file():
        with Image.open(moving) as frames:
            assert frames.n_frames == 5


def test_a_claim_that_does_not_hold_is_reported(tmp_path, capsys):
    gallery = importlib.import_module("gallery")
    script = importlib.import_module("one_by_one")

    def study(short, seed):
        return gallery.Found(gallery.plt.figure(), {}, {"water runs uphill": False})

    study.__module__ = script.__name__  # its docstring is the claim
    assert gallery.main(study, ["--out", str(tmp_path)]) == 1
    assert "DOES NOT HOLD: water runs uphill" in capsys.readouterr().out


@pytest.mark.parametrize(("held", "code", "verdict"), [(1, 1, "DOES NOT HOLD"), (2, 0, "holds")])
def test_a_claim_must_hold_for_most_seeds(held, code, verdict, tmp_path, capsys):
    gallery = importlib.import_module("gallery")
    script = importlib.import_module("one_by_one")

    def study(short, seed):
        return gallery.Found(gallery.plt.figure(), {"seed": f"{seed}"}, {"it rains": seed < held})

    study.__module__ = script.__name__
    assert gallery.main(study, ["--seeds", "3", "--out", str(tmp_path)]) == code
    text = capsys.readouterr().out
    assert f"{verdict}: it rains ({held} of 3 seeds)" in text
    assert re.search(r"^  seed +0 \| 1 \| 2$", text, re.M)


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", SCRIPTS)
def test_its_claims_hold_in_the_median_of_three_seeds(name, tmp_path, record_property, capsys):
    gallery, script = importlib.import_module("gallery"), importlib.import_module(name)
    code = gallery.main(script.study, ["--seeds", "3", "--out", str(tmp_path)])
    text = capsys.readouterr().out
    record_property("printed", [line.strip() for line in text.splitlines() if line.startswith("  ")])
    assert code == 0, text


def test_without_fashion_mnist_digits_stand_in(monkeypatch):
    gallery = importlib.import_module("gallery")
    monkeypatch.setattr(gallery.builtin, "installed", lambda *a, **k: None)
    gallery._clothes.cache_clear()
    try:
        data = gallery.clothes(5000, 3000)
        assert data.pixels.shape[1:] == (1, 28, 28)
        assert (len(data.train), len(data.val)) == (1200, 597)
        assert gallery.class_names() == tuple("0123456789")
        places = data.pixels[:, 0].astype(int) > 120
        corners = {(int(p.any(1).argmax()), int(p.any(0).argmax())) for p in places}
        assert len(corners) > 30, "each digit stands at a place of its own"
    finally:
        gallery._clothes.cache_clear()


def test_the_page_lists_every_script_with_its_claim():
    page = (ROOT / "docs" / "gallery.md").read_text()
    listed = re.findall(r"^- \[(.+)\]\(\.\./examples/(\w+)\.py\)$", page, re.M)
    assert sorted(name for _, name in listed) == SCRIPTS
    for claim, name in listed:
        first = (EXAMPLES / f"{name}.py").read_text().splitlines()[0].removeprefix('"""')
        assert claim == first, f"{name} claims: {first}"


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_names_its_source(name):
    text = (EXAMPLES / f"{name}.py").read_text()
    assert re.search(r"^Source: .*\d{4}", text.split('"""')[1], re.M), "a claim without a source"
