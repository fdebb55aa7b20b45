"""Fine-tuning by name, heads with hidden layers, and the table of recipes: which tensors change, and by how much."""

import shutil
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.datasets import make_circles

import clearsight as cs
from clearsight.cli.main import main
from clearsight.errors import ConfigError, ModelError
from clearsight.metrics import softmax
from clearsight.models.backbone_split import up_to
from clearsight.models.network import capture, headless
from clearsight.models.zoo import published_state
from clearsight.tasks import read
from clearsight.train.config import TrainConfig
from clearsight.train.fit import fit as fit_and_check
from clearsight.train.head_search import Candidate, StandardFeatures, Targets, choose_head
from clearsight.train.hidden_head import fit_hidden, with_hidden_layers
from clearsight.train.strategies import probe, transfer

fit = partial(fit_and_check, find_issues=False)

BELOW = {
    "efficientnet_lite0": ("blocks.3", ("conv_stem", "bn1", "blocks.0", "blocks.1", "blocks.2", "blocks.3")),
    "resnet18": ("layer3.0", ("conv1", "bn1", "layer1", "layer2", "layer3.0")),
    "densenet121": (
        "features.transition2",
        tuple(f"features.{n}" for n in ("conv0", "norm0", "denseblock1", "transition1", "denseblock2", "transition2")),
    ),
    "googlenet": (
        "inception4b",
        ("conv1", "conv2", "conv3", "inception3a", "inception3b", "inception4a", "inception4b"),
    ),
    "vit_ti_16": ("blocks.4", ("cls_token", "pos_embed", "patch_embed", *(f"blocks.{n}" for n in range(5)))),
}
"""A layer of each family, and by hand what lies up to it."""

HEAVY = [name if name == "efficientnet_lite0" else pytest.param(name, marks=pytest.mark.long) for name in BELOW]


@pytest.fixture(scope="module")
def few_photos(photos, tmp_path_factory):
    """Eight photographs of each of three classes."""
    folder = tmp_path_factory.mktemp("few")
    for path in (p for p in photos.glob("[cr]*/*.jpg") if int(p.stem) < 8):
        (folder / path.parent.name).mkdir(exist_ok=True)
        shutil.copy(path, folder / path.parent.name)
    return folder


def lies_below(name, family):
    return any(name == part or name.startswith(f"{part}.") for part in BELOW[family][1])


@pytest.mark.parametrize("family", BELOW)
def test_what_lies_up_to_a_layer(family):
    """By hand, and by gradients: no other parameter has an influence on what the layer gives out."""
    torch.manual_seed(0)
    layer, size = BELOW[family][0], 224 if family == "vit_ti_16" else 64
    body = headless(family, 3, size, {}).eval()
    fixed = set(up_to(body, layer, (3, size, size)))
    assert fixed == {name for name, _ in body.named_parameters() if lies_below(name, family)}
    with capture(body, [layer]) as seen:
        body(torch.randn(1, 3, size, size))
    (seen[layer] ** 2).sum().backward()
    reached = {name for name, p in body.named_parameters() if p.grad is not None}
    assert reached == fixed


@pytest.mark.parametrize("family", HEAVY)
def test_freeze_to_changes_exactly_the_tensors_above(few_photos, monkeypatch, family):
    before = {}

    def load(new, file=None):  # no file is downloaded: weights as they are drawn
        torch.manual_seed(0)
        if family == "efficientnet_lite0":
            own = new.backbone.state_dict()
            new.backbone.load_state_dict({k: v for k, v in published_state(family).items() if k in own})
        before.update({k: v.clone() for k, v in new.backbone.state_dict().items()})

    monkeypatch.setattr(probe, "load_backbone", load)
    size = 224 if family == "vit_ti_16" else 32 if family == "efficientnet_lite0" else 64
    options = {"model": family, "pretrained": True, "img_size": size, "epochs": 1, "freeze_to": BELOW[family][0]}
    fitted = fit(read(few_photos), TrainConfig.from_options(**options, folds=2, batch_size=8))
    backbone = fitted.bundle.network.backbone
    after = backbone.state_dict()
    changed = {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}
    assert changed == {name for name, _ in backbone.named_parameters() if not lies_below(name, family)}
    assert fitted.tuned
    assert all(p.requires_grad for p in backbone.parameters())
    (frozen,) = [d for d in fitted.decisions if d.what == "frozen"]
    assert frozen.choice == f"up to {BELOW[family][0]}"


def test_a_layer_that_is_not_there_is_refused_before_training(few_photos, capsys, monkeypatch):
    monkeypatch.setattr("clearsight.train.fit.prepare", lambda *a, **k: pytest.fail("pixels were read"))
    assert main(["train", str(few_photos), "--freeze-to", "block.3"]) == 2
    assert "unknown layer 'block.3' in this model. Did you mean blocks.3" in capsys.readouterr().err
    body = headless("googlenet", 3, 64, {"aux": True})
    with pytest.raises(ModelError, match="never executed"):
        up_to(body, "aux1", (3, 64, 64))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"freeze_to": "blocks.3", "freeze": "none"}, "--freeze-to and --freeze none both set"),
        ({"freeze_to": "blocks.3", "pretrained": False}, "excludes the published weights needed for --freeze-to"),
        ({"head_widths": "64,"}, "--head-widths must be numbers of units"),
        ({"head_widths": "64", "freeze": "recipe"}, "drop --head-widths"),
    ],
)
def test_options_that_contradict_each_other(options, words):
    with pytest.raises(ConfigError) as caught:
        TrainConfig.from_options(**options)
    assert words in str(caught.value)
    assert TrainConfig.from_options(head_widths=(256, 128)).transfer.widths == (256, 128)
    assert TrainConfig.from_options(head_widths=64).transfer.widths == (64,)


def test_networks_without_published_weights_refuse_them(digits_arrays):
    images, labels = digits_arrays
    few_digits = images[:60], labels[:60]
    with pytest.raises(ConfigError, match=r"lenet5 starts from random weights, but .* needed for --freeze-to"):
        cs.fit(*few_digits, model="lenet5", freeze_to="stage1")
    with pytest.raises(ConfigError, match=r"the classical model hog\+svm does not support --head-widths"):
        cs.fit(*few_digits, model="hog+svm", head_widths=32)
    with pytest.raises(
        ConfigError, match="--head-widths needs pretrained weights, but images this small are trained on"
    ):
        cs.fit(*few_digits, head_widths=32)


def rings():
    """Features (200, 2) of two classes that no line separates, and what heads learn."""
    x, labels = make_circles(200, noise=0.1, factor=0.3, random_state=0)
    return [(50 + 3 * x).astype(np.float32)], Targets(labels.astype(np.int64), np.ones(200, np.float32), 2)


def test_hidden_layers_learn_what_a_linear_head_cannot(monkeypatch):
    monkeypatch.setattr("clearsight.train.hidden_head.STRENGTHS", (1e-4,))
    parts, targets = rings()
    rows = np.arange(200)
    folds = [(rows[100:], rows[:100]), (rows[:100], rows[100:])]
    linear = choose_head(parts, {"last features": (0,)}, targets, folds, rows, kernels=False)
    found = with_hidden_layers(linear, parts, (16,), targets, folds, rows)
    assert linear.chosen.accuracy < 0.9 < 0.97 < found.chosen.accuracy
    assert found.head_spec == {"kind": "hidden", "features": 2, "classes": 2, "widths": [16]}
    assert [type(layer).__name__ for layer in found.head] == ["Linear", "ReLU", "Linear"]
    assert found.logits.shape == (200, 2)


def test_standardisation_is_folded_into_the_first_layer(monkeypatch):
    """The module on raw features against the sums by NumPy on standardised ones."""
    monkeypatch.setattr("clearsight.train.hidden_head.STEPS", 100)
    parts, targets = rings()
    rows = np.arange(200)
    _, head = fit_hidden(parts, rows, targets, (5,), 1e-3, seed=0)
    features = StandardFeatures(parts, rows)
    first, last = head[0], head[2]
    weight = first.weight.detach().numpy() * features.std
    bias = first.bias.detach().numpy() + first.weight.detach().numpy() @ features.mean
    z = (parts[0] - features.mean) / features.std
    hidden = np.maximum(z @ weight.T + bias, 0)
    expected = hidden @ last.weight.detach().numpy().T + last.bias.detach().numpy()
    np.testing.assert_allclose(head(torch.from_numpy(parts[0])).detach().numpy(), expected, atol=1e-3)
    _, again = fit_hidden(parts, rows, targets, (5,), 1e-3, seed=0)
    assert torch.equal(again[0].weight, first.weight)


@pytest.mark.long
def test_a_head_with_hidden_layers_on_a_frozen_network(few_photos, tmp_path):
    run = cs.fit(few_photos, img_size=64, head_widths=(32, 16), out=tmp_path / "run")
    spec = run.model.predictor.network.spec["head"]
    assert (spec["kind"], spec["widths"]) == ("hidden", [32, 16])
    before = published_state("efficientnet_lite0")
    assert all(torch.equal(p, before[n]) for n, p in run.model.predictor.network.backbone.named_parameters())
    again = cs.load(tmp_path / "run")
    image = sorted((few_photos / "cat").glob("*"))[0]
    assert again.predict(image)[0].probability == run.model.predict(image)[0].probability


@pytest.mark.long
def test_hidden_layers_under_layers_that_move_over_two_views(few_photos, monkeypatch):
    """The validation logits are those that the network gives, over mirror images too."""
    views = ("as it is", "left-right")
    choose = probe.choose_head

    def averaged(parts, sets, *args, views=None, **kwargs):
        result = choose(parts, sets, *args, **kwargs)
        return probe.ProbeResult(
            **{**vars(result), "chosen": probe.Candidate(**{**vars(result.chosen), "views": VIEWS})}
        )

    VIEWS = views
    monkeypatch.setattr(probe, "choose_head", averaged)
    options = {"img_size": 64, "freeze": "lower", "head_widths": "16", "epochs": 1, "budget": "1h", "folds": 2}
    fitted = fit(read(few_photos), TrainConfig.from_options(**options))
    member = fitted.bundle.network.members[1].eval()
    assert member.views == views
    val_rows = fitted.prepared.split.folds[1][1]
    with torch.inference_mode():
        expected = softmax(member(torch.from_numpy(fitted.prepared.pixels.array[val_rows] / np.float32(255))).numpy())
    row_of = {int(image): row for row, image in enumerate(fitted.validation_indices)}
    found = softmax(fitted.val_logits[[row_of[int(image)] for image in val_rows]])
    np.testing.assert_allclose(found, expected, atol=2e-3)


@pytest.mark.parametrize(
    ("many", "similar"),
    [
        pytest.param(False, True, marks=pytest.mark.long),
        pytest.param(False, False, marks=pytest.mark.long),
        pytest.param(True, True, marks=pytest.mark.long),
        pytest.param(True, False, marks=pytest.mark.long),
    ],
)
def test_each_quadrant_follows_its_recipe(few_photos, monkeypatch, many, similar):
    monkeypatch.setattr(transfer, "_say_recipe", lambda context, frozen: (many, similar))
    fitted = fit(read(few_photos), TrainConfig.from_options(img_size=64, freeze="recipe", epochs=1, folds=2))
    network, before = fitted.bundle.network, published_state("efficientnet_lite0")
    moved = {n for n, p in network.backbone.named_parameters() if not torch.equal(p, before[n])}
    everything = {n for n, _ in network.backbone.named_parameters()}
    if not many:
        assert not moved
        if similar:  # a linear head on the last features
            assert network.spec["parts"] == [len(network.taps)]
            assert network.spec["head"]["kind"] == "softmax"
        else:  # on the depths that validate best
            assert network.spec["parts"] == list(max(fitted.candidates, key=lambda c: (c.accuracy, -c.log_loss)).parts)
    elif similar:  # from the top down: the blocks above the cut
        (cut,) = [d.choice.removeprefix("up to ") for d in fitted.decisions if d.what == "frozen"]
        fixed = set(up_to(headless("efficientnet_lite0", 3, 64, {}), cut, (3, 64, 64)))
        assert moved
        assert not moved & fixed
        assert "conv_stem.weight" in fixed
    else:
        assert moved == everything


@pytest.mark.parametrize(
    ("images", "last", "best", "expected"),
    [(999, 0.91, 0.92, (False, True)), (1000, 0.91, 0.92, (True, True)), (1000, 0.85, 0.92, (True, False))],
)
def test_the_quadrant_is_measured(images, last, best, expected):
    """By hand: of 200 images the standard error of 92 % is 1.9 points."""
    candidates = [Candidate(n, (0,), "softmax", {}, a, 1.0) for n, a in (("last features", last), ("all depths", best))]
    result = SimpleNamespace(candidates=candidates, chosen=candidates[1])
    frozen = SimpleNamespace(result=result, trained=SimpleNamespace(validation_indices=np.arange(200)))
    split = SimpleNamespace(train=np.arange(images))
    context = SimpleNamespace(data=SimpleNamespace(split=split), note=lambda *words: None)
    assert transfer._say_recipe(context, frozen) == expected
