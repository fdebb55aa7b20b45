"""The code of docs/export.md works as written."""

import runpy
import shlex
import shutil
import sys

import pytest

import clearsight as cs
from clearsight.cli.main import main


@pytest.fixture
def desk(tmp_path, photos, photos_run, answering, monkeypatch):
    """A folder as the page imagines it: runs/photos and new.jpg, and files of models of labels and of an angle."""
    shutil.copytree(photos_run, tmp_path / "runs" / "photos")
    shutil.copy(photos / "cat" / "0.jpg", tmp_path / "new.jpg")
    for name, kind in (("scenes", "labels"), ("headings", "angles")):
        (tmp_path / "runs" / name / "export").mkdir(parents=True)
        cs.export(answering(kind), out=tmp_path / "runs" / name / "export" / "model.onnx")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop("run", None)


@pytest.mark.long
def test_its_commands_and_blocks_run(page, desk, monkeypatch, capsys):
    written = page("docs/export.md")
    commands = [shlex.split(line) for line in written.commands("clearsight", "python")]
    assert len(commands) == 5
    for words in commands:
        if words[0] == "clearsight":
            assert main([*words[1:], "--images", "4"]) == 0
    script = commands[-1]
    monkeypatch.setattr(sys, "argv", script[1:])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(script[1], run_name="__main__")
    assert ended.value.code == 0
    assert "new.jpg\tcat " in capsys.readouterr().out

    assert len(written.blocks("python")) == 6
    names = written.run({})
    assert names["best"] == "cat"
    assert set(names["shown"].probabilities) == {"cat", "dog", "fox"}
    assert set(names["seen"].values) == set(names["seen"].intervals) == {"heading", "tilt"}
    assert names["exported"].predict_proba(["new.jpg"]).shape == (1, 4)
