"""What a GPU computes is what a CPU computes, up to rounding. These run where there is a GPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import clearsight as cs
from clearsight.attacks.gradient import pgd
from clearsight.console import Silent
from clearsight.data.augment import CHANGES, WARPS, augment
from clearsight.data.loader import Images, to_float
from clearsight.explanation import METHODS, Settings, explain
from clearsight.models.execution import TorchEngine
from clearsight.models.zoo import build_model, entry, model_names
from clearsight.predictor import Predictor
from clearsight.tasks import Classification
from clearsight.train.config import TrainConfig
from clearsight.train.loop import Examples, train_network
from clearsight.train.resolve import resolve

if not torch.cuda.is_available():
    pytest.skip("there is no GPU", allow_module_level=True)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> cs.Run:
    return cs.fit("digits", device="cuda", out=str(tmp_path_factory.mktemp("gpu")), epochs=6)


def both(run: cs.Run) -> tuple[Predictor, Predictor]:
    return Predictor(run.predictor.bundle, device="cpu", engine="torch"), Predictor(run.predictor.bundle, device="cuda")


def digits(count: int = 40) -> np.ndarray:
    from sklearn.datasets import load_digits

    return (load_digits().images[:count] * 15.9).astype(np.uint8)


def test_digits_are_learned(run: cs.Run) -> None:
    assert run.metrics["test"]["accuracy"] > 0.95
    assert run.predictor.device == "cuda"
    assert next(run.predictor.network.parameters()).device.type == "cpu"


def test_the_same_probabilities(run: cs.Run) -> None:
    cpu, gpu = both(run)
    assert np.abs(cpu.predict_proba(digits()) - gpu.predict_proba(digits())).max() < 1e-5
    assert np.array_equal(gpu.logits(digits()), gpu.logits(digits()))


def test_the_folder_answers_without_a_gpu(run: cs.Run) -> None:
    again = cs.load(run.folder, device="cpu").predictor
    assert np.abs(again.predict_proba(digits()) - run.predictor.predict_proba(digits())).max() < 1e-5


@pytest.mark.parametrize("method", METHODS)
def test_the_same_heatmaps(run: cs.Run, method: str) -> None:
    settings = Settings(samples=20)
    cpu, gpu = (next(explain(p, digits(1), method=method, settings=settings)) for p in both(run))
    assert np.abs(cpu.heat - gpu.heat).max() < 1e-2 * np.abs(cpu.heat).max()
    assert gpu.engine_difference is None or gpu.engine_difference < 1e-2


def test_the_same_attack(run: cs.Run) -> None:
    cpu, gpu = both(run)
    x, labels = torch.from_numpy(np.concatenate(list(cpu.pixels(digits())))), torch.arange(40) % 10
    here = pgd(cpu.differentiable, x, labels, 0.1)
    there = pgd(gpu.differentiable, x.cuda(), labels.cuda(), 0.1).cpu()
    assert (cpu.predict_proba(here.numpy()).argmax(1) == cpu.predict_proba(there.numpy()).argmax(1)).mean() > 0.9


@pytest.mark.parametrize("policy", [p for p in {**WARPS, **CHANGES} if "noise" not in p and p != "rand"])
def test_the_same_changes_to_images(policy: str) -> None:
    images = torch.rand(8, 3, 24, 20, generator=torch.Generator().manual_seed(0))
    here = augment(images, policy, torch.Generator().manual_seed(1))
    there = augment(images.cuda(), policy, torch.Generator().manual_seed(1)).cpu()
    assert (here - there).abs().max() < 1e-4


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_images_held_or_sent(dtype: type) -> None:
    top = 1 if dtype is np.float32 else np.iinfo(dtype).max
    pixels = (np.random.default_rng(0).random((20, 3, 8, 8)) * top).astype(dtype)
    rows = np.array([3, 1, 19])
    found = Images(pixels, "cuda")[rows]
    assert found.device.type == "cuda"
    assert torch.allclose(found.cpu(), to_float(pixels[rows]))


def trained(device: str, **options: object) -> tuple[torch.nn.Module, float]:
    """A small network after 30 steps, and its last loss."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 16, 3, padding=1, bias=False), torch.nn.BatchNorm2d(16), torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten(), torch.nn.Linear(64, 10),
    )  # fmt: skip
    labels = np.arange(256) % 10
    pixels = np.zeros((256, 1, 12, 12), np.uint8)
    pixels[np.arange(256), 0, labels, :] = 255
    rows = np.arange(256)
    data = Examples(
        pixels, labels, np.ones(256, np.float32), rows[:200], rows[200:], Classification(tuple("0123456789"))
    )
    options = {"epochs": 10, "batch_size": 64, "augment": "mirror", "device": device, **options}
    config = resolve(TrainConfig().with_options(**options))
    groups = [{"params": list(network.parameters()), "lr": 5e-3}]
    done = train_network(network, data, config, groups)
    return network, done.history[-1].val_loss


@pytest.mark.parametrize(
    "options",
    [
        {}, {"opt": "muon"}, {"opt": "momentum", "accumulate": 2}, {"ema": 0.9}, {"label_smoothing": 0.1, "mixup": 0.2},
        {"cutmix": 1.0}, {"class_weight": "balanced"}, {"l1": 1e-4}, {"max_norm": 2.0}, {"opt": "lars"},
        {"adversarial": "pgd", "adversarial_steps": 2}, {"opt": "armijo"}, {"opt": "lbfgs", "weight_decay": 0.0},
        {"loss": "hinge"},
    ],
    ids=str,
)  # fmt: skip
def test_the_same_training(options: dict) -> None:
    (_, here), (network, there) = trained("cpu", **options), trained("cuda", **options)
    assert next(network.parameters()).device.type == "cpu"
    assert abs(here - there) < 0.05 * max(here, 0.1)


@pytest.mark.parametrize("amp", ["bf16", "fp16"])
def test_half_precision_learns(amp: str) -> None:
    assert trained("cuda", amp=amp)[1] < 1.5 * trained("cuda")[1] + 0.1


@pytest.mark.parametrize("name", model_names())
def test_every_network(name: str) -> None:
    """The same answers, and gradients that are numbers."""
    side = max(64, entry(name).min_size)
    torch.manual_seed(0)
    network = build_model(name, classes=10, img_size=side)
    norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    x = torch.rand(4, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        network.train()(x)  # running statistics, without which deep networks grow with every block
        here = network.eval()(x)
    ((there,),) = TorchEngine(network, "cuda").stream([x.numpy()])
    assert np.abs(here.numpy() - there).max() < 2e-3 * max(1.0, float(here.abs().max()))
    network.cuda().train()
    network(x.cuda()).square().mean().backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)


def test_many_small_images_get_a_wider_network(monkeypatch: pytest.MonkeyPatch) -> None:
    from clearsight.train import recipe

    monkeypatch.setattr(recipe, "MANY_SMALL", 1000)
    assert widths("cuda") == {"width": 64}
    assert widths("cpu") == {"width": 32, "patch": 2}


def widths(device: str) -> dict:
    from clearsight.tasks import read
    from clearsight.train.config import TrainConfig
    from clearsight.train.recipe import planned

    images = np.random.default_rng(0).integers(0, 256, (1000, 28, 28), np.uint8)
    data = read((images, np.arange(1000) % 4))
    return planned(data, TrainConfig.from_options(device=device), Silent())[1].model_args
