"""An exported file, opened by its own engine, says what the model says; and nothing is kept that does not."""

import json
from functools import lru_cache

import numpy as np
import onnx
import onnxruntime
import openvino
import pytest
import torch

import clearsight as cs
from clearsight.bundle import Bundle
from clearsight.calibration.calibrator import Calibrator
from clearsight.console import Silent
from clearsight.data.geometry import Geometry
from clearsight.data.pixels import PixelFormat
from clearsight.data.sources.builtin import digits
from clearsight.errors import ConfigError, ExportError, ModelError, OutputError
from clearsight.exporting import parity as parity_module
from clearsight.exporting.int8 import quantise
from clearsight.exporting.parity import compare
from clearsight.exporting.runtime import Exported
from clearsight.models.network import Ensemble, from_spec
from clearsight.predictor import Predictor
from clearsight.runs.images import development
from clearsight.tasks import Classification

RGB = PixelFormat(3, 8)


def network(name, side=32, channels=3, classes=4, **model_args):
    """A network with random weights, its first layer normalising."""
    torch.manual_seed(0)
    spec = {
        "kind": "network", "name": name, "classes": classes, "img_size": side, "model_args": model_args,
        "input": {"mean": [0.4] * channels, "std": [0.2] * channels},
    }  # fmt: skip
    return from_spec(spec).eval()


def probe(head, **options):
    """Features of ResNet-8 at two depths, and a head whose every weight is drawn at random."""
    spec = {
        "kind": "probe", "name": "resnet8", "img_size": 32, "model_args": {}, "taps": ["layer2"], "parts": [0, 1],
        "input": {"mean": [0.4] * 3, "std": [0.2] * 3, "mode": "image"},
        "head": {"kind": head, "classes": 4, **({} if head == "forest" else {"features": 3 * 32 + 64}), **options},
    }  # fmt: skip
    torch.manual_seed(0)
    made = from_spec(spec).eval()
    for name, tensor in made.head.state_dict().items():
        if tensor.is_floating_point() and name != "std":
            tensor.copy_(torch.rand(tensor.shape) * 0.1)
    return made


def forest():
    """Stumps that ask whether a feature lies above 0.3."""
    made = probe("forest", trees=8, nodes=3, depth=1, values=4)
    head = made.head
    head.feature[:, 0] = torch.arange(8)
    head.threshold[:, 0] = 0.3
    head.below[:, 0] = torch.tensor([1, 2])
    head.below[:, 1:] = torch.tensor([[1, 1], [2, 2]])
    head.value.copy_(torch.rand(head.value.shape))
    return made


def neighbours():
    made = probe("neighbours", examples=12, k=3)
    made.head.labels.copy_(torch.arange(12) % 4)
    return made


KINDS = {
    "network": lambda: network("lenet5"),
    "timm": lambda: network("timm/mobilenetv3_small_050"),
    "transformer": lambda: network("timm/vit_tiny_patch16_224", side=32, depth=2),
    "ensemble": lambda: Ensemble.of([network("lenet5"), network("resnet8")], [1.0, 2.0]),
    "kernel head": lambda: probe("kernel", support=9, gamma=0.5),
    "intersection head": lambda: probe("kernel", support=9, gamma=0.0),
    "neighbours": neighbours,
    "forest": forest,
}


def bundle(made, form=RGB, geometry=None, classes=4):
    task = Classification(tuple(f"class {i}" for i in range(classes)), Calibrator.identity(classes, 1.7))
    return Bundle(made, task, form, geometry or Geometry(32, 32, "crop"))


def noise(n, form=RGB, height=32, width=32):
    top = 2**form.bits
    return np.random.default_rng(0).integers(0, top, (n, form.channels, height, width)).astype(form.dtype)


@lru_cache(maxsize=1)  # of the same file for images of several sizes
def compiled(path):
    return openvino.compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


def by_openvino(path, images):
    answer = compiled(path)([images])
    return answer["probabilities"], answer["logits"]


def by_onnx(path, images):
    return onnxruntime.InferenceSession(str(path)).run(["probabilities", "logits"], {"images": images})


@lru_cache(maxsize=1)
def loaded(path):
    return torch.export.load(str(path)).module()


def by_torch(path, images):
    return [t.numpy() for t in loaded(path)(torch.from_numpy(images))]


ENGINES = {"onnx": (".onnx", by_onnx), "openvino": (".xml", by_openvino), "torch": (".pt2", by_torch)}


class Listening:
    """A console that keeps what it is told."""

    def __init__(self):
        self.lines = []

    def stage(self, title, unit="images"):
        return lambda done, total: None

    def say(self, text, level="info"):
        self.lines.append(text)


SLOW = ("network", "timm", "intersection head")
"""Kinds whose parts the others have too, or the ensemble and images of 16 bits: in the long tier."""


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(k, marks=pytest.mark.long) if k in SLOW else k
        for k in KINDS
        if k not in ("ensemble", "kernel head")  # those are below
    ],
)
def test_every_kind_of_network_exports(kind, tmp_path):
    model, listening = Predictor(bundle(KINDS[kind]()), engine="torch"), Listening()
    written = cs.export(model, format="openvino", out=tmp_path / "model.xml", console=listening)
    assert written.parity is None
    assert any("not compared on real images" in text for text in listening.lines)
    for n in (1, 5):
        images = noise(n)
        probabilities, logits = by_openvino(tmp_path / "model.xml", images)
        assert np.abs(probabilities - model.predict_proba(images)).max() < 1e-4
        scale = np.exp(logits.astype(np.float64) / 1.7)
        assert np.abs(scale / scale.sum(1, keepdims=True) - probabilities).max() < 1e-5


@pytest.mark.parametrize(
    ("kind", "format"), [("ensemble", "torch"), pytest.param("kernel head", "onnx", marks=pytest.mark.long)]
)
def test_graphs_scale_images_of_any_size(kind, format, tmp_path):
    suffix, run = ENGINES[format]
    model = Predictor(bundle(KINDS[kind]()), engine="torch")
    cs.export(model, format=format, out=tmp_path / f"model{suffix}")
    for n, height, width in ((1, 32, 32), (3, 32, 32), (2, 75, 50), (1, 20, 61)):
        images = noise(n, RGB, height, width)
        found = run(tmp_path / f"model{suffix}", images)[0]
        assert np.abs(found - model.predict_proba(images)).max() < 1e-5


@pytest.mark.parametrize(
    "formats", [("openvino", "torch"), pytest.param(("onnx",), marks=pytest.mark.long)], ids="-".join
)
def test_16_bit_gray(tmp_path, formats):
    form = PixelFormat(1, 16)
    model = Predictor(bundle(network("lenet5", channels=1), form), engine="torch")
    images = noise(2, form, 32, 32)
    for format in formats:
        suffix, run = ENGINES[format]
        found = cs.export(model, format=format, out=tmp_path / f"model{suffix}", fixed_size=format == "onnx")
        assert found.card["input"]["dtype"] == "uint16"
        assert np.abs(run(tmp_path / f"model{suffix}", images)[0] - model.predict_proba(images)).max() < 1e-5
    if "torch" in formats:
        images.flags.writeable = False  # as arrays from Pillow and from memory maps are
        assert np.abs(Exported(tmp_path / "model.pt2")(images)[0] - model.predict_proba(images)).max() < 1e-5


@pytest.fixture(scope="module")
def written(digits_run, tmp_path_factory):
    """The digits as an ONNX file, compared on the whole test split."""
    return cs.export(digits_run, out=tmp_path_factory.mktemp("exported") / "digits.onnx", images=1000)


def test_a_run_is_compared_on_its_own_test_split(digits_run, written):
    """And every image of the data set here, by ONNX Runtime alone."""
    assert written.parity.images == written.parity.same_predictions == 450
    assert written.parity.largest < 1e-4
    images = digits(None).source.images[:, None]
    probabilities, _ = by_onnx(written.path, images)
    expected = cs.load(digits_run, engine="torch").predictor.predict_proba(images)
    assert np.abs(probabilities - expected).max() < 1e-4
    assert (probabilities.argmax(1) == expected.argmax(1)).all()


def test_the_file_describes_itself(digits_run, written):
    model = onnx.load(written.path)
    onnx.checker.check_model(model)
    about = {p.key: p.value for p in model.metadata_props}
    card = json.loads((written.path.parent / "card.json").read_text())
    assert json.loads(about["card"]) == card
    assert json.loads(about["classes"]) == [str(d) for d in range(10)] == card["classes"]
    assert float(about["temperature"]) == card["temperature"] == cs.load(digits_run).predictor.bundle.temperature
    assert about["clearsight"] == cs.__version__
    (images,) = model.graph.input
    assert images.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert [d.dim_value for d in images.type.tensor_type.shape.dim] == [0, 1, 0, 0]  # 0: open


@pytest.mark.long
def test_images_of_other_sizes_are_compared_too(photos, tmp_path):
    task = Classification(("cat", "coffee", "rocket", "space"), Calibrator.identity(4, 1.7))
    model = Predictor(Bundle(network("lenet5"), task, RGB, Geometry(32, 32, "crop")), engine="torch")
    found = cs.export(model, photos, format="torch", out=tmp_path / "m.pt2", images=8)
    assert found.own_size.images == 8  # 96x80 pixels against a working size of 32x32
    assert found.own_size.largest < 1e-4


def test_a_file_that_says_otherwise_is_not_kept(digits_run, tmp_path, monkeypatch):
    monkeypatch.setattr(parity_module, "BAR", -1.0)
    words = r"the file was deleted; found the same class for 8 of 8 images, and .* \(#\d+\)"
    with pytest.raises(ExportError, match=words):
        cs.export(digits_run, format="openvino", out=tmp_path / "m.xml", images=8)
    assert not list(tmp_path.iterdir())


def test_compare_names_the_worst_image():
    rng = np.random.default_rng(0)
    expected = rng.dirichlet(np.ones(4), 6)
    found, parts, names = expected.copy(), [np.zeros((n, 1)) for n in (2, 3, 1)], list("abcdef")

    def answers():
        rest = iter(np.split(found, [2, 5]))
        return lambda images: (next(rest), None)

    task = Classification(tuple("wxyz"))

    def compared():
        return compare(task, np.log(expected), answers(), parts, names)

    assert compared().largest == pytest.approx(0, abs=1e-12)
    found[3] += [0.25, 0.25, 0.25, 0.25]
    parity = compared()
    assert (parity.images, parity.same_predictions, parity.worst) == (6, 6, "d")
    assert parity.largest == pytest.approx(0.25)
    assert not parity.holds
    found[1] = expected[1][::-1]
    assert compared().same_predictions == 5
    found[5] = np.nan
    assert compared().worst == "f"


def test_int8_openvino_and_what_it_costs(digits_run, tmp_path):
    file = tmp_path / "int8.xml"  # a name like any other
    found = cs.export(digits_run, format="openvino", quantize="int8", out=file, images=8)
    q = found.int8
    model = openvino.Core().read_model(file)
    assert any(op.get_type_name() == "FakeQuantize" for op in model.get_ops())
    assert q.bytes_int8 < q.bytes / 2
    assert q.measure == "accuracy"
    assert q.lost == q.score - q.score_int8 <= 0.02
    assert q.pays == (q.rate_int8 >= 1.3 * q.rate and q.lost <= 0.01)
    images = digits(None).source.images[:200, None]
    expected = cs.load(digits_run).predictor.predict_proba(images)
    assert (by_openvino(file, images)[0].argmax(1) == expected.argmax(1)).mean() > 0.95


def test_int8_onnx(digits_run, written, tmp_path):
    data = development(digits_run)
    assert quantise(written.path, tmp_path / "m.onnx", data.train, Silent()) == 256
    model = onnx.load(tmp_path / "m.onnx")
    assert any(node.op_type == "QuantizeLinear" for node in model.graph.node)
    assert "card" in {p.key for p in model.metadata_props}
    images = digits(None).source.images[:200, None]
    expected = cs.load(digits_run).predictor.predict_proba(images)
    assert (by_onnx(tmp_path / "m.onnx", images)[0].argmax(1) == expected.argmax(1)).mean() > 0.95


def test_a_classical_model_says_what_to_do(tmp_path, digit_folders):
    run = cs.fit(digit_folders, model="hog+svm", out=str(tmp_path / "run"))
    with pytest.raises(ModelError, match=r"hog\+svm cannot be exported; found a classical model.*clearsight predict"):
        cs.export(run.predictor, out=tmp_path / "m.onnx")


def bundle_predictor():
    return Predictor(bundle(network("lenet5")), engine="torch")


def test_files_in_the_way(tmp_path):
    model = bundle_predictor()
    with pytest.raises(OutputError, match=r"is a folder; expected a file. Specify a file in it, such as model\.xml"):
        cs.export(model, format="openvino", out=tmp_path)
    with pytest.raises(ConfigError, match=r"wrong suffix; found \.onnx; expected \.xml"):
        cs.export(model, format="openvino", out=tmp_path / "m.onnx")
    with pytest.raises(OutputError, match=r"the folder .*nowhere does not exist"):
        cs.export(model, format="openvino", out=tmp_path / "nowhere" / "m.xml")
    (tmp_path / "run.py").write_text("print('mine')")
    with pytest.raises(OutputError, match=r"run\.py already exists"):
        cs.export(model, format="openvino", out=tmp_path / "m.xml")
    assert (tmp_path / "run.py").read_text() == "print('mine')"
    (tmp_path / "run.py").unlink()
    (tmp_path / "card.json").write_text('{"weights": "of another model"}')
    with pytest.raises(OutputError, match=r"card\.json already exists"):
        cs.export(model, format="openvino", out=tmp_path / "m.xml")
    assert [p.name for p in tmp_path.iterdir()] == ["card.json"]
