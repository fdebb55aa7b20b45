"""`run.py` stands alone and reads image files exactly as the model's own predictor does."""

import runpy
import subprocess
import sys

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage import data

import clearsight as cs
from clearsight.exporting.runner import runner

PICTURE = data.astronaut()


def odd_files(folder):
    """What image files may hold: each kind once."""
    image = Image.fromarray(PICTURE[:200, :140])
    turned = Image.Exif()
    turned[0x0112] = 6
    image.save(folder / "exif.jpg", exif=turned, quality=95)
    Image.fromarray(np.tile(PICTURE, (3, 2, 1))).save(folder / "large.jpg", quality=90)  # decoded at a smaller scale
    image.convert("CMYK").save(folder / "cmyk.jpg")
    image.quantize(16).save(folder / "palette.png")
    image.convert("L").save(folder / "gray.png")
    clear = image.convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(image.size))
    clear.save(folder / "alpha.png")
    clear.convert("LA").save(folder / "gray-alpha.png")
    image.save(folder / "animation.gif", save_all=True, append_images=[image.transpose(Image.Transpose.ROTATE_180)])
    deep = PICTURE[:90, :120].astype(np.uint16) * 257
    Image.fromarray(deep[:, :, 0]).save(folder / "gray16.png")
    (folder / "colour16.png").write_bytes(cv2.imencode(".png", deep)[1].tobytes())
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def exported(photos_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("deployed")
    return cs.export(photos_run, format="openvino", out=folder / "photos.xml", images=4)


def test_it_reads_odd_files_as_the_predictor_does(photos_run, exported, tmp_path):
    files = odd_files(tmp_path)
    assert len(files) == 10
    script = runpy.run_path(str(exported.file.parent / "run.py"))
    model = script["Exported"](exported.file)
    predictor = cs.load(photos_run, engine="torch")
    pixels = np.concatenate(list(predictor.pixels(files)))
    for file, expected in zip(files, pixels, strict=True):
        found = script["decode"](file.read_bytes(), file.name, model.form, model.geometry)
        assert np.array_equal(found.astype(np.float32) / 255, expected), file.name
    assert np.abs(model.predict_proba(files) - predictor.predict_proba(files)).max() < 1e-4


def test_it_runs_without_clearsight(exported, tmp_path):
    image = tmp_path / "cat.png"
    Image.fromarray(data.chelsea()).save(image)
    code = (
        "import runpy, sys; sys.modules['clearsight'] = None; "
        f"sys.argv = ['run.py', {str(image)!r}]; runpy.run_path({str(exported.file.parent / 'run.py')!r}, "
        "run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    name, line = done.stdout.strip().split("\t")
    assert name == str(image)
    label, probability = line.split()[:2]
    assert label == "cat"
    assert 50 < float(probability.removesuffix("%")) <= 100


def test_its_complaints_are_one_line(exported, tmp_path, capsys):
    script = runpy.run_path(str(exported.file.parent / "run.py"))
    (tmp_path / "broken.png").write_bytes(b"no image")
    for words, text in (
        ([str(tmp_path / "broken.png")], "is not an image; found text"),
        ([str(tmp_path / "absent.png")], "cannot be read; found No such file"),
        ([str(tmp_path / "absent.onnx"), "a.png"], "absent.onnx does not exist"),
        ([], "usage: python run.py"),
    ):
        assert script["main"](words) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert text in err
        assert err.count("\n") == 1


def test_images_of_the_wrong_kind_are_refused(exported):
    model = runpy.run_path(str(exported.file.parent / "run.py"))["Exported"](exported.file)
    with pytest.raises(ValueError, match=r"found images of shape \(2, 96, 96, 3\), uint8; expected \(N, 3, height"):
        model(np.zeros((2, 96, 96, 3), np.uint8))


def test_it_takes_the_decoder_and_nothing_of_clearsight():
    text = runner()
    assert "import clearsight" not in text
    assert "from clearsight" not in text
    assert "def quiet_pillow" not in text  # what no file needs is left out
    compile(text, "run.py", "exec")
