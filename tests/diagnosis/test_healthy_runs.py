"""The doctor is silent on runs that are well: other networks, optimisers, losses, schedules and seeds."""

import pytest

HEALTHY = [
    lambda b: b.run(b.network("resnet8"), max_steps=80),
    lambda b: b.run(b.network("resnet8", seed=1), opt="momentum", seed=1, max_steps=100),
    lambda b: b.run(b.network("lenet5", seed=2), lr=2e-3, seed=2, max_steps=100),
    lambda b: b.run(b.network("resnet8", seed=3), augment="light", mixup=0.2, seed=3, max_steps=90),
    lambda b: b.run(b.network("resnet8", seed=4), loss="bce", opt="rmsprop", seed=4, max_steps=80),
    lambda b: b.run(b.network("resnet8", seed=5), label_smoothing=0.1, sched="constant", seed=5, max_steps=80),
    lambda b: b.run(b.network("lenet5", seed=6, activation="tanh"), lr=2e-3, opt="adam", seed=6, max_steps=100),
    lambda b: b.run(b.network("resnet8", seed=7, se=True, activation="gelu"), opt="adabelief", seed=7, max_steps=80),
    lambda b: b.run(b.network("resnet8", seed=8), batch_size=16, loss="focal", sched="cosine", seed=8, max_steps=80),
    lambda b: b.run(b.network("resnet8", seed=9), class_weight="balanced", opt="lars", seed=9, max_steps=80),
    lambda b: b.run(b.network("resnet8", seed=10), loss="mse", opt="adadelta", seed=10, max_steps=80),
]

DIGITS_ALONE = [  # on 64 photographs these do overfit
    lambda b: b.run(b.network("mlp"), opt="adam", lr=2e-3),
    lambda b: b.run(b.network("mlp", seed=1), opt="sgd", seed=1),
    lambda b: b.run(b.network("linear", seed=2), opt="adam", seed=2),
    lambda b: b.run(b.network("mlp", seed=3, dropout=0.3), lr=3e-3, seed=3),
    lambda b: b.run(b.network("mlp", seed=4), opt="armijo", seed=4, max_steps=100),
    lambda b: b.run(b.network("mlp", seed=5, norm=True), opt="nesterov", seed=5),
    lambda b: b.run(b.network("mlp", seed=6), opt="lbfgs", weight_decay=0.0, batch_size=256, max_steps=30, seed=6),
]


def tiers(runs):
    """The first three for each commit, the others in the long tier."""
    return [pytest.param(run, id=str(i), marks=pytest.mark.long if i > 2 else ()) for i, run in enumerate(runs)]


@pytest.mark.parametrize("run", tiers(HEALTHY))
def test_silent_on_healthy_runs(bench, run, names):
    found = run(bench)
    assert names(found) == []
    assert found.healthy


@pytest.mark.parametrize("run", tiers(DIGITS_ALONE))
def test_silent_on_healthy_runs_of_simple_networks(digits_bench, run, names):
    assert names(run(digits_bench)) == []
