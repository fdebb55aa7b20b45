"""The command line as a module."""

import subprocess
import sys

import pytest

from clearsight.arguments import program


def test_the_command_line_is_a_module_too():
    done = subprocess.run([sys.executable, "-m", "clearsight", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("clearsight ")


@pytest.mark.parametrize(
    ("started", "found", "typed"),
    [
        ("/site/clearsight/__main__.py", None, "python -m clearsight"),
        ("/usr/bin/clearsight", "/usr/bin/clearsight", "clearsight"),
        ("/my env/bin/clearsight", None, "'/my env/bin/clearsight'"),
        ("/site/pytest/__main__.py", None, "clearsight"),
    ],
)
def test_commands_are_printed_as_the_command_line_was_started(started, found, typed, monkeypatch):
    monkeypatch.setattr(sys, "argv", [started])
    monkeypatch.setattr("shutil.which", lambda name: found)
    assert program() == typed
