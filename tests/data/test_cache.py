"""The decode-once cache: its keys, its rebuilding, builders at once, full disks, and making room."""

from __future__ import annotations

import contextlib
import errno
import json
import multiprocessing
import os
import re
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from clearsight.cli.main import main
from clearsight.data import cached_pixels as cached_pixels_module
from clearsight.data import dataset
from clearsight.data.cache import cache_limit, cache_root, entry, threaded
from clearsight.data.cached_pixels import cached_pixels, content_digest, pixel_recipe
from clearsight.data.geometry import Geometry
from clearsight.data.pixels import PixelFormat
from clearsight.data.scan import scan
from clearsight.errors import ConfigError, DataError, OutputError
from clearsight.tasks import read

FORM, GEOMETRY = PixelFormat(1, 8), Geometry(6, 5)
KEY = "0123456789abcdef" * 2


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache, that shares nothing with other tests."""
    monkeypatch.setenv("CLEARSIGHT_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i in range(6):
        path = tmp_path / "data" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (5, 6), 10 * i).save(path)
    return tmp_path / "data"


def load(folder: Path, form: PixelFormat = FORM, geometry: Geometry = GEOMETRY, **options: object):
    data = read(folder)
    seen = scan(data)
    return cached_pixels(data.source, seen.digests, form, geometry, skip=frozenset(seen.failed), **options)


def leftovers() -> list[str]:
    return [p.name for p in cache_root().glob("*/*") if p.name.endswith(".partial")]


# --- keys ------------------------------------------------------------------------------------------------------------

inputs = st.tuples(
    st.lists(st.sampled_from(["", "a1", "b2", "c3", "a1b2"]), max_size=4).map(tuple),
    st.builds(PixelFormat, st.sampled_from([1, 3]), st.sampled_from([8, 16])),
    st.builds(Geometry, st.integers(1, 3), st.integers(1, 3), st.sampled_from(["squash", "pad", "crop"])),
)


def key_of(digests, form, geometry) -> str:
    return pixel_recipe(form, geometry, lambda missing: iter(())).key(digests)


@given(inputs, inputs)
def test_keys_are_equal_exactly_when_everything_is(one, other):
    assert (key_of(*one) == key_of(*other)) == (one == other)


def test_keys_do_not_depend_on_the_process():
    assert key_of(["a", "b"], FORM, GEOMETRY) == key_of(("a", "b"), PixelFormat(1, 8), Geometry(6, 5, "squash"))
    assert len(key_of([], FORM, GEOMETRY)) == 64


def test_a_new_version_is_a_new_key(monkeypatch):
    before = key_of(["a"], FORM, GEOMETRY)
    monkeypatch.setattr(cached_pixels_module, "VERSION", cached_pixels_module.VERSION + 1)
    assert key_of(["a"], FORM, GEOMETRY) != before


# --- reading and rebuilding ------------------------------------------------------------------------------------------


@pytest.fixture
def decoded(monkeypatch) -> list[str]:
    """Names of the images decoded so far."""
    done: list[str] = []
    original = dataset.decode

    def counting(content, name, *rest):
        done.append(name)
        return original(content, name, *rest)

    monkeypatch.setattr(dataset, "decode", counting)
    return done


def test_what_is_stored(folder):
    calls: list[tuple[int, int]] = []
    found = load(folder, progress=lambda *at: calls.append(at))
    assert found.array.shape == (6, 1, 6, 5)
    assert found.array[:, 0, 0, 0].tolist() == [0, 20, 40, 10, 30, 50]  # class a, then class b
    assert isinstance(found.array, np.memmap)
    assert not found.array.flags.writeable
    assert calls == [(i, 6) for i in range(1, 7)]
    view = found.view(np.array([4, 1]))
    assert len(view) == 2
    assert view.shape == (2, 1, 6, 5)
    assert view[0:2][:, 0, 0, 0].tolist() == [30, 20]
    assert not leftovers()


def test_the_second_reading_decodes_nothing(folder, decoded):
    first = load(folder)
    assert len(decoded) == 6
    second = load(folder)
    assert len(decoded) == 6
    assert second.key == first.key
    assert (second.array == first.array).all()


def test_one_changed_file_means_decoding_one(folder, decoded):
    first = load(folder)
    Image.new("L", (5, 6), 99).save(folder / "b" / "1.png")
    second = load(folder)
    assert second.key != first.key
    assert decoded[6:] == ["b/1.png"]
    assert second.array[3, 0, 0, 0] == 99
    assert first.array[3, 0, 0, 0] == 10
    assert second.contents == tuple(content_digest(image) for image in second.array)


def test_one_new_image_is_one_decoding(folder, decoded):
    calls: list[tuple[int, int]] = []
    first = load(folder)
    Image.new("L", (5, 6), 77).save(folder / "a" / "new.png")
    second = load(folder, progress=lambda *at: calls.append(at))
    assert decoded[6:] == ["a/new.png"]
    assert calls == [(1, 1)]
    assert second.array[3, 0, 0, 0] == 77
    assert (np.delete(second.array, 3, 0) == first.array).all()


def test_a_part_of_the_images_in_another_order_decodes_nothing(folder, decoded, tmp_path):
    every = load(folder)
    for name in ("b/5.png", "a/4.png"):
        (tmp_path / "part" / name).parent.mkdir(parents=True)
        shutil.copy(folder / name, tmp_path / "part" / name)
    (tmp_path / "part" / "b").rename(tmp_path / "part" / "A")
    part = load(tmp_path / "part")
    assert len(decoded) == 6
    assert (part.array == every.array[[5, 2]]).all()
    assert part.contents == (every.contents[5], every.contents[2])


def test_a_touched_or_moved_file_does_not(folder, decoded, tmp_path):
    load(folder)
    os.utime(folder / "a" / "0.png", (1, 1))
    shutil.copytree(folder, tmp_path / "copy")
    load(folder)
    load(tmp_path / "copy")
    assert len(decoded) == 6


def test_other_forms_and_sizes_are_other_entries(folder):
    keys = {
        load(folder, form, geometry).key
        for form in (FORM, PixelFormat(3, 8), PixelFormat(1, 16))
        for geometry in (GEOMETRY, Geometry(5, 6), Geometry(6, 5, "pad"))
    }
    assert len(keys) == 9


def test_failures_are_recorded_and_remembered(folder, decoded):
    path = folder / "a" / "2.png"
    path.write_bytes(path.read_bytes()[:-30])  # the header is whole, the pixels are not
    (folder / "b" / "3.png").write_bytes(b"")
    first = load(folder)
    assert list(first.failed) == [1]
    assert "a/2.png cannot be decoded" in first.failed[1]
    assert not first.array[[1, 4]].any()
    assert load(folder).failed == first.failed
    assert len(decoded) == 5


def test_a_file_that_changes_while_it_is_read_is_not_stored(folder):
    data = read(folder)
    seen = scan(data)
    Image.new("L", (5, 6), 99).save(folder / "b" / "1.png")
    with pytest.raises(DataError, match=r"b/1\.png changed while the data set was being read"):
        cached_pixels(data.source, seen.digests, FORM, GEOMETRY)
    assert not list((cache_root() / "pixels").glob("*-*"))
    assert [p.name for p in (cache_root() / "pixels").iterdir()] == ["CACHEDIR.TAG"]


# --- builders at once, interrupted and refused -----------------------------------------------------------------------


def build_slowly(root: str, number: int, ready, results) -> None:
    """In a process of its own: build an entry when all are ready, and say what came out."""
    os.environ["CLEARSIGHT_CACHE"] = root

    def build(place: Path) -> None:
        (place / "built").write_text(str(number))
        ready.wait(30)
        time.sleep(0.05 * number)
        (place / "end").write_text("whole")

    place = entry("pixels", KEY, build)
    results.put((number, (place / "built").read_text(), (place / "end").read_text()))


@pytest.mark.long
def test_processes_that_build_at_once_make_one_whole_entry(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    ready, results = spawn.Barrier(2), spawn.Queue()
    root = str(tmp_path / "shared")
    workers = [spawn.Process(target=build_slowly, args=(root, i, ready, results)) for i in (1, 2)]
    for worker in workers:
        worker.start()
    found = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
        worker.close()
    results.close()
    results.join_thread()
    assert {end for _, _, end in found} == {"whole"}
    left = sorted(p.name for p in (tmp_path / "shared" / "pixels").iterdir())
    assert left == [KEY, "CACHEDIR.TAG"]
    winner = (tmp_path / "shared" / "pixels" / KEY / "built").read_text()
    assert {n: built for n, built, _ in found}[int(winner)] == winner


@pytest.mark.parametrize("interruption", [RuntimeError, KeyboardInterrupt, DataError])
def test_an_interrupted_build_leaves_nothing(interruption):
    def build(place: Path) -> None:
        (place / "half").write_text("x")
        raise interruption("stop")

    with pytest.raises(interruption, match="stop"):
        entry("pixels", KEY, build)
    assert [p.name for p in (cache_root() / "pixels").iterdir()] == ["CACHEDIR.TAG"]
    assert entry("pixels", KEY, lambda place: (place / "x").touch()).name == KEY


def test_an_interrupted_reading_leaves_nothing(folder):
    def stop(done: int, of: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load(folder, progress=stop)
    assert not leftovers()
    assert load(folder).array.any()


def test_no_room_is_seen_before_the_work(folder, monkeypatch):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=100))
    with pytest.raises(
        OutputError, match=r"not enough disk space for the cache in .*pixels; found 0\.00 GB free.*CLEARSIGHT_CACHE"
    ):
        load(folder)
    assert not leftovers()


@pytest.mark.parametrize("call", ["posix_fallocate", "write_bytes"])
def test_a_disk_that_fills_up_on_the_way(folder, monkeypatch, call):
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    entry("pixels", KEY, lambda place: None)  # the tag is written
    monkeypatch.setattr(*((os, call, full) if call == "posix_fallocate" else (Path, call, full)))
    with pytest.raises(
        OutputError, match=r"the cache cannot be written to .*; found no space left on the disk. Set CLEARSIGHT_CACHE"
    ):
        load(folder)
    assert not leftovers()


def test_a_file_system_without_reservation_will_do(folder, monkeypatch):
    def unknown(*args: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "posix_fallocate", unknown)
    assert load(folder).array.any()


def test_a_cache_that_cannot_be_written(tmp_path, folder, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("CLEARSIGHT_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(OutputError, match=r"the cache cannot be written to .*; found Not a directory"):
        load(folder)
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_read_only_cache_is_still_read(folder, monkeypatch):
    first = load(folder)

    def refused(*args: object, **kwargs: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    for owner, call in ((os, "utime"), (os, "mkdir"), (Path, "rename")):
        monkeypatch.setattr(owner, call, refused)
    assert load(folder).key == first.key


# --- making room -----------------------------------------------------------------------------------------------------


def put(kind: str, number: int, size: int, age: float) -> Path:
    place = entry(kind, f"{number:032x}", lambda p: (p / "x").write_bytes(bytes(size)) and None)
    os.utime(place, (time.time() - age,) * 2)
    return place


def test_the_least_recently_used_go_first(monkeypatch):
    monkeypatch.setenv("CLEARSIGHT_CACHE_GB", "1")
    old, middle, new = (put(kind, i, 1000, age) for i, (kind, age) in enumerate([("a", 300), ("b", 200), ("a", 100)]))
    monkeypatch.setenv("CLEARSIGHT_CACHE_GB", str(3500 / 1e9))
    entry("a", f"{0:032x}", lambda p: None)  # using the oldest makes it the youngest
    entry("b", f"{9:032x}", lambda p: (p / "x").write_bytes(bytes(900)) and None, expected_bytes=900)
    assert old.is_dir()
    assert not middle.exists()
    assert new.is_dir()
    assert not leftovers()


def test_the_command_shows_and_prunes(capsys):
    for number, (kind, size, age) in enumerate(
        [("pixels", 3000, 400_000), ("features", 500, 200_000), ("pixels", 70, 9)]
    ):
        put(kind, number, size, age)

    def told(*words: str) -> dict:
        assert main(["cache", *words, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    found = told()
    assert found["bytes"] == 3570
    assert {kind: (one["entries"], one["bytes"]) for kind, one in found["kinds"].items()} == {
        "pixels": (2, 3070), "features": (1, 500),
    }  # fmt: skip
    assert found["removed"] == {"entries": 0, "bytes": 0}
    assert told("--unused-for", "3")["removed"] == {"entries": 1, "bytes": 3000}
    assert told("--prune", "0.0000001")["kinds"].keys() == {"pixels"}
    assert main(["cache"]) == 0
    assert re.search(r"cache\S*: 70 B used of 20 GB\n  pixels +70 B  1 entry", capsys.readouterr().out)
    assert told("--prune", "0")["bytes"] == 0
    assert main(["cache", "--prune", "-1"]) == 2
    assert "expected 0 or more" in capsys.readouterr().err


def test_what_is_not_ours_is_never_removed(tmp_path, monkeypatch):
    """$CLEARSIGHT_CACHE may be somebody's home directory."""
    home = tmp_path / "home"
    mine = home / "thesis" / "chapter 1" / "text.txt"
    hidden = home / "pixels" / "holiday" / "sun.jpg"
    for path in (mine, hidden, home / "other" / KEY / "x"):
        path.parent.mkdir(parents=True)
        path.write_bytes(bytes(5000))
    (home / "pixels" / ("f" * 32)).symlink_to(home / "thesis")
    monkeypatch.setenv("CLEARSIGHT_CACHE", str(home))
    monkeypatch.setenv("CLEARSIGHT_CACHE_GB", "0")
    entry("pixels", KEY, lambda p: (p / "x").touch(), expected_bytes=1000)
    entry("pixels", KEY[::-1], lambda p: (p / "x").touch(), expected_bytes=1000)
    assert mine.is_file()
    assert hidden.is_file()
    assert (home / "other" / KEY / "x").is_file()
    assert (home / "pixels" / ("f" * 32)).is_symlink()
    assert not (home / "pixels" / KEY).exists()  # that one was ours


def test_half_built_entries_left_behind_are_removed_after_a_day():
    place = entry("pixels", KEY, lambda p: (p / "x").touch()).parent
    for name, age in (("a" * 32 + ".zz.partial", 25 * 3600), ("b" * 32 + ".zz.partial", 3600)):
        (place / name).mkdir()
        (place / name / "pixels.npy").touch()
        for path in (place / name / "pixels.npy", place / name):
            os.utime(path, (time.time() - age,) * 2)
    entry("pixels", KEY[::-1], lambda p: (p / "x").touch())
    assert leftovers() == ["b" * 32 + ".zz.partial"]


@pytest.mark.parametrize("text", ["abc", "", "-1", "nan", "inf"])
def test_a_limit_that_is_no_number(monkeypatch, text):
    monkeypatch.setenv("CLEARSIGHT_CACHE_GB", text)
    with pytest.raises(ConfigError, match=r"CLEARSIGHT_CACHE_GB is invalid; found .*expected a number of gigabytes"):
        cache_limit()


def test_where_the_cache_lies(monkeypatch):
    monkeypatch.setenv("CLEARSIGHT_CACHE", "~/elsewhere")
    assert cache_root() == Path.home() / "elsewhere"
    monkeypatch.delenv("CLEARSIGHT_CACHE")
    assert cache_root() == Path.home() / ".cache" / "clearsight"
    monkeypatch.setenv("CLEARSIGHT_CACHE_GB", "1.5")
    assert cache_limit() == 1_500_000_000


def test_the_tag_is_the_standards(folder):
    load(folder)
    tag = (cache_root() / "pixels" / "CACHEDIR.TAG").read_text()
    assert tag.startswith("Signature: 8a477f597d28d172789f06886806bc55")
    assert len([path.name for path in (cache_root() / "pixels").glob("?" * 64)]) == 1


# --- threads ---------------------------------------------------------------------------------------------------------


def test_threaded_keeps_the_order():
    def slow_at_first(i: int) -> int:
        time.sleep(0.002 if i % 7 == 0 else 0)
        return i * i

    assert list(threaded(slow_at_first, range(200), workers=4)) == [i * i for i in range(200)]
    assert list(threaded(slow_at_first, [])) == []


def test_threaded_keeps_a_bounded_number_in_flight():
    started: list[int] = []
    lock = threading.Lock()

    def note(i: int) -> int:
        with lock:
            started.append(i)
        return i

    ahead = 0
    for done, _ in enumerate(threaded(note, range(500), workers=2), start=1):
        time.sleep(0.0005)
        ahead = max(ahead, len(started) - done)
    assert ahead <= 2 * 8 + 1


def test_threaded_passes_errors_on_and_stops():
    seen: list[int] = []
    before = threading.active_count()

    def fail_at_ten(i: int) -> int:
        seen.append(i)
        if i == 10:
            raise RuntimeError("ten")
        return i

    got: list[int] = []
    with pytest.raises(RuntimeError, match="ten"):
        got.extend(threaded(fail_at_ten, range(10_000), workers=2))
    assert max(seen) < 10 + 2 * 8 + 3
    with contextlib.closing(threaded(lambda i: i, range(10_000), workers=2)) as some:
        assert next(some) == 0
    assert threading.active_count() <= before
