"""The command line as a module."""

import subprocess
import sys


def test_the_command_line_is_a_module_too():
    done = subprocess.run([sys.executable, "-m", "clearsight", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("clearsight ")
