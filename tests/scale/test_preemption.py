"""A scheduler ends the job and starts it again: the results are those of a run that nobody disturbed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file

from clearsight import preemption
from clearsight.cli.main import main
from clearsight.train.checkpoint import Checkpoint

SBATCH = Path(__file__).parents[2] / "docs" / "deploy" / "train.sbatch"

TRAIN = ["train", "digits", "--model", "mlp", "--epochs", "4", "--seed", "3"]


def weights(folder):
    return load_file(folder / "model" / "weights.safetensors")


def test_a_signal_ends_training_with_a_checkpoint(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([*TRAIN, "--out", "whole"]) == 0
    out = tmp_path / "ended"
    signals = iter([signal.SIGTERM, signal.SIGUSR1])

    def ends(self):
        if len(list(out.glob("*.sent"))) == any((out / "checkpoints").glob("*.pt")):
            sent = next(signals, None)
            if sent is not None:
                (out / f"{sent}.sent").touch()
                os.kill(os.getpid(), sent)
        return False

    monkeypatch.setattr(Checkpoint, "due", ends)
    assert main([*TRAIN, "--out", "ended", "--resume"]) == preemption.REQUEUE  # --resume of a fresh run: no effect
    assert "--resume" in capsys.readouterr().err
    assert list((out / "checkpoints").glob("*.pt"))
    assert main([*TRAIN, "--out", "ended", "--resume"]) == preemption.REQUEUE
    assert main([*TRAIN, "--out", "ended", "--resume"]) == 0
    for name, tensor in weights(tmp_path / "whole").items():
        np.testing.assert_array_equal(weights(out)[name], tensor)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_signal_ends_prediction_at_once(digits_run, tmp_path, monkeypatch, capsys):
    from clearsight import scale

    command = ["predict", str(digits_run), "digits", "--part-size", "500", "--resume", "--out"]
    scale.predict(str(digits_run), "digits", out=tmp_path / "whole", part_size=500)
    from clearsight.scale.record import Record

    add = Record.add

    def adds(self, *rest):
        add(self, *rest)
        if len(self.parts) == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Record, "add", adds)
    assert main([*command, str(tmp_path / "out")]) == preemption.REQUEUE
    monkeypatch.setattr(Record, "add", add)
    assert main([*command, str(tmp_path / "out")]) == 0
    for part in (tmp_path / "whole").glob("part-*"):
        assert (tmp_path / "out" / part.name).read_bytes() == part.read_bytes()


def test_signals_wait_inside_a_block():
    done = []

    def block():
        with preemption.handled(), preemption.deferred():
            os.kill(os.getpid(), signal.SIGUSR1)
            done.append(preemption.requested())

    with pytest.raises(preemption.Preempted):
        block()
    assert done == [True]


def test_the_kubernetes_job_restarts_what_was_evicted():
    job = yaml.safe_load((SBATCH.parent / "predict-job.yaml").read_text())
    ignored, _, failed = job["spec"]["podFailurePolicy"]["rules"]
    assert ignored["onExitCodes"]["values"] == [preemption.REQUEUE]
    assert failed["onExitCodes"]["values"] == [2]
    assert "--resume" in job["spec"]["template"]["spec"]["containers"][0]["command"]


@pytest.mark.long
def test_slurm_requeues_until_the_run_is_complete(tmp_path):
    """The file of the docs, with programs of these names for those of SLURM."""
    programs = tmp_path / "bin"
    programs.mkdir()
    arguments = "--model resnet8 --epochs 40 --augment none"
    (programs / "clearsight").write_text(f'#!/bin/sh\nexec {sys.executable} -m clearsight "$@" {arguments}\n')
    (programs / "scontrol").write_text('#!/bin/sh\necho "$@" >> "$REQUESTS"\n')
    for program in programs.iterdir():
        program.chmod(0o755)
    requests = tmp_path / "requests"
    environment = {
        **os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "DATA": "digits", "SLURM_JOB_ID": "7",
        "REQUESTS": str(requests), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    subprocess.run(["bash", SBATCH], env={**environment, "OUT": str(tmp_path / "whole")}, check=True)
    out, starts = tmp_path / "out", 0
    while not (out / "metrics.json").exists() and starts < 10:
        starts += 1
        job = subprocess.Popen(["bash", SBATCH], env={**environment, "OUT": str(out)}, start_new_session=True)
        while job.poll() is None and not list(out.glob("checkpoints/*.pt")):
            time.sleep(0.1)
        time.sleep(1)
        if starts < 4 and job.poll() is None:
            job.send_signal(signal.SIGUSR1)
        assert job.wait() == 0
    assert requests.read_text().splitlines() == ["requeue 7"] * (starts - 1)
    assert starts > 1
    for name, tensor in weights(tmp_path / "whole").items():
        np.testing.assert_array_equal(weights(out)[name], tensor)
    assert json.loads((out / "metrics.json").read_text())["test"]["accuracy"] > 0.5
