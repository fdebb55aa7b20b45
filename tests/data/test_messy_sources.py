"""Shards, Parquet files and exports as they occur: contradictions and damage are errors, never silently other labels."""

from __future__ import annotations

import json
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clearsight.data.sources.contained import as_inputs
from clearsight.data.sources.read import find
from clearsight.errors import ClearsightError, DataError
from tests.data.test_exports import PICTURES, commands, facts, shard
from tests.data.twelve_forms import add


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLEARSIGHT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def samples(*makers):
    """Six samples: an image each, and what each of `makers` gives for its number, by ending."""
    made = [(f"{k}.png", PICTURES[k]) for k in range(6)]
    made += [(f"{k}.{ending}", str(value(k)).encode()) for ending, value in makers for k in range(6)]
    return made


CLASS = ("cls", lambda k: k % 2)


# --- shards ----------------------------------------------------------------------------------------------------------


def test_names_of_classes_beside_numbers_are_taken(tmp_path):
    for field in ("label", "class_name"):
        named = ("json", lambda k, field=field: json.dumps({field: "ab"[k % 2]}))
        found = find(shard(tmp_path / f"{field}.tar", samples(CLASS, named)))
        assert facts(found) == {f"{k}.png": "ab"[k % 2] for k in range(6)}


def test_labels_of_a_sample_that_differ_have_a_command_for_each(tmp_path):
    other = ("json", lambda k: json.dumps({"label": k // 3}))
    with pytest.raises(DataError, match="the .cls files and the fields `label` in .* differ") as caught:
        find(shard(tmp_path / "a.tar", samples(CLASS, other)))
    assert [find(data).stated.cells for data in commands(caught.value)] == [("0", "1") * 3, tuple("000111")]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([("0.cls", b"1")], "two different files of labels; found 0.cls twice"),
        ([("0.json", b'{"cls": 1}')], "two values of 'cls'; found '0' in 0.cls, and '1' in its .json file"),
        ([("9.cls", b"1" * (1 << 21))], "files of labels in .* are too large"),
    ],
)
def test_samples_that_contradict_themselves(tmp_path, more, message):
    with pytest.raises(DataError, match=message):
        find(shard(tmp_path / "a.tar", [*samples(CLASS), *more]))


def test_images_and_labels_of_no_sample_are_losses(tmp_path):
    more = [("x.v2.png", PICTURES[0]), ("x.v2.cls", b"1"), ("0.mask.png", PICTURES[1])]
    found = find(shard(tmp_path / "a.tar", [*samples(CLASS), *more]))
    assert len(found.source) == 6
    assert found.losses == ("left out 2 files of no sample, for example x.v2.png",)
    assert found.notes == ("left out 1 file of no image, for example 0.mask.png",)


def test_shards_in_several_folders(tmp_path):
    for split in ("train", "val"):
        (tmp_path / split).mkdir()
        shard(tmp_path / split / "0.tar", samples(CLASS))
    found = find(f"{tmp_path}/*/0.tar")
    assert found.given.tolist() == ["train"] * 6 + ["val"] * 6
    assert len({found.source.name(i) for i in range(12)}) == 12
    assert len(set(as_inputs(f"{tmp_path}/*/0.tar").names)) == 12


def test_splits_of_samples_and_shards_that_differ(tmp_path):
    for split in ("train", "test"):
        shard(tmp_path / f"{split}-0.tar", samples(("json", lambda k: json.dumps({"label": k % 2, "split": "train"}))))
    with pytest.raises(DataError, match="splits in the samples .* differ; found 'train' in 0.png of test-0.tar"):
        find(tmp_path)


def test_a_range_of_shards_with_a_gap(tmp_path):
    for k in (1, 3):
        shard(tmp_path / f"{k}.tar", samples(CLASS))
    for text in ("{1..3}.tar", "{0..1}.tar"):
        with pytest.raises(DataError, match="1 shard of .* cannot be found; found no file [02].tar"):
            find(f"{tmp_path}/{text}")


def test_archives_of_classes_are_no_shards(tmp_path):
    for name in ("cat", "dog"):
        shard(tmp_path / f"{name}.tar", samples())
    with pytest.raises(DataError, match="no files of labels in .*unpack"):
        find(tmp_path)


def test_a_pattern_is_no_file_that_exists(tmp_path):
    shard(tmp_path / "a[1].tar", samples(CLASS)[:2] + samples(CLASS)[6:8])
    shard(tmp_path / "a1.tar", samples(CLASS))
    assert len(as_inputs(tmp_path / "a[1].tar")) == len(find(tmp_path / "a[1].tar").source) == 2


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_huge_headers_of_a_tar_are_refused(tmp_path, kind):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz", format=tarfile.GNU_FORMAT) as archive:
        add(archive, "a/0.png", PICTURES[0])
        info = tarfile.TarInfo("x")
        info.type, info.size = kind, 1 << 23
        archive.fileobj.write(info.tobuf())
        archive.fileobj.write(bytes(1 << 23))
    for data in (f"{tmp_path}/a.tar.gz", f"{tmp_path}/a.tar.gz#format=webdataset"):
        with pytest.raises(DataError, match="found a file header of 8,388,608 bytes"):
            find(data)


# --- Parquet and Arrow -----------------------------------------------------------------------------------------------

BYTES = pa.array(PICTURES, pa.binary())


def parquet(path, /, **columns):
    pq.write_table(pa.table(columns), path)
    return path


def test_texts_stored_as_bytes_are_labels(tmp_path):
    words = pa.array([b"cat", b"dog"] * 3, pa.binary())
    assert set(find(parquet(tmp_path / "a.parquet", image=BYTES, label=words)).stated.cells) == {"cat", "dog"}
    path = parquet(tmp_path / "b.parquet", image=BYTES, kind=words)
    with pytest.raises(DataError, match="several columns of images"):
        find(path)
    assert set(find(f"{path}#label=kind").stated.cells) == {"cat", "dog"}
    for k, content in enumerate(PICTURES):
        (tmp_path / f"{k}.png").write_bytes(content)
    path = parquet(tmp_path / "c.parquet", path=[f"{k}.png" for k in range(6)], label=words)
    assert facts(find(path))["1.png"] == "dog"


def test_classes_are_the_same_where_a_label_is_missing(tmp_path):
    whole = find(parquet(tmp_path / "a.parquet", image=BYTES, label=[0, 1, 0, 1, 0, 1]))
    lacking = find(parquet(tmp_path / "b.parquet", image=BYTES, label=[0.0, 1.0, 0.0, 1.0, 0.0, None]))
    assert whole.stated.cells[:5] == lacking.stated.cells[:5]
    assert lacking.stated.cells[5] == ""


def test_texts_that_are_not_utf8(tmp_path):
    offsets, content = np.arange(7, dtype=np.int32).tobytes(), b"\xff" * 6
    words = pa.StringArray.from_buffers(6, pa.py_buffer(offsets), pa.py_buffer(content))
    with pytest.raises(DataError, match="the column 'label' of .* cannot be read"):
        find(parquet(tmp_path / "a.parquet", image=BYTES, label=words))


def test_a_picture_beside_parquet_files_is_no_class(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "logo.png").write_bytes(PICTURES[0])
    path = parquet(tmp_path / "data" / "train-0.parquet", image=BYTES, label=list("ababab"))
    with pytest.raises(DataError, match="contains both images and files that hold images") as caught:
        find(tmp_path)
    assert commands(caught.value) == [str(path), f"{tmp_path}#format=folder"]
    assert len(find(path).source) == 6


@pytest.mark.parametrize("name", ["a.parquet", "file.arrow", "stream.arrow"])
def test_damaged_tables_are_errors_or_unreadable_images(tmp_path, name):
    table = pa.table({"image": BYTES, "label": list("ababab"), "more": pa.array(list("xyxyxy")).dictionary_encode()})
    path = tmp_path / name
    if name == "a.parquet":
        pq.write_table(table, path)
    else:
        make = pa.ipc.new_file if name == "file.arrow" else pa.ipc.new_stream
        with make(str(path), table.schema) as writer:
            writer.write_table(table)
    content = path.read_bytes()
    for k in range(0, len(content), 61):
        for damaged in (content[:k], content[:k] + bytes([content[k] ^ 255]) + content[k + 1 :]):
            path.write_bytes(damaged)
            try:
                assert len(find(path).source) <= 6
            except ClearsightError as error:
                assert str(path) in str(error)  # noqa: PT017 - most are errors, not all
