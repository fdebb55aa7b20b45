"""The landscape of real runs: it starts at the model's own loss, changes nothing, repeats, and says what cannot be."""

import csv
import dataclasses
import json

import numpy as np
import pytest
import torch

import clearsight as cs
from clearsight.api.landscape import recorded_rates
from clearsight.bundle import Bundle
from clearsight.calibration.calibrator import Calibrator
from clearsight.cli.main import main
from clearsight.data.geometry import Geometry
from clearsight.data.pixels import PixelFormat
from clearsight.derivatives import Rates, survey
from clearsight.errors import ConfigError, ModelError
from clearsight.metrics import accuracy, log_loss, softmax
from clearsight.models.heads import kernel_head, softmax_head
from clearsight.models.network import Probe
from clearsight.predictor import Predictor
from clearsight.report.landscape_page import bands, plane_levels
from clearsight.tasks import Classification


@pytest.fixture(scope="module")
def some(digits_arrays):
    images, labels = digits_arrays
    return images[:40], labels[:40], images[40:60], labels[40:60]


@pytest.fixture(scope="module")
def found(digits_run, some):
    return survey(cs.load(digits_run).predictor, *some, points=3, seed=1)


def probe(kind, temperature=1.0):
    """A probe on a small random backbone, its head fitted to nothing."""
    torch.manual_seed(0)
    made = Probe(
        {
            "kind": "probe", "name": "resnet8", "taps": [], "img_size": 8, "model_args": {},
            "input": {"mean": [0.3], "std": [0.4]},
        }
    )  # fmt: skip
    rng = np.random.default_rng(0)
    features = 64
    if kind == "softmax":
        head = softmax_head(rng.normal(size=(10, features)), np.zeros(10), np.zeros(features), np.ones(features))
    else:
        support, dual = rng.normal(size=(12, features)), rng.normal(size=(10, 12))
        head = kernel_head(support, dual, np.zeros(10), 0.01, np.zeros(features), np.ones(features))
    made.set_head(*head, parts=[0])
    task = Classification(tuple("0123456789"), Calibrator.identity(10, temperature))
    return Predictor(Bundle(made.eval(), task, PixelFormat(1, 8), Geometry(8, 8)))


def test_the_middle_is_the_loss_of_the_predictor(found, digits_run, some):
    logits = cs.load(digits_run).predictor.logits(some[0])
    assert found.train.loss == pytest.approx(log_loss(some[1], softmax(logits, 1.0)), rel=1e-4)
    assert found.train.accuracy == accuracy(some[1], logits.argmax(1))
    assert found.train.plane_loss[1, 1] == found.train.loss
    middle = len(found.along) // 2
    assert found.val.line_loss[middle] == found.val.loss
    np.testing.assert_allclose(found.train.plane_loss[1, [0, 2]], found.train.line_loss[[0, -1]], rtol=1e-5)
    grid = found.train.plane_loss
    around = (grid[0, 1] + grid[2, 1] + grid[1, 0] + grid[1, 2]) / 4
    assert found.train.rise(found.steps, 1.0) == pytest.approx(around - found.train.loss)
    assert found.train.rise(found.steps, 1.0) > 0


def test_nothing_is_changed_and_the_seed_decides(found, digits_run, some):
    predictor = cs.load(digits_run).predictor
    before = {k: v.clone() for k, v in predictor.network.state_dict().items()}
    again = survey(predictor, *some, points=3, seed=1)
    after = predictor.network.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)
    assert all(p.requires_grad and p.grad is None for p in predictor.network.parameters())
    assert {**again.to_dict(), "seconds": 0} == {**found.to_dict(), "seconds": 0}
    other = survey(predictor, *some, points=3, seed=2)
    assert other.train.plane_loss[0, 0] != found.train.plane_loss[0, 0]


@pytest.mark.parametrize(("kind", "numbers"), [("softmax", 650), ("kernel", 130)])
def test_the_head_of_a_probe_alone(kind, numbers, some):
    predictor = probe(kind, temperature=2.0)
    found = survey(predictor, *some, weights="head", points=3)
    assert (found.weights, found.parameters) == ("head", numbers)
    assert found.temperature == (2.0 if kind == "kernel" else 1.0)
    probabilities = softmax(predictor.logits(some[0]), found.temperature)
    assert found.train.loss == pytest.approx(log_loss(some[1], probabilities), rel=1e-4)
    assert found.curvature.least > -1e-6  # cross-entropy is convex in what the logits are linear in
    whole = survey(predictor, *some, weights="all", points=3)
    own = sum(p.numel() for p in predictor.network.parameters())
    assert whole.parameters == own - (12 * 64 if kind == "kernel" else 0)


def test_what_cannot_be(digits_run, some):
    predictor = cs.load(digits_run).predictor
    with pytest.raises(ConfigError, match="needs a head on frozen features"):
        survey(predictor, *some, weights="head")
    with pytest.raises(ConfigError, match="--points is 4; expected an odd number"):
        survey(predictor, *some, points=4)
    with pytest.raises(ConfigError, match="unknown weights 'tail'"):
        survey(predictor, *some, weights="tail")


def test_models_without_gradients_say_so(classical_run, capsys):
    with pytest.raises(ModelError, match="a loss landscape needs gradients"):
        cs.landscape(classical_run)
    assert main(["landscape", str(classical_run)]) == 2
    assert capsys.readouterr().err.count("clearsight: ") == 1


def test_the_recorded_rate_is_that_of_the_kept_epoch(digits_run, tmp_path):
    found = recorded_rates(digits_run)
    with (digits_run / "history.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    best = min(rows, key=lambda row: float(row["val_loss"]))
    assert found == Rates("adamw", 0.9, max(float(row["lr"]) for row in rows), float(best["lr"]))
    assert recorded_rates(tmp_path) is None


@pytest.mark.parametrize(
    ("rates", "words"),
    [
        (Rates("sgd", 0.0, 0.1, 0.1), "the largest curvature is 1 times this bound, at the edge"),
        (Rates("sgd", 0.0, 0.2, 0.2), "the largest curvature is 2 times this bound, above the edge"),
        (Rates("momentum", 0.9, 0.1, 0.1), "a curvature of 38: the largest curvature is 0.53 times this bound, below"),
        (Rates("adamw", 0.9, 0.1, 0.1), "the bound for gradient descent does not apply"),
        (None, "no learning rate was recorded"),
    ],
)
def test_the_curvature_against_the_rate_in_words(found, rates, words):
    top = dataclasses.replace(found.curvature, largest=20.0, converged=True)
    text = dataclasses.replace(found, curvature=top, rates=rates).curvature_words()
    assert "up to a learning rate of 0.1" in text[0]
    assert words in text[1]


def test_bands_enclose_every_loss_even_those_that_are_not_finite():
    grid = np.array([[0.01, 1.0, 1.0], [1.0, 1.0, 1.0], [1.0, 1.0, np.inf]])
    levels = plane_levels([grid])
    assert (levels[0], levels[-1]) == (-2, 0)
    drawn = bands(grid, levels)
    assert drawn[-1, 0].tolist() == [68, 1, 84]  # the first row is the lowest; viridis begins dark
    assert drawn[0, -1].tolist() == [253, 231, 37]


def test_command(digits_run, tmp_path, capsys):
    files = {p: p.read_bytes() for p in (digits_run / "model").iterdir()}
    out = str(tmp_path / "landscape")
    words = ["landscape", str(digits_run), "--points", "3", "--images", "20", "--out", out]
    assert main([*words, "--against", str(digits_run)]) == 0
    text = capsys.readouterr().out
    assert "largest curvature" in text
    assert "batch normalisation in evaluation mode" in text
    page = (tmp_path / "landscape" / "landscape.html").read_text()
    assert page.count("<svg") == 1 + 2 * 3
    assert "use the same scales" in page
    assert main([*words, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)["landscapes"][0]
    assert answer["train"]["images"] == 20
    assert np.shape(answer["val"]["plane"]["loss"]) == (3, 3)
    assert json.loads((tmp_path / "landscape" / "landscape.json").read_text())["landscapes"][0] == {
        **answer, "seconds": pytest.approx(answer["seconds"]),
    }  # fmt: skip
    assert {p: p.read_bytes() for p in (digits_run / "model").iterdir()} == files
    assert main([*words[:2], "--images", "0"]) == 2
    assert "--images must be 1 or more, not 0" in capsys.readouterr().err
    assert main(["landscape", str(tmp_path / "none")]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_gradient_correlation_command(tmp_path, capsys):
    out = str(tmp_path / "gradient-correlation")
    words = ["gradient-correlation", "--networks", "2", "--points", "40", "--lags", "5", "--out", out]
    assert main([*words, "--depths", "1,3"]) == 0
    assert "Brownian path" in capsys.readouterr().out
    page = (tmp_path / "gradient-correlation" / "gradient_correlation.html").read_text()
    assert page.count("<svg") == 4 + 8
    assert main([*words, "--json", "mlp", "lenet5"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [row["kind"] for row in answer["rows"]] == ["mlp", "lenet5"]
    assert answer["rows"][0]["autocorrelation"][0] == 1
    for bad, text in (
        (["--depths", "2,x"], "is not a list of integers"),
        (["--depths", "0"], "1 or more"),
        (["--depths", "2", "mlp"], "has a fixed depth"),
        (["--between", "a.png", "b.png"], "needs networks that take images"),
        (["resnet21"], "resnet20"),
        (["mlp", "--between", "a.png", "b.png"], "a.png"),
    ):
        assert main([*words, *bad]) == 2
        assert text in capsys.readouterr().err
