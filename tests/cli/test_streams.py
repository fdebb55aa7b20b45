"""Output that cannot be written, and names that would control a terminal."""

import csv
import subprocess
import sys
import types

import pytest
from PIL import Image

import clearsight as cs
from clearsight.cli.main import main
from clearsight.cli.streams import StreamError
from clearsight.csv_cells import as_cell, from_cell
from clearsight.data.exclusion import _names
from clearsight.data.sources.delimited import read_csv
from clearsight.data.split_record import SplitRecord
from clearsight.disk import write_table
from clearsight.errors import ClearsightError
from clearsight.report.render import environment
from clearsight.wording import visible

HOSTILE = [
    "=1+2", "+1+2", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "'=1", "''=1", "'", "", "a", "-1.5", "+3e5", "＝1",
    "'quoted'",
    "=cmd|' /C calc'!A0", 'a "b", c', "-", "'-1",
]  # fmt: skip


def shell(command, **kwargs):
    return subprocess.run(
        ["sh", "-c", command.replace("clearsight", f"{sys.executable} -m clearsight")],
        capture_output=True, text=True, timeout=250, **kwargs,
    )  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_cells_are_text_and_read_back(text):
    cell = as_cell(text)
    assert from_cell(cell) == text
    assert not cell or cell[0] not in "=@\t\r\n＝"
    if cell[:1] in ("+", "-") and cell != "-1.5":
        float(cell)


def test_our_tables_are_read_back_identically(tmp_path):
    names = [f"{text}.png" for text in HOSTILE]
    record = SplitRecord(tuple(names), tuple("c" * len(names)), tuple("t" * len(names)), ("train",) * len(names))
    record.save(tmp_path)
    assert SplitRecord.load(tmp_path) == record
    write_table(tmp_path / "issues.csv", [{"image": name, "=label": "=x"} for name in names])
    with (tmp_path / "issues.csv").open(newline="") as stream:
        rows = list(csv.reader(stream))
    assert [cell for row in rows[1:] for cell in row if cell[0] in "=@\t\r\n"] == []
    assert _names(tmp_path / "issues.csv") == names


def test_labels_from_our_tables_are_the_original_ones(tmp_path):
    labels = ["=cat", "-dog", "plain"]
    rows = []
    for number in range(9):
        Image.new("L", (8, 8), number).save(tmp_path / f"{number}.png")
        rows.append({"image_path": f"{number}.png", "label": labels[number % 3]})
    write_table(tmp_path / "data.csv", rows)
    listing = read_csv(tmp_path / "data.csv")
    assert set(listing.stated.cells) == set(labels)


def test_predictions_are_saved_without_formulas(small_run, tmp_path):
    bundle, image = small_run
    cs.load(bundle, engine="torch").predict([image]).save(tmp_path)
    text = (tmp_path / "predictions.csv").read_text()
    assert "\"'=" in text or ",'=" in text
    assert ",=" not in text
    assert ',"=' not in text


@pytest.fixture(scope="module")
def small_run(tmp_path_factory):
    """A model whose class names are formulas and control sequences, and an image with such a name."""
    from clearsight.bundle import Bundle
    from clearsight.data.geometry import Geometry
    from clearsight.data.pixels import PixelFormat
    from clearsight.models.network import from_spec
    from clearsight.tasks import Classification

    folder = tmp_path_factory.mktemp("hostile")
    spec = {
        "kind": "network", "name": "linear", "classes": 2, "img_size": 8, "model_args": {},
        "input": {"mean": [0.5], "std": [0.5]},
    }  # fmt: skip
    task = Classification(("=cat", "=a\x1b[2J\nb\u202e"))
    Bundle(from_spec(spec).eval(), task, PixelFormat(1, 8), Geometry(8, 8)).save(folder / "model")
    image = folder / "x\x1b[31m\ny.png"
    Image.new("L", (8, 8)).save(image)
    return folder, image


def test_names_do_not_control_the_terminal(small_run, capsys):
    bundle, image = small_run
    assert main(["predict", str(bundle), str(image)]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert "\\x1b[2J\\nb\\u202e" in out
    assert not {"\x1b", "\u202e", "\r"} & set(out)
    assert main(["predict", str(bundle), str(image.with_name("no\x1b[2J\nfile.png"))]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "\x1b" not in err


def test_control_characters_are_visible():
    assert visible("a\x1b\n\x7f\x9b\u202e") == "a\\x1b\\n\\x7f\\x9b\\u202e"
    assert visible("a\nb\tc\r", lines=True) == "a\nb\tc\\r"
    assert visible("naïve 猫 👩‍🔬") == "naïve 猫 👩‍🔬"
    assert str(ClearsightError("no \x1b[2J", found="a\nb")) == "no \\x1b[2J; found a b."
    assert environment().from_string("{{ name }}").render(name="<a>\x1b[2J") == "&lt;a&gt;\\x1b[2J"


STREAMS = [
    (">/dev/full", 2, "standard output cannot be written; found No space left on device. The result is lost."),
    ("| true", 0, ""),
    (">&-", 0, ""),
    ("2>&-", 0, ""),
    ("2>/dev/full", 0, ""),
    (">&- 2>&- <&-", 0, ""),
]


def ends(command, code, text):
    done = shell(command)
    assert done.returncode == code
    assert text in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize(("redirect", "code", "text"), STREAMS[1:])
def test_streams_that_are_closed_or_full(redirect, code, text):
    ends(f"clearsight --help {redirect}", code, text)


@pytest.mark.long
@pytest.mark.parametrize(("redirect", "code", "text"), STREAMS)
def test_predictions_to_streams_that_are_closed_or_full(small_run, redirect, code, text):
    bundle, _ = small_run
    Image.new("L", (8, 8)).save(bundle / "z.png")
    ends(f"clearsight predict {bundle} {bundle / 'z.png'} {redirect}", code, text)


@pytest.mark.long
@pytest.mark.parametrize("redirect", [">/dev/full", ">/dev/full 2>&1", ">&- 2>&-"])
def test_a_training_that_is_complete_ends_with_zero(tmp_path, redirect):
    text = "The files that the command writes are complete." if redirect == ">/dev/full" else ""
    ends(f"clearsight train digits --model pixels+softmax --out {tmp_path / 'run'} {redirect}", 0, text)
    assert (tmp_path / "run" / "metrics.json").exists()


@pytest.mark.parametrize(("command", "code"), [("train", 0), ("predict", 2)])
def test_the_exit_code_says_whether_results_are_lost(monkeypatch, capsys, command, code):
    """A full disk behind standard output, once the work is done."""

    def run(arguments):
        raise StreamError(OSError(28, "No space left on device"))

    module = types.SimpleNamespace(run=run, add_arguments=lambda parser: None, __doc__="")
    monkeypatch.setattr("clearsight.cli.streams.discard_output", lambda: None)
    monkeypatch.setattr("importlib.import_module", lambda name: module)
    assert main([command]) == code
    err = capsys.readouterr().err
    assert ("are complete." in err) is (code == 0)
    assert err.count("\n") == 1
