"""The notebooks of examples/: they run, and what they show is readable in Chromium, in light and dark."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.studio.test_fragments import violations

ROOT = Path(__file__).parent.parent.parent
NOTEBOOKS = sorted((ROOT / "examples" / "notebooks").glob("*.ipynb"))

PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>A notebook</title></head>
<body><main>{body}</main></body></html>"""

SHORT = "audit"
"""The quickest of them, which every commit must pass; the others are in the long tier."""


def test_there_are_three_and_they_are_stored_without_outputs():
    assert [path.stem for path in NOTEBOOKS] == ["audit", "inspect", "photographs"]
    for path in NOTEBOOKS:
        for cell in json.loads(path.read_text())["cells"]:
            assert not cell.get("outputs"), path
            assert cell.get("execution_count") is None, path


@pytest.mark.parametrize(
    "notebook", [pytest.param(p, id=p.stem, marks=() if p.stem == SHORT else pytest.mark.long) for p in NOTEBOOKS]
)
def test_a_notebook_runs_and_is_readable(notebook, browser, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    (tmp_path / "here").mkdir()
    command = [sys.executable, "-m", "nbconvert", "--to", "html", "--template", "basic", "--execute"]
    made = subprocess.run(
        [*command, "--output-dir", str(tmp_path / "out"), str(notebook)],
        cwd=tmp_path / "here", env=dict(os.environ), capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr[-3000:]
    assert list((tmp_path / "here").iterdir()) == []  # which no verb writes to
    body = (tmp_path / "out" / f"{notebook.stem}.html").read_text()
    assert "jupyter.stderr" not in body
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
