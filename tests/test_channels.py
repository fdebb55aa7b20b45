"""Images of many channels, floats, DICOM and inverted 16 bits: from files to the exported model, with the same answers.

The quick tier trains on 12 channels alone; the other kinds of pixels go the same way in the long tier.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from skimage import data

import clearsight as cs
from clearsight.data.displayed import displayed
from clearsight.data.pixels import PixelFormat
from clearsight.errors import ClearsightError, ImageError
from clearsight.exporting import Exported, export
from clearsight.models.network import Probe
from clearsight.models.pretrained import load_backbone
from clearsight.models.zoo import DEFAULT_BACKBONE, published_state
from clearsight.report.heatmaps import heat_sheet
from clearsight.runs.load import load_predictor
from tests.data.test_formats import as_npy, dicom

FAST = {"model": "lenet5", "epochs": 1, "img_size": 32, "seed": 0}
PICTURES = {"cat": data.chelsea(), "coffee": data.coffee()}


def crops(name: str, count: int, channels: int = 3) -> np.ndarray:
    """Parts (count, 32, 32, channels) of a photograph in [0, 1], their colours mixed to channels."""
    picture, draw = PICTURES[name] / 255, np.random.default_rng(len(name))
    mix = np.random.default_rng(0).random((3, channels))
    corners = draw.integers(0, 200, (count, 2))
    return np.stack([picture[y : y + 32, x : x + 32] for y, x in corners]) @ (mix / mix.sum(0))


def bands_tiff(path: Path, image: np.ndarray) -> None:
    tifffile.imwrite(path, (image * 9999).astype(np.uint16), photometric="minisblack", planarconfig="contig")


KINDS = {
    "bands": (".tif", 12, bands_tiff, {"value_range": "0,9999", "bands": "4,3,2"}),
    "npy": (".npy", 5, lambda path, image: path.write_bytes(as_npy((image * 255).astype(np.uint8))), {}),
    "float": (
        ".tif", 1, lambda path, image: tifffile.imwrite(path, (image[..., 0] * 500 - 20).astype(np.float32)),
        {"value_range": "-20,480"},
    ),
    "white": (
        ".tif", 1,
        lambda path, image: tifffile.imwrite(
            path, (image[..., 0] * 65535).astype(np.uint16), photometric="miniswhite"
        ), {},
    ),
    "dicom": (
        ".dcm", 1,
        lambda path, image: path.write_bytes(
            dicom(
                (image[..., 0] * 4095).astype(np.uint16), BitsStored=12, HighBit=11, WindowCenter="2000",
                WindowWidth="3500", PhotometricInterpretation=f"MONOCHROME{1 + (path.stem[-1] == '1')}",
            )
        ), {},
    ),
}  # fmt: skip


def written(root: Path, kind: str, count: int = 24) -> Path:
    suffix, channels, write, _ = KINDS[kind]
    for name in PICTURES:
        (root / name).mkdir(parents=True)
        for i, image in enumerate(crops(name, count, channels)):
            write(root / name / f"{i}{suffix}", image)
    return root


def trained(folder: Path, kind: str) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cs.fit(str(written(folder / "data", kind)), out=folder / "run", **FAST, **KINDS[kind][3])
    return folder / "run"


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return trained(tmp_path_factory.mktemp("bands"), "bands")


def check_exported(run: Path, folder: Path) -> None:
    """The exported file gives the answers of the run, for the same files."""
    files = sorted((run.parent / "data").rglob("*.*"))[::5]
    predictor = load_predictor(run)
    export(str(run), format="onnx", out=folder / "model.onnx", images=8)
    exported = Exported(folder / "model.onnx")
    assert np.abs(exported.predict_proba(files) - predictor.predict_proba(files)).max() <= 1e-4
    assert [p.label for p in exported.predict(files)] == [p.label for p in predictor.predict(files)]
    assert exported.card["pixels"] == predictor.bundle.form.to_dict()


def test_twelve_channels_from_training_to_export(run, tmp_path):
    bundle = load_predictor(run).bundle
    assert (bundle.form.channels, bundle.form.bits, bundle.form.value_range) == (12, 16, (0.0, 9999.0))
    assert bundle.network.input.channels == 12
    card = json.loads((run / "model" / "card.json").read_text())
    assert card["pixels"] == {"channels": 12, "bits": 16, "value_range": [0.0, 9999.0], "bands": [4, 3, 2]}
    check_exported(run, tmp_path)
    page = (run / "report.html").read_text()
    assert "12 channels, 16 bits per channel" in page
    assert "Channels displayed" in page
    assert "channels 4, 3, 2 of 12 are displayed" in json.dumps(json.loads((run / "audit.json").read_text())).lower()


def test_what_is_displayed():
    pixels = np.arange(12 * 4).reshape(12, 2, 2)
    assert (displayed(pixels, PixelFormat(12, 16, bands=(4, 3, 2)).shown) == pixels[[3, 2, 1]]).all()
    assert (displayed(pixels, PixelFormat(12, 16, bands=(8,)).shown) == pixels[[7]]).all()
    assert (displayed(pixels[:5]) == pixels[:3]).all()
    assert displayed(pixels[:2]).shape == (1, 2, 2)


def test_two_models_with_as_many_channels_show_their_own(run):
    """Each shows the channels it was given, whichever was loaded last."""
    first, second = load_predictor(run), load_predictor(run)
    second.bundle = replace(second.bundle, form=replace(second.bundle.form, bands=(8, 9, 10)))
    file = sorted((run.parent / "data" / "cat").iterdir())[0]
    sheets = []
    for predictor in (first, second, first):
        found = cs.explain(predictor, file, method="saliency")[0]
        sheets.append(heat_sheet([found]))
    assert found.shown == (3, 2, 1)
    assert (sheets[0] == sheets[2]).all()
    assert (sheets[0] != sheets[1]).any()


def test_verbs_for_twelve_channels(run, tmp_path):
    model, file = cs.load(run), sorted((run.parent / "data" / "cat").iterdir())[0]
    model.explain(str(file), method="saliency", out=tmp_path / "maps")
    assert list((tmp_path / "maps").rglob("*.png"))
    assert model.attack(images=4).text()
    arrays = np.stack([tifffile.imread(file), tifffile.imread(file)])  # levels: ranges are those of files
    assert len(model.predict(arrays)) == len(model.predict(np.moveaxis(arrays, 3, 1))) == 2
    with pytest.raises(ImageError, match="another number of channels than the training images; found 3; expected 12"):
        model.predict(str(_png(tmp_path / "x.png")))


def _png(path: Path) -> Path:
    from PIL import Image

    Image.fromarray(data.chelsea()).save(path)
    return path


def test_the_server_reads_the_same_files(run):
    import time

    from starlette.testclient import TestClient

    from clearsight.serving.app import build_app

    predictor, file = load_predictor(run), sorted((run.parent / "data" / "coffee").iterdir())[0]
    with TestClient(build_app(predictor), base_url="http://localhost") as client:
        until = time.monotonic() + 120
        while client.get("/health").status_code != 200:
            assert time.monotonic() < until
            time.sleep(0.02)
        kind = {"Content-Type": "application/octet-stream"}
        found = client.post("/v1/predict?top=2", content=file.read_bytes(), headers=kind)
        assert found.status_code == 200, found.text
        answer = found.json()["predictions"][0]
        assert np.abs(predictor.predict_proba([str(file)])[0, 0] - answer["probabilities"]["cat"]) < 1e-5
        shown = client.post("/v1/explain?method=saliency", content=file.read_bytes(), headers=kind)
        assert shown.status_code == 200, shown.text
        refused = client.post("/v1/predict", content=_png(run.parent / "x.png").read_bytes(), headers=kind)
        assert "another number of channels" in refused.text


def test_arrays_of_many_channels(tmp_path):
    x = np.concatenate([crops(name, 16, 6) for name in PICTURES])
    y = np.repeat(list(PICTURES), 16)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = cs.fit(((x * 255).astype(np.uint8), y), out=tmp_path / "run", **FAST)
    assert fitted.predictor.bundle.form.channels == 6


@pytest.mark.long
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "bands"])
def test_other_pixels_from_training_to_export(kind, tmp_path):
    run = trained(tmp_path, kind)
    check_exported(run, tmp_path)


def test_published_filters_are_repeated_over_channels():
    """As timm adapts them; of equal channels the answer is that of RGB with equal channels."""

    def probe(channels: int) -> Probe:
        spec = {
            "kind": "probe", "name": DEFAULT_BACKBONE, "img_size": 64, "model_args": {}, "taps": [], "parts": [0],
            "input": {"mean": [0.5] * channels, "std": [0.25] * channels, "mode": "fixed"}, "head": None,
        }  # fmt: skip
        made = Probe(spec).eval()
        load_backbone(made)
        return made

    first = published_state(DEFAULT_BACKBONE)["conv_stem.weight"]
    six, twelve = probe(6), probe(12)
    assert torch.equal(six.backbone.conv_stem.weight, torch.cat([first, first], 1) / 2)
    gray = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        answers = [made(gray.expand(-1, made.input.channels, -1, -1)) for made in (probe(3), six, twelve)]
    for other in answers[1:]:
        assert torch.allclose(other, answers[0], atol=1e-4)


def test_images_without_a_range_are_refused_with_the_command(tmp_path):
    written(tmp_path / "data", "float", 6)
    with pytest.raises(ClearsightError, match=r"black and white are unknown in 12 images.*--value-range=90"):
        cs.audit(str(tmp_path / "data"))
