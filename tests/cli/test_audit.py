"""`clearsight audit`: what it writes, its exit status, and the commands of docs/audit.md."""

import json

import numpy as np
import pytest
from PIL import Image

import clearsight as cs
from clearsight.cli.main import main
from tests.data.test_audit_checks import tiles


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Two classes of photographs, one of them with a mirrored copy across splits and a blank image."""
    images = tiles(48)
    images[4] = images[0][:, ::-1]
    images[8] = np.zeros_like(images[8])
    for k, image in enumerate(images):
        path = tmp_path / "photos" / ("train", "val")[k % 12 == 4] / ("cat", "dog")[k % 2] / f"{k}.png"
        if k % 12 == 5:
            path = tmp_path / "photos" / "val" / "dog" / f"{k}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.ascontiguousarray(image)).save(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commands_of_the_page(photos, page, capsys):
    commands = page("docs/audit.md").commands("clearsight")
    assert [main([*command.split()[1:], "--img-size", "64"]) for command in commands] == [0, 0, 3, 0]
    capsys.readouterr()
    html = (photos / "audit" / "audit.html").read_text()
    for words in ("Near duplicates across splits", "Blank images", "Class means", "Image sizes", "Augmentation"):
        assert words in html
    findings = {f["code"]: f for f in json.loads((photos / "audit" / "audit.json").read_text())["findings"]}
    assert findings["blank-images"]["evidence"]["files"] == ["train/cat/8.png"]
    assert findings["near-duplicates-across-splits"]["evidence"]["pairs"][0][:3] == [
        "val/cat/4.png", "train/cat/0.png", "mirrored",
    ]  # fmt: skip


def test_the_pictures_are_those_of_the_named_images(photos):
    found = cs.audit(photos / "photos", img_size=64)
    shown = {finding.code: found.pictures.found.get(k, ()) for k, finding in enumerate(found.findings)}
    (blank,) = shown["blank-images"]
    assert blank.picture.std() < 1
    pair = shown["near-duplicates-across-splits"][0].picture.astype(float)
    left, right = pair[:, :40], pair[:, -40:]
    assert np.corrcoef(left.ravel(), right[:, ::-1].ravel())[0, 1] > 0.9, "a mirrored copy"


def test_strict_passes_where_nothing_is_wrong(tmp_path, capsys):
    for k, image in enumerate(tiles(60)):
        path = tmp_path / ("cat", "dog")[k % 2] / f"{k}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(path)
    assert main(["audit", str(tmp_path), "--strict", "--test-fraction", "0.01", "--img-size", "64", "--json"]) == 0
    assert not [f for f in json.loads(capsys.readouterr().out)["findings"] if f["severity"] == "warning"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--preview"], "--preview needs a folder for the page. Add --out FOLDER"),
        (["--augment", "strong"], "--augment has an effect only with --preview. Add --preview --out FOLDER"),
    ],
)
def test_options_that_have_no_effect_are_refused(options, message, capsys):
    assert main(["audit", "digits", *options]) == 2
    assert message in capsys.readouterr().err


def test_audits_of_elpv_state_its_licence():
    from clearsight.data.licences import licence_notes

    first, second = licence_notes("elpv")
    assert "CC BY-NC-SA 4.0" in first
    assert "random splits put cells of one module on both sides" in second
    assert licence_notes("photos/") == ()
