"""Robust accuracy, fooling images, and the command that draws them."""

import json
import re

import numpy as np
import pytest
from PIL import Image

import clearsight as cs
from clearsight.attacks import attack, attack_one, fool
from clearsight.attacks import curve as curves
from clearsight.cli.main import main
from clearsight.console import Silent
from clearsight.errors import ConfigError, ModelError
from clearsight.runs.load import load_predictor


@pytest.fixture(scope="module")
def predictor(digits_run):
    return cs.load(digits_run).predictor


@pytest.fixture(scope="module")
def some(digits_arrays):
    images, labels = digits_arrays
    return images[-60:], labels[-60:]


@pytest.fixture(scope="module")
def curve(predictor, some):
    return attack(predictor, *some, epsilons=(0.1, 0.02, 0.3), steps=10)


def test_accuracy_falls_with_epsilon(curve, predictor, some):
    assert [p.epsilon for p in curve.points] == [0, 0.02, 0.1, 0.3]
    accuracy = [p.accuracy for p in curve.points]
    assert accuracy == sorted(accuracy, reverse=True)
    assert accuracy[0] == np.mean([p.label == str(t) for p, t in zip(predictor.predict(some[0]), some[1], strict=True)])
    assert accuracy[-1] < 0.3
    for p in curve.points:
        assert p.interval[0] <= p.accuracy <= p.interval[1]


def test_examples_are_what_the_deployed_model_says(curve, predictor):
    assert curve.examples
    for e in curve.examples:
        assert np.abs(e.attacked - e.pixels).max() <= e.epsilon + 1e-6
        before, after = predictor.predict(np.stack([e.pixels, e.attacked]))
        assert (before.label, after.label) == (e.before, e.after)
        assert e.before != e.after


def test_many_steps_beat_one(predictor, some, curve):
    one = attack(predictor, *some, method="fgsm", epsilons=(0.02, 0.1, 0.3))
    assert one.points[2].accuracy >= curve.points[2].accuracy
    assert one.steps == 1


def test_targeted(predictor, some):
    found = attack(predictor, *some, target=3, epsilons=(0.05, 0.4), norm="linf", steps=10)
    assert found.target == "3"
    assert found.images == int((some[1] != 3).sum())
    before = predictor.predict_proba(some[0][some[1] != 3]).argmax(1)
    assert found.points[0].reached == pytest.approx((before == 3).mean())
    assert found.points[1].reached <= found.points[2].reached
    assert found.points[2].reached > 0.8


def test_an_image_that_has_the_targets_answer_already_counts_as_reached(predictor, some):
    images, labels = some
    found = attack(predictor, images, (labels + 1) % 10, target=3, epsilons=(0.05,), steps=2)  # every label is wrong
    assert found.points[0].reached > 0
    assert found.points[1].reached >= found.points[0].reached


def test_the_seed_decides(predictor, some):
    first, again = (attack(predictor, *some, epsilons=(0.05,), seed=1).to_dict() for _ in range(2))
    assert first == again


@pytest.mark.long
def test_all_ten_digits_from_noise(predictor):
    found = fool(predictor)
    assert found.pixels.shape == (10, 1, 8, 8)
    assert found.pixels.min() >= 0
    assert found.pixels.max() <= 1
    assert (found.probabilities >= 0.99).all()
    assert [p.label for p in predictor.predict(found.pixels)] == list(predictor.classes)
    assert found.is_ood.mean() >= 0.95  # confident, and yet flagged


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "pdg"}, "unknown attack 'pdg'"),
        ({"norm": "l1"}, "unknown norm 'l1'"),
        ({"epsilons": (8,)}, "epsilon is 8"),
        ({"epsilons": (0.01, 8)}, "epsilon is 8"),
        ({"batch": 0}, "--batch-size must be 1 or more, not 0"),
        ({"epsilons": (-0.1,)}, "epsilon is -0.1"),
        ({"steps": 0}, "--steps must be 1 or more, not 0"),
    ],
)
def test_bad_input(predictor, some, options, words):
    with pytest.raises(ConfigError, match=words):
        attack(predictor, *some, **options)


def test_models_without_gradients_say_so(classical_run, some):
    model = cs.load(classical_run).predictor
    with pytest.raises(ModelError, match="the attack pgd needs gradients"):
        attack(model, *some)
    with pytest.raises(ModelError, match="need gradients"):
        fool(model)


def test_command(digits_run, tmp_path, capsys):
    out = str(tmp_path / "attack")
    words = ["attack", str(digits_run), "--epsilon", "0.05,0.2", "--images", "20", "--steps", "5", "--out", out]
    assert main([*words, "--fool", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert len(answer["points"]) == 3
    assert len(answer["fooling"]) == 10
    page = (tmp_path / "attack" / "attack.html").read_text()
    assert re.search(r"attacked by \w+( \(\d+ steps\))?( towards \w+)?\. Epsilon", page)
    assert "epsilon (not to scale)" in page
    assert "Images with a changed prediction" in page
    assert "Fooling images" in page
    assert "The OOD detector flags 10 of 10 images whose probability is at least 99 %." in page
    assert all(answer["fooling_is_ood"].values())
    assert np.load(tmp_path / "attack" / "fooling.npz")["pixels"].shape == (10, 1, 8, 8)
    assert main([*words, "--target", "7"]) == 0
    assert "predicted as 7" in capsys.readouterr().out
    assert main([*words[:3], "some", *words[4:]]) == 2
    assert "is not a list of numbers" in capsys.readouterr().err
    assert main([*words, "--target", "dog"]) == 2
    assert "unknown class 'dog'" in capsys.readouterr().err
    assert main([*words[:4], "--images", "0"]) == 2
    assert "--images must be 1 or more, not 0" in capsys.readouterr().err


def test_one_picture_from_the_command_line(digits_run, digits_arrays, tmp_path, capsys):
    """The prediction before and after each epsilon, as `attack_one` and the predictor give them."""
    images, _ = digits_arrays
    file, out = tmp_path / "digit.png", tmp_path / "out"
    Image.fromarray(images[3, 0]).save(file)
    command = ["attack", str(digits_run), str(file), "--epsilon", "0.01,0.3", "--steps", "5", "--out", str(out)]
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    predictor = load_predictor(digits_run)
    own = predictor.predict(file)[0]
    assert [one["epsilon"] for one in found["single"]] == [0.01, 0.3]
    assert {one["before"] for one in found["single"]} == {own.label}
    assert all(one["largest_change"] <= one["epsilon"] + 1e-6 for one in found["single"])
    expected = attack_one(predictor, images[3] / np.float32(255), 0.3, steps=5)
    assert found["single"][1]["after"] == expected.after.label != own.label
    assert found["single"][1]["probability_after"] == pytest.approx(expected.after.probability, abs=1e-4)
    assert "One image (the model's prediction for it" in (out / "attack.html").read_text()
    assert main([*command, "--target", own.label]) == 2
    assert f"is already predicted as {own.label}" in capsys.readouterr().err
    assert main(command) == 0
    assert f"epsilon 0.3     {expected.after.label} " in capsys.readouterr().out


class Recorded(Silent):
    """A console that keeps what stages report."""

    def __init__(self):
        self.reports = []

    def stage(self, title, unit="images"):
        return lambda done, total: self.reports.append((done, total))


def test_progress_counts_gradients_of_images_that_still_withstand(predictor, some):
    """A report after every step of every batch; the total shrinks with the images that are still attacked."""
    console = Recorded()
    found = attack(predictor, *some, epsilons=(0.05, 0.3), steps=3, batch=20, console=console)
    taken = 3 * sum(round(p.accuracy * found.images) for p in found.points[:-1])
    assert [done for done, _ in console.reports] == sorted(done for done, _ in console.reports)
    assert len(console.reports) >= 2 * 3
    assert console.reports[-1] == (taken, taken)
    assert all(total >= taken for _, total in console.reports)


def test_smaller_epsilons_where_the_smallest_fools_all(predictor, some, monkeypatch):
    monkeypatch.setitem(curves.EPSILONS, "linf", (0.6, 0.8))
    monkeypatch.setitem(curves.FINER, "linf", (0.01,))
    assert [p.epsilon for p in attack(predictor, *some, steps=10).points] == [0, 0.01, 0.6, 0.8]
    assert [p.epsilon for p in attack(predictor, *some, steps=10, epsilons=(0.6, 0.8)).points] == [0, 0.6, 0.8]


@pytest.mark.parametrize("verb", [cs.attack, cs.robustness])
def test_an_unsuited_model_is_refused_before_images_are_read(verb, labels_run):
    console = Recorded()
    with pytest.raises(ModelError, match="one class per image"):
        verb(labels_run, console=console)
    assert not console.reports
