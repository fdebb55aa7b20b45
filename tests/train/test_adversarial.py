"""Training on attacked images makes a network harder to break, and says where it has no meaning."""

import statistics

import pytest

import clearsight as cs
from clearsight.attacks import attack
from clearsight.errors import ConfigError

OPTIONS = {"model": "mlp", "augment": "none", "epochs": 25}


def robust(run, images, labels):
    return attack(run.predictor, images, labels, epsilons=(0.1,), steps=10).points[1].accuracy


@pytest.mark.long
def test_robust_accuracy_rises_in_the_median_of_three_seeds(tmp_path, digits_arrays, record_property):
    images, labels = digits_arrays
    some = images[::9], labels[::9]
    gained, right = [], []
    for seed in range(3):
        plain = cs.fit("digits", out=tmp_path / f"plain {seed}", seed=seed, **OPTIONS)
        hard = cs.fit(
            "digits", out=tmp_path / f"hard {seed}", seed=seed, adversarial="pgd", adversarial_epsilon=0.1,
            adversarial_steps=4, **OPTIONS,
        )  # fmt: skip
        gained.append(robust(hard, *some) - robust(plain, *some))
        right.append(hard.metrics["test"]["accuracy"])
        assert "too-slow" not in [v.name for v in hard.diagnosis.verdicts]
    record_property("robust accuracy gained", gained)
    record_property("accuracy", right)
    assert statistics.median(gained) > 0.2
    assert statistics.median(right) > 0.9


@pytest.mark.long
def test_the_same_seed_gives_the_same_network_and_it_is_another_than_without_attacks(tmp_path, digits_arrays):
    few = digits_arrays[0][:300], digits_arrays[1][:300]
    runs = [
        cs.fit(*few, out=str(tmp_path / name), adversarial="pgd", adversarial_steps=2, model="mlp", epochs=2)
        for name in ("one", "two")
    ]
    losses = [run.metrics["test"]["log_loss"] for run in runs]
    plain = cs.fit(*few, out=str(tmp_path / "plain"), model="mlp", epochs=2)
    assert losses[0] == losses[1] != plain.metrics["test"]["log_loss"]


def test_bad_input(tmp_path, photos):
    with pytest.raises(ConfigError, match=r"random weights.*found efficientnet_lite0.*--no-pretrained"):
        cs.fit(photos, adversarial="pgd", out=str(tmp_path / "a"))
    with pytest.raises(ConfigError, match="--adversarial-epsilon"):
        cs.fit("digits", adversarial_epsilon=0.1)
    with pytest.raises(ConfigError, match="adversarial-epsilon"):
        cs.fit("digits", adversarial="pgd", adversarial_epsilon=2.0)
    with pytest.raises(ConfigError, match="adversarial"):
        cs.fit("digits", adversarial="fgms")
