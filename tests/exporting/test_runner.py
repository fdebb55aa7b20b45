"""`run.py` stands alone and reads image files exactly as the model's own predictor does."""

import io
import runpy
import subprocess
import sys
import zipfile

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage import data

import clearsight as cs
from clearsight.data.decode import decode
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
    script = runpy.run_path(str(exported.path.parent / "run.py"))
    model = script["Exported"](exported.path)
    predictor = cs.load(photos_run, engine="torch").predictor
    pixels = np.concatenate(list(predictor.pixels(files)))
    for file, expected in zip(files, pixels, strict=True):
        found = decode(file.read_bytes(), file.name, model.form, model.geometry)
        assert np.array_equal(found.astype(np.float32) / 255, expected), file.name
    assert np.abs(model.predict_proba(files) - predictor.predict_proba(files)).max() < 1e-4


def test_it_runs_without_clearsight(exported, tmp_path):
    """Nothing is loaded but what lies in the archive, NumPy, Pillow and the engine."""
    image = tmp_path / "cat.png"
    Image.fromarray(data.chelsea()).save(image)
    code = f"""
import runpy, sys
sys.argv = ["run.py", {str(image)!r}]
sys.modules |= dict.fromkeys(["torch", "timm", "sklearn", "scipy", "pandas", "cv2"])
try:
    runpy.run_path({str(exported.path.parent / "run.py")!r}, run_name="__main__")
finally:
    ours = [m.__file__ for name, m in sys.modules.items() if name.partition(".")[0] == "clearsight"]
    assert ours and all("run.py" in file for file in ours), ours
"""
    for words in (["-c", code], [str(exported.path.parent / "run.py"), str(image)]):
        done = subprocess.run([sys.executable, "-W", "error", *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        name, line = done.stdout.strip().split("\t")
        label, probability = line.split()[:2]
        assert (name, label) == (str(image), "cat")
        assert 50 < float(probability.removesuffix("%")) <= 100


def test_its_complaints_are_one_line(exported, tmp_path, capsys):
    script = runpy.run_path(str(exported.path.parent / "run.py"))
    (tmp_path / "broken.png").write_bytes(b"no image")
    for words, text in (
        ([str(tmp_path / "broken.png")], "is not an image; found text"),
        ([str(tmp_path / "absent.png")], "absent.png does not exist"),
        ([str(tmp_path / "absent.onnx"), "a.png"], "absent.onnx does not exist"),
        ([], "usage: python run.py"),
    ):
        assert script["main"](words) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert text in err
        assert err.count("\n") == 1


def test_images_of_the_wrong_kind_are_refused(exported):
    model = runpy.run_path(str(exported.path.parent / "run.py"))["Exported"](exported.path)
    with pytest.raises(ValueError, match=r"wrong shape or type; found \(2, 96, 96, 3\), uint8; expected \(N, 3"):
        model(np.zeros((2, 96, 96, 3), np.uint8))


def test_it_packs_the_modules_that_the_runtime_imports_and_no_others():
    with zipfile.ZipFile(io.BytesIO(runner())) as archive:
        assert archive.testzip() is None
        packed = {info.filename: archive.read(info).decode() for info in archive.infolist()}
    modules = {path for path, source in packed.items() if source}
    assert {"__main__.py", "clearsight/exporting/runtime.py", "clearsight/data/decode.py"} < modules
    parts = {path.split("/")[1] for path in modules if "/" in path}
    alone = {"errors.py", "json_values.py", "schema.py", "spelling.py", "wording.py"}
    assert parts == {*alone, "data", "exporting", "tasks"}
    assert packed["clearsight/__init__.py"] == packed["clearsight/data/__init__.py"] == ""
    assert {f"clearsight/data/formats/{name}.py" for name in ("dicom", "npy", "pillow", "tiff")} < modules
    assert len(modules) <= 24, "a new import of the runtime makes the archive larger"
    assert runner() == runner()
