"""Training on attacked images makes a network harder to break, and says where it has no meaning."""

import pytest

import clearsight as cs
from clearsight.attacks import attack
from clearsight.errors import ConfigError

OPTIONS = {"model": "mlp", "augment": "none", "epochs": 25}


def robust(run, images, labels):
    return attack(run.predictor, images, labels, epsilons=(0.1,), steps=10).points[1].accuracy


def test_robust_accuracy_rises(tmp_path, digits_arrays):
    images, labels = digits_arrays
    plain = cs.fit("digits", out=str(tmp_path / "plain"), **OPTIONS)
    hard = cs.fit(
        "digits", out=str(tmp_path / "hard"), adversarial="pgd", adversarial_epsilon=0.1, adversarial_steps=4, **OPTIONS
    )
    some = images[::9], labels[::9]
    assert robust(hard, *some) > robust(plain, *some) + 0.2
    assert hard.metrics["test"]["accuracy"] > 0.9
    assert "too-slow" not in [v.name for v in hard.diagnosis.verdicts]


def test_the_same_seed_gives_the_same_network(tmp_path):
    runs = [
        cs.fit("digits", out=str(tmp_path / name), adversarial="pgd", adversarial_steps=2, model="mlp", epochs=2)
        for name in ("one", "two")
    ]
    assert runs[0].metrics["test"]["log_loss"] == runs[1].metrics["test"]["log_loss"]


def test_bad_input(tmp_path, photos):
    with pytest.raises(ConfigError, match=r"random weights.*found efficientnet_lite0.*--no-pretrained"):
        cs.fit(photos, adversarial="pgd", out=str(tmp_path / "a"))
    with pytest.raises(ConfigError, match="--adversarial-epsilon"):
        cs.fit("digits", adversarial_epsilon=0.1)
    with pytest.raises(ConfigError, match="adversarial-epsilon"):
        cs.fit("digits", adversarial="pgd", adversarial_epsilon=2.0)
    with pytest.raises(ConfigError, match="adversarial"):
        cs.fit("digits", adversarial="fgms")
