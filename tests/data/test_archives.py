"""Archives: what is extracted, and what is refused."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from clearsight.data.cache import entries
from clearsight.data.sources import archive as subject
from clearsight.data.sources.archive import member_path
from clearsight.data.sources.read import find, recorded_place
from clearsight.errors import BundleError, DataError
from tests.data.twelve_forms import add, png

PICTURES = [png(np.random.default_rng(k).integers(0, 255, (6, 6), np.uint8)) for k in range(8)]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("CLEARSIGHT_CACHE", str(tmp_path_factory.mktemp("cache")))


def names(listing):
    return sorted(listing.source.name(i) for i in range(len(listing.source)))


def zipped(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def tarred(path, members, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            add(archive, name, content)
    return path


def classes(prefix=""):
    return {f"{prefix}{'cat' if k % 2 else 'dog'}/{k}.png": content for k, content in enumerate(PICTURES)}


@pytest.mark.parametrize("ending", [".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"])
def test_tars_of_class_folders(tmp_path, ending):
    kind = {"gz": "w:gz", "tgz": "w:gz", "bz2": "w:bz2", "xz": "w:xz", "tar": "w"}[ending.rsplit(".", 1)[1]]
    found = find(tarred(tmp_path / f"pets{ending}", classes("pets/"), kind))
    assert names(found) == sorted(classes())
    assert found.stated.origin == str(tmp_path / f"pets{ending}")
    assert found.name == "pets"


def test_a_zip_with_what_systems_leave_in_it(tmp_path):
    left = {"__MACOSX/cat/._1.png": b"x", "cat/.DS_Store": b"x", "cat/Thumbs.db": b"x"}
    found = find(zipped(tmp_path / "pets.zip", classes() | left))
    assert names(found) == sorted(classes())
    assert not found.losses
    assert not found.notes


def test_names_in_a_zip_are_utf8_also_without_the_mark(tmp_path):
    path = zipped(tmp_path / "pets.zip", {f"Kätzchen/{k}.png": c for k, c in enumerate(PICTURES)})
    content = path.read_bytes().replace(b"\x00\x08", b"\x00\x00")  # flag 11 of the headers, as macOS leaves it
    path.write_bytes(content)
    assert set(find(path).stated.cells) == {"Kätzchen"}


def test_windows_separators_in_a_zip(tmp_path):
    path = tmp_path / "pets.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for k, content in enumerate(PICTURES):
            info = zipfile.ZipInfo("x")
            info.filename = f"{'cat' if k % 2 else 'dog'}\\{k}.png"
            archive.writestr(info, content)
    assert names(find(path)) == sorted(classes())


def test_an_archive_is_extracted_once_and_again_when_it_changes(tmp_path):
    path = zipped(tmp_path / "pets.zip", classes())
    find(path)
    find(path)
    assert len([one for one in entries() if one.folder.parent.name == "extracted"]) == 1
    one = next(one for one in entries() if one.folder.parent.name == "extracted")
    assert one.size >= sum(map(len, PICTURES))  # files in folders count
    zipped(path, classes() | {"bird/1.png": PICTURES[0]})
    os.utime(path, (1, 1))
    assert "bird" in find(path).stated.cells


def test_a_path_leads_into_an_archive(tmp_path):
    rows = "image_path,label\n" + "\n".join(f"{name},{k % 3}" for k, name in enumerate(classes()))
    path = zipped(tmp_path / "pets.zip", classes() | {"labels.csv": rows})
    found = find(f"{path}/labels.csv")
    assert set(found.stated.cells) == {"0", "1", "2"}
    assert recorded_place(found.stated.origin, "the images") == found.stated.origin
    assert find(found.stated.origin).stated.cells == found.stated.cells
    with pytest.raises(DataError, match="does not exist"):
        find(f"{path}/../pets.zip/../../etc/passwd.csv")


def test_an_archive_with_a_table_and_class_folders_has_a_command_for_each(tmp_path):
    rows = "image_path,label\n" + "\n".join(f"{name},{k % 3}" for k, name in enumerate(classes()))
    path = zipped(tmp_path / "pets.zip", classes("pets/") | {"pets/labels.csv": rows})
    with pytest.raises(DataError) as caught:
        find(path)
    text = str(caught.value)
    assert f"`clearsight train {path}/pets/labels.csv`" in text
    assert f"`clearsight train '{path}#format=folder'`" in text
    assert set(find(f"{path}/pets/labels.csv").stated.cells) == {"0", "1", "2"}
    assert set(find(f"{path}#format=folder").stated.cells) == {"cat", "dog"}


def test_a_table_that_agrees_with_the_folders_is_no_ambiguity(tmp_path):
    rows = "image_path,label\n" + "\n".join(f"{name},{name.split('/')[0]}" for name in classes())
    assert set(find(zipped(tmp_path / "pets.zip", classes() | {"labels.csv": rows})).stated.cells) == {"cat", "dog"}


@pytest.mark.parametrize("name", ["../evil.png", "/etc/evil.png", "C:/evil.png", "a/../../evil.png", "..\\evil.png"])
@pytest.mark.parametrize("make", [zipped, tarred])
def test_paths_that_lead_out_are_refused(tmp_path, name, make):
    path = make(tmp_path / ("pets.zip" if make is zipped else "pets.tar"), classes() | {name: PICTURES[0]})
    with pytest.raises(DataError, match="is refused; found a path that leads out of the archive"):
        find(path)
    assert not list(tmp_path.parent.rglob("evil.png"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_refused(tmp_path, kind):
    path = tmp_path / "pets.tar"
    with tarfile.open(path, "w") as archive:
        for name, content in classes().items():
            add(archive, name, content)
        info = tarfile.TarInfo("cat/link.png")
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)
    with pytest.raises(DataError, match=r"is refused; found a link or a device: 'cat/link.png'"):
        find(path)


def test_links_in_a_zip_are_refused(tmp_path):
    path = zipped(tmp_path / "pets.zip", classes())
    with zipfile.ZipFile(path, "a") as archive:
        info = zipfile.ZipInfo("cat/link.png")
        info.create_system, info.external_attr = 3, 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(DataError, match="a link or a device"):
        find(path)


@pytest.mark.parametrize("make", [zipped, tarred])
def test_bombs_are_refused(tmp_path, make, monkeypatch):
    monkeypatch.setattr(subject, "ALLOWED", 1000)
    name = "pets.zip" if make is zipped else "pets.tar.gz"
    members = {"cat/1.png": bytes(3_000_000)}
    path = zipped(tmp_path / name, members) if make is zipped else tarred(tmp_path / name, members, "w:gz")
    with pytest.raises(DataError, match=r"is refused; found more than .* GB of files; expected at most 100 times"):
        find(path)
    assert not entries()


def test_too_many_files_and_two_of_one_name_are_refused(tmp_path, monkeypatch):
    path = zipped(tmp_path / "twice.zip", {"cat/1.png": PICTURES[0], "cat/2.png": PICTURES[1]})
    path.write_bytes(path.read_bytes().replace(b"cat/2.png", b"cat/1.png"))
    with pytest.raises(DataError, match=r"two files of the same name: 'cat/1.png'"):
        find(tmp_path / "twice.zip")
    with pytest.raises(DataError, match=r"is refused; found (a file with the name of a folder|two files)"):
        find(zipped(tmp_path / "nested.zip", {"cat": b"x", "cat/1.png": PICTURES[0]}))
    monkeypatch.setattr(subject, "MEMBERS", 3)
    with pytest.raises(DataError, match="more than 3 files"):
        find(zipped(tmp_path / "many.zip", classes()))


@pytest.mark.parametrize("name", ["pets.zip", "pets.tar", "pets.tar.gz", "pets.tar.xz"])
@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04" + bytes(40), b"\x1f\x8b" + bytes(40)])
def test_what_is_no_archive(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=r"cannot be read|no labelled images|no images"):
        find(tmp_path / name)


@pytest.mark.parametrize("name", ["pets.zip", "pets.tar", "pets.tar.gz"])
def test_damaged_archives(tmp_path, name):
    """Cut, or with a changed byte: an error, or the images; never another exception."""
    rng = np.random.default_rng(0)
    mode = "w:gz" if name.endswith("gz") else "w"
    whole = zipped(tmp_path / name, classes()) if name.endswith("zip") else tarred(tmp_path / name, classes(), mode)
    content = whole.read_bytes()
    for trial in range(25):
        damaged = bytearray(content[: int(rng.integers(1, len(content)))] if trial % 2 else content)
        damaged[int(rng.integers(len(damaged)))] ^= int(rng.integers(1, 256))
        whole.write_bytes(damaged)
        os.utime(whole, (trial, trial))
        text = outcome(whole)
        assert not text or (str(tmp_path) in text and "extracted" not in text)


def outcome(path):
    """The error of reading data, "" where there is none."""
    try:
        find(path)
    except DataError as error:
        return str(error)
    return ""


def test_an_encrypted_zip(tmp_path):
    path = zipped(tmp_path / "pets.zip", classes())
    content = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        at = content.find(mark)
        while at >= 0:
            content[at + offset] |= 1
            at = content.find(mark, at + 1)
    path.write_bytes(content)
    with pytest.raises(DataError, match="encrypted"):
        find(path)


def test_archives_of_other_kinds(tmp_path):
    for name in ("pets.rar", "pets.7z", "pets.tar.zst"):
        (tmp_path / name).write_bytes(b"x")
        with pytest.raises(DataError, match=r"Unpack it, and pass the folder"):
            find(tmp_path / name)


def test_member_paths():
    assert member_path("a//./b.png") == "a/b.png"
    assert [member_path(text) for text in ("", "/", "..", "a/..", "\0", "c:\\x", "x" * 300)] == [None] * 7


def test_a_record_names_no_archive_elsewhere(tmp_path):
    missing = str(tmp_path / "x.zip")
    for origin in ("http://host/pets.zip", "//host/pets.zip", "/proc/self/pets.zip/labels.csv", missing):
        with pytest.raises(BundleError):
            recorded_place(origin, "the images")


def test_symlinks_in_folders_are_followed_and_broken_ones_named(tmp_path):
    for name, content in classes("real/").items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "cat").symlink_to(tmp_path / "real" / "cat")
    (tmp_path / "set" / "dog").mkdir()
    for one in (tmp_path / "real" / "dog").iterdir():
        (tmp_path / "set" / "dog" / one.name).symlink_to(one)
    assert len(find(tmp_path / "set").source) == 8
    Image.open(io.BytesIO(PICTURES[0])).verify()
