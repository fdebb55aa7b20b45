"""The notebooks of examples/: they run, and what they show is readable in Chromium, in light and dark."""

import ast
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.studio.test_fragments import violations

ROOT = Path(__file__).parent.parent.parent
NOTEBOOKS = sorted((ROOT / "examples" / "notebooks").glob("*.ipynb"))

PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>A notebook</title></head>
<body><main>{body}</main></body></html>"""

SHORT = "audit"
"""The quickest of them, whose code every commit must run; Jupyter itself runs all of them in the long tier."""


def shown_by(path, names):
    """Run the code of a notebook here: what its cells end with, as HTML, as Jupyter shows it."""
    parts = []
    for cell in json.loads(path.read_text())["cells"]:
        if cell["cell_type"] != "code":
            continue
        tree = ast.parse("".join(cell["source"]))
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, path.name, "exec"), names)
        value = None if last is None else eval(compile(ast.Expression(last.value), path.name, "eval"), names)
        if hasattr(value, "_repr_html_"):
            parts.append(value._repr_html_())
    return "\n".join(parts)


def check_readable(browser, body):
    """In light and dark, and nothing is asked of anybody."""
    assert body.count("clearsight-result") >= 2
    asked = []
    for scheme in ("light", "dark"):
        context = browser.new_context(color_scheme=scheme, viewport={"width": 1000, "height": 800})
        page = context.new_page()
        page.on("request", lambda r: None if r.url.startswith(("data:", "about:")) else asked.append(r.url))
        page.set_content(PAGE.format(body=body))
        assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
        assert violations(page, ".clearsight-result") == []
        context.close()
    assert asked == []


def test_there_are_three_and_they_are_stored_without_outputs():
    assert [path.stem for path in NOTEBOOKS] == ["audit", "inspect", "photographs"]
    for path in NOTEBOOKS:
        for cell in json.loads(path.read_text())["cells"]:
            assert not cell.get("outputs"), path
            assert cell.get("execution_count") is None, path


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """An empty working directory; temporary files lie beside it."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.fixture
def shown(empty):
    """What the quickest notebook shows. Run before there is a browser, whose event loop is this thread's."""
    return shown_by(ROOT / "examples" / "notebooks" / f"{SHORT}.ipynb", {})


def test_the_code_of_a_notebook_runs_and_what_it_shows_is_readable(shown, empty, browser):
    assert list(empty.iterdir()) == []  # which no verb writes to
    check_readable(browser, shown)


@pytest.mark.long
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_is_readable(notebook, browser, empty, tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    command = [sys.executable, "-m", "nbconvert", "--to", "html", "--template", "basic", "--execute"]
    made = subprocess.run(
        [*command, "--output-dir", str(tmp_path / "out"), str(notebook)],
        env=dict(os.environ), capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr[-3000:]
    assert list(empty.iterdir()) == []
    body = (tmp_path / "out" / f"{notebook.stem}.html").read_text()
    assert "jupyter.stderr" not in body
    check_readable(browser, body)
