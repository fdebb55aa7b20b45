"""The code of README and docs works as written: this file runs the pages that no other test does."""

import importlib
import runpy
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from clearsight.cli.main import COMMANDS, main
from clearsight.models.registry import ENTRIES

ROOT = Path(__file__).parent.parent.parent
RUN_BY = {
    "README.md": "tests/test_readme.py",
    "CONTRIBUTING.md": ".ci/run",  # make check and make test
    "docs/anomaly.md": "tests/test_anomaly.py",
    "docs/audit.md": "tests/cli/test_audit.py",
    "docs/configuration.md": "tests/cli/test_config.py",
    "docs/data.md": "tests/data/test_selection.py",
    "docs/export.md": "tests/exporting/test_docs.py",
    "docs/gallery.md": "tests/docs/test_blocks.py",
    "docs/hub.md": "tests/hub/test_hub.py",
    "docs/landscape.md": "tests/docs/test_blocks.py",
    "docs/locate.md": "tests/localisation/test_docs.py",
    "docs/scaling.md": "tests/scale/test_ray.py",
    "docs/serve.md": "tests/serving/test_documents.py",
    "docs/tasks.md": "tests/test_tasks.py",  # the same trainings, from Python and smaller
    "docs/tracking.md": "tests/api/test_loggers.py",
    "docs/tutorial.md": "tests/docs/test_blocks.py",
    "docs/report.md": "tests/runs/test_predictions.py",
    "docs/zoo.md": "tests/docs/test_blocks.py",
}
"""Pages with blocks of commands or Python, and what runs them."""


def test_every_page_with_blocks_is_run_by_some_test(page):
    names = [p.relative_to(ROOT).as_posix() for p in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"))]
    with_blocks = {name for name in names if page(name).blocks("bash") or page(name).blocks("python")}
    assert with_blocks == set(RUN_BY)
    for name, test in RUN_BY.items():
        assert (ROOT / test).is_file(), (name, test)


@pytest.mark.parametrize("name", RUN_BY)
def test_blocks_compile_and_commands_have_such_options(page, name, tmp_path, monkeypatch, request):
    """Without running them, which takes minutes and is left to the tests named above, in part in the long tier. Blocks
    of TOML and YAML begin with the name of their file.
    """
    written, asked = page(name), []
    if files := [*written.blocks("toml"), *written.blocks("yaml")]:
        monkeypatch.chdir(tmp_path)
        run = request.getfixturevalue("digits_run")
        shutil.copytree(run, tmp_path / "runs" / "photos")
        for block in files:
            (tmp_path / block.splitlines()[0].removeprefix("# ")).write_text(block)
    for number, block in enumerate(written.blocks("python")):
        compile(block, f"{name}, block {number + 1}", "exec")
    for command in COMMANDS:
        module = importlib.import_module(f"clearsight.cli.{command.replace('-', '_')}")
        monkeypatch.setattr(module, "run", lambda arguments: asked.append(arguments) or 0)
    lines = [shlex.split(line)[1:] for line in written.commands("clearsight")]
    for words in lines:
        assert main(words) == 0, words
    assert len(asked) == sum(words[0] in COMMANDS for words in lines)


SHORT = [("epochs=20", "epochs=3"), ("epochs=10", "epochs=2"), ("images=200", "images=20"), ("images=50", "images=8")]
"""What the tutorial says, and what is run instead in the short form."""


@pytest.fixture
def own_network():
    """Afterwards the network that the tutorial registers is gone."""
    yield
    ENTRIES.pop("two_convolutions", None)


@pytest.mark.long
@pytest.mark.usefixtures("own_network")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("whole", [False, True], ids=["short", "as written"])
def test_the_tutorial(page, tmp_path, monkeypatch, capsys, whole):
    monkeypatch.chdir(tmp_path)
    assert all(written in page("docs/tutorial.md").text for written, _ in SHORT)
    names = page("docs/tutorial.md").run({}, () if whole else SHORT)
    accuracy = {name: names[name].metrics["test"]["accuracy"] for name in ("linear", "hidden", "own", "run")}
    assert names["templates"].shape == (10, 8, 8)
    assert names["exported"].parity.holds
    assert len(names["attacked"].points) == 1 + 3
    assert f"right on {accuracy['linear']:.1%} of 450" in capsys.readouterr().out
    if whole:
        assert accuracy["run"] > accuracy["linear"] > 0.85
        assert accuracy["hidden"] > 0.9
        assert accuracy["own"] > 0.5
        assert names["templates"][0, 3:5, 3:5].mean() < 0, "a zero has a hole in the middle"
        assert names["unknown"].is_ood
        assert names["attacked"].points[-1].accuracy < names["attacked"].points[0].accuracy


@pytest.mark.long
def test_the_page_of_landscapes(page, tmp_path, monkeypatch, digits_run):
    shutil.copytree(digits_run, tmp_path / "runs" / "digits")
    monkeypatch.chdir(tmp_path)
    names = page("docs/landscape.md").run({}, [("points=11", "points=3, images=32"), ("networks=3", "networks=1")])
    assert names["A"].nnz == 288
    assert names["gradient"].shape == (1, 6, 6)


def test_the_page_of_the_zoo(page, monkeypatch):
    monkeypatch.setattr("clearsight.models.zoo.load_published", lambda *a, **k: None)  # it would be downloaded
    names = page("docs/zoo.md").run({})
    assert names["body"].layers[0].arithmetic.startswith("(128-7+2*3)/2+1")


@pytest.mark.long
def test_the_commands_of_the_gallery(page, tmp_path, monkeypatch):
    commands = [shlex.split(line) for line in page("docs/gallery.md").commands("python")]
    assert len(commands) == 2
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    for _, script, *options in commands:
        monkeypatch.setattr(sys, "argv", [script, *options])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(ROOT / script), run_name="__main__")
        assert ended.value.code == 0
    assert (tmp_path / "two_colours.png").is_file()
    assert (tmp_path / "pics" / "two_colours.png").is_file()
    sys.modules.pop("gallery", None)
