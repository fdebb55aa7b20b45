"""Files of detectors of anomalies say what the detectors say, on images and on sounds."""

import runpy

import numpy as np
import pytest
import torch
from scipy.io import wavfile
from skimage import data

import clearsight as cs
from clearsight.cli.main import main
from clearsight.errors import ConfigError
from clearsight.exporting import Exported
from clearsight.models.anomaly_model import AnomalyModel, MemoryHead, MemoryInTensors
from clearsight.tasks.task import BAR

SUFFIX = {"onnx": ".onnx", "openvino": ".xml", "torch": ".pt2"}


def crops(count, seed):
    """Parts (N, 64, 64) of a brick wall's picture; every fifth has a bright bar."""
    rng, wall = np.random.default_rng(seed), data.brick()
    places = rng.integers(0, wall.shape[0] - 64, (count, 2))
    images = np.stack([wall[y : y + 64, x : x + 64] for y, x in places])
    images[::5, 20:44, 30:36] = 255
    return images


@pytest.fixture(scope="module")
def detectors(tmp_path_factory, detector_run, reopened):
    """A function that gives the run of a method, trained once: of PaDiM on plates, of others on parts of the wall."""
    made, labels = {"padim": reopened(detector_run)}, np.array(["barred", "whole", "whole", "whole", "whole"] * 12)

    def run(method):
        if method not in made:
            made[method] = cs.fit(
                crops(60, 0), labels, task="anomaly", normal="whole", anomaly=method, img_size=64,
                out=tmp_path_factory.mktemp("detector") / method,
            )  # fmt: skip
        return made[method]

    return run


PAIRS = [
    ("padim", "openvino"),
    pytest.param("mahalanobis", "torch", marks=pytest.mark.long),
    pytest.param("patchcore", "onnx", marks=pytest.mark.long),
]


@pytest.mark.parametrize(("method", "format"), PAIRS)
def test_a_file_gives_the_detector_s_answers(detectors, plates, method, format, tmp_path):
    of_plates = np.concatenate([plates(16, 1), plates(4, 2, spotted=True)])
    predictor, images = detectors(method).predictor, (of_plates if method == "padim" else crops(20, 1))[:, None]
    written = cs.export(predictor, format=format, out=tmp_path / f"m{SUFFIX[format]}", fixed_size=True)
    exported = Exported(written.path)
    assert exported.card["outputs"] == ["probabilities", "p_values", "scores"]
    found, scores = exported(images), predictor.logits(images)
    spread = np.std(predictor.bundle.task.known)
    assert np.abs(found[2] - scores).max() < BAR * spread
    assert found[0] == pytest.approx(predictor.bundle.task.decode(found[2]), rel=1e-4)
    assert found[1][:, 0] == pytest.approx(predictor.bundle.task.p_values(found[2]), rel=1e-5)


def test_products_find_the_neighbours_that_the_index_finds():
    rng = np.random.default_rng(0)
    bank = (40 + rng.standard_normal((50, 12))).astype(np.float32)  # far from zero, where squares lose digits
    head = MemoryHead.of(bank, 3)
    maps = torch.from_numpy(bank[:24].reshape(2, 3, 4, 12).transpose(0, 3, 1, 2) + np.float32(0.1))
    torch.testing.assert_close(MemoryInTensors(head)(maps), head(maps), rtol=1e-4, atol=1e-4)


def test_the_detector_itself_keeps_its_index(detectors):
    network = detectors("patchcore").predictor.network
    copied = network.for_export()
    assert isinstance(network, AnomalyModel)
    assert isinstance(network.head, MemoryHead)
    assert isinstance(copied.head, MemoryInTensors)
    assert copied.trunk is network.trunk


def test_int8_is_refused_before_anything_is_written(detectors, tmp_path):
    with pytest.raises(
        ConfigError,
        match="does not support the task anomaly, as its loss of accuracy cannot be measured",
    ):
        cs.export(detectors("padim").predictor, format="onnx", out=tmp_path / "m.onnx", quantize="int8")
    assert not list(tmp_path.iterdir())


def test_the_runner_hears_what_predict_hears(tmp_path, capsys):
    """A detector of sounds; WAV files at the rule's own rate and at another."""
    folder = tmp_path / "machine" / "train" / "good"
    folder.mkdir(parents=True)
    rng, paths = np.random.default_rng(0), []
    for i in range(24):
        rate = (16_000, 8_000)[i % 2]
        t = np.arange(int(0.6 * rate)) / rate
        hum = 0.3 * np.sin(2 * np.pi * rng.normal(120, 2) * t) + 0.05 * rng.standard_normal(len(t))
        wavfile.write(folder / f"{i}.wav", rate, (20_000 * hum).clip(-32768, 32767).astype(np.int16))
        paths.append(str(folder / f"{i}.wav"))
    run = cs.fit(tmp_path / "machine", task="anomaly", anomaly="knn", img_size=32, out=tmp_path / "run")
    written = cs.export(run.folder, format="openvino")
    assert written.parity.holds
    assert main(["predict", str(run.folder), *paths[:4], "--engine", "torch"]) == 0
    expected = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    script = runpy.run_path(str(written.path.parent / "run.py"))
    assert script["main"](paths[:4]) == 0
    assert [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()] == expected
    own = script["Exported"](written.path).predict(paths[:4])
    for mine, other in zip(own, run.predictor.predict(paths[:4]), strict=True):
        assert (mine.anomaly, mine.image) == (other.anomaly, other.image)
        assert mine.score == pytest.approx(other.score, rel=1e-3)
    (tmp_path / "cut.wav").write_bytes((folder / "0.wav").read_bytes()[:-500])
    assert script["main"]([str(tmp_path / "cut.wav")]) == 2
    assert "cut.wav is truncated" in capsys.readouterr().err
