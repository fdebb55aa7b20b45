"""The decisions of `fit`, on real images."""

import json
import re
import shutil
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import clearsight as cs
from clearsight.data.content_order import listed_positions
from clearsight.data.scan import scan
from clearsight.models.zoo import published_state
from clearsight.runs.images import development as development_images
from clearsight.tasks import read
from clearsight.train.config import TrainConfig
from clearsight.train.context import TrainContext
from clearsight.train.fit import fit as fit_and_check
from clearsight.train.head_search import MIXED
from clearsight.train.range_test import RangeTest
from clearsight.train.recipe import plan
from clearsight.train.strategies.fine_tune import layer_groups
from clearsight.train.strategies.from_scratch import new_network
from clearsight.train.strategies.probe import new_probe, weighted_targets
from clearsight.wording import percent, points

fit = partial(fit_and_check, find_issues=False)


FOLDED = {"img_size": 64, "freeze": "lower", "budget": "1h", "epochs": 1, "folds": 3}


@pytest.fixture(scope="module")
def few_photos(photos, tmp_path_factory):
    """Ten photographs of each class."""
    folder = tmp_path_factory.mktemp("few")
    for path in (p for p in photos.glob("*/*.jpg") if int(p.stem) < 10):
        (folder / path.parent.name).mkdir(exist_ok=True)
        shutil.copy(path, folder / path.parent.name)
    return folder


@pytest.fixture(scope="module")
def few_digits(digits_arrays):
    """500 digits and their labels."""
    return digits_arrays[0][:500], digits_arrays[1][:500]


def test_small_images_are_learned_from_scratch(few_digits):
    fitted = fit(read(few_digits), TrainConfig.from_options(epochs=2))
    assert fitted.recipe.kind == "scratch"
    assert fitted.recipe.img_size == 8
    assert len(fitted.history) == 2
    assert any("below 48" in d.why for d in fitted.decisions)


def test_photographs_get_a_head_on_pretrained_features(photos):
    fitted = fit(read(photos), TrainConfig.from_options(img_size=96))
    assert fitted.recipe.kind == "probe"
    assert len(fitted.validation_indices) == 72, "out-of-fold logits cover every development image"
    assert {c.head for c in fitted.candidates} == {"softmax", "kernel SVM", MIXED}
    chosen = next(d for d in fitted.decisions if d.what == "head")
    assert re.search(r"of 2\d candidates", chosen.why)  # a grid of 21, and some beyond its edge
    agree = next(d for d in fitted.decisions if d.what == "scores of the folds")
    right = fitted.val_logits.argmax(1) == fitted.prepared.labels[fitted.validation_indices]
    means = [right[np.isin(fitted.validation_indices, val_rows)].mean() for _, val_rows in fitted.prepared.split.folds]
    assert len(means) == 5
    deviation = f"standard deviation {points(np.std(means, ddof=1))}"
    assert agree.choice == f"{percent(min(means))} to {percent(max(means))}, {deviation}"


def test_soft_labels_teach_a_network_how_sure_to_be():
    rng, left = np.random.default_rng(0), np.arange(160) % 2 == 0
    images = rng.integers(0, 60, (160, 8, 8), dtype=np.uint8)
    images[left, :, :4] += 180
    images[~left, :, 4:] += 180
    soft = np.where(left[:, None], [0.8, 0.2], [0.3, 0.7])
    fitted = fit(
        read((images, soft)), TrainConfig.from_options(model="mlp", epochs=30, augment="none", opt="adam", lr=0.01)
    )
    z = torch.from_numpy(fitted.val_logits)
    own = (
        z.softmax(1)
        .gather(1, torch.from_numpy(fitted.prepared.labels[fitted.validation_indices])[:, None])[:, 0]
        .numpy()
    )
    truth = fitted.prepared.labels[fitted.validation_indices]
    assert own[truth == 0].mean() == pytest.approx(0.8, abs=0.06)
    assert own[truth == 1].mean() == pytest.approx(0.7, abs=0.06)
    places = listed_positions(fitted.prepared.dataset)
    assert np.allclose(fitted.prepared.weights, np.where(left[places], 0.8, 0.7))


def test_the_test_split_is_never_read(few_digits):
    """Wrong labels on the test images change nothing of the fitted model."""
    dataset, options = read(few_digits), TrainConfig.from_options(model="mlp", epochs=1)
    test = fit(dataset, options).prepared.split.test
    given = np.full(len(dataset), "train", dtype="<U5")
    given[test] = "test"
    damaged = dataset.labels.copy()
    damaged[test] = (damaged[test] + 1) % 10
    honest = fit(replace(dataset, given=given), options)
    other = fit(replace(dataset, given=given, labels=damaged), options)
    assert len(test) > 100
    for a, b in zip(
        honest.bundle.network.state_dict().values(), other.bundle.network.state_dict().values(), strict=True
    ):
        assert np.array_equal(a.numpy(), b.numpy())


@pytest.mark.long
def test_fit_auto_measures_and_says_so(few_photos):
    fitted = fit(read(few_photos), TrainConfig.from_options(img_size=64, resize_mode="auto"))
    decision = next(d for d in fitted.decisions if d.what == "resize mode")
    assert all(name in decision.why for name in ("squash", "pad", "crop"))
    assert fitted.bundle.geometry.resize_mode == decision.choice


@pytest.mark.long
def test_fine_tuning_is_kept_only_if_validation_agrees(tmp_path, few_photos):
    run = cs.fit(few_photos, out=str(tmp_path / "run"), img_size=64, budget="1h", epochs=1, folds=2)
    decisions = {d["what"]: d for d in run.metrics["recipe"]}
    kept = decisions["training the upper blocks"]
    assert "validation accuracy" in kept["why"]
    old, new, joined = (float(share) for share in re.findall(r"([\d.]+) %", kept["why"])[:3])
    alone = {"kept": new, "not kept": old}
    assert alone.get(kept["choice"], joined) >= joined, "one alone only where it is better than both"
    decided = json.loads((run.folder / "config.json").read_text())["recipe"]
    assert decided["tuned"] == (kept["choice"] != "not kept")
    assert "or more" in decisions["transfer"]["why"]
    assert "log loss" in decisions["views"]["why"]
    history = (run.folder / "history.csv").read_text().splitlines()
    assert len(history) == 1 + 2  # a line of names, one epoch for each fold
    assert history[0].endswith(",fold")
    assert [line.split(",")[-1] for line in history[1:]] == ["1", "2"]
    assert {"val_loss", "fold-2/val_loss", "fold-2/lr"} <= set(scalars(run.folder))
    scores = decisions["scores of the networks of the folds"]
    low, high = (float(word) for word in scores["choice"].replace("%", "").split(",")[0].split(" to "))
    assert 0 <= low <= high <= 100
    assert "accuracy of 2 fits" in scores["why"]


@pytest.mark.long
def test_every_fold_gives_a_network_validated_on_unseen_images(few_photos):
    fitted = fit(
        read(few_photos), TrainConfig.from_options(img_size=64, freeze="lower", budget="1h", epochs=1, folds=3)
    )
    split, network = fitted.prepared.split, fitted.bundle.network
    assert sorted(fitted.validation_indices) == sorted(split.development)
    assert len(network.members) == len(split.folds) == 3
    assert set(network.spec["temperatures"]) == {1.0}
    own = network.members[2].eval()
    val_rows = split.folds[2][1]
    with torch.inference_mode():
        logits = own(torch.from_numpy(fitted.prepared.pixels.array[val_rows] / np.float32(255)))
    row_of = {int(image): row for row, image in enumerate(fitted.validation_indices)}
    expected = logits
    found = fitted.val_logits[[row_of[int(image)] for image in val_rows]]
    np.testing.assert_allclose(found, expected, atol=2e-3)


@pytest.mark.long
def test_folds_that_the_budget_does_not_last_for_are_left_out(few_photos, monkeypatch):
    title = "training the upper blocks"
    left = {"the upper blocks": 3600.0, title: 3600.0, f"fold 2 of {title}": 3000.0, f"fold 3 of {title}": 500.0}
    monkeypatch.setattr(TrainContext, "left", lambda self, what: left[what])
    fitted = fit(
        read(few_photos), TrainConfig.from_options(img_size=64, freeze="lower", budget="1h", epochs=1, folds=3)
    )
    split = fitted.prepared.split
    assert len(fitted.bundle.network.members) == 2
    assert sorted(fitted.validation_indices) == sorted(np.concatenate([split.folds[0][1], split.folds[1][1]]))
    decision = next(d for d in fitted.decisions if d.what == "folds")
    assert decision.choice == "2 of 3"
    assert decision.why == "each fold takes 1550 s, longer than expected, and the budget leaves only 500 s"


@pytest.mark.long
def test_a_budget_too_small_for_an_epoch_is_reported(tmp_path, few_photos):
    run = cs.fit(few_photos, out=str(tmp_path / "run"), img_size=64, budget="0.01s")
    decisions = {d["what"]: d for d in run.metrics["recipe"]}
    assert decisions["training the upper blocks"]["choice"] == "left out"
    why = r"^--budget 0.01s leaves only 0 s, because reading .* took .* s; use --budget \d+s or more$"
    assert re.search(why, decisions["training the upper blocks"]["why"])


def test_a_budget_that_preparation_used_up_is_reported(noise, capsys):
    labels = np.repeat(["a", "b"], 20)
    run = cs.fit(noise(40), labels, budget="0.01s")
    decisions = {d["what"]: d for d in run.metrics["recipe"]}
    assert decisions["epochs"]["choice"] == "1"
    assert re.search(r"the minimum: .*use --budget \d+s or more", decisions["epochs"]["why"])
    run = cs.fit(noise(40), labels, budget="1m", model="pixels+softmax")
    assert {d["what"]: d["choice"] for d in run.metrics["recipe"]}["without effect"] == "--budget"


@pytest.mark.parametrize("freeze", ["lower", pytest.param("none", marks=pytest.mark.long)])
def test_layers_that_may_move_do_and_the_others_do_not(few_photos, freeze):
    options = {"img_size": 64, "freeze": freeze, "epochs": 1, "model": "efficientnet_lite0", "mixup": 0.2}
    fitted = fit(read(few_photos), TrainConfig.from_options(**options))
    before = published_state("efficientnet_lite0")
    moved = {name for name, p in fitted.bundle.network.backbone.named_parameters() if not torch.equal(p, before[name])}
    assert moved
    decisions = {d.what: d for d in fitted.decisions}
    if freeze == "none":
        assert any(name.startswith("conv_stem") for name in moved)
        assert "without effect" not in decisions
    else:
        taps = fitted.bundle.network.taps
        frozen_up_to = taps.index(decisions["frozen"].choice.removeprefix("up to "))
        assert decisions["without effect"].choice == "--mixup"
        assert not any(name.startswith(("conv_stem", *(f"{t}." for t in taps[: frozen_up_to + 1]))) for name in moved)
    assert fitted.tuned


def test_deeper_stages_learn_faster(photos):
    probe = new_probe(plan(TrainConfig.from_options(model="efficientnet_lite0"), scan(read(photos))))
    groups = layer_groups(probe, 1.0, decay=0.5)
    assert sum(len(g["params"]) for g in groups) == len(list(probe.parameters()))
    assert [g["lr"] for g in groups] == sorted(g["lr"] for g in groups)
    assert groups[-1]["lr"] == 1.0


def test_options_of_the_network_and_its_weights(tmp_path, few_digits):
    run = cs.fit(
        *few_digits, out=str(tmp_path / "run"), model="resnet8", model_arg={"width": 8, "residual": False},
        init="best-of:he,xavier", epochs=1,
    )  # fmt: skip
    decision = next(d for d in run.metrics["recipe"] if d["what"] == "initialisation")
    losses = {name: float(loss) for name, loss in re.findall(r"(he|xavier) ([\d.]+)", decision["why"])}
    assert set(losses) == {"he", "xavier"}
    assert decision["choice"] == min(losses, key=losses.get)
    card = json.loads((run.folder / "model" / "card.json").read_text())
    assert card["network"]["model_args"] == {"width": 8, "residual": False}
    assert cs.load(run.folder).predictor.predict(np.zeros((1, 8, 8), np.uint8))[0].label in run.predictor.classes
    with pytest.raises(cs.ClearsightError, match="has no option 'wdth'"):
        cs.fit("digits", out=str(tmp_path / "other"), model="resnet8", model_arg={"wdth": 8})
    with pytest.raises(cs.ClearsightError, match="but --model is auto"):
        cs.fit("digits", out=str(tmp_path / "other"), model_arg={"width": 8})


def test_auxiliary_heads_are_trained_too(digits_arrays):
    images = np.repeat(np.repeat(digits_arrays[0][:60, 0], 4, axis=1), 4, axis=2)
    options = {"model": "googlenet", "model_arg": {"aux": True, "width": 8}, "epochs": 1, "augment": "none"}
    fitted = fit(read((images, digits_arrays[1][:60])), TrainConfig.from_options(**options))
    torch.manual_seed(0)
    fresh = new_network(fitted.recipe, fitted.prepared, 0)
    assert not torch.equal(fresh.body.aux1.fc2.weight, fitted.bundle.network.body.aux1.fc2.weight)


QUICK = [
    {"opt": "armijo"}, {"loss": "bce", "mixup": 0.2}, {"accumulate": 2, "sched": "cosine", "warm_up": 0.1},
    {"val_every": 5, "max_steps": 12},
]  # fmt: skip
"""What changes the loop itself; the others, whose parts have tests of their own, are in the long tier."""

OTHERS = [
    {"opt": "gd"}, {"opt": "lbfgs", "batch_size": 256}, {"opt": "lars", "lr": 1.0}, {"loss": "hinge"}, {"loss": "mse"},
    {"cutmix": 1.0}, {"class_weight": "balanced", "loss": "focal"}, {"augment": "mirror+crop+noise+blur"},
    {"augment": "rand"}, {"amp": "bf16"}, {"label_smoothing": 0.1, "loss": "kl"}, {"lr_find": True}, {"ema": 0.9},
    {"l1": 1e-5, "max_norm": 3.0},
]  # fmt: skip


@pytest.mark.parametrize(
    "options",
    [*QUICK, *(pytest.param(options, marks=pytest.mark.long) for options in OTHERS)],
    ids=lambda options: "-".join(f"{k}={v}" for k, v in options.items()),
)
def test_every_option_trains(options, few_digits):
    """A few epochs with each, and the loss on the training images falls."""
    chosen = {"epochs": 5, "model": "resnet8", "model_arg": {"width": 8}, **options}
    fitted = fit(read(few_digits), TrainConfig.from_options(**chosen))
    losses = [epoch.train_loss for epoch in fitted.history]
    assert np.isfinite(losses).all()
    assert min(losses[1:]) < losses[0]
    if "max_steps" in options:
        assert fitted.history[-1].steps == 12
        assert [e.steps for e in fitted.history] == [5, 10, 12]
    if "lr_find" in options:
        assert any(d.what == "learning rate" for d in fitted.decisions)


def test_the_same_seed_gives_the_same_run(tmp_path, few_digits):
    few = tuple(part[:200] for part in few_digits)
    a = cs.fit(*few, out=str(tmp_path / "a"), epochs=1, seed=3)
    b = cs.fit(*few, out=str(tmp_path / "b"), epochs=1, seed=3)
    c = fit(read(few), TrainConfig.from_options(epochs=1, seed=4))
    first, second = ((r.folder / "model" / "weights.safetensors").read_bytes() for r in (a, b))
    assert first == second
    assert a.metrics["test"] == b.metrics["test"]
    other = c.bundle.network.state_dict()
    assert any(not torch.equal(own, other[name]) for name, own in a.predictor.network.state_dict().items())


def test_sixteen_bit_images_stay_sixteen_bit():
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 2
    # the classes differ below the eighth bit alone: 8-bit pixels could not separate them
    images = (rng.integers(30000, 30100, (60, 12, 12)) + labels[:, None, None] * 100).astype(np.uint16)
    images[:, 0, 0], images[:, 0, 1] = 29000, 31000
    fitted = fit(read((images, labels)), TrainConfig.from_options(epochs=10, augment="none", lr=0.01))
    assert fitted.bundle.form.bits == 16
    assert fitted.prepared.pixels.array.dtype == np.uint16


@pytest.mark.parametrize(
    "name", ["lenet5", *(pytest.param(n, marks=pytest.mark.long) for n in ("resnet8", "resnet20", "timm/resnet10t"))]
)
def test_named_networks_train_from_scratch(tmp_path, name, few_digits):
    options = {"pretrained": False, "img_size": 32} if name.startswith("timm") else {}
    run = cs.fit(*few_digits, out=str(tmp_path / "run"), model=name, epochs=1, **options)
    assert json.loads((run.folder / "config.json").read_text())["recipe"]["model"] == name
    assert cs.load(run.folder).predictor.predict(np.zeros((1, 8, 8), np.uint8))[0].label in run.predictor.classes


def test_weights_that_cannot_be_downloaded_are_named(tmp_path, photos, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(cs.ClearsightError, match="published weights of timm/resnet10t cannot be downloaded"):
        cs.fit(photos, out=str(tmp_path / "run"), model="timm/resnet10t", pretrained=True)


def test_the_training_error_is_among_the_metrics(digits_run):
    """Of 1,000 training images drawn by the run's seed, as `evaluate` counts it for those images."""
    metrics = json.loads((digits_run / "metrics.json").read_text())
    assert metrics["train"]["n"] == 1000
    development = development_images(str(digits_run))
    assert len(development.train) > 1000
    rows = np.sort(np.random.default_rng(0).permutation(development.train.indices)[:1000])
    pixels = development.train.array[rows]
    labels = read("digits").labels[rows]
    predicted = cs.load(digits_run).predictor.logits(pixels).argmax(1)
    assert metrics["train"]["accuracy"] == pytest.approx(float((predicted == labels).mean()), abs=2e-3)
    assert metrics["train"]["accuracy"] >= metrics["test"]["accuracy"] - 0.02


def test_evaluate_on_other_data(tmp_path, digits_run, digits_arrays):
    images, labels = digits_arrays
    found = cs.evaluate(digits_run, (images[:100], labels[:100]))
    assert found.n + found.images.training + found.images.validation == 100
    assert cs.evaluate(digits_run, (images[:100], labels[:100]), include_training=True).n == 100
    with pytest.raises(cs.ClearsightError, match="classes that the model was not trained on; found cat"):
        cs.evaluate(digits_run, (images[:4], ["cat", "0", "1", "2"]))


def scalars(folder):
    """What TensorBoard shows of a run: by name the numbers of steps or epochs."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder)).Reload()
    return {name: [event.step for event in found.Scalars(name)] for name in found.Tags()["scalars"]}


def test_tensorboard_counts_steps_where_epochs_are_validated_often(tmp_path, few_digits):
    options = {"model": "mlp", "batch_size": 128, "epochs": 3}
    often = cs.fit(*few_digits, out=tmp_path / "often", val_every=1, **options).folder
    once = cs.fit(*few_digits, out=tmp_path / "once", **options).folder
    names = ("lr", "train_loss", "train_accuracy", "val_loss", "val_accuracy")
    assert {name: scalars(once)[name] for name in names} == {name: [1, 2, 3] for name in names}
    assert scalars(often)["val_loss"] == list(range(1, 10))
    assert (once / "history.csv").read_text().splitlines()[1].endswith(",1")
    assert "Training took 3 epochs" in (often / "report.html").read_text()


def test_early_stopping_is_reported_in_epochs():
    options = {"model": "mlp", "batch_size": 512, "epochs": 9, "val_every": 1, "patience": 1, "lr": 1e-12}
    fitted = fit(read("digits"), TrainConfig.from_options(**options))
    stop = next(d for d in fitted.decisions if d.what == "stop")
    assert len(fitted.history) > fitted.history[-1].epoch
    assert stop.choice == f"after epoch {fitted.history[-1].epoch}"


def test_rates_are_looked_for_where_the_optimiser_has_them(few_digits, monkeypatch):
    asked = []

    def found(step, *, low, high):
        asked.append((low, high))
        return RangeTest((), (), 3.0)

    monkeypatch.setattr("clearsight.train.context.range_test", found)
    for opt in ("adamw", "lars", "gd"):
        options = {"model": "mlp", "opt": opt, "lr_find": True, "epochs": 1, "batch_size": 128}
        fitted = fit(read(few_digits), TrainConfig.from_options(**options))
        assert next(d for d in fitted.decisions if d.what == "learning rate").choice == "3"
    assert {(round(low * 1e6), round(high)) for low, high in asked} == {(1, 1), (1000, 1000), (200, 200)}


@pytest.mark.parametrize("kind", ["numbers", "labels"])
def test_the_best_initialisation_is_chosen_by_the_loss_of_the_task(kind, pointers, scenes):
    data = pointers(80) if kind == "numbers" else scenes(80)
    options = {"model": "mlp", "init": "best-of:he,uniform", "epochs": 1, "augment": "none"}
    fitted = fit(read(data), TrainConfig.from_options(**options))
    decision = next(d for d in fitted.decisions if d.what == "initialisation")
    losses = {name: float(loss) for name, loss in re.findall(r"(he|uniform) ([\d.]+)", decision.why)}
    assert decision.choice == min(losses, key=losses.get)
    assert all(0 < loss < 20 for loss in losses.values())


def test_classes_count_the_same_for_a_frozen_head():
    labels = np.array([0, 0, 0, 1, 0, 1])
    data = SimpleNamespace(
        labels=labels, weights=np.full(6, 0.5, np.float32), split=SimpleNamespace(train=np.arange(4))
    )
    for choice, expected in (("none", [0.5, 0.5]), ("balanced", [0.5 * 4 / 6, 0.5 * 4 / 2])):
        task = SimpleNamespace(names=("a", "b"))
        context = SimpleNamespace(data=data, classes=2, task=task, config=TrainConfig.from_options(class_weight=choice))
        assert weighted_targets(context, np.array([4, 5])).weights == pytest.approx(expected)


def test_options_without_effect_on_a_frozen_head_are_reported(few_photos):
    options = {"img_size": 64, "freeze": "all", "class_weight": "balanced", "epochs": 3}
    fitted = fit(read(few_photos), TrainConfig.from_options(**options))
    text = next(d for d in fitted.decisions if d.what == "without effect")
    assert text.choice == "--epochs"
    assert text.why == "the network's weights are frozen, as requested by --freeze all"
