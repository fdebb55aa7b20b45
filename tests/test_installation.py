"""Clearsight in environments of their own, without extras: with the newest versions of what it needs and the lowest."""

import json
import re
import subprocess
import tomllib
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def lowest(requirements):
    """Constraints, in pip's words, to the lowest version of each requirement: torch>=2.11 becomes torch==2.11.*"""
    return [re.sub(r">=([\d.]+).*", r"==\1.*", requirement) for requirement in requirements]


def test_every_dependency_says_its_lowest_version():
    extras = [r for group in PROJECT["optional-dependencies"].values() for r in group if not r.startswith("clearsight")]
    for requirement in (*PROJECT["dependencies"], *extras):
        assert re.fullmatch(r"[\w-]+(\[\w+\])?>=\d+(\.\d+)*", requirement), requirement
    assert lowest(["torch>=2.11", "mkdocstrings[python]>=0.29"]) == ["torch==2.11.*", "mkdocstrings[python]==0.29.*"]


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("versions", ["newest", "lowest"])
def test_it_trains_and_predicts_without_extras(versions, tmp_path, record_property):
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("\n".join(lowest(PROJECT["dependencies"]) if versions == "lowest" else []))

    def run(*words):
        done = subprocess.run([python, *map(str, words)], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("-m", "pip", "install", "--quiet", "-c", constraints, ROOT)
    record_property("installed", json.loads(run("-m", "pip", "list", "--format", "json")))
    run("-m", "clearsight.cli.main", "train", "digits", "--epochs", "2", "--out", "run")
    skimage = "import skimage.data, skimage.io; skimage.io.imsave('new.png', skimage.data.camera())"
    run("-c", skimage)
    answer = json.loads(run("-m", "clearsight.cli.main", "predict", "run", "new.png", "--json"))
    assert answer["predictions"][0]["label"] in "0123456789"
