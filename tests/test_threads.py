"""Threads that wait let other programs run, unless the environment says otherwise."""

import os
import subprocess
import sys

import pytest

NAMES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


@pytest.mark.parametrize(
    ("own", "found"),
    [({}, "0 0"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None None"), ({"GOMP_SPINCOUNT": "9"}, "9 None")],
    ids=["none", "policy", "spins"],
)
def test_threads_sleep_while_they_wait_unless_the_environment_decides(own, found):
    env = {name: value for name, value in os.environ.items() if name not in NAMES}
    code = (
        "import sys, clearsight, os; "
        "print(os.environ.get('GOMP_SPINCOUNT'), os.environ.get('KMP_BLOCKTIME'), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], env={**env, **own}, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"{found} False"
