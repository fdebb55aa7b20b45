"""Boxes and masks where they must be, on networks set by hand and on trained ones."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import clearsight as cs
from clearsight.cli.main import main
from clearsight.data.pixels import read_image
from clearsight.errors import ConfigError, DataError, ModelError
from clearsight.localisation import METHODS, Located, Settings, locate
from clearsight.models.base import ModelNetwork
from clearsight.models.network import Ensemble
from clearsight.report.detections import caption, located_sheet

RED, GREEN = (255, 0, 0), (0, 255, 0)


def scene(*patches, size=(64, 96)):
    """A black image (H, W, 3) with patches (x0, y0, x1, y1, colour)."""
    image = np.zeros((*size, 3), np.uint8)
    for x0, y0, x1, y1, colour in patches:
        image[y0:y1, x0:x1] = colour
    return image


def boxes(one):
    return [(f.label, tuple(round(v) for v in f.box)) for f in one.found]


def only(found):
    (one,) = found
    return one


def test_cam_draws_the_box_that_is_there_at_the_images_own_size(colours):
    """Patches that end on whole pixels of the 16x16 that the network sees."""
    image = scene((18, 8, 48, 32, RED))  # 6 pixels by 4 of the image for each of the network's
    one = only(locate(colours, image, method="cam", target="red"))
    assert boxes(one)[0][0] == "red"
    x0, y0, x1, y1 = one.found[0].box
    # interpolation between units blurs the border by less than one of them
    assert np.abs(np.array([x0, y0, x1, y1]) - [18, 8, 48, 32]).max() <= 6
    assert one.heat.shape == (1, 64, 96)
    assert one.heat.max() == pytest.approx(1)
    x, y = one.peak("red")
    assert 18 <= x < 48
    assert 8 <= y < 32
    assert one.mask("red")[20, 30]
    assert not one.mask("red")[50, 80]
    assert one.segments[20, 30] == 1
    assert one.segments[50, 80] == 0


@pytest.mark.parametrize("fit", ["squash", "pad", "crop"])
def test_every_way_to_fit_an_image_is_undone(fit, predictor_of, colour_network):
    """The network sees another frame each time; the box is in pixels of the image each time."""
    image = scene((40, 24, 56, 40, RED), size=(64, 96))
    one = only(locate(predictor_of(colour_network(), side=32, fit=fit), image, method="cam", target="red"))
    np.testing.assert_allclose(one.found[0].box, [40, 24, 56, 40], atol=3.1)
    if fit == "crop":
        assert (one.heat[0, :, :15] == 0).all(), "the network has not seen the border"


def test_labels_are_each_located_and_every_place_gets_one(labels):
    image = scene((6, 8, 36, 32, RED), (60, 32, 90, 56, GREEN), (60, 4, 90, 20, RED))
    one = only(locate(labels, image))
    assert one.method == "cam"
    assert sorted(label for label, _ in boxes(one)) == ["green", "red", "red"]
    assert one.labels == ("red", "green")
    numbers = {"red": 1, "green": 2}  # 1 + their places among red, green, dark
    assert one.segments[20, 20] == one.segments[12, 75] == numbers["red"]
    assert one.segments[44, 75] == numbers["green"]
    assert one.segments[60, 20] == 0


def test_the_score_is_the_probability_times_the_mean_of_the_map(labels):
    one = only(locate(labels, scene((6, 8, 36, 32, RED)), method="cam"))
    x0, y0, x1, y1 = (int(v) for v in one.found[0].box)
    inside = one.heat[0, y0:y1, x0:x1]
    probability = one.facts["probabilities"]["red"]
    assert one.found[0].score == pytest.approx(probability * inside[inside >= one.share].mean(), rel=1e-5)


def test_windows_find_things_wherever_they_are(colours):
    """Background is a class of its own; one pass answers for all windows, as the maps are of single pixels."""
    image = scene((10, 10, 26, 26, RED), (60, 36, 76, 52, GREEN))
    one = only(locate(colours, image, method="window", settings=Settings(background="dark")))
    assert one.facts["scored by"] == "one pass"
    assert one.facts["difference from crops"] < 1e-4
    found = dict(boxes(one))
    assert len(one.found) == 2
    np.testing.assert_allclose(found["red"], [10, 10, 26, 26], atol=2)
    np.testing.assert_allclose(found["green"], [60, 36, 76, 52], atol=2)
    assert one.segments[20, 20] == 1
    assert one.segments[2, 2] == 0


def test_crops_find_what_one_pass_finds(colours, monkeypatch):
    image = scene((10, 10, 26, 26, RED), (60, 36, 76, 52, GREEN))
    settings = Settings(background="dark")
    dense = only(locate(colours, image, method="window", settings=settings))
    monkeypatch.setattr("clearsight.localisation.window_scores.trunk_of", lambda *_: None)
    cropped = only(locate(colours, image, method="window", settings=settings))
    assert cropped.facts["scored by"] == "crops"
    assert cropped.facts["windows"] == dense.facts["windows"]
    for a, b in zip(dense.found, cropped.found, strict=True):
        assert a.label == b.label
        assert a.score == pytest.approx(b.score, abs=1e-5)
        np.testing.assert_allclose(a.box, b.box, atol=1e-6)


def test_windows_are_drawn_closer_by_the_map_within(colours):
    image = scene((10, 10, 20, 24, RED))
    wide, close = (
        only(locate(colours, image, method="window", settings=Settings(background="dark", scales=(1.0,), tight=tight)))
        for tight in (False, True)
    )
    x0, _, x1, _ = wide.found[0].box
    assert x1 - x0 == pytest.approx(16)
    assert x0 <= 10 < 20 <= x1
    np.testing.assert_allclose(close.found[0].box, [10, 10, 20, 24], atol=1)
    assert wide.found[0].score == close.found[0].score


def test_windows_hold_several_labels_and_leave_what_they_cut_to_the_next(labels):
    patches = [(10, 10, 16, 18, RED), (18, 10, 23, 16, GREEN), (60, 40, 66, 46, RED), (90, 58, 96, 64, GREEN)]
    one = only(locate(labels, scene(*patches), method="window", settings=Settings(scales=(1.0,))))
    expected = [("red", patches[0]), ("green", patches[1]), ("red", patches[2]), ("green", patches[3])]
    assert len(one.found) == 4
    for label, patch in expected:
        gaps = [np.abs(np.array(f.box) - patch[:4]).max() for f in one.found if f.label == label]
        assert min(gaps) <= 1, (label, patch)
    assert one.segments[12, 12] == 1
    assert one.segments[12, 20] == 2
    assert one.segments[30, 30] == 0


def test_the_loudest_place_of_several_is_their_middle():
    heat = np.zeros((1, 9, 9), np.float32)
    heat[0, 2:7, 1:8] = 1
    one = Located("image", "window", (), ("cat",), (3,), heat, 0.5, np.zeros((3, 9, 9), np.uint8), {}, 0.0)
    assert one.peak("cat") == (4, 4)
    assert set(np.unique(one.segments)) == {0, 4}
    for ask in (one.mask, one.peak):
        with pytest.raises(
            ConfigError, match=r"'cap' is not one of the classes searched for in image\. Did you mean cat"
        ):
            ask("cap")


def test_a_target_of_any_probability_is_drawn_unless_a_threshold_is_given(labels):
    image = scene((6, 8, 36, 32, RED))
    one = only(locate(labels, image, target=["green", "red"]))
    assert one.labels == ("green", "red")
    some = only(locate(labels, image, target=["green", "red"], settings=Settings(threshold=0.5)))
    assert (some.labels, some.numbers) == (("red",), (0,))
    assert some.facts["probabilities"]["green"] < 0.5


def test_an_image_with_nothing_in_it(colours, labels):
    black = scene()
    assert not only(locate(labels, black)).found
    empty = only(locate(colours, black, method="window", settings=Settings(background="dark")))
    assert not empty.found
    assert (empty.segments == 0).all()
    assert caption(empty) == "nothing found (window)"
    assert located_sheet(empty).shape[2] == 3


def test_members_of_an_ensemble_agree_on_one_map(predictor_of, colour_network):
    class Two(Ensemble):
        def __init__(self):
            nn.Module.__init__(self)
            self.spec = {"kind": "ensemble", "temperatures": [1.0, 1.0]}
            self.members = nn.ModuleList([colour_network(), colour_network()])

    image = scene((18, 8, 48, 32, RED))
    alone = only(locate(predictor_of(colour_network()), image))
    both = only(locate(predictor_of(Two()), image))
    assert len(both.facts["layer"]) == 2
    np.testing.assert_allclose(alone.heat, both.heat, atol=1e-6)


def test_units_stand_where_they_look(predictor_of):
    """A stride of 8 in three steps: the brightest place is under the blob, not shifted by half a stride."""

    class Strided(ModelNetwork):
        def __init__(self):
            super().__init__({"kind": "network", "name": "strided"})
            self.trunk = nn.Sequential(*(nn.Conv2d(1, 1, 3, stride=2, padding=1, bias=False) for _ in range(3)))
            self.fc = nn.Linear(1, 2)
            with torch.no_grad():
                for conv in self.trunk:
                    conv.weight.fill_(1 / 9)
                self.fc.weight[:] = torch.tensor([[1.0], [-1.0]])

        def with_features(self, x):
            features = self.trunk(x).mean((2, 3))
            return self.fc(features), features

        def forward(self, x):
            return self.with_features(x)[0]

    y, x = np.mgrid[0:64, 0:64]
    image = (255 * np.exp(-((x - 40) ** 2 + (y - 24) ** 2) / 60)).astype(np.uint8)
    predictor = predictor_of(Strided(), classes=("blob", "none"), side=64, channels=1)
    one = only(locate(predictor, image, method="cam", target="blob"))
    assert np.abs(np.array(one.peak("blob")) - [40, 24]).max() <= 1


def test_a_trained_model_reads_a_page_of_digits(digits_run, digits_arrays):
    """Held-out digits side by side, and windows that lie exactly upon them."""
    images, truth = digits_arrays
    chosen = np.arange(0, 1797, 150)
    page = images[chosen, 0].reshape(3, 4, 8, 8).transpose(0, 2, 1, 3).reshape(24, 32)
    settings = Settings(scales=(1.0,), stride=8, keep_ood=True)
    one = only(locate(cs.load(digits_run).predictor, page, method="window", settings=settings))
    assert one.facts["windows"] == 12
    found = {tuple(round(v) for v in f.box): f.label for f in one.found}
    expected = {
        (8 * column, 8 * row, 8 * column + 8, 8 * row + 8): str(truth[chosen[4 * row + column]])
        for row in range(3)
        for column in range(4)
    }
    assert sum(found.get(box) == label for box, label in expected.items()) >= 8
    assert set(found) <= set(expected)


@pytest.mark.long
def test_labels_alone_teach_where(tmp_path, digits_arrays):
    """A network that learned which of three digits occur in a scene points at them; a random place would do so in one
    of nine scenes.
    """
    images, truth = digits_arrays
    pools = [np.flatnonzero(truth == kind) for kind in range(3)]

    def scenes(count, seed, part):
        rng = np.random.default_rng(seed)
        shown, labels, places = np.zeros((count, 24, 24), np.uint8), np.zeros((count, 3), int), []
        for i in range(count):
            corners = rng.permutation(9)[:2]
            places.append({})
            for kind, corner in zip(rng.permutation(4)[:2], corners, strict=True):
                if kind < 3:
                    y, x = (8 * int(v) for v in divmod(int(corner), 3))
                    shown[i, y : y + 8, x : x + 8] = images[rng.choice(pools[kind][part]), 0]
                    labels[i, kind] = 1
                    places[i][str(kind)] = (x, y)
        return shown, labels, places

    shown, labels, _ = scenes(500, 0, np.s_[:120])
    run = cs.fit(
        shown,
        labels,
        model="resnet8",
        model_arg={"width": 8},
        opt="muon",
        batch_size=32,
        epochs=8,
        out=tmp_path / "run",
    )
    shown, _, places = scenes(40, 1, np.s_[120:])
    hits = []
    for image, known in zip(shown, places, strict=True):
        if known:
            one = only(locate(run.predictor, image, method="cam", target=list(known)))
            hits += [
                x <= one.peak(name)[0] < x + 8 and y <= one.peak(name)[1] < y + 8 for name, (x, y) in known.items()
            ]
    assert len(hits) > 40
    assert np.mean(hits) > 0.5, "a place at random hits one time in nine"


def test_a_classical_model_slides_by_crops(classical_run, digits_arrays):
    picture = np.zeros((16, 24), np.uint8)
    picture[4:12, 8:16] = digits_arrays[0][0, 0]
    settings = Settings(scales=(1.0,), stride=2, keep_ood=True)
    one = only(locate(cs.load(classical_run).predictor, picture, settings=settings))
    assert one.method == "window"
    assert one.facts["scored by"] == "crops"
    assert one.facts["windows"] == 5 * 9
    with pytest.raises(ModelError, match="no class-activation maps; expected --method window, or a neural network"):
        locate(cs.load(classical_run).predictor, picture, method="cam")


def test_what_cannot_be_asked(colours):
    image = scene()
    for words, message in (
        ({"method": "cams"}, "unknown method 'cams'; expected auto, cam, window. Did you mean cam"),
        ({"target": "blue"}, "unknown class 'blue'. Classes: dark, green, red"),
        ({"target": ["red", "greem"]}, "unknown class 'greem'. Did you mean green"),
        ({"settings": Settings(threshold=1.5)}, r"--threshold is 1.5; expected a number from 0 to 1"),
        ({"settings": Settings(iou=-0.1)}, r"--iou is -0.1; expected a number from 0 to 1"),
        ({"settings": Settings(share=0)}, r"--share is 0; expected a number above 0, up to 1"),
        ({"settings": Settings(stride=0)}, r"--stride is 0; expected 1 or more"),
        ({"settings": Settings(scales=(1.0, -1.0))}, r"--scales is \(1.0, -1.0\); expected numbers above 0"),
        ({"settings": Settings(background="night")}, "unknown class 'night'"),
        (
            {"settings": Settings(iou=0.5, tight=True)},
            "--iou, --tight can only be used with --method window; found --method auto, .*. Add --method",
        ),
        (
            {"settings": Settings(keep_ood=True), "method": "cam"},
            "--keep-ood can only be used with --method window; found --method cam",
        ),
    ):
        with pytest.raises(ConfigError, match=message):
            locate(colours, image, **words)
    with pytest.raises(
        DataError, match=r"smaller than the windows.*found 12x9 pixels; expected 16x16 or more\. Use --method cam"
    ):
        list(locate(colours, scene(size=(9, 12)), method="window"))
    with pytest.raises(ModelError, match="unknown layer 'layer9'"):
        locate(colours, image, settings=Settings(layer="layer9"))
    assert set(METHODS) == {"cam", "window"}


def test_an_image_smaller_than_the_windows_can_be_enlarged(colours):
    one = only(
        locate(colours, scene((2, 2, 8, 8, RED), size=(10, 12)), method="window",
               settings=Settings(scales=(2.0,), background="dark", tight=True))
    )  # fmt: skip
    np.testing.assert_allclose(one.found[0].box, [2, 2, 8, 8], atol=1)


def test_numbers_are_refused(predictor_of, colour_network):
    from clearsight.tasks import Regression

    task = Regression(("size",), "number", mean=(0.0,), std=(1.0,))
    with pytest.raises(ModelError, match="a model trained with --task regression has no classes to locate"):
        locate(predictor_of(colour_network(), task=task), scene())


def test_the_command_writes_boxes_and_a_picture(photos_run, photos, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    picture = np.asarray(Image.open(photos / "cat" / "0.jpg").resize((240, 200)))
    Image.fromarray(picture).save("new.png")
    assert main(["locate", str(photos_run), "new.png", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)["located"][0]
    assert (answer["method"], answer["width"], answer["height"]) == ("cam", 240, 200)
    assert answer["picture"] == "new.located.png"
    with np.load(answer["masks"]) as kept:
        assert answer["masks"] == "new.located.npz"
        assert kept["labels"].tolist() == answer["looked_for"]
        assert kept["heat"].shape == kept["masks"].shape == (len(answer["looked_for"]), 200, 240)
        assert ((kept["segments"] > 0) == kept["masks"].any(0)).all()
    for found in answer["boxes"]:
        x0, y0, x1, y1 = found["box"]
        assert 0 <= x0 < x1 <= 240
        assert 0 <= y0 < y1 <= 200
        assert 0 < found["score"] <= 1
    drawn = read_image("new.located.png")
    assert drawn.shape[0] == 3
    assert drawn.shape[2] > 2 * 240
    assert (
        main(["locate", str(photos_run), "new.png", "--method", "window", "--scales", "0.5,1", "--out", "w.png"]) == 0
    )
    text = capsys.readouterr().out
    assert "window scores from" in text
    assert (tmp_path / "w.png").is_file()
    assert main(["locate", str(photos_run), "new.png", str(photos / "cat" / "0.jpg"), "--out", "one.png"]) == 2
    assert "--out one.png is a single file, which cannot hold several images; found 2 images" in capsys.readouterr().err
    assert main(["locate", str(photos_run), "new.png", "--scales", "big"]) == 2
    assert "--scales 'big' is not a list of numbers" in capsys.readouterr().err
