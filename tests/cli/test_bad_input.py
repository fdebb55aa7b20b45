"""What can go wrong says so in one line, leaves no half-written file and deletes nothing."""

import errno
import os
import signal
import struct
import subprocess
import sys
import time
import zlib
from functools import partial

import pytest
from PIL import Image

from clearsight.arguments import flag
from clearsight.cli.main import COMMANDS, command_parser, main
from clearsight.cli.parsing import parsed
from clearsight.errors import ClearsightError, ConfigError
from clearsight.train.config import options_by_name
from clearsight.train.option_field import fault


def files(root):
    return {p: p.read_bytes() for p in root.rglob("*") if p.is_file()}


def fails(capsys, *argv):
    """Run a command that must fail; its one line of complaint."""
    assert main([str(a) for a in argv]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    complaint = [line for line in err.splitlines() if line.startswith("clearsight: ")]
    assert len(complaint) == 1
    assert "Traceback" not in err
    return complaint[0]


def test_an_empty_folder(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    text = fails(capsys, "train", tmp_path / "empty", "--out", tmp_path / "run")
    assert "; found an empty folder; expected one folder of images per class" in text
    assert not (tmp_path / "run").exists()


def test_one_class(tmp_path, capsys, digit_folders):
    for c in (1, 2):
        (digit_folders / f"digit {c}").rename(tmp_path / f"away{c}")
    text = fails(capsys, "train", digit_folders, "--out", tmp_path / "run")
    assert "a classifier needs at least two classes; found 1 class (digit 0); expected at least 2" in text
    assert not (tmp_path / "run").exists()


def test_a_class_of_one_image(tmp_path, capsys, digit_folders):
    for path in sorted((digit_folders / "digit 1").iterdir())[1:]:
        path.unlink()
    text = fails(capsys, "train", digit_folders, "--out", tmp_path / "run")
    assert "found 'digit 1' with 1 image; expected at least 3 images per class" in text


def bomb(path):
    """A PNG whose header claims 60,000 x 60,000 pixels."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b""))


def test_broken_files_are_set_aside_by_name_and_left_as_they_are(tmp_path, digit_folders):
    import clearsight as cs

    damaged = digit_folders / "digit 0"
    whole = (damaged / "0.png").read_bytes()
    (damaged / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (damaged / "zero.jpg").write_bytes(b"")
    (damaged / "text.jpg").write_text("this is no picture")
    bomb(damaged / "bomb.png")
    before = files(digit_folders)
    run = cs.fit(digit_folders, out=str(tmp_path / "run"), epochs=1)
    assert files(digit_folders) == before
    import json

    audit = json.loads((run.folder / "audit.json").read_text())
    assert audit["images"] == 64
    assert audit["usable"] == 60
    aside = audit["set_aside"]
    assert set(aside) == {f"digit 0/{n}" for n in ("truncated.png", "zero.jpg", "text.jpg", "bomb.png")}
    assert "0 bytes" in aside["digit 0/zero.jpg"]
    assert "not an image; found text" in aside["digit 0/text.jpg"]
    assert "too large to decode; found" in aside["digit 0/bomb.png"]
    assert "3600" in aside["digit 0/bomb.png"]
    assert any(f["code"] == "unreadable" for f in audit["findings"])


def test_split_folders_whose_classes_differ(tmp_path, capsys, digit_folders):
    root = tmp_path / "split"
    root.mkdir()
    digit_folders.rename(root / "train")
    (root / "test" / "digit 0").mkdir(parents=True)
    (root / "test" / "digit 7").mkdir()
    for c in (0, 7):
        Image.new("L", (8, 8)).save(root / "test" / f"digit {c}" / "x.png")
    text = fails(capsys, "train", root, "--out", tmp_path / "run")
    assert "only in train: digit 1, digit 2; only in test: digit 7" in text


def test_csv_with_missing_files(tmp_path, capsys, digit_folders):
    (tmp_path / "labels.csv").write_text("image_path,label\ndata/digit 0/0.png,a\nnothere.png,b\n")
    text = fails(capsys, "train", tmp_path / "labels.csv", "--out", tmp_path / "run")
    assert "1 of 2 images listed in" in text
    assert "nothere.png" in text


def test_csv_with_conflicting_labels(tmp_path, capsys, digit_folders):
    (tmp_path / "labels.csv").write_text("image_path,label\ndata/digit 0/0.png,a\ndata/digit 0/0.png,b\n")
    text = fails(capsys, "train", tmp_path / "labels.csv", "--out", tmp_path / "run")
    assert "0.png with 'a' in row 2 and 'b' in row 3" in text


def test_an_output_folder_that_cannot_be_written(tmp_path, capsys, digit_folders):
    (tmp_path / "file").write_text("in the way")
    text = fails(capsys, "train", digit_folders, "--out", tmp_path / "file" / "run")
    assert "the run cannot be written to" in text
    assert (tmp_path / "file").read_text() == "in the way"


def test_an_output_folder_in_use(tmp_path, capsys, digit_folders):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("ten years of work")
    text = fails(capsys, "train", digit_folders, "--out", tmp_path / "mine")
    assert "already exists" in text
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_a_full_disk_while_the_cache_is_written(tmp_path, capsys, digit_folders, monkeypatch):
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr("clearsight.data.cache.shutil.disk_usage", lambda path: usage)
    text = fails(capsys, "train", digit_folders, "--out", tmp_path / "run")
    assert "not enough disk space for the cache" in text
    assert "CLEARSIGHT_CACHE" in text
    assert not (tmp_path / "run").exists()


def test_a_full_disk_while_the_run_is_written(tmp_path, capsys, digit_folders, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("clearsight.disk.os.fsync", full)
    text = fails(capsys, "train", digit_folders, "--out", tmp_path / "run")
    assert "no space left on the disk" in text
    assert not list(tmp_path.rglob("*.partial"))


def test_a_loss_that_is_not_a_number(tmp_path, capsys, digit_folders):
    text = fails(capsys, "train", digit_folders, "--out", tmp_path / "run", "--lr", "1e30", "--epochs", "5")
    assert "loss became" in text
    assert "Lower the learning rate" in text  # where half precision is the default, float32 is advised too
    assert "clearsight train" in text
    assert "--lr 0.005" in text
    assert not (tmp_path / "run" / "model").exists()


@pytest.mark.parametrize(
    ("option", "text"),
    [
        (("--epochs", "0"), "--epochs must be 1 or more, not 0"),
        (("--batch-size", "100000"), "the batch is larger than the training split"),
        (("--budget", "soon"), "--budget is not a valid duration; found 'soon'"),
        (("--model", "resnet21"), "unknown network 'resnet21'. Did you mean resnet"),
        (("--model", "timm/resnet19"), "timm has no network 'resnet19'. Did you mean"),
        (
            ("--test-fraction", "2", "--folds", "1"),
            "--test-fraction must be above 0 and below 1, not 2; write 0.02 for 2 %; --",
        ),
        (("--img-size", "2"), "images are too small for resnet8; found 2x2 pixels"),
        (("--model", "lenet5", "--freeze", "all"), "lenet5 starts from random weights"),
        (("--model", "lenet5", "--pretrained"), "no weights are published for lenet5"),
        (("--model", "resnet18", "--pretrained", "--model-arg", "width=32"), "the published weights do not fit"),
    ],
)
def test_bad_options(tmp_path, capsys, digit_folders, option, text):
    assert text in fails(capsys, "train", digit_folders, "--out", tmp_path / "run", *option)
    assert not (tmp_path / "run").exists()


def test_images_that_cannot_be_predicted_are_named_and_the_others_answered(tmp_path, capsys, digits_run, digit_folders):
    (tmp_path / "bad.png").write_bytes(b"GIF89a")
    good = digit_folders / "digit 0" / "0.png"
    assert main(["predict", str(digits_run), str(good), str(tmp_path / "bad.png")]) == 2
    out, err = capsys.readouterr()
    assert str(good) in out
    assert "bad.png" in err
    assert "Traceback" not in err


def test_a_run_that_was_never_finished(tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text("{}")
    assert "contains no model" in fails(capsys, "predict", tmp_path / "run", "x.png")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["attack", "RUN", "--batch-size", "0"], "--batch-size must be 1 or more, not 0"),
        (["landscape", "RUN", "--batch-size", "-1"], "--batch-size must be 1 or more, not -1"),
        (["robustness", "RUN", "--images", "0"], "--images must be 1 or more, not 0"),
        (["visualize", "RUN", "--seed", "-1"], "--seed must be 0 or more, not -1"),
        (["gradient-correlation", "--seed", "-1"], "--seed must be 0 or more, not -1"),
        (["gradient-correlation", "--img-size", "8"], "--img-size applies only to named networks"),
    ],
)
def test_numbers_out_of_range(words, text, digits_run, capsys):
    assert main([str(digits_run) if word == "RUN" else word for word in words]) == 2
    assert text in capsys.readouterr().err


def test_an_unknown_command_suggests_one(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["trian"])
    assert stop.value.code == 2
    assert "did you mean train" in capsys.readouterr().err


@pytest.mark.parametrize("after", [0.15, *(pytest.param(s, marks=pytest.mark.long) for s in (0.5, 1.0, 2.0, 4.0, 6.0))])
def test_interrupted_at_any_moment(tmp_path, after):
    """Ctrl-C during start-up, reading, training: one line, exit 130, no half-written file."""
    run = tmp_path / "run"
    command = [sys.executable, "-m", "clearsight.cli.main", "train", "digits", "--out", str(run), "--epochs", "500"]
    # a shell lets what it starts in the background ignore the signal, and the tests may have been started so
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heard
    ) as process:
        time.sleep(after)
        process.send_signal(signal.SIGINT)
        try:
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    # To the shell both are 130. The signal's own code comes when the interpreter had not come to us yet, or when it
    # hit inside an exec() of a string, which Python remembers.
    assert process.returncode in (130, -signal.SIGINT), err
    early = process.returncode < 0 and "clearsight" not in err
    assert err.count("clearsight: interrupted") == (0 if early else 1)
    assert early or "Traceback" not in err
    assert out == ""
    assert not (run / "model").exists()
    assert not list(tmp_path.rglob("*.partial"))


def test_every_error_is_a_clearsight_error():
    import clearsight.errors as errors

    kinds = [v for v in vars(errors).values() if isinstance(v, type) and issubclass(v, Exception)]
    assert all(issubclass(k, ClearsightError) for k in kinds)


NUMBERS = [
    (name, action.option_strings[0], action.type)
    for name in COMMANDS
    for action in command_parser(name)._actions
    if action.type in (int, float)
]


@pytest.mark.parametrize(("command", "option", "kind"), NUMBERS)
def test_every_option_that_is_a_number_says_so(command, option, kind):
    """In plain words, not in those of argparse."""
    with pytest.raises(ConfigError, match=f"^{option} must be a {'whole ' * (kind is int)}number, not 'abc'"):
        parsed(command_parser(command), [option, "abc"], COMMANDS)


SHARES = [(name, f) for name, f in options_by_name().items() if f.metadata["within"] in ("(0, 1)", "(0, 1]", "[0, 1)")]


@pytest.mark.parametrize(("name", "field"), SHARES)
def test_every_share_explains_how_to_write_a_percentage(name, field):
    found = fault(field, 25.0, float)
    assert found.startswith(f"{flag(name)} must be ")
    assert found.endswith(", not 25; write 0.25 for 25 %")


def test_models_that_are_not_there(tmp_path, capsys, monkeypatch, digits_run):
    """What is there instead, and which runs there are."""
    monkeypatch.chdir(tmp_path)
    picture = tmp_path / "photos" / "cat" / "1.png"
    picture.parent.mkdir(parents=True)
    Image.new("L", (8, 8)).save(picture)
    assert "photos contains images, not a model" in fails(capsys, "predict", "photos", "x.png")
    assert "1.png is a file, not the folder of a model" in fails(capsys, "predict", str(picture), "x.png")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "digits").symlink_to(digits_run)
    assert "Did you mean runs/digits?" in fails(capsys, "predict", "runs/digit", "x.png")
    assert "Existing runs: runs/digits" in fails(capsys, "predict", "nothing", "x.png")
    assert "x.png does not exist" in fails(capsys, "predict", "runs/digits", "x.png")
