"""FGSM and PGD equal the Adversarial Robustness Toolbox's, stay within bounds, and do what they are for."""

import numpy as np
import pytest
import torch
from torch import nn

from clearsight.attacks.gradient import fgsm, pgd, project, random_start
from clearsight.errors import ConfigError
from clearsight.models.network import Network


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    spec = {
        "kind": "network", "name": "resnet8", "classes": 5, "img_size": 16, "model_args": {},
        "input": {"mean": [0.5], "std": [0.25]},
    }  # fmt: skip
    return Network(spec).eval()


X = torch.rand(6, 1, 16, 16, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 3, 4, 0])


def theirs(net, attack, **options):
    from art.attacks.evasion import FastGradientMethod, ProjectedGradientDescentPyTorch
    from art.estimators.classification import PyTorchClassifier

    classifier = PyTorchClassifier(
        net, nn.CrossEntropyLoss(), (1, 16, 16), 5, clip_values=(0.0, 1.0), device_type="cpu"
    )
    kinds = {"fgsm": FastGradientMethod, "pgd": ProjectedGradientDescentPyTorch}
    one_hot = np.eye(5, dtype=np.float32)[LABELS]
    return torch.from_numpy(kinds[attack](classifier, **options).generate(X.numpy(), one_hot))


NORMS = {"linf": np.inf, "l2": 2}


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.1), ("l2", 1.5)])
def test_fgsm(net, norm, epsilon, targeted):
    expected = theirs(net, "fgsm", norm=NORMS[norm], eps=epsilon, targeted=targeted, batch_size=6)
    found = fgsm(net, X, LABELS, epsilon, norm=norm, targeted=targeted, batch=4)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.1), ("l2", 1.5)])
def test_pgd(net, norm, epsilon, targeted):
    options = {"eps": epsilon, "eps_step": epsilon / 4, "max_iter": 10, "num_random_init": 0, "verbose": False}
    expected = theirs(net, "pgd", norm=NORMS[norm], targeted=targeted, batch_size=6, **options)
    found = pgd(net, X, LABELS, epsilon, steps=10, step=epsilon / 4, norm=norm, targeted=targeted, seed=None, batch=6)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("attack", [fgsm, pgd])
@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.05), ("linf", 0.0), ("l2", 0.7)])
def test_changes_stay_within_epsilon_and_pixels_within_their_range(net, attack, norm, epsilon):
    change = attack(net, X, LABELS, epsilon, norm=norm) - X
    length = change.flatten(1).abs().amax(1) if norm == "linf" else change.flatten(1).norm(dim=1)
    assert (length <= epsilon + 1e-5).all()
    assert ((X + change >= -1e-6) & (X + change <= 1 + 1e-6)).all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_attacks_raise_the_loss_and_targeted_ones_lower_it(net, norm):
    def loss(x):
        with torch.no_grad():
            return nn.functional.cross_entropy(net(x), LABELS)

    epsilon = 0.05 if norm == "linf" else 0.5
    assert loss(pgd(net, X, LABELS, epsilon, norm=norm)) > loss(fgsm(net, X, LABELS, epsilon, norm=norm)) > loss(X)
    assert loss(pgd(net, X, LABELS, epsilon, norm=norm, targeted=True)) < loss(X)


def test_random_starts_fill_the_ball():
    for norm, epsilon in (("linf", 0.1), ("l2", 1.0)):
        middle = torch.full((200, 1, 8, 8), 0.5)
        change = random_start(middle, epsilon, norm, 0) - 0.5
        length = change.flatten(1).abs().amax(1) if norm == "linf" else change.flatten(1).norm(dim=1)
        assert (length <= epsilon + 1e-6).all()
        assert length.max() > 0.95 * epsilon
        assert torch.equal(random_start(middle, epsilon, norm, 0), random_start(middle, epsilon, norm, 0))
        assert not torch.equal(random_start(middle, epsilon, norm, 0), random_start(middle, epsilon, norm, 1))


def test_projection_by_hand():
    x, far = torch.zeros(1, 1, 1, 2), torch.tensor([[[[3.0, 4.0]]]])
    np.testing.assert_allclose(project(far, x, 1.0, "linf")[0, 0, 0], [1, 1])
    np.testing.assert_allclose(project(far, x, 1.0, "l2")[0, 0, 0], [0.6, 0.8])
    np.testing.assert_allclose(project(far, x, 9.0, "l2")[0, 0, 0], [3, 4])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"epsilon": -0.1}, "epsilon is -0.1; expected 0 to 1"),
        ({"epsilon": 8.0}, "8/255"),
        ({"epsilon": float("nan")}, "epsilon is nan"),
        ({"epsilon": 0.1, "norm": "l1"}, "unknown norm 'l1'"),
    ],
)
def test_bad_input(net, options, words):
    for attack in (fgsm, pgd):
        with pytest.raises(ConfigError, match=words):
            attack(net, X, LABELS, **options)
    with pytest.raises(ConfigError, match="steps is 0"):
        pgd(net, X, LABELS, 0.1, steps=0)
