"""What README and docs tell to type works as it is written: this file runs the pages that no other test does."""

import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
RUN_BY = {
    "README.md": "tests/test_readme.py",
    "CONTRIBUTING.md": ".ci/run",  # make check and make test
    "docs/export.md": "tests/exporting/test_docs.py",
    "docs/gallery.md": "tests/docs/test_blocks.py",
    "docs/landscape.md": "tests/docs/test_blocks.py",
    "docs/serve.md": "tests/serving/test_documents.py",
    "docs/tasks.md": "tests/test_tasks.py",  # the same trainings, from Python and smaller
    "docs/tutorial.md": "tests/docs/test_blocks.py",
    "docs/zoo.md": "tests/docs/test_blocks.py",
}
"""Pages with blocks of commands or Python, and what runs them."""


def blocks(page, kind):
    return re.findall(rf"^```{kind}\n(.*?)^```", (ROOT / page).read_text(), re.S | re.M)


def run_python(page, names, changed=()):
    """Run a page's Python blocks in order, in one namespace. changed: (written, run) pairs that make it quicker."""
    for number, block in enumerate(blocks(page, "python")):
        for written, instead in changed:
            block = block.replace(written, instead)
        exec(compile(block, f"{page}, block {number + 1}", "exec"), names)
    return names


def test_every_page_with_blocks_is_run_by_some_test():
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    with_blocks = {
        page.relative_to(ROOT).as_posix()
        for page in pages
        if any(blocks(page.relative_to(ROOT), kind) for kind in ("bash", "python"))
    }
    assert with_blocks == set(RUN_BY)
    for page, test in RUN_BY.items():
        assert (ROOT / test).is_file(), (page, test)


@pytest.mark.timeout(600)
def test_the_tutorial(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = run_python("docs/tutorial.md", {})
    accuracy = {name: names[name].metrics["test"]["accuracy"] for name in ("linear", "run")}
    assert accuracy["run"] > accuracy["linear"] > 0.85
    assert names["templates"][0, 3:5, 3:5].mean() < 0, "a zero has a hole in the middle"
    assert names["strange"].none_of_these
    assert names["exported"].parity.holds
    assert names["attacked"].points[-1].accuracy < names["attacked"].points[0].accuracy
    assert "right on" in capsys.readouterr().out


def test_the_page_of_landscapes(tmp_path, monkeypatch, digits_run):
    shutil.copytree(digits_run, tmp_path / "runs" / "digits")
    monkeypatch.chdir(tmp_path)
    names = run_python("docs/landscape.md", {}, [("points=11", "points=3, images=32"), ("networks=3", "networks=1")])
    assert names["A"].nnz == 288
    assert names["gradient"].shape == (1, 6, 6)


def test_the_page_of_the_zoo(monkeypatch):
    monkeypatch.setattr("clearsight.models.published.load_published", lambda *a, **k: None)  # it would be downloaded
    names = run_python("docs/zoo.md", {})
    assert names["body"].layers[0].arithmetic.startswith("(128-7+2*3)/2+1")


def test_the_commands_of_the_gallery(tmp_path, monkeypatch):
    import runpy

    lines = [line.split("#")[0] for block in blocks("docs/gallery.md", "bash") for line in block.splitlines()]
    commands = [shlex.split(line) for line in lines if line.startswith("python ")]
    assert len(commands) == 2
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    for _, script, *options in commands:
        monkeypatch.setattr(sys, "argv", [script, *options])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(ROOT / script), run_name="__main__")
        assert ended.value.code == 0
    assert (tmp_path / "step_size.png").is_file()
    assert (tmp_path / "pics" / "step_size.png").is_file()
    sys.modules.pop("gallery", None)
