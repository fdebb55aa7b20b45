"""Rows of images: computed once, copied between lists, compared with checksums, and made again when damaged."""

from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from clearsight.data import store
from clearsight.data.cache import cache_root
from clearsight.data.store import Recipe, rows_of
from clearsight.errors import OutputError

SHAPES = (("a", (3, 4), np.dtype(np.uint8)), ("b", (2,), np.dtype(np.float32)))


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEARSIGHT_CACHE", str(tmp_path / "cache"))


def expected(images: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """What the rows of images named by numbers are."""
    numbers = np.array([int(image) for image in images])
    a = (numbers[:, None, None] * 7 + np.arange(12).reshape(3, 4)) % 251
    return a.astype(np.uint8), np.stack([numbers, -numbers], 1).astype(np.float32)


class Counted:
    """A recipe that counts what it computes."""

    def __init__(self, images: list[str], about: str = "x", failing: tuple[str, ...] = ()) -> None:
        self.images, self.computed, self.failing = images, [], failing
        self.recipe = Recipe("rows", about, lambda: SHAPES, self._compute)

    def _compute(self, missing: np.ndarray) -> Iterator[tuple[tuple[np.ndarray, ...] | None, str]]:
        a, b = expected(self.images)
        for i in missing.tolist():
            self.computed.append(self.images[i])
            yield (None, "broken") if self.images[i] in self.failing else ((a[i], b[i]), f"note {self.images[i]}")

    def rows(self) -> store.Segment:
        return rows_of(self.recipe, self.images)


def made(images: list[str], **options) -> tuple[list[str], store.Segment]:
    counted = Counted(images, **options)
    found = counted.rows()
    for name, right in zip(("a", "b"), expected(images), strict=True):
        known = [i for i, image in enumerate(images) if image not in counted.failing]
        np.testing.assert_array_equal(found.arrays[name][known], right[known])
        assert isinstance(found.arrays[name], np.memmap)
        assert not found.arrays[name].flags.writeable
    return counted.computed, found


def names(first: int, last: int) -> list[str]:
    return [str(i) for i in range(first, last)]


def test_only_new_images_are_computed():
    assert made(names(0, 600))[0] == names(0, 600)
    assert made(names(0, 600))[0] == []
    assert made(names(0, 601))[0] == ["600"]
    assert made([*names(300, 310), "700", "5"])[0] == ["700"]
    assert made(["700", *names(590, 610), *names(0, 3)])[0] == names(601, 610)


def test_another_recipe_shares_nothing():
    made(names(0, 5))
    assert made(names(0, 5), about="y")[0] == names(0, 5)


def test_rows_come_with_their_notes():
    made(names(0, 3))
    _, found = made(["2", "9", "0"])
    assert found.notes == ("note 2", "note 9", "note 0")


def test_an_image_twice_has_two_rows():
    computed, found = made(["4", "4", "5"])
    assert len(found.arrays["a"]) == 3
    assert made(["5", "4", "5"])[0] == []
    assert set(computed) == {"4", "5"}


def test_what_could_not_be_computed_is_remembered_with_its_list_alone():
    _, found = made(["1", "2", "3"], failing=("2",))
    assert found.notes[1] == "broken"
    assert not found.arrays["a"][1].any()
    assert made(["1", "2", "3"], failing=("2",))[0] == []
    assert made(["1", "2"])[0] == ["2"]  # it may be another file this time


def test_an_empty_list():
    assert len(made([])[1].arrays["a"]) == 0


def files() -> list[Path]:
    return sorted(p for p in (cache_root() / "rows").glob("*/*") if p.is_file())


def damage(draw: np.random.Generator) -> str:
    """Change, cut or swap something; what was done."""
    path = files()[draw.integers(len(files()))]
    content = bytearray(path.read_bytes())
    way = ["flip", "cut", "swap rows", "swap files", "remove", "empty", "other"][draw.integers(7)]
    if way == "flip":
        content[draw.integers(len(content))] ^= 1 << draw.integers(8)
    elif way == "cut":
        content = content[: draw.integers(len(content))]
    elif way == "swap rows":
        (i, j), size = draw.integers(len(content) // 24, size=2) * 12, 12
        content[i : i + size], content[j : j + size] = content[j : j + size], content[i : i + size]
    elif way == "empty":
        content = bytearray()
    elif way == "other":
        content = bytearray(draw.bytes(len(content)))
    path.unlink()
    if way == "swap files":
        other = [p for p in files() if p != path]
        content = other[draw.integers(len(other))].read_bytes() if other else content
    if way != "remove":
        path.write_bytes(content)
    return f"{way} {path.name}"


def test_damage_is_found_and_made_good():
    images = names(0, 40)
    made(images)
    made([*names(10, 50)])
    for trial in range(200):
        damage(np.random.default_rng(trial))
        made(images)
        made([*names(10, 50)])
    assert not list((cache_root() / "rows").glob("*.partial"))


def test_undamaged_rows_are_kept():
    _, found = made(names(0, 30))
    path = found.folder / "a.npy"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.unlink()
    path.write_bytes(content)
    assert made(names(0, 30))[0] == ["29"]


def test_damage_that_cannot_be_replaced_is_an_error(monkeypatch):
    _, found = made(names(0, 30))
    path = found.folder / "a.npy"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.unlink()
    path.write_bytes(content)

    def refused(*args: object, **kwargs: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(OutputError, match="damaged and read-only"):
        made(names(0, 30))


@pytest.mark.parametrize("limit", [0, 400, 1500, 6000])
def test_a_small_limit_changes_no_result(monkeypatch, limit):
    monkeypatch.setenv("CLEARSIGHT_CACHE_GB", str(limit / 1e9))
    for first in range(0, 60, 7):
        made(names(first, first + 25))
    size = sum(p.stat().st_size for p in files())
    assert size <= max(limit, 25 * 20 + 4000)


@pytest.mark.parametrize("call", range(20))
def test_a_full_disk_is_one_error_and_no_loss(monkeypatch, call):
    """The disk is full from the n-th claim of space or writing on."""
    made(names(0, 10))
    root = os.environ["CLEARSIGHT_CACHE"]
    count = iter(range(100))

    def failing(original):
        def limited(*args, **options):
            if next(count) >= call:
                raise OSError(errno.ENOSPC, "No space left on device")
            return original(*args, **options)

        return limited

    for owner, name in ((os, "posix_fallocate"), (Path, "write_bytes"), (Path, "mkdir"), (store, "open_memmap")):
        monkeypatch.setattr(owner, name, failing(getattr(owner, name)))
    lists = [names(first, first + 10) for first in range(1, 9)]
    with pytest.raises(OutputError, match="no space left on the disk"):
        [made(images) for images in lists]
    monkeypatch.undo()
    monkeypatch.setenv("CLEARSIGHT_CACHE", root)
    assert not list((cache_root() / "rows").glob("*.partial"))
    for images in lists:
        made(images)


def work(root: str, seed: int, rounds: int) -> None:
    """In a process of its own: ask for lists of images with little room, and check every row."""
    os.environ["CLEARSIGHT_CACHE"], os.environ["CLEARSIGHT_CACHE_GB"] = root, "0.00002"
    draw = np.random.default_rng(seed)
    for _ in range(rounds):
        made([str(i) for i in draw.permutation(80)[: draw.integers(1, 60)]])


@pytest.mark.long
def test_four_processes_at_once_and_kills_in_between():
    spawn = multiprocessing.get_context("spawn")
    root = os.environ["CLEARSIGHT_CACHE"]
    draw = np.random.default_rng(0)
    steady = [spawn.Process(target=work, args=(root, 100 + i, 300)) for i in range(3)]
    for process in steady:
        process.start()
    for kill in range(50):
        doomed = spawn.Process(target=work, args=(root, kill, 10_000))
        doomed.start()
        time.sleep(draw.uniform(0.5, 1.5))
        if doomed.pid:
            os.kill(doomed.pid, signal.SIGKILL)
        doomed.join()
        assert doomed.exitcode == -signal.SIGKILL
    for process in steady:
        process.join()
        assert process.exitcode == 0
    work(root, 1000, 20)
    shutil.rmtree(root)
