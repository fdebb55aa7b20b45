"""The code of docs/locate.md works as written."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
from PIL import Image

from clearsight.cli.main import main

DOCS = (Path(__file__).parent.parent.parent / "docs" / "locate.md").read_text()


@pytest.fixture
def desk(tmp_path, photos, photos_run, monkeypatch):
    """A folder as the page imagines it: runs/photos, new.jpg and large.png."""
    shutil.copytree(photos_run, tmp_path / "runs" / "photos")
    shutil.copy(photos / "cat" / "0.jpg", tmp_path / "new.jpg")
    Image.open(photos / "cat" / "1.jpg").resize((168, 140)).save(tmp_path / "large.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.long
def test_its_commands_and_blocks_run(desk, capsys):
    lines = [
        line.split("#")[0] for block in re.findall(r"```bash\n(.*?)```", DOCS, re.S) for line in block.splitlines()
    ]
    commands = [shlex.split(line) for line in lines if line.startswith("clearsight ")]
    assert len(commands) == 3
    for words in commands:
        assert main(words[1:]) == 0, capsys.readouterr().err
    assert (desk / "new.located.png").is_file()
    assert (desk / "found.png").is_file()
    names = {}
    blocks = re.findall(r"```python\n(.*?)```", DOCS, re.S)
    assert len(blocks) == 2
    for block in blocks:
        exec(block, names)
    assert names["soft"].shape[1:] == names["binary"].shape == (80, 96)
    assert 0 <= names["evaluation"].mean_average_precision <= 1
    options = set(re.findall(r"`(--[a-z-]+)", DOCS)) - {"--img-size"}  # of training
    with pytest.raises(SystemExit):
        main(["locate", "--help"])
    message = capsys.readouterr().out
    assert all(option in message for option in options), options
