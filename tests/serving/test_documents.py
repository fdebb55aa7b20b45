"""The commands and programs of docs/serve.md work as they are written."""

import argparse
import json
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import httpx2
import pytest

import clearsight as cs
from clearsight.cli.main import main
from clearsight.serving.schemas import ExplanationBody
from clearsight.serving.settings import ServeConfig

DOCS = Path(__file__).parent.parent.parent / "docs"
TEXT = (DOCS / "serve.md").read_text()


@pytest.fixture(scope="module")
def desk(tmp_path_factory, pngs):
    folder = tmp_path_factory.mktemp("desk")
    for name, content in zip(("new.jpg", "other.jpg"), pngs, strict=False):
        (folder / name).write_bytes(content)
    return folder


def sent_like_curl(words, folder):
    """What the server answers to a call of curl with the options of the page, also on a machine without curl."""
    parser = argparse.ArgumentParser()
    parser.add_argument("-F", dest="form", action="append", default=[])
    parser.add_argument("-H", dest="headers", action="append", default=[])
    parser.add_argument("--data-binary")
    parser.add_argument("url")
    asked = parser.parse_args(words)
    files = {name: (folder / place).read_bytes() for name, place in (part.split("=@") for part in asked.form)}
    body = (folder / asked.data_binary.removeprefix("@")).read_bytes() if asked.data_binary else None
    headers = dict(header.split(": ", 1) for header in asked.headers)
    verb = "POST" if files or body else "GET"
    found = httpx2.request(verb, asked.url, files=files or None, content=body, headers=headers, timeout=120)
    return found.raise_for_status().json()


def test_every_request_of_the_page_is_answered(page, predictor, listening, desk):
    curl = shutil.which("curl")
    written = page("docs/serve.md")
    commands = written.commands("curl")
    assert len(commands) >= 5
    with listening(predictor) as (_, port):
        for program in written.blocks("python"):
            here = program.replace(":8000", f":{port}")
            done = subprocess.run([sys.executable, "-c", here], cwd=desk, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            assert done.stdout.split()[0] in predictor.classes
        assert (desk / "heatmap.png").read_bytes().startswith(b"\x89PNG")
        for command in commands:
            words = shlex.split(command.replace(":8000", f":{port}"))[1:]
            answer = sent_like_curl(words, desk)
            if curl:
                done = subprocess.run([curl, "-sf", *words], cwd=desk, capture_output=True, text=True)
                assert done.returncode == 0, (command, done.stderr)
                assert json.loads(done.stdout).keys() == answer.keys()


def test_the_answer_shown_for_an_explanation_is_one(page):
    (block,) = page("docs/serve.md").blocks("json")
    shown = json.loads(block)
    assert set(shown) == set(ExplanationBody.model_fields)
    ExplanationBody.model_validate(shown)


def test_the_table_of_limits_is_that_of_the_server(capsys):
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    help_text = capsys.readouterr().out
    for option in set(re.findall(r"`(--[a-z-]+)`", TEXT)):
        assert option in help_text, option
    defaults = {f"--{f.name.replace('_', '-')}": f.default for f in fields(ServeConfig)}
    for option, default in re.findall(r"^\| `(--[a-z-]+)` \| ([\d.]+)", TEXT, re.M):
        assert defaults[option] == float(default), option


def test_the_named_files_and_functions_exist():
    from clearsight.serving.app import build_app

    for name in re.findall(r"\]\((deploy/[^)]+)\)", TEXT):
        assert (DOCS / name).is_file()
    assert callable(cs.serve)
    assert callable(build_app)
    image = (DOCS / "deploy" / "Dockerfile").read_text()
    assert "USER clearsight" in image
    assert "HEALTHCHECK" in image
