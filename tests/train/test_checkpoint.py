"""State on disk: whole, the same after a kill, and refused where it does not belong."""

import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from clearsight.errors import CheckpointError, OutputError
from clearsight.models.network import Network
from clearsight.tasks import Classification
from clearsight.train.checkpoint import Checkpoint
from clearsight.train.config import TrainConfig
from clearsight.train.loop import Examples, train_network
from clearsight.train.resolve import resolve

SPEC = {
    "kind": "network",
    "name": "resnet8",
    "classes": 10,
    "img_size": 8,
    "model_args": {"width": 8, "dropout": 0.1},
    "input": {"mean": [0.3], "std": [0.37], "mode": "fixed"},
}


class KilledError(Exception):
    pass


def train(digits_arrays, path, *, stop_after=None, **changes):
    """Train with a checkpoint after every step; stop_after: raise behind that step, as a kill would."""
    pixels, labels = digits_arrays
    torch.manual_seed(0)
    network = Network(SPEC)
    data = Examples(
        pixels,
        labels,
        np.ones(len(labels), np.float32),
        np.arange(300),
        np.arange(600, 700),
        Classification(tuple("0123456789")),
    )
    options = {"epochs": 3, "batch_size": 32, "augment": "light", "ema": 0.9, **changes}
    lines = []

    def on_step(done, total):
        if done == stop_after:
            raise KilledError

    checkpoint = Checkpoint(path, "same", every=0) if path else None
    groups = [{"params": list(network.parameters()), "lr": 5e-3}]
    config = resolve(TrainConfig().with_options(**options, seed=3, device="cpu"))
    found = train_network(network, data, config, groups, checkpoint=checkpoint, on_step=on_step, on_epoch=lines.append)
    return network, found, lines


@pytest.mark.parametrize(
    "changes",
    [
        {},
        pytest.param({"opt": "momentum", "sched": "plateau", "patience": 3}, marks=pytest.mark.long),
        {"accumulate": 2, "val_every": 3, "mixup": 0.2, "opt": "adabelief"},
        {"opt": "armijo", "ema": None},
    ],
)
def test_a_run_stopped_anywhere_goes_on_to_the_same_bits(digits_arrays, tmp_path, changes):
    whole, found, _ = train(digits_arrays, None, **changes)
    total = found.history[-1].steps
    for stop in (7,) if changes else (1, 7, total - 1, total):
        path = tmp_path / f"{stop}.pt"
        with pytest.raises(KilledError):
            train(digits_arrays, path, stop_after=stop, **changes)
        resumed, again, lines = train(digits_arrays, path, **changes)
        for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
            assert torch.equal(a, b)
        assert [e.val_loss for e in again.history] == [e.val_loss for e in found.history]
        assert lines == list(again.history)


@pytest.mark.long
def test_a_killed_process_resumes_to_the_same_bits(tmp_path):
    """The command itself, killed without warning, against one that was left alone."""
    command = [
        sys.executable,
        "-m",
        "clearsight.cli.main",
        "train",
        "digits",
        "--epochs",
        "6",
        "--checkpoint-every",
        "0.2",
        "--out",
    ]
    alone = subprocess.run([*command, str(tmp_path / "alone")], capture_output=True, text=True)
    assert alone.returncode == 0, alone.stderr
    killed = tmp_path / "killed"
    process = subprocess.Popen([*command, str(killed)], stderr=subprocess.DEVNULL)
    while not (killed / "checkpoints" / "training.pt").exists():
        time.sleep(0.02)
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    refused = subprocess.run([*command, str(killed)], capture_output=True, text=True)
    assert "contains an unfinished run" in refused.stderr
    changed = subprocess.run([*command, str(killed), "--resume", "--lr", "0.1"], capture_output=True, text=True)
    assert "--lr was None and is now 0.1" in changed.stderr
    done = subprocess.run([*command[:5], "--out", str(killed), "--resume"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    weights = "model/weights.safetensors"
    assert (tmp_path / "alone" / weights).read_bytes() == (killed / weights).read_bytes()
    assert not (killed / "checkpoints").exists()
    assert (killed / "history.csv").read_text().count("\n") == 7
    again = subprocess.run([*command[:5], "--out", str(killed), "--resume"], capture_output=True, text=True)
    assert "a finished run" in again.stderr


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "state.pt"
    Checkpoint(path, "a").save(step=3)
    assert Checkpoint(path, "a").load() == {"step": 3}
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for damaged in (whole[: len(whole) // 2], bytes(flipped), b"", b"\0" * 100):
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"cannot be read; found a damaged or truncated file of [\d,]+ bytes"):
            Checkpoint(path, "a").load()


def test_a_state_of_another_run_is_refused(tmp_path):
    path = tmp_path / "state.pt"
    Checkpoint(path, "a").save(step=3)
    with pytest.raises(CheckpointError, match="was written by a run with different data"):
        Checkpoint(path, "b").load()


def test_the_last_good_one_survives_a_full_disk(tmp_path, monkeypatch):
    path = tmp_path / "state.pt"
    saved = Checkpoint(path, "a")
    saved.save(step=3)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="with --resume"):
        saved.save(step=4)
    monkeypatch.undo()
    assert Checkpoint(path, "a").load() == {"step": 3}
    assert list(tmp_path.iterdir()) == [path]


def test_saving_slows_nothing_down_by_more_than_its_share(tmp_path, monkeypatch):
    saved = Checkpoint(tmp_path / "state.pt", "a", every=0)
    clock = iter([100.0, 101.0, 110.0, 121.5])
    own = SimpleNamespace(monotonic=lambda: next(clock))  # other threads read the real clock
    monkeypatch.setattr("clearsight.train.checkpoint.time", own)
    saved.save(step=1)  # takes from 100 to 101: with 5 %, the next is due at 121
    assert not saved.due()
    assert saved.due()
