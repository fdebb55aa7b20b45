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

SBATCH = Path(__file__).parents[2] / "docs" / "deploy" / "train.sbatch"

TRAIN = ["train", "digits", "--model", "mlp", "--epochs", "4", "--seed", "3"]


def weights(folder):
    return load_file(folder / "model" / "weights.safetensors")


def in_a_process_of_its_own(script, folder):
    """Run a script, as a signal that nothing handles would end the tests."""
    done = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    return done


def test_a_signal_ends_training_with_a_checkpoint(tmp_path):
    script = f"""
import os, signal
from pathlib import Path
from clearsight.cli.main import main
from clearsight.preemption import REQUEUE
from clearsight.train.checkpoint import Checkpoint

command = {[*TRAIN, "--out"]!r}
assert main([*command, "whole"]) == 0
out, signals = Path("ended"), [signal.SIGTERM, signal.SIGUSR1]

def ends(self):
    if signals and (len(signals) == 1) == any((out / "checkpoints").glob("*.pt")):
        os.kill(os.getpid(), signals.pop(0))
    return False

Checkpoint.due = ends
assert main([*command, "ended", "--resume"]) == REQUEUE  # --resume of a fresh run: no effect
assert list((out / "checkpoints").glob("*.pt"))
assert main([*command, "ended", "--resume"]) == REQUEUE
assert main([*command, "ended", "--resume"]) == 0
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
"""
    assert "--resume" in in_a_process_of_its_own(script, tmp_path).stderr
    for name, tensor in weights(tmp_path / "whole").items():
        np.testing.assert_array_equal(weights(tmp_path / "ended")[name], tensor)


def test_a_signal_ends_prediction_at_once(digits_run, tmp_path):
    script = f"""
import os, signal
from clearsight import scale
from clearsight.cli.main import main
from clearsight.preemption import REQUEUE
from clearsight.scale.record import Record

scale.predict({str(digits_run)!r}, "digits", out="whole", part_size=500)
add = Record.add

def adds(self, *rest):
    add(self, *rest)
    if len(self.parts) == 2:
        os.kill(os.getpid(), signal.SIGTERM)

command = ["predict", {str(digits_run)!r}, "digits", "--part-size", "500", "--resume", "--out", "out"]
Record.add = adds
assert main(command) == REQUEUE
Record.add = add
assert main(command) == 0
"""
    in_a_process_of_its_own(script, tmp_path)
    for part in (tmp_path / "whole").glob("part-*"):
        assert (tmp_path / "out" / part.name).read_bytes() == part.read_bytes()


def test_signals_wait_inside_a_block(tmp_path):
    script = """
import os, signal
from clearsight import preemption

try:
    with preemption.handled(), preemption.deferred():
        os.kill(os.getpid(), signal.SIGUSR1)
        assert preemption.requested()
except preemption.Preempted:
    assert not preemption.requested(), "the next run in this process is not ended"
else:
    raise AssertionError
"""
    in_a_process_of_its_own(script, tmp_path)


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
