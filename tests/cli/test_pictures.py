"""Commands that write pictures: filter, match, index, search, compare."""

import json

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from clearsight.cli.main import main
from clearsight.data.pixels import read_image


@pytest.fixture
def picture(tmp_path):
    from skimage import data

    path = tmp_path / "camera.png"
    Image.fromarray(data.camera()[::4, ::4]).save(path)
    return path


def pixels(path):
    return read_image(path)[0] / 255


def test_a_filter_writes_what_scipy_computes(picture, capsys):
    assert main(["filter", str(picture), "--kernel", "box", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["picture"] == str(picture.with_name("camera.box.png"))
    expected = ndimage.uniform_filter(pixels(picture), 3, mode="mirror")
    np.testing.assert_allclose(pixels(answer["picture"]), expected, atol=0.5 / 255 + 1e-6)


@pytest.mark.parametrize("kernel", ["gaussian:2", "sobel-x", "sobel", "laplacian", "0,1,0;1,-4,1;0,1,0"])
@pytest.mark.parametrize("padding", ["zero", "reflect", "replicate"])
def test_every_kernel_and_padding_keeps_the_size(picture, tmp_path, kernel, padding, capsys):
    out = tmp_path / "out.png"
    assert main(["filter", str(picture), "--kernel", kernel, "--padding", padding, "--out", str(out)]) == 0
    assert pixels(out).shape == pixels(picture).shape
    assert "values from" in capsys.readouterr().out


def test_a_kernel_may_begin_with_a_minus_sign(picture, tmp_path, capsys):
    outs = []
    for words in (["--kernel", "-1,0,1;-2,0,2;-1,0,1"], ["--kernel", "sobel-x"], ["--kernel", "-.5,0,.5"]):
        outs.append(tmp_path / f"{len(outs)}.png")
        assert main(["filter", str(picture), *words, "--out", str(outs[-1])]) == 0
    np.testing.assert_array_equal(pixels(outs[0]), pixels(outs[1]))
    assert "values from" in capsys.readouterr().out


def test_a_filter_without_padding_shrinks_the_picture(picture, tmp_path, capsys):
    out = tmp_path / "out.png"
    words = ["filter", str(picture), "--kernel", "box", "--then", "gaussian:1", "--padding", "valid"]
    assert main([*words, "--out", str(out), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["difference_at_border"] < 1e-9
    assert pixels(out).shape == tuple(n - 2 - 8 for n in pixels(picture).shape)


def test_two_filters_in_one_and_where_that_differs(picture, capsys):
    assert (
        main(["filter", str(picture), "--kernel", "gaussian", "--then", "sobel-x", "--padding", "zero", "--json"]) == 0
    )
    answer = json.loads(capsys.readouterr().out)
    assert answer["difference_interior"] < 1e-9 < answer["difference_at_border"]
    inside = pixels(answer["difference"])[4:-4, 4:-4]
    assert inside.max() == 0


def test_colour_deep_and_transparent_pictures_can_be_filtered(tmp_path, capsys):
    from skimage import data

    for name, mode in (("colour", "RGB"), ("transparent", "RGBA"), ("palette", "P")):
        Image.fromarray(data.astronaut()[::8, ::8]).convert(mode).save(tmp_path / f"{name}.png")
        assert main(["filter", str(tmp_path / f"{name}.png"), "--kernel", "sharpen"]) == 0
        assert read_image(tmp_path / f"{name}.png").shape == (3, 64, 64)
    deep = data.camera()[::8, ::8].astype(np.uint16) * 257
    Image.fromarray(deep).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(read_image(tmp_path / "deep.png")[0], deep)
    assert main(["filter", str(tmp_path / "deep.png"), "--kernel", "identity"]) == 0
    np.testing.assert_array_equal(read_image(tmp_path / "deep.identity.png")[0], data.camera()[::8, ::8])


def test_a_piece_is_found_and_drawn(picture, tmp_path, capsys):
    with Image.open(picture) as whole:
        whole.load()
    whole.crop((40, 20, 60, 44)).save(tmp_path / "piece.png")
    assert main(["match", str(picture), str(tmp_path / "piece.png"), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["x"], answer["y"]) == (40, 20)
    assert answer["score"] == pytest.approx(1)
    with Image.open(answer["picture"]) as drawn:
        drawn.load()
    assert drawn.height == whole.height
    assert drawn.width > 2 * whole.width
    assert drawn.getpixel((40, 20)) == (255, 60, 60)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["filter", "PICTURE", "--kernel", "sobl-x"], "sobel-x"),
        (["filter", "PICTURE", "--kernel", "1,2;3"], "kernel"),
        (["filter", "PICTURE", "--kernel", "gaussian:-1"], "a number above 0"),
        (["filter", "PICTURE", "--kernel", "sobel", "--then", "box"], "cannot be combined with another kernel"),
        (["filter", "PICTURE", "--kernel", "box", "--out", "x.nothing"], ".png"),
        (["filter", "missing.png", "--kernel", "box"], "missing.png"),
        (["filter", "TEXT", "--kernel", "box"], "note.txt"),
        (["match", "PICTURE", "missing.png"], "missing.png"),
        (["match", "PIECE", "PICTURE"], "the template is larger than the image"),
    ],
)
def test_bad_input(picture, tmp_path, capsys, words, text, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "note.txt").write_text("no picture")
    Image.fromarray(read_image(picture)[0, :9, :9]).save(tmp_path / "piece.png")
    places = {"PICTURE": str(picture), "TEXT": "note.txt", "PIECE": "piece.png"}
    assert main([places.get(word, word) for word in words]) == 2
    assert text in capsys.readouterr().err


def test_index_and_search(digits_run, digit_folders, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    index = str(tmp_path / "index")
    assert main(["index", str(digits_run), str(digit_folders), "--out", index]) == 0
    text = capsys.readouterr().out
    assert "60 images" in text
    assert "mAP" in text
    image = str(digit_folders / "digit 1" / "4.png")
    assert main(["search", str(digits_run), image, "--index", index, "-k", "3"]) == 0
    first = capsys.readouterr().out.splitlines()[0].split()
    assert first[0] == "1.000"
    assert first[-1] == "1" or first[-2:] == ["1", "*"]
    assert (tmp_path / "4.similar.png").is_file()
    assert main(["search", str(digits_run), image, "--index", index, "-k", "61"]) == 2
    assert "the index contains 60 images" in capsys.readouterr().err
    assert main(["search", str(digits_run), image, "--index", str(tmp_path / "none")]) == 2
    assert "clearsight index RUN" in capsys.readouterr().err
    assert main(["index", str(digits_run), str(digit_folders), "--kind", "ivfpq", "--out", index]) == 2
    assert "60 images" in capsys.readouterr().err


def test_compare_in_words_and_json(digit_folders, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["compare", str(digit_folders), "--candidates", "pixels+softmax,hog+svm"]
    assert main(words) == 0
    text = capsys.readouterr().out
    assert "runs/data-leaderboard/leaderboard.html" in text
    assert "use " in text
    assert main([*words, "--json"]) == 0  # nothing is trained again
    answer = json.loads(capsys.readouterr().out)
    assert len(answer["standings"]) == 2
    assert main([*words[:2], "--candidates", ","]) == 2
    assert "is empty" in capsys.readouterr().err
