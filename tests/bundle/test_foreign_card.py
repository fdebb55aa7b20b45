"""A model may come from someone else: each value of its card and each tensor is checked, before memory is allocated."""

import json
import random
import resource
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

import clearsight as cs
from clearsight.bundle import Bundle
from clearsight.bundle.card import card_digest, file_digest
from clearsight.data.geometry import Geometry
from clearsight.data.pixels import PixelFormat
from clearsight.errors import BundleError, ClearsightError
from clearsight.models.network import from_spec
from clearsight.tasks import Classification

INPUT = {"mean": [0.5], "std": [0.5]}
IMAGES = np.random.default_rng(0).integers(0, 256, (4, 1, 8, 8), dtype=np.uint8)


def plain(name="linear", **model_args):
    return {
        "kind": "network", "name": name, "classes": 3, "img_size": 8, "model_args": model_args, "input": INPUT,
    }  # fmt: skip


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A small model with everything a card may contain but an OOD detector."""
    folder = tmp_path_factory.mktemp("small")
    task = Classification(("a", "b", "c")).calibrated(
        np.random.default_rng(1).normal(size=(60, 3)).astype(np.float32), np.arange(60) % 3
    )
    network = from_spec({"kind": "ensemble", "members": [plain(), plain("mlp", widths=[4])], "temperatures": [1.0, 2]})
    Bundle(network.eval(), task, PixelFormat(1, 8), Geometry(8, 8)).save(folder / "model")
    return folder


@pytest.fixture
def copied(small, tmp_path):
    return shutil.copytree(small, tmp_path / "run")


def rewrite(run, change=None, tensors=None, name="weights.safetensors"):
    """Change the card or the tensors, and make the digests fit again, as an attacker would."""
    card = json.loads((run / "model" / "card.json").read_text())
    if tensors:
        arrays = dict(load_file(run / "model" / name))
        tensors(arrays)
        save_file(arrays, run / "model" / name)
        card["files"][name] = file_digest(run / "model" / name)
    if change:
        change(card)
    card["digest"] = card_digest(json.loads(json.dumps(card, allow_nan=True))) if finite(card) else card["digest"]
    (run / "model" / "card.json").write_text(json.dumps(card))


def finite(card):
    try:
        json.dumps(card, allow_nan=False)
    except ValueError:
        return False
    return True


def refused(run):
    with pytest.raises(BundleError) as message:
        Bundle.load(run)
    assert "\n" not in str(message.value)
    return str(message.value)


CARDS = {
    "no temperature at all": (lambda c: c.update(temperature=0), "temperature is invalid; found 0; expected a finite"),
    "NaN": (lambda c: c.update(temperature=float("nan")), "a number in .*card.json is invalid; found NaN"),
    "negative": (lambda c: c.update(temperature=-1.0), "temperature is invalid; found -1.0"),
    "text": (lambda c: c.update(temperature="1"), "temperature is invalid"),
    "true": (lambda c: c.update(temperature=True), "temperature is invalid"),
    "member": (lambda c: c["network"].update(temperatures=[1, -2.0]), r"temperatures\[1\] is invalid; found -2.0"),
    "std": (lambda c: c["network"]["members"][0]["input"].update(std=[0.0]), r"std\[0\] is invalid; found 0.0"),
    "huge": (lambda c: c["network"]["members"][0]["input"].update(mean=[1e308]), r"mean\[0\] is invalid; found 1e"),
    "channels": (lambda c: c["network"]["members"][0]["input"].update(std=[0.5] * 2), "std is invalid; found 2 values"),
    "mode": (lambda c: c["network"]["members"][0]["input"].update(mode="x"), "mode is invalid; found x"),
    "resize": (lambda c: c["geometry"].update(resize_mode="x"), "resize_mode is invalid"),
    "side": (lambda c: c["geometry"].update(height=20_000), "height is invalid; found 20000; expected an integer from"),
    "img_size": (lambda c: c["network"]["members"][0].update(img_size=20_000), "img_size is invalid"),
    "bits": (lambda c: c["pixels"].update(bits=9), "bits is invalid; found 9"),
    "key": (lambda c: c["pixels"].update(more=9), "the unknown key 'more'"),
    "views": (lambda c: c["network"]["members"][0].update(views=["sideways"]), "views.* is invalid"),
    "twice": (lambda c: c.update(classes=["a", "b", "a"]), "classes is invalid; found 'a' more than once"),
    "surplus": (lambda c: c.update(classes=["a", "b", "c", "d"]), "3 values; expected 4 values"),
    "surplus without calibration": (
        lambda c: c.update(classes=["a", "b", "c", "d"], task_card=None), "found 4 outputs; expected 3"
    ),
    "too few": (lambda c: c.update(classes=["a"], task_card=None), "classes is invalid; found 1 output; expected 3"),
    "no class": (lambda c: c.update(classes=[]), "classes is invalid; found 0 values"),
    "task": (lambda c: c.update(task="guess"), "guess"),
    "scale": (lambda c: c["task_card"]["calibrator"].update(scale=[1, 1, -1]), r"scale\[2\] is invalid; found -1"),
    "method": (lambda c: c["task_card"]["calibrator"].update(method="x"), "method is invalid"),
    "largest": (lambda c: c["task_card"]["calibrator"].update(largest=0.01), "largest is invalid"),
    "scores": (lambda c: c["task_card"]["conformal"]["lac"].__setitem__(0, None), r"lac\[0\] is invalid"),
    "no card": (lambda c: c.pop("pixels"), "no pixels"),
    "format": (lambda c: c.update(format="2"), "format is invalid"),
    "network": (lambda c: c.update(network=[]), "network is invalid"),
}  # fmt: skip


@pytest.mark.parametrize("what", CARDS)
def test_values_of_a_card_are_checked(copied, what):
    change, text = CARDS[what]
    rewrite(copied, change)
    with pytest.raises(ClearsightError, match=text) as message:
        Bundle.load(copied)
    assert "\n" not in str(message.value)


def no_memory(call):
    """The result of a call, which may not take more than 300 MB of address space beyond what there is."""
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + 300 * 2**20, limits[1]))
    try:
        return call()
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


HUGE = {
    "width": lambda c: c["network"]["members"][1]["model_args"].update(widths=[100_000, 100_000]),
    "number of layers": lambda c: c["network"]["members"][1]["model_args"].update(widths=[1] * 100_000),
    "members": lambda c: c["network"].update(members=c["network"]["members"] * 2000, temperatures=[1.0] * 4000),
    "classes": lambda c: c["network"]["members"][0].update(classes=2**30),
    "side": lambda c: c["network"]["members"][0].update(img_size=4096),
    "giant": lambda c: c["network"]["members"].__setitem__(0, plain("timm/resnetv2_152x4_bit")),
    "deep": lambda c: c["network"]["members"].__setitem__(0, plain("timm/vit_tiny_patch16_224", depth=50_000)),
    "head": lambda c: c.update(
        network={
            "kind": "classical", "name": "pixels+knn", "options": {},
            "head": {"kind": "neighbours", "features": 10**5, "classes": 3, "examples": 10**6, "k": 1},
        }
    ),
    "grid": lambda c: c.update(
        network={"kind": "detector", "trunk": None, "taps": [], "grid": [4096, 4096], "keep": 0, "head": None}
    ),
    "words": lambda c: c.update(
        network={"kind": "classical", "name": "bow+svm", "options": {"words": 10**9}, "head": None}
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", HUGE)
def test_a_small_card_allocates_no_large_network(copied, what):
    rewrite(copied, HUGE[what])
    no_memory(lambda: refused(copied))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda t: t.update({k: np.full_like(v, np.nan) for k, v in t.items()}), "NaN in members"),
        (lambda t: t[min(t)].ravel().__setitem__(0, np.inf), "infinite numbers in members"),
        (lambda t: t.pop(min(t)), "does not contain the tensors.*in the network only"),
        (lambda t: t.update(more=np.zeros(3, np.float32)), "'more' in weights.safetensors only"),
        (lambda t: t.update({min(t): np.zeros((2, 2), np.float32)}), r"with shape \(2, 2\)"),
        (lambda t: t.update({min(t): t[min(t)].astype(np.float64)}), "type F64"),
    ],
)
def test_tensors_are_checked(copied, change, text):
    rewrite(copied, tensors=change)
    with pytest.raises(BundleError, match=text):
        Bundle.load(copied)


def test_outputs_that_overflow_are_an_error(copied):
    rewrite(copied, tensors=lambda t: t.update({k: np.full_like(v, 3e38) for k, v in t.items()}))
    with pytest.raises(BundleError, match="the outputs of the network are not finite"):
        cs.load(copied, engine="torch").predict(IMAGES)


def test_a_file_of_another_model_is_noticed(small, copied, tmp_path):
    other = shutil.copytree(small, tmp_path / "other")
    rewrite(other, tensors=lambda t: t.update({k: v + 1 for k, v in t.items()}))
    shutil.copy(other / "model" / "weights.safetensors", copied / "model" / "weights.safetensors")
    assert "does not match the content of weights.safetensors" in refused(copied)
    shutil.copy(other / "model" / "card.json", copied / "model" / "card.json")
    Bundle.load(copied)
    card = json.loads((copied / "model" / "card.json").read_text())
    (copied / "model" / "card.json").write_text(json.dumps({**card, "classes": ["b", "a", "c"]}))
    assert "does not match the content of card.json" in refused(copied)
    (copied / "model" / "card.json").write_text(json.dumps({**card, "scores": {"test": {"n": 3}}}))
    Bundle.load(copied)
    del card["digest"], card["files"]  # as of earlier versions
    (copied / "model" / "card.json").write_text(json.dumps(card))
    Bundle.load(copied)


def test_a_sparse_file_is_not_read(copied):
    for name, text in (("card.json", "is too large; found 60,000,000,000 bytes"), ("weights.safetensors", "damaged")):
        path = copied / "model" / name
        kept = path.read_bytes()
        with path.open("r+b") as stream:
            stream.truncate(60_000_000_000 if name == "card.json" else 2_000_000)
        assert text in refused(copied)
        path.write_bytes(kept)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda t: t["reference"].__setitem__(0, np.nan), "reference is invalid; found NaN or infinite numbers"),
        (lambda t: t.update(reference=t["reference"][::-1].copy()), "reference is invalid.*sorted numbers"),
        (lambda t: t.update(reference=t["reference"][:0]), "reference is invalid"),
        (lambda t: t["scale"].__setitem__(1, 0), "scale is invalid.*deviations above 0"),
        (lambda t: t.update({"features.k": np.array([10**6])}), "features is invalid"),
        (lambda t: t.update({"whitened.points": t["whitened.points"][:, 1:].copy()}), "whitened is invalid"),
        (lambda t: t.pop("features.axes"), "damaged model"),
        (lambda t: [t.pop(k) for k in list(t) if k.startswith("tail.")], "scores is invalid"),
    ],
)
def test_reference_values_of_the_ood_detector_are_checked(digits_run, tmp_path, change, text):
    shutil.copytree(digits_run / "model", tmp_path / "run" / "model")
    rewrite(tmp_path / "run", tensors=change, name="ood.safetensors")
    with pytest.raises(BundleError, match=text):
        Bundle.load(tmp_path / "run")


VALUES = [
    None, True, 0, -1, 1.5, -0.0, 1e308, 10**30, 2**63, float("nan"), float("inf"), "", "x", "\x00\n", "../../etc",
    [], {}, [[[]]], ["a"] * 3, {"kind": "network"}, "https://example.org/x", "a" * 5000,
]  # fmt: skip


def places(value, path=()):
    """The path of each value in nested lists and objects."""
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


def mutate(run, rng):
    """One random change of a model's files."""
    folder = run / "model"
    card_file, weights = folder / "card.json", folder / "weights.safetensors"
    kind = rng.choice(("value", "value", "remove", "add", "swap", "byte", "cut", "header"))
    if kind in ("byte", "cut", "header"):
        file = rng.choice((card_file, weights, weights))
        content = bytearray(file.read_bytes())
        if kind == "cut":
            content = content[: rng.randrange(len(content))]
        elif kind == "header" and file == weights:
            content[:8] = struct.pack("<Q", rng.choice((0, 1, 7, len(content), 2**40, 2**64 - 1)))
        else:
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        file.write_bytes(content)
        return kind, file.name
    card = json.loads(card_file.read_text())
    # a value of a large list is as good as any other: it is enough that some are changed
    path = rng.choice([p for p in places(card) if p and not (isinstance(p[-1], int) and p[-1] > 2)])
    parent = card
    for key in path[:-1]:
        parent = parent[key]
    value = rng.choice(VALUES)
    if kind == "remove":
        del parent[path[-1]]
    elif kind == "add" and isinstance(parent, dict):
        parent[rng.choice(("pretrained", "checkpoint_path", "x", "kind", "views"))] = value
    elif kind == "swap":
        parent[path[-1]] = [parent[path[-1]]] * rng.choice((0, 2, 300))
    else:
        parent[path[-1]] = value
    if finite(card) and rng.random() < 0.8:
        card["digest"] = card_digest(card)  # as an attacker would
    card_file.write_text(json.dumps(card))
    return kind, path, repr(value)[:40]


def attack(small, tmp_path, count, seed):
    """Change a model in many ways. Each must load and give finite probabilities, or be refused by one error."""
    rng = random.Random(seed)
    loaded, lines = 0, set()
    run = tmp_path / "run"
    for _ in range(count):
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(small, run)
        what = mutate(run, rng)
        try:
            predictor = cs.load(run, engine="torch").predictor
        except ClearsightError as error:
            lines.add(str(error).count("\n"))
            continue
        except Exception as error:
            raise AssertionError(f"{what} raised {error!r}") from error
        loaded += 1
        try:
            found = predictor.predict_proba(np.zeros((1, *predictor.shape), predictor.bundle.form.dtype))
        except BundleError as error:
            lines.add(str(error).count("\n"))
            continue
        assert np.isfinite(found).all(), what
        assert len(predictor.predict(np.zeros((1, *predictor.shape), predictor.bundle.form.dtype))) == 1
    assert lines <= {0}
    return loaded


def test_a_changed_model_loads_or_is_refused(small, tmp_path):
    assert attack(small, tmp_path, 250, 0) < 200


@pytest.mark.long
def test_two_thousand_changed_models_load_or_are_refused(small, tmp_path, record_property):
    record_property("loaded", attack(small, tmp_path, 2000, 1))


@pytest.mark.parametrize("seed", range(2))
def test_damage_is_detected(small, tmp_path, seed):
    """One byte changed, or the end missing: nothing else predicts."""
    expected = cs.load(small, engine="torch").predictor.predict_proba(IMAGES)
    rng = random.Random(seed)
    run = shutil.copytree(small, tmp_path / "run")
    for _ in range(40):
        file = run / "model" / rng.choice(("card.json", "weights.safetensors"))
        kept = file.read_bytes()
        changed = bytearray(kept)
        changed[rng.randrange(len(kept))] ^= 1 << rng.randrange(8)
        file.write_bytes(changed if rng.random() < 0.7 else kept[: rng.randrange(len(kept))])
        try:
            found = cs.load(run, engine="torch").predictor.predict_proba(IMAGES)
        except ClearsightError:
            pass
        else:
            np.testing.assert_array_equal(found, expected)
        file.write_bytes(kept)


def test_the_construction_without_memory_leaves_no_hooks(copied):
    Bundle.load(copied)
    assert not torch.nn.modules.module._global_module_registration_hooks
    assert not torch.nn.modules.module._global_parameter_registration_hooks
