"""Threads that wait let other programs run, unless the environment says otherwise."""

import os
import subprocess
import sys

import pytest

NAMES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


@pytest.mark.parametrize(
    ("own", "policy"),
    [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE"), ({"GOMP_SPINCOUNT": "9"}, "None")],
    ids=["none", "policy", "spins"],
)
def test_threads_wait_passively_unless_the_environment_decides(own, policy):
    env = {name: value for name, value in os.environ.items() if name not in NAMES}
    code = "import sys, clearsight, os; print(os.environ.get('OMP_WAIT_POLICY'), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env={**env, **own}, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [policy, "False"]


def test_the_command_line_is_a_module_too():
    done = subprocess.run([sys.executable, "-m", "clearsight", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("clearsight ")
