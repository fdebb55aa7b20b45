"""APGD, the square attack and both together: at least as strong as PGD, within their bounds, on any model."""

import numpy as np
import pytest
import torch
from torch import nn

import clearsight as cs
from clearsight.attacks import attack, attack_one
from clearsight.attacks.apgd import _checkpoints, apgd
from clearsight.attacks.gradient import pgd
from clearsight.attacks.methods import METHODS, Attack, method_of, succeeded
from clearsight.attacks.square import _bump, _side, square
from clearsight.errors import ConfigError, ModelError


class Linear(nn.Module):
    """Logits that are linear in the pixels: what the strongest attack does is known."""

    def __init__(self, classes=4):
        super().__init__()
        draw = torch.Generator().manual_seed(1)
        self.weight = nn.Parameter(torch.randn(classes, 3 * 8 * 8, generator=draw))

    def forward(self, x):
        return x.flatten(1) @ self.weight.T


X = 0.3 + 0.4 * torch.rand(24, 3, 8, 8, generator=torch.Generator().manual_seed(0))
NET = Linear()
LABELS = NET(X).argmax(1)
BOUNDS = {"linf": 0.05, "l2": 0.5}


def reached(moved, labels=LABELS, targeted=False):
    return succeeded(NET, moved, labels, targeted, 64).numpy()


def strongest(epsilon, norm):
    """Images that some change within epsilon takes out of their class, of a linear model whose pixels stay in range."""
    logits, dual = NET(X).detach(), 1 if norm == "linf" else 2
    apart = NET.weight[:, None] - NET.weight[None]
    gain = epsilon * apart.norm(p=dual, dim=2)[:, LABELS].T
    return (
        (logits + gain > logits.gather(1, LABELS[:, None])).scatter(1, LABELS[:, None], False).any(1).detach().numpy()
    )


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_on_a_linear_model_apgd_finds_what_exists_and_no_attack_more(norm):
    epsilon = BOUNDS[norm] / {"linf": 4, "l2": 2}[norm]
    exists = strongest(epsilon, norm)
    assert 0.1 < exists.mean() < 0.9
    found = METHODS["autoattack"].run(Attack(norm, steps=30), NET, X, LABELS, epsilon, None)
    assert np.array_equal(reached(found), exists)
    for moved in (
        apgd(NET, X, LABELS, epsilon, norm=norm, steps=30), pgd(NET, X, LABELS, epsilon, norm=norm),
        square(NET, X, LABELS, epsilon, norm=norm, queries=200),
    ):  # fmt: skip
        assert not (reached(moved) & ~exists).any()


@pytest.mark.parametrize("loss", ["cross-entropy", "logits-ratio"])
@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_attacks_stay_within_epsilon_and_pixels_within_their_range(norm, targeted, loss):
    epsilon = BOUNDS[norm]
    labels = (LABELS + 1) % 4 if targeted else LABELS
    for moved in (
        apgd(NET, X, labels, epsilon, norm=norm, targeted=targeted, loss=loss, steps=20, batch=7),
        square(NET, X, labels, epsilon, norm=norm, targeted=targeted, queries=60, batch=7),
    ):
        change = moved - X
        length = change.flatten(1).abs().amax(1) if norm == "linf" else change.flatten(1).norm(dim=1)
        assert (length <= epsilon + 1e-5).all()
        assert ((moved >= 0) & (moved <= 1)).all()
    assert reached(apgd(NET, X, labels, 10 * epsilon, norm=norm, targeted=targeted, loss=loss), labels, targeted).all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_square_attack_needs_no_gradients_and_grows_with_its_queries(norm):
    class Steps(nn.Module):
        def forward(self, x):
            return torch.round(NET(x.detach()))

    net, epsilon = Steps(), BOUNDS[norm]
    labels = net(X).argmax(1)
    shares = [
        succeeded(net, square(net, X, labels, epsilon, norm=norm, queries=n), labels, False, 64).float().mean()
        for n in (1, 20, 400)
    ]
    assert shares == sorted(shares)
    assert shares[2] > shares[0]


@pytest.mark.parametrize("classes", [2, 3, 4])
def test_few_classes(classes):
    net = Linear(classes)
    labels = net(X).argmax(1)
    for loss in ("cross-entropy", "logits-ratio"):
        assert succeeded(net, apgd(net, X, labels, 0.5, loss=loss), labels, False, 64).all()
    found = METHODS["autoattack"].run(Attack(steps=2), net, X, labels, 0.5, None)
    assert succeeded(net, found, labels, False, 64).all()


def test_restarts_only_add_and_seeds_repeat():
    one, five = (apgd(NET, X, LABELS, 0.004, steps=4, restarts=n) for n in (1, 5))
    assert (reached(five) >= reached(one)).all()
    assert torch.equal(five, apgd(NET, X, LABELS, 0.004, steps=4, restarts=5))
    one, five = (METHODS["pgd"].run(Attack(steps=4, restarts=n), NET, X, LABELS, 0.004, None) for n in (1, 5))
    assert (reached(five) >= reached(one)).all()


def test_images_that_are_predicted_wrongly_stay_as_they_are():
    wrong = (LABELS + 1) % 4
    assert (apgd(NET, X, wrong, 0.0) == X).all()
    assert reached(apgd(NET, X, wrong, 0.05), wrong).all()


def test_checkpoints_as_published():
    """Croce, Hein 2020, section 3.1: 0.22, 0.41, 0.57, 0.70, 0.80, 0.87, then every 0.06."""
    assert sorted(_checkpoints(100)) == [22, 41, 57, 70, 80, 87, 93, 99]


def test_squares_shrink_and_bumps_have_length_one():
    sides = [_side(torch.Size([1, 1, 28, 28]), query, 1000) for query in range(1, 1000)]
    assert sides[0] == round((0.8 * 28 * 28) ** 0.5)
    assert sides == sorted(sides, reverse=True)
    assert sides[-1] >= 1
    for side in (1, 2, 3, 8):
        bump = _bump(side, torch.Generator().manual_seed(0))
        assert bump.shape == (side, side)
        assert bump.norm().item() == pytest.approx(1)
        assert side == 1 or (bump.min() < 0 < bump.max())


def test_on_a_trained_model_stronger_attacks_leave_less(digits_run, digits_arrays):
    predictor, (images, labels) = cs.load(digits_run).predictor, (part[-40:] for part in digits_arrays)
    left = {
        method: attack(predictor, images, labels, method=method, epsilons=(0.06,), steps=10).points[-1].accuracy
        for method in ("fgsm", "pgd", "autoattack")
    }
    assert left["autoattack"] <= left["pgd"] <= left["fgsm"]
    pixels = next(iter(predictor.pixels(predictor.inputs(images[:1]))))[0]
    one = attack_one(predictor, pixels, 0.4, method="apgd")
    assert one.steps == 100
    assert one.largest <= 0.4 + 1e-6


def test_models_without_gradients_have_the_square_attack(classical_run, digits_arrays):
    predictor, (images, labels) = cs.load(classical_run).predictor, (part[-30:] for part in digits_arrays)
    with pytest.raises(ModelError, match=r"needs gradients.*attack square"):
        attack(predictor, images, labels)
    curve = attack(predictor, images, labels, method="square", epsilons=(0.1, 0.4), steps=60)
    assert curve.points[0].accuracy > curve.points[2].accuracy
    assert curve.engine_difference is None
    assert "gradients" not in cs.attack(classical_run, method="square", epsilons=[0.1], steps=5, images=10).text()


def test_bad_input():
    with pytest.raises(ConfigError, match="unknown loss 'hinge'"):
        apgd(NET, X, LABELS, 0.1, loss="hinge")
    with pytest.raises(ConfigError, match="restarts must be 1 or more"):
        Attack(restarts=0)
    with pytest.raises(ConfigError, match="queries must be 1 or more"):
        square(NET, X, LABELS, 0.1, queries=0)
    with pytest.raises(ConfigError, match=r"unknown attack 'apdg'.*apgd"):
        method_of("apdg")
