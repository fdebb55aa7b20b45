"""The README's commands and expressions work as they are written."""

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import clearsight as cs
from clearsight.cli.main import COMMANDS, EPILOG, main

README = (Path(__file__).parent.parent / "README.md").read_text()


@pytest.fixture(scope="module")
def desk(tmp_path_factory, photos):
    """A folder as the README imagines it: photos/, others/, new.jpg, and the run that training leaves."""
    root = tmp_path_factory.mktemp("desk")
    shutil.copytree(photos, root / "photos")
    shutil.copytree(photos, root / "others")
    for name in ("new.jpg", "picture.jpg"):
        shutil.copy(photos / "cat" / "0.jpg", root / name)
    return root


def shell_commands(page):
    lines = page("README.md").commands("clearsight")
    inline = re.findall(r"`(clearsight [^`]*)`", README)
    epilog = [re.split(r"\s{2,}", line.strip())[0] for line in EPILOG.splitlines()]
    return [c for c in [*lines, *inline, *epilog] if c.startswith("clearsight ")]


@pytest.mark.timeout(900)  # some train
def test_every_command_of_the_readme_runs(page, desk, monkeypatch, capsys):
    monkeypatch.chdir(desk)
    ran = []
    for command in dict.fromkeys(shell_commands(page)):
        words = shlex.split(command)[1:]
        assert words[0] in COMMANDS, command
        if any(re.fullmatch(r"[A-Z.\[\]]+", w) for w in words):  # DATA, RUN, IMAGE...: a pattern, not a command
            continue
        assert main(words) == 0, (command, capsys.readouterr().err)
        ran.append(words[0])
    assert {"train", "predict", "check"} <= set(ran)


EXPRESSIONS = re.findall(r"^\|[^|]*\|[^|]*\| `(.*cs\..*)` \|$", README, re.M)


FEW = 14
"""Pictures of each class, enough to learn from."""


@pytest.fixture(scope="module")
def small_desk(tmp_path_factory, photos, new_cache):
    """The same folder with pictures of 40 pixels, which small networks learn, after `cs.fit("photos/")`."""
    root = tmp_path_factory.mktemp("small desk")
    for path in sorted(p for p in photos.rglob("*.jpg") if int(p.stem) < FEW):
        to = root / "photos" / path.relative_to(photos)
        to.parent.mkdir(parents=True, exist_ok=True)
        Image.open(path).resize((40, 40)).save(to)
    shutil.copytree(root / "photos", root / "others")
    shutil.copy(root / "photos" / "cat" / "0.jpg", root / "new.jpg")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLEARSIGHT_CACHE", new_cache())
        patch.chdir(root)
        cs.fit("photos/")
    return root


def test_the_map_has_expressions():
    assert len(EXPRESSIONS) >= 15


@pytest.mark.timeout(900)  # some train many models
@pytest.mark.parametrize("row", EXPRESSIONS)
def test_every_expression_of_the_map_runs(row, small_desk, monkeypatch):
    monkeypatch.chdir(small_desk)
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 256, (60, 8, 8), dtype=np.uint8), np.arange(60) % 2
    Y = rng.integers(0, 2, (60, 3))
    names = {"cs": cs, "X": X, "y": y, "Y": Y, "X_new": X, "y_new": y}
    exec(row, names)


def test_the_public_names_are_these():
    assert cs.__all__ == sorted(cs.__all__, key=lambda n: (n.lower() == n, n))
    for name in cs.__all__:
        assert getattr(cs, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = cs.nothing


def test_options_named_by_the_readme_exist(capsys):
    for command in ("train", "predict", "evaluate", "models", "tune", "filter", "explain", "attack", "export"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
    help_text = capsys.readouterr().out
    for option in set(re.findall(r"--[a-z][a-z-]+", README)) - {"--help"}:
        assert option in help_text, option
