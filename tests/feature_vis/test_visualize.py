"""The whole look, its page and pictures, and the command."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import clearsight as cs
from clearsight.cli.main import main
from clearsight.errors import ConfigError
from clearsight.feature_vis import PARTS, Settings

FAST = Settings(class_steps=3, inversion_steps=3)


@pytest.fixture(scope="module")
def seen(digits_run, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    return cs.visualize(digits_run, images=80, settings=FAST, out=out), out


def pages_and_sheets(folder):
    """The files of a folder by part, and the page as "page"."""
    return {path.stem: path for path in folder.glob("*.png")} | {"page": folder / "visualization.html"}


def test_a_run_shows_all_it_has(seen):
    sight, out = seen
    files = pages_and_sheets(out)
    assert set(sight.left_out) == {"gates"}
    assert set(files) == {*PARTS, "page"} - {"gates"}
    assert len(sight.classes) == 30
    assert all(c.images for c in sight.classes)
    page = files["page"].read_text()
    assert "no squeeze-and-excitation gates" in page
    assert page.count("data:image/png;base64,") == 5
    assert "http" not in page
    for part in set(PARTS) - {"gates"}:
        with Image.open(files[part]) as picture:
            assert picture.width == 1160
            assert np.asarray(picture).std() > 10
    numbers = json.loads((files["page"].parent / "visualization.json").read_text())
    assert numbers == json.loads(json.dumps(sight.to_dict()))
    assert numbers["layers"][0] == {
        "layer": "conv1", "kind": "Conv2d", "units": 32, "size": [8, 8], "receptive_field": 3,
    }  # fmt: skip


def test_a_model_without_data_shows_the_rest(made, tmp_path):
    """As a network with published weights: no images to search, so class pictures begin with noise."""
    image = np.random.default_rng(0).integers(0, 256, (16, 16), dtype=np.uint8)
    sight = cs.visualize(made("resnet8", width=8), image, settings=FAST, out=tmp_path)
    assert set(sight.left_out) == {"patches", "gates"}
    assert {c.images for c in sight.classes} == {0}
    assert "starts from different noise" in (tmp_path / "visualization.html").read_text()


def test_an_mlp_is_one_sheet_from_the_image_to_the_named_output(made, tmp_path):
    predictor = made("mlp", widths=(40, 100))
    image = np.random.default_rng(0).integers(0, 256, (16, 16), dtype=np.uint8)
    found = cs.visualize(predictor, image, settings=FAST, out=tmp_path)
    first, second, last = found.maps
    assert (first.total, second.total, last.total) == (40, 100, 3)
    assert (first.names, last.names) == ((), ("class 0", "class 1", "class 2"))
    np.testing.assert_allclose(last.values[:, 0, 0], predictor.logits(found.pixels[None])[0], atol=1e-5)
    assert [i.layer for i in found.inversion] == ["hidden.0.act", "hidden.1.act", "fc"]
    assert [i.features for i in found.inversion] == [40, 100, 3]
    with Image.open(tmp_path / "maps.png") as picture:
        sheet = np.asarray(picture.convert("RGB")) / 255
    from clearsight.report.tiles import bright

    cell = bright(first.values[:, :, 0].T, 0.0, float(first.values.max()))[0]  # (40, 3), left to right
    tops = [y for y in range(len(sheet)) if np.allclose(sheet[y, 10 : 10 + 16 * 40 : 16], cell, atol=0.01)]
    assert len(tops) == 15  # rows of pixels of its only line of cells


def test_images_that_excite_units_of_a_dense_layer(made):
    """From noise; the activation is the unit's own, and it grows where the unit was not zero."""
    predictor = made("mlp", widths=(40, 12), activation="tanh")
    settings = Settings(layer="hidden.1.act", units=(2, 7), modes=2, class_steps=30)
    found = cs.visualize(predictor, what="classes", settings=settings)
    assert [c.label for c in found.classes] == ["hidden.1.act, unit 2"] * 2 + ["hidden.1.act, unit 7"] * 2
    body = predictor.network.body
    for one, unit in zip(found.classes, (2, 2, 7, 7), strict=True):
        for pixels, value in ((one.pixels, one.logit), (one.start, one.logit_before)):
            with torch.no_grad():
                units = body.hidden(predictor.network.input(torch.from_numpy(pixels[None])).flatten(1))[0]
            assert value == pytest.approx(float(units[unit]), abs=1e-5)
        assert one.logit > one.logit_before
        assert one.probability is None
    assert "activation" in found.text()


def test_units_begin_with_the_images_that_excite_them_most(digits_run):
    settings = Settings(layer="layer3", units=(4,), modes=2, class_steps=2)
    found = cs.visualize(digits_run, what="classes", images=40, settings=settings)
    assert [c.images for c in found.classes] == [1, 1]
    assert found.classes[0].logit_before > 0


def test_a_linear_network_shows_templates_and_classes(made, tmp_path):
    sight = cs.visualize(made("linear"), settings=FAST, out=tmp_path)
    files = pages_and_sheets(tmp_path)
    assert set(files) == {"filters", "classes", "page"}
    assert "This model is linear" in files["page"].read_text()
    assert [row.layer.short for row in sight.layers] == ["fc"]


def test_of_an_ensemble_the_first_member_is_seen_and_all_answer(made, tmp_path):
    from dataclasses import replace

    from clearsight.models.network import Ensemble
    from clearsight.predictor import Predictor

    first, second = made("resnet8", width=8), made("plain20", width=4)
    joined = Ensemble.of([first.network, second.network], [1.0, 2.0])
    predictor = Predictor(replace(first.bundle, network=joined))
    image = np.random.default_rng(0).integers(0, 256, (16, 16), dtype=np.uint8)
    sight = cs.visualize(predictor, image, settings=FAST)
    alone = cs.visualize(first, image, settings=FAST)
    assert sight.layers == tuple(
        replace(r, layer=replace(r.layer, name=f"members.0.{r.layer.name}")) for r in alone.layers
    )
    for a, b in zip(sight.maps, alone.maps, strict=True):
        np.testing.assert_array_equal(a.values, b.values)
    np.testing.assert_array_equal(sight.filters.weights, alone.filters.weights)
    found = sight.classes[0]
    assert found.probability == pytest.approx(predictor.predict_proba(found.pixels[None])[0, 0])


def test_of_a_head_on_frozen_features_the_backbone_is_seen(made, tmp_path):
    from dataclasses import replace

    from clearsight.models.heads import build_head
    from clearsight.models.network import Probe
    from clearsight.predictor import Predictor

    spec = {
        "kind": "probe", "name": "resnet8", "img_size": 16, "model_args": {"width": 8}, "taps": ["layer2"],
        "parts": [0, 1],
        "input": {"mean": [0.5] * 3, "std": [0.5] * 3}, "head": None,
    }  # fmt: skip
    head = {"kind": "softmax", "features": 3 * 16 + 32, "classes": 3}
    probe = Probe(spec)
    probe.set_head(head, build_head(head), [0, 1])
    predictor = Predictor(replace(made("resnet8", width=8).bundle, network=probe))
    image = np.random.default_rng(0).integers(0, 256, (16, 16), dtype=np.uint8)
    sight = cs.visualize(predictor, image, settings=FAST)
    assert sight.layers[0].layer.short == "conv1"
    assert sight.filters.weights.shape == (8, 3, 3, 3)  # gray was repeated
    assert sight.classes[0].pixels.shape == (1, 16, 16)
    assert len(sight.inversion) == len(sight.maps) > 2


def test_sixteen_bits(made, tmp_path):
    """Twelve of sixteen bits are drawn as bright as a whole range, not almost black."""
    from dataclasses import replace

    from clearsight.data.pixels import PixelFormat
    from clearsight.predictor import Predictor

    predictor = made("resnet8", width=8)
    predictor = Predictor(replace(predictor.bundle, form=PixelFormat(1, 16)))
    image = np.random.default_rng(0).integers(0, 4096, (1, 1, 16, 16), dtype=np.uint16)
    cs.visualize(predictor, image, what="inversion", settings=FAST, out=tmp_path)
    with Image.open(tmp_path / "inversion.png") as picture:
        first = np.asarray(picture)[40:200, 12:200, 0]
    assert first.max() > 250


def test_settings_that_contradict_each_other(small):
    with pytest.raises(ConfigError, match="a unit needs a layer"):
        cs.visualize(small, settings=Settings(units=(1,)))
    with pytest.raises(ConfigError, match="--modes is 0"):
        cs.visualize(small, settings=Settings(modes=0))
    with pytest.raises(ConfigError, match="--images must be 1 or more, not 0"):
        cs.visualize(small, images=0)


def test_command(digits_run, tmp_path, capsys):
    out = ["--out", str(tmp_path)]
    words = [
        "visualize",
        str(digits_run),
        "--what",
        "patches",
        "--layer",
        "layer1",
        "--unit",
        "3",
        "--images",
        "40",
        *out,
    ]
    assert main([*words, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [u["unit"] for u in answer["patches"]["units"]] == [3]
    assert answer["files"]["patches"] == str(tmp_path / "patches.png")
    assert (
        main(["visualize", str(digits_run), "--what", "classes", "--class", "7", "--modes", "2", "--steps", "2", *out])
        == 0
    )
    text = capsys.readouterr().out
    assert "7 (2 images, probability up to" in text
    assert "; classes.png\n" in text
    assert text.count(tmp_path.name) == 1  # the page's folder is the pictures' too
    assert main(["visualize", str(digits_run), "--layer", "list"]) == 0
    assert "layer3.0.conv2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--what", "filtres"], "unknown visualisation 'filtres'; expected filters, maps"),
        (["--layer", "layr2"], "unknown layer 'layr2'"),
        (["--layer", "layer2", "--unit", "999"], "unknown unit 999"),
        (["--class", "dog"], "unknown class 'dog'"),
        (["--what", "gates"], "no squeeze-and-excitation gates"),
        (["--steps", "0"], "--steps is 0"),
        (["--batch-size", "0"], "--batch-size is 0"),
        (["nowhere.png"], "nowhere.png"),
    ],
)
def test_bad_input(digits_run, tmp_path, capsys, words, complaint):
    assert main(["visualize", str(digits_run), *words, "--out", str(tmp_path / "out")]) == 2
    _, err = capsys.readouterr()
    line = [line for line in err.splitlines() if line.startswith("clearsight: ")]
    assert len(line) == 1
    assert complaint in line[0]
    assert not (tmp_path / "out").exists()


def test_classical_models_say_what_they_offer(classical_run, capsys):
    assert main(["visualize", str(classical_run)]) == 2
    assert "no layers to visualise; found hog+svm" in capsys.readouterr().err
