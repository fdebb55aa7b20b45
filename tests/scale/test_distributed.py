"""Two processes on one machine against one: the same curve, and a clear end when one of them dies."""

import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from clearsight.data.content_order import by_content
from clearsight.data.dataset import Files
from clearsight.data.geometry import Geometry
from clearsight.data.prepare import prepare
from clearsight.data.ranks import share, shared_by
from clearsight.data.scan import scan
from clearsight.tasks import read

IMPORTS = """
import json, os, sys
import numpy as np, torch
from clearsight.models.network import Network
from clearsight.distributed import processes
from clearsight.tasks import Classification, read
from clearsight.train.config import TrainConfig
from clearsight.train.loop import Examples, train_network
from clearsight.train.resolve import resolve
from clearsight.errors import ClearsightError

"""

SCRIPT = """
found = read("digits")
pixels, labels = np.asarray(found.source.images)[:, None], found.labels
name, precision = os.environ["NETWORK"].split()
spec = {"kind": "network", "name": name, "classes": 10, "img_size": 8,
        "model_args": {"width": 8} if name == "resnet8" else {}, "input": {"mean": [0.3], "std": [0.37], "mode":
        "fixed"}}
torch.manual_seed(0)
network = Network(spec).to(getattr(torch, precision))
network.register_parameter("unused", torch.nn.Parameter(torch.ones(3, dtype=getattr(torch, precision))))
weights = np.linspace(0.5, 1, len(labels), dtype=np.float32)
seen, unseen = np.arange(int(os.environ["IMAGES"])), np.arange(700, 800)
data = Examples(pixels, labels, weights, seen, unseen, Classification(tuple("0123456789")))
losses = []
class Look:
    def start(self, network, groups): pass
    def before_forward(self, number):
        if os.environ.get("DIE") == os.environ.get("RANK") and number == 20: os._exit(9)
    def after_backward(self, step):
        assert step.batch == 32 == len(step.images) * world.size
        losses.append(step.loss)
    def after_update(self, step): pass
    def after_epoch(self, epoch): losses.append(epoch.val_loss)
options = {"batch_size": 32, "accumulate": 2, "l1": 1e-5, "opt": "momentum", "weight_decay": 0.05}
options["epochs"] = int(os.environ["EPOCHS"])
config = resolve(TrainConfig().with_options(**options, device="cpu"))
groups = [{"params": list(network.parameters()), "lr": 0.05}]
try:
    with processes() as world, world.sync_batchnorm(network):
        train_network(network, data, config, groups, observer=Look(), world=world)
except ClearsightError as error:
    print(error, file=sys.stderr)
    sys.exit(2)
print(json.dumps(losses))
"""


FORK = """
import torch._dynamo  # which every optimiser imports
for name, rank, size in (("alone", 0, 1), ("first", 0, 2), ("second", 1, 2)):
    if os.fork() == 0:
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size)}
        sys.stdout = open(name, "w")
        break
else:
    sys.exit(max(os.waitstatus_to_exitcode(os.wait()[1]) != 0 for _ in range(3)))
"""
"""A process by itself and two that are a world, which share what they import: that takes longer than the training."""


def started(script, port, cwd=None, **extra):
    environment = {
        **os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1",
        "NETWORK": "resnet8 float64", "EPOCHS": "5", "IMAGES": "640", **extra,
    }  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-c", script], env=environment, cwd=cwd,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def start(rank, size, port, **extra):
    places = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size)}
    return started(IMPORTS + SCRIPT, port, **places, **extra)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.mark.parametrize(
    ("network", "epochs", "images", "left"),
    [
        ("resnet8 float64", 1, 256, 0.98),
        pytest.param("resnet8 float64", 5, 640, 0.5, marks=pytest.mark.long),
        pytest.param("mlp float32", 5, 640, 0.5, marks=pytest.mark.long),
    ],
)
def test_two_processes_equal_one(network, epochs, images, left, tmp_path):
    """Steps on two batches of 32 with batch normalisation, accumulated gradients, weights and L1: losses within 1e-4.

    Training amplifies rounding, which depends on the order of a sum, so batch normalisation is compared in float64.
    """
    how = {"NETWORK": network, "EPOCHS": str(epochs), "IMAGES": str(images)}
    process = started(IMPORTS + FORK + SCRIPT, free_port(), cwd=tmp_path, **how)
    _, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    answers = [json.loads((tmp_path / name).read_text().splitlines()[-1]) for name in ("alone", "first", "second")]
    one, first, second = (np.array(a) for a in answers)
    assert len(one) == (images // 64 + 1) * epochs
    assert first.tolist() == second.tolist()
    np.testing.assert_allclose(first, one, atol=1e-4)
    assert one[-1] < left * one[0]  # it did learn


@pytest.mark.long
def test_when_one_dies_the_other_says_so():
    port = free_port()
    pair = [start(rank, 2, port, DIE="1") for rank in range(2)]
    _, err = pair[0].communicate(timeout=240)
    pair[1].communicate()
    assert pair[0].returncode == 2
    assert "process 0 of 2 lost the connection to another process" in err
    assert "--resume" in err


@pytest.mark.long
@pytest.mark.parametrize("options", [
    "--freeze lower --epochs 1", "--freeze none --epochs 1", "--budget 60s", "", "--model hog+svm",
    "--model resnet8 --epochs 2", "--task anomaly", "--model resnet8 --epochs 2 --accumulate 2 --ema 0.9",
])  # fmt: skip
def test_every_strategy_trains_under_torchrun(tmp_path, photos, options):
    out = tmp_path / "run"
    done = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(free_port()),
            "-m", "clearsight.cli.main", "train", str(photos), "--out", str(out), *options.split(),
        ],
        capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (out / "model" / "card.json").exists()


@pytest.mark.long
def test_the_command_runs_under_torchrun(tmp_path):
    out = tmp_path / "run"
    done = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(free_port()),
            "-m", "clearsight.cli.main", "train", "digits", "--epochs", "4", "--augment", "none", "--out", str(out),
        ],
        capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["test"]["accuracy"] > 0.5, "of ten classes"
    assert done.stdout.count("right on") == 1


def test_whole_batch_norm_alone_is_pytorchs():
    """In one process, through the same code: outputs, gradients and running statistics."""
    from torch import distributed, nn

    from clearsight.distributed import WholeBatchNorm

    distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{free_port()}", rank=0, world_size=1)
    try:
        theirs, ours = nn.BatchNorm2d(3).double(), nn.BatchNorm2d(3).double()
        ours.__class__ = WholeBatchNorm
        x = torch.randn(6, 3, 5, 5, dtype=torch.float64)
        a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
        theirs(a).pow(3).sum().backward()
        ours(b).pow(3).sum().backward()
        torch.testing.assert_close(a.grad, b.grad, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(theirs.running_mean, ours.running_mean, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(theirs.running_var, ours.running_var, atol=1e-6, rtol=1e-5)
    finally:
        distributed.destroy_process_group()


class Threads:
    """Two threads as two processes."""

    def __init__(self, rank, barrier, values):
        self.rank, self.size, self.barrier, self.values = rank, 2, barrier, values

    def gather(self, value):
        self.values[self.rank] = value
        self.barrier.wait()
        found = list(self.values)
        self.barrier.wait()
        return found

    def broadcast(self, value):
        return self.gather(value)[0]


def in_two(work):
    """What two threads give that share the work."""
    barrier, values, found = threading.Barrier(2, timeout=60), [None, None], [None, None]

    def run(rank):
        try:
            with shared_by(Threads(rank, barrier, values)):
                found[rank] = work()
        except BaseException:
            barrier.abort()
            raise

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_processes_read_and_decode_each_image_once(digit_folders, monkeypatch):
    dataset = read(str(digit_folders))
    read_, decoded = [], []
    inspect, decode = Files.inspect, Files.decode
    monkeypatch.setattr(Files, "inspect", lambda self, i: (read_.append(i), inspect(self, i))[1])
    monkeypatch.setattr(
        Files, "decode", lambda self, i, *rest: (decoded.append(self.name(i)), decode(self, i, *rest))[1]
    )

    def prepared():
        scanned = scan(dataset)
        ordered, ordered_scan = by_content(dataset, scanned, Geometry(8, 8))
        return prepare(ordered, ordered_scan, Geometry(8, 8), seed=0)

    first, second = in_two(prepared)
    assert sorted(read_) == list(range(len(dataset)))
    assert len(decoded) == len(set(decoded)) == len(dataset)
    monkeypatch.setenv("CLEARSIGHT_CACHE", os.environ["CLEARSIGHT_CACHE"] + "-alone")
    alone = prepared()
    for one in (first, second):
        assert one.pixels.contents == alone.pixels.contents
        np.testing.assert_array_equal(one.pixels.array, alone.pixels.array)
        np.testing.assert_array_equal(one.split.test, alone.split.test)
        assert one.audit.findings == alone.audit.findings


def test_features_are_those_of_one_process(monkeypatch, noise):
    from clearsight.data.store import Recipe, rows_of

    computed = []

    def compute(missing):
        for i in missing.tolist():
            computed.append(i)
            yield (np.full(3, i, np.float32),), ""

    recipe = Recipe("features", "test", lambda: (("part0", (3,), np.dtype(np.float32)),), compute)
    keys = [f"{i:032x}" for i in range(50)]
    stored = Path(os.environ["CLEARSIGHT_CACHE"]) / "features"
    before = set(stored.glob("*/rows.json"))
    first, second = in_two(lambda: rows_of(recipe, keys).arrays["part0"])
    assert sorted(computed) == list(range(50))
    assert first[:, 0].tolist() == second[:, 0].tolist() == list(range(50))
    in_two(lambda: rows_of(recipe, [*keys, "f" * 32]))
    assert computed[50:] == [50]
    assert len(set(stored.glob("*/rows.json")) - before) == 2


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("images", [0, 1, 15, 16, 100, 1000])
def test_each_image_is_in_one_share(images, size):
    shares = [share(images, rank, size) for rank in range(size)]
    assert np.concatenate(shares).tolist() == list(range(images))
    assert all(s[0] % 16 == 0 for s in shares if len(s))


@pytest.mark.parametrize(("rank", "expected"), [(0, [5, 7, 9]), (1, [6, 8])])
def test_shares_are_disjoint(rank, expected):
    from clearsight.distributed import World

    assert World(rank, 2).share(np.arange(5, 10)).tolist() == expected
