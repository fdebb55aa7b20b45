"""Commands that are killed, meet a full disk, are started twice or find damaged files: the old state or the new one,
never a mixture. Each test is a block of a few attempts, so that the long tier goes on where it was interrupted.
"""

import contextlib
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

import clearsight as cs
from clearsight.errors import ClearsightError
from clearsight.retrieval import Index

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals, mounts and exchange in one step")

BLOCK = 5
"""Attempts of a test."""

blocks = pytest.mark.parametrize("block", [pytest.param(k, marks=pytest.mark.long) for k in range(20)])
some = pytest.mark.parametrize("block", [pytest.param(k, marks=pytest.mark.long) for k in range(10)])


def clearsight(*words, **options):
    command = [sys.executable, "-m", "clearsight", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)


def finished(process):
    text, _ = process.communicate(timeout=250)
    return process.returncode, text


@pytest.fixture(scope="module")
def pictures(tmp_path_factory, digits_arrays):
    """300 digits as files, other images than a run's own."""
    folder = tmp_path_factory.mktemp("pictures")
    images, labels = digits_arrays
    for i in range(300):
        (folder / str(labels[i])).mkdir(exist_ok=True)
        Image.fromarray(np.asarray(images[i][0], np.uint8)).save(folder / str(labels[i]) / f"{i}.png")
    return folder


def contents(folder, pattern="*"):
    """The files of a folder, without those that a killed process leaves beside."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob(pattern))
        if path.is_file() and not any(word in str(path) for word in (".partial", ".lock", ".tmp"))
    }


class Indexing:
    """An index of other images than before."""

    def __init__(self, run, pictures, folder):
        self.run, self.pictures = shutil.copytree(run, folder / "run"), pictures

    def begin(self, **options):
        return clearsight("index", self.run, self.pictures, **options)

    def before(self):
        assert finished(clearsight("index", self.run))[0] == 0

    def state(self):
        index = Index.load(self.run / "index", self.run)
        return (
            len(index),
            tuple(index.card.names),
            index.search(np.ones((1, index.card.width), np.float32), 5)[1].tolist(),
        )


class Exporting:
    """An exported file in place of one with other options."""

    def __init__(self, run, pictures, folder):
        self.run, self.out = run, folder / "out" / "model.xml"
        self.out.parent.mkdir()

    def begin(self, **options):
        return clearsight("export", self.run, "--format", "openvino", "--images", 4, "--out", self.out, **options)

    def before(self):
        words = ("--format", "openvino", "--images", 4, "--fixed-size", "--out", self.out)
        assert finished(clearsight("export", self.run, *words))[0] == 0

    def state(self):
        return contents(self.out.parent, "model.*")


class Predicting:
    """Predictions in a table; a folder that was not finished is no result, and is finished with --resume."""

    def __init__(self, run, pictures, folder):
        self.run, self.pictures, self.out = run, pictures, folder / "out"

    def begin(self, **options):
        words = ("--out", self.out, "--part-size", 50, *(("--resume",) if self.out.exists() else ()))
        return clearsight("predict", self.run, self.pictures, *words, **options)

    def before(self):
        shutil.rmtree(self.out, ignore_errors=True)

    def state(self):
        if (self.out / "_parts.jsonl").exists():
            assert finished(self.begin())[0] == 0
        return contents(self.out, "part-*") if (self.out / "_parts.jsonl").exists() else {}


COMMANDS = {"index": Indexing, "export": Exporting, "predict": Predicting}


@pytest.fixture(scope="module", params=COMMANDS)
def command(request, digits_run, pictures, tmp_path_factory):
    """A command, its old and its new state, and the seconds that it takes."""
    made = COMMANDS[request.param](digits_run, pictures, tmp_path_factory.mktemp(request.param))
    made.before()
    old, began = made.state(), time.monotonic()
    assert finished(made.begin())[0] == 0
    made.seconds = time.monotonic() - began
    made.states = old, made.state()
    return made


@blocks
@pytest.mark.timeout(1200)
def test_a_kill_leaves_the_old_state_or_the_new_one(command, block, record_property):
    rng, seen = random.Random(block), []
    command.before()
    for _ in range(BLOCK):
        process = command.begin()
        time.sleep(command.seconds * rng.uniform(0.2, 1.0))
        process.send_signal(signal.SIGKILL)
        finished(process)
        seen.append(command.states.index(command.state()))
        if seen[-1]:
            command.before()
    record_property("new", sum(seen))


@contextlib.contextmanager
def small_disk(folder, size):
    """A file system of so many bytes."""
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("file systems cannot be mounted")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@some
@pytest.mark.timeout(1200)
def test_a_full_disk_leaves_the_old_state_or_the_new_one(digits_run, pictures, tmp_path, block, record_property):
    """The folder of the run, with its index, is on a disk with little space left."""
    rng, codes = random.Random(block), []
    used = sum(path.stat().st_size for path in digits_run.rglob("*") if path.is_file())
    for attempt in range(BLOCK):
        with small_disk(tmp_path / f"disk{attempt}", used + 4_000_000) as disk:
            made = Indexing(digits_run, pictures, disk)
            made.before()
            old = made.state()
            left = shutil.disk_usage(disk).free
            (disk / "filled").write_bytes(bytes(max(0, left - rng.randrange(0, 300_000))))
            code, text = finished(made.begin())
            codes.append(code)
            assert code in (0, 1), text
            assert "Traceback" not in text
            new = made.state()
            assert (new == old) == (code == 1), text
            assert not code or ("space" in text.lower() or "disk" in text.lower()), text
    record_property("codes", codes)


@some
@pytest.mark.timeout(1200)
def test_of_two_processes_with_one_folder_one_wins(digits_run, pictures, tmp_path, block):
    for attempt in range(BLOCK):
        out = tmp_path / f"run{attempt}"
        words = ("train", "digits", "--epochs", 1, "--model", "mlp", "--no-pretrained", "--seed")
        first, second = (clearsight(*words, seed, "--out", out) for seed in (1, 2))
        codes = {}
        for seed, process in ((1, first), (2, second)):
            codes[seed], text = finished(process)
            assert "Traceback" not in text
        (winner,) = [seed for seed, code in codes.items() if code == 0]
        assert f'"seed": {winner}' in (out / "config.json").read_text()
        cs.load(out)


def damage(path, others, rng):
    """Change a byte, cut the end off, or put another file of the same kind in its place."""
    content = path.read_bytes()
    how = rng.randrange(3)
    if how == 0 and content:
        changed = bytearray(content)
        changed[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
    elif how == 1:
        path.write_bytes(content[: rng.randrange(len(content) + 1)])
    else:
        path.write_bytes(rng.choice(others))
    return content


@pytest.mark.parametrize("count", [20, *(pytest.param(500 + k, marks=pytest.mark.long) for k in range(2))])
@pytest.mark.timeout(3600)
def test_damaged_files_are_detected_or_harmless(digits_run, tmp_path, digits_arrays, count, record_property):
    """Files of a run, of its model and of its index: an error in one line, or the same result."""
    run, rng = shutil.copytree(digits_run, tmp_path / "run"), random.Random(count)
    cs.load(run).index()
    images = digits_arrays[0][:20]

    def result():
        model = cs.load(run, engine="torch")
        predictor = model.predictor
        probabilities = predictor.predict_proba(images)
        index = Index.load(run / "index", run)
        index.check(predictor.bundle)
        found = index.search(predictor.forward(images).features, 3)
        return probabilities.tolist(), found[1].tolist(), [index.card.names[i] for i in found[1].ravel()]

    expected, lines = result(), []
    files = [
        path for path in sorted(run.rglob("*"))
        if path.is_file() and path.suffix in (".json", ".safetensors", ".csv", ".faiss", ".npy")
    ]  # fmt: skip
    for _ in range(count):
        path = rng.choice(files)
        others = [other.read_bytes() for other in files if other.suffix == path.suffix]
        kept = damage(path, others, rng)
        try:
            found = result()
        except ClearsightError as error:
            lines.append(str(error).count("\n"))
        else:
            assert found == expected, path
        path.write_bytes(kept)
    record_property("detected", len(lines))
    assert lines
    assert not any(lines)
