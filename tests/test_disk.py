"""One process writes to a folder at a time, folders are replaced in one step, and a full disk is an error."""

import errno
import os
import subprocess
import sys
import threading
import types

import pytest

from clearsight.cli.main import main
from clearsight.data.pixel_format import read_bytes
from clearsight.disk import exclusive, replace_folder, reserve
from clearsight.errors import ImageError, OutputError, TrainingError
from clearsight.runs.folder import run_folder
from clearsight.train.config import TrainConfig

HOLD = """
import sys, time
from pathlib import Path
from clearsight.disk import exclusive
with exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def held(folder):
    """A process that holds a folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def test_a_folder_is_held_by_one_process_until_it_ends(tmp_path):
    process = held(tmp_path / "run")
    with pytest.raises(OutputError, match="run is in use; found another process"), exclusive(tmp_path / "run"):
        pass
    for options in ({}, {"resume": True}):
        config = TrainConfig.from_options(out=str(tmp_path / "run"), **options)
        with pytest.raises(OutputError, match="run is in use"), run_folder(config, "digits", tmp_path):
            pass
    process.kill()  # no lock is left behind
    process.wait()
    process.stdout.close()
    with exclusive(tmp_path / "run"):
        pass
    assert list((tmp_path / "run").iterdir()) == []


def test_of_several_at_once_exactly_one_wins(tmp_path):
    won, lost, start, end = [], [], threading.Barrier(8), threading.Event()

    def attempt(number):
        start.wait()
        try:
            with run_folder(TrainConfig.from_options(out=str(tmp_path / "run")), "digits", tmp_path) as folder:
                won.append(number)
                (folder / "config.json").write_text("{}")
                (folder / "metrics.json").write_text("{}")
                end.wait()
        except OutputError as error:
            lost.append(str(error))
            if len(lost) == 7:
                end.set()

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert all("is in use" in text or "already exists" in text for text in lost)


def test_a_run_that_was_finished_in_the_meantime_is_not_resumed(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.json").write_text("{}")
    (run / "metrics.json").write_text("{}")
    config = TrainConfig.from_options(out=str(run), resume=True)
    with pytest.raises(OutputError, match="cannot be resumed"), run_folder(config, "digits", tmp_path):
        pass


def test_a_folder_that_is_replaced_while_it_is_waited_for_is_locked_anew(tmp_path, monkeypatch):
    import fcntl

    folder, calls, flock = tmp_path / "index", [], fcntl.flock

    def replaced(descriptor, how):
        if not calls:
            new = tmp_path / "new"
            new.mkdir()
            replace_folder(new, folder)
        calls.append(descriptor)
        return flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", replaced)
    with exclusive(folder):
        assert len(calls) == 2


def test_file_systems_without_locks_have_none(tmp_path, monkeypatch):
    import fcntl

    def refuse(descriptor, how):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with exclusive(tmp_path / "run"), exclusive(tmp_path / "run"):
        pass


@pytest.mark.parametrize("at_once", [True, False])
def test_a_folder_is_replaced_whole(tmp_path, monkeypatch, at_once):
    if not at_once:
        monkeypatch.setattr("clearsight.disk.sys.platform", "other")
    for content in ("old", "new"):
        (tmp_path / ".partial").mkdir()
        (tmp_path / ".partial" / content).touch()
        replace_folder(tmp_path / ".partial", tmp_path / "index")
        assert [p.name for p in (tmp_path / "index").iterdir()] == [content]
        assert [p.name for p in tmp_path.iterdir()] == ["index"]


def test_space_is_reserved_before_it_is_written(tmp_path, monkeypatch):
    file = tmp_path / "map"
    file.write_bytes(bytes(100))

    def refuse(code):
        def reserve(descriptor, offset, length):
            assert (offset, length) == (0, 100)
            raise OSError(code, os.strerror(code))

        return reserve

    monkeypatch.setattr(os, "posix_fallocate", refuse(errno.EOPNOTSUPP))
    reserve(file)
    monkeypatch.setattr(os, "posix_fallocate", refuse(errno.ENOSPC))
    with pytest.raises(OSError, match="No space left"):
        reserve(file)


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (
            OSError(errno.ENOSPC, "full"),
            OutputError,
            "the run cannot be written to .*; found no space left on the disk",
        ),
        (MemoryError(), TrainingError, "not enough memory for the training; found MemoryError. Use a smaller --batch"),
        (
            RuntimeError("[enforce] DefaultCPUAllocator: can't allocate memory: you tried"),
            TrainingError,
            "can't allocate",
        ),
        (RuntimeError("CUDA out of memory. Tried to allocate"), TrainingError, "CUDA out of memory"),
        (RuntimeError("something else"), RuntimeError, "^something else$"),
        (FileNotFoundError(errno.ENOENT, "data"), FileNotFoundError, "data"),
    ],
)
def test_a_full_disk_and_too_little_memory_end_a_training_with_advice(tmp_path, error, kind, text):
    """What was learned stays, for --resume."""
    config = TrainConfig.from_options(out=str(tmp_path / "run"))
    with pytest.raises(kind, match=text):  # noqa: PT012, SIM117
        with run_folder(config, "digits", tmp_path) as folder:
            (folder / "checkpoints").mkdir()
            raise error
    assert (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(errno.ENOSPC, "full", "/x/y"), "clearsight: /x/y cannot be written; found no space left on the disk."),
        (MemoryError(), "clearsight: there is not enough memory."),
        (RuntimeError("DefaultCPUAllocator: not enough memory"), "clearsight: there is not enough memory."),
    ],
)
def test_any_command_ends_with_one_line(monkeypatch, capsys, error, text):
    def run(arguments):
        raise error

    module = types.SimpleNamespace(run=run, add_arguments=lambda parser: None, __doc__="")
    monkeypatch.setattr("importlib.import_module", lambda name: module)
    assert main(["predict"]) == 2
    err = capsys.readouterr().err
    assert err.startswith(text)
    assert err.count("\n") == 1


@pytest.mark.parametrize("by", ["pipe", "device", "sparse"])
def test_files_that_are_no_images_are_not_read(tmp_path, by):
    file = tmp_path / "a.png"
    if by == "pipe":
        os.mkfifo(file)
    elif by == "device":
        file.symlink_to("/dev/zero")
    else:
        with file.open("wb") as stream:
            stream.truncate(60_000_000_000)
    text = "too large for an image; found 60,000,000,000 bytes" if by == "sparse" else "expected a regular file"
    with pytest.raises(ImageError, match=text):
        read_bytes(file)
