"""The README's commands and expressions work as they are written."""

import re
import shlex
import shutil
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import clearsight as cs
from clearsight.cli.main import COMMANDS, EPILOG, main
from clearsight.evaluation import leaderboard

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


FEW = 14
"""Pictures of each class, enough to learn from."""

RUNS_ELSEWHERE = {"clearsight train digits": "make demo"}
"""Commands that .ci/run calls as they are, and by what."""


@pytest.fixture(scope="module")
def desk(once, photos):
    """A folder as the README imagines it: photos/ and others/, of 40 pixels, which small networks learn, new.jpg,
    picture.jpg, and the run runs/photos.
    """

    def make(root):
        for path in sorted(p for p in photos.rglob("*.jpg") if int(p.stem) < FEW):
            to = root / "photos" / path.relative_to(photos)
            to.parent.mkdir(parents=True, exist_ok=True)
            Image.open(path).resize((40, 40)).save(to)
        shutil.copytree(root / "photos", root / "others")
        for name in ("new.jpg", "picture.jpg"):
            shutil.copy(root / "photos" / "cat" / "0.jpg", root / name)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(root)
            cs.fit("photos/", epochs=8, out="runs/photos")

    return once("readme", make)


def shell_commands(page):
    lines = page("README.md").commands("clearsight")
    inline = re.findall(r"`(clearsight [^`]*)`", README)
    epilog = [re.split(r"\s{2,}", line.strip())[0] for line in EPILOG.splitlines()]
    return [c for c in [*lines, *inline, *epilog] if c.startswith("clearsight ")]


def written_out(page):
    """Commands that can be typed as they are, and their words: none with DATA, RUN, IMAGE... in it."""
    commands = [(command, shlex.split(command)[1:]) for command in dict.fromkeys(shell_commands(page))]
    return [(c, words) for c, words in commands if not any(re.fullmatch(r"[A-Z.\[\]]+", w) for w in words)]


def test_every_command_of_the_readme_exists_with_its_options(page, monkeypatch):
    """What they do is left to the long tier."""
    asked = []
    for name in COMMANDS:
        module = import_module(f"clearsight.cli.{name.replace('-', '_')}")
        monkeypatch.setattr(module, "run", lambda arguments: asked.append(arguments) or 0)
    assert all(shlex.split(command)[1] in COMMANDS for command in shell_commands(page))
    for command, words in written_out(page):
        assert main(words) == 0, command
    assert len(asked) == len(written_out(page)) > 3


@pytest.mark.long
def test_every_command_of_the_readme_runs(page, desk, few_epochs, monkeypatch, capsys):
    monkeypatch.chdir(desk)
    ran = []
    for command, words in written_out(page):
        if command in RUNS_ELSEWHERE:
            continue
        assert main(words) == 0, (command, capsys.readouterr().err)
        ran.append(words[0])
    assert {"train", "predict", "audit"} <= set(ran)


def test_commands_left_to_another_run_are_run_there():
    makefile = (ROOT / "Makefile").read_text()
    for command, target in RUNS_ELSEWHERE.items():
        assert target in (ROOT / ".ci" / "run").read_text()
        assert re.search(rf"^{target.removeprefix('make ')}:.*\n\t\$\(BIN\)/{command}$", makefile, re.M)


EXPRESSIONS = re.findall(r"^\|[^|]*\|[^|]*\| `((?:.*\bcs|run|clf)\..*)` \|$", README, re.M)


def test_the_map_has_expressions():
    assert len(EXPRESSIONS) >= 20


SLOW = ("cs.landscape(", "cs.fit(", "cs.gradient_correlation(", "cs.export(")
"""What takes longest and is tested elsewhere too: in the long tier."""


@pytest.fixture(scope="module")
def trained(desk, new_cache):
    """What training returns, for the expressions that begin with `run`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLEARSIGHT_CACHE", new_cache())
        patch.setattr(import_module("clearsight.train.strategies.from_scratch"), "WORK", 1)
        patch.chdir(desk)
        return cs.fit("photos/")


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, marks=pytest.mark.long) if row.removeprefix("run = ").startswith(SLOW) else row
        for row in EXPRESSIONS
    ],
)
def test_every_expression_of_the_map_runs(row, desk, few_epochs, request, monkeypatch):
    monkeypatch.chdir(desk)
    candidates = [c for c in leaderboard.default_candidates(40) if c.name in ("hog+svm", "resnet8")]
    monkeypatch.setattr(leaderboard, "default_candidates", lambda *_: candidates)
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 256, (60, 8, 8), dtype=np.uint8), np.arange(60) % 2
    Y = rng.integers(0, 2, (60, 3))
    names = {"cs": cs, "X": X, "y": y, "Y": Y, "X_new": X, "y_new": y, "clf": cs.load("runs/photos")}
    for name in set(re.findall(r"runs/[ab]\b", row)):
        shutil.copytree("runs/photos", name)
    if row.startswith("run."):
        names["run"] = request.getfixturevalue("trained")
    assert eval(row.removeprefix("run = "), names) is not None


def test_the_public_names_are_these():
    assert cs.__all__ == sorted(cs.__all__, key=lambda n: (n.lower() == n, n))
    assert set(re.findall(r"\bcs\.(\w+)", README)) <= set(cs.__all__)
    for name in cs.__all__:
        assert getattr(cs, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = cs.nothing


def options_of(command, capsys):
    """The options a command takes, of its help."""
    with pytest.raises(SystemExit):
        main([command, "--help"])
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", capsys.readouterr().out))


def test_options_named_by_the_readme_exist(page, capsys):
    """Those in a line that names a command are options of that command; all others are of `train`, which has most."""
    spans = [*re.findall(r"`([^`\n]+)`", README), *page("README.md").commands("clearsight")]
    named = [(words.split(), re.findall(r"--[a-z][a-z-]*", words)) for words in spans]
    known = {command: options_of(command, capsys) for command in COMMANDS}
    checked = 0
    for words, options in named:
        first = words[1] if words[:1] == ["clearsight"] and len(words) > 1 else words[0]
        command = first if first in COMMANDS else "train"
        for option in options:
            assert option in known[command], f"{option} of {command}"
            checked += 1
    assert checked > 20
