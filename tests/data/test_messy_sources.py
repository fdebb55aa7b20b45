"""Shards, tables and exports as they occur: contradictions and damage are errors, never silently other labels."""

from __future__ import annotations

import json
import tarfile
import zipfile

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
    with pytest.raises(DataError, match=r"the .cls files and the fields `label` in .* differ") as caught:
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
    with pytest.raises(DataError, match=r"splits in the samples .* differ; found 'train' in 0.png of test-0.tar"):
        find(tmp_path)


def test_a_range_of_shards_with_a_gap(tmp_path):
    for k in (1, 3):
        shard(tmp_path / f"{k}.tar", samples(CLASS))
    for text in ("{1..3}.tar", "{0..1}.tar"):
        with pytest.raises(DataError, match=r"1 shard of .* cannot be found; found no file [02].tar"):
            find(f"{tmp_path}/{text}")


def test_archives_of_classes_are_no_shards(tmp_path):
    for name in ("cat", "dog"):
        shard(tmp_path / f"{name}.tar", samples())
    with pytest.raises(DataError, match=r"no files of labels in .*unpack"):
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
    with pytest.raises(DataError, match=r"the column 'label' of .* cannot be read"):
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


# --- JSON, YAML and NumPy --------------------------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path):
    for k, content in enumerate(PICTURES):
        (tmp_path / f"{k}.png").write_bytes(content)
    return tmp_path


def written(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def coco(**more):
    whole = {
        "images": [{"id": k, "file_name": f"{k}.png"} for k in range(6)],
        "annotations": [{"image_id": k, "category_id": k % 2} for k in range(6)],
        "categories": [{"id": 0, "name": "a"}, {"id": 1, "name": "b"}],
    }
    return whole | {key: [*whole[key], *rows] for key, rows in more.items()}


@pytest.mark.parametrize("many", ["images", "categories"])
@pytest.mark.parametrize("box", [{}, {"bbox": [1, 1, 2, 2]}])
def test_ids_of_coco_that_are_there_twice(root, many, box):
    content = coco(**{many: [{"id": 0, "file_name": "5.png", "name": "z"}]})
    content["annotations"] = [one | box for one in content["annotations"]]
    with pytest.raises(DataError, match=f"two {many} in .* have the same id; found 0 of"):
        find(written(root / "coco.json", content))


TASK = {"id": 1, "data": {"image": "1.png"}}
DEEP = 100_000


@pytest.mark.parametrize(
    "content",
    [
        {**coco(), "images": [{"id": k, "file_name": f"{k}.png", "width": "wide", "height": 4} for k in range(6)],
         "annotations": [{"image_id": k, "category_id": 0, "bbox": [1, 1, 2, 2]} for k in range(6)]},
        coco(images=[{"id": 9, "file_name": None}]), coco(images=["x"]), coco(annotations=[None]),
        coco(categories=[[]]),
        [{**TASK, "annotations": []}, {"id": 2}], [{**TASK, "annotations": []}, "x"], [{**TASK, "annotations": None}],
        [{**TASK, "annotations": [{"result": ["x"]}]}], [{**TASK, "annotations": [{"result": None}]}],
        [{**TASK, "annotations": [{"result": [{"type": "choices", "value": ["a"]}]}]}],
        [1, 2], "1", "{}", "", "1" * 10_000, "[" * DEEP + "]" * DEEP, '{"a":' * DEEP + "1" + "}" * DEEP,
    ],
)  # fmt: skip
def test_json_of_other_forms(root, content):
    with pytest.raises(DataError, match=r"x\.json"):
        find(written(root / "x.json", content))


def test_images_of_label_studio_that_are_found_as_one_file(root):
    tasks = [
        {"data": {"image": f"/data/upload/{k}/{k}aaaaaaa-0.png"},
         "annotations": [{"result": [{"from_name": "c", "type": "choices", "value": {"choices": ["a"]}}]}]}
        for k in (1, 2)
    ]  # fmt: skip
    with pytest.raises(DataError, match=r"found as the same file 0.png"):
        find(written(root / "export.json", tasks))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train: t\nval: [v]", "names no folder for val; found list"),
        ("train: t\nval: t", "one folder for two splits; found t for train and val"),
        ("a: &a [x]\nb: [*a, *a]\ntrain: t", "found aliases"),
        ("train: t\nmore: !!bool x", "cannot be read as YAML"),
        ("train: t\nmore: !!timestamp x", "cannot be read as YAML"),
        ("train: t\nmore: !x y", "cannot be read as YAML"),
        ("train: t\nmore: " + "[" * 9999, "cannot be read as YAML"),
        ("train: t\npath: 7", "names no folder for path; found int"),
        (f"train: t\npath: {'x' * 5000}", "found 5,000 characters"),
    ],
)  # fmt: skip
def test_yaml_of_other_forms(root, text, message):
    for name in ("a", "b"):
        (root / "t" / name).mkdir(parents=True)
        (root / "t" / name / "0.png").write_bytes(PICTURES[0])
    with pytest.raises(DataError, match=message):
        find(written(root / "data.yaml", text))


def test_yolo_boxes_in_folders_are_no_classes(tmp_path):
    for name in ("cam1", "cam2"):
        for part, content in (("images", PICTURES[0]), ("labels", b"0 .5 .5 .1 .1")):
            (tmp_path / part / "train" / name).mkdir(parents=True)
            (tmp_path / part / "train" / name / ("0.png" if part == "images" else "0.txt")).write_bytes(content)
    with pytest.raises(DataError, match="describes boxes in images"):
        find(written(tmp_path / "data.yaml", "train: images/train"))


def test_arrays_that_may_be_several_pairs(tmp_path):
    images, labels = np.zeros((6, 5, 4), np.uint8), np.arange(6)
    np.savez(tmp_path / "a.npz", images=images, labels=labels % 2, x=images, y=labels % 3)
    with pytest.raises(DataError, match="several pairs of images and labels") as caught:
        find(tmp_path / "a.npz")
    assert [len(set(find(data).stated.cells)) for data in commands(caught.value)] == [2, 3]
    np.savez(tmp_path / "b.npz", X=images, x=images, y=labels)
    with pytest.raises(DataError, match="differ in case alone; found X, x, y"):
        find(tmp_path / "b.npz")
    with pytest.raises(DataError, match=r"selection for .* is incomplete"):
        find(f"{tmp_path / 'a.npz'}#label=y")
    np.save(tmp_path / "c.npy", images)
    with pytest.raises(DataError, match="found a single array"):
        find((tmp_path / "c.npy").rename(tmp_path / "c.npz"))


def test_arrays_and_images_far_larger_than_their_file_are_refused(tmp_path, monkeypatch):
    from clearsight.data.sources import npz
    from clearsight.data.sources import parquet as tables

    for module in (npz, tables):
        monkeypatch.setattr(module, "ALLOWED", 1000)
        monkeypatch.setattr(module, "RATIO", 10)
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros((100, 50, 50), np.uint8), y=np.zeros(100))
    with pytest.raises(DataError, match=r"is refused; found .* of arrays"):
        find(tmp_path / "a.npz")
    path = parquet(tmp_path / "a.parquet", image=pa.array([bytes(5000)] * 100, pa.binary()), label=[1] * 100)
    with pytest.raises(DataError, match=r"is refused; found .* of images"):
        find(path)


# --- tables in folders and archives ----------------------------------------------------------------------------------


def folders(root, split=False):
    paths = [f"{('test/' if k > 3 else 'train/') * split}{'ab'[k % 2]}/{k}.png" for k in range(6)]
    for path, content in zip(paths, PICTURES, strict=True):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return paths


@pytest.mark.parametrize("name", ["labels.csv", "metadata.csv"])
def test_splits_and_groups_of_a_table_beside_class_folders_count(tmp_path, name):
    paths = folders(tmp_path)
    rows = [f"{path},{path[0]},{'test' if k > 3 else 'train'},g{k // 2}" for k, path in enumerate(paths)]
    written(tmp_path / name, "\n".join(["file_name,label,split,group", *rows]))
    found = find(tmp_path)
    assert found.given.tolist() == ["train"] * 4 + ["test"] * 2
    assert found.groups.tolist() == [0, 0, 1, 1, 2, 2]
    written(tmp_path / name, "\n".join(["file_name,label,split,group", *rows[:5]]))
    with pytest.raises(DataError, match="states splits or groups of some images only") as caught:
        find(tmp_path)
    assert [len(find(data).source) for data in commands(caught.value)] == [5, 6]


@pytest.mark.parametrize("flat", [True, False])
def test_split_folders_count_where_a_table_states_no_splits(tmp_path, flat):
    paths = folders(tmp_path, split=True)
    if flat:
        paths = [
            str((tmp_path / path).rename(tmp_path / path[:-7] / path[-5:]).relative_to(tmp_path)) for path in paths
        ]
    rows = [f"{path},{'ab'[k % 2]}" for k, path in enumerate(paths)]
    written(tmp_path / "metadata.csv", "\n".join(["file_name,label", *rows]))
    found = find(tmp_path)
    assert found.given.tolist() == ["train"] * 4 + ["test"] * 2
    assert "the splits are taken from the folders that the images are in" in found.notes


def test_a_table_that_cannot_be_read_is_not_passed_over(tmp_path):
    rows = [f"{path},x" for path in folders(tmp_path)]
    written(tmp_path / "metadata.csv", "\n".join(["file_name,label", *rows, "a/9.png,y"]))
    with pytest.raises(DataError, match="cannot be found") as caught:
        find(tmp_path)
    assert [len(find(data).source) for data in commands(caught.value)] == [6]
    (tmp_path / "metadata.csv").unlink()
    written(tmp_path / "scores.csv", "epoch,score\n1,2")
    assert any(note.startswith("scores.csv is not used") for note in find(tmp_path).notes)


def test_a_link_to_a_folder_above_is_no_second_class(tmp_path):
    folders(tmp_path)
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    assert len(find(tmp_path).source) == 6


@pytest.mark.parametrize("out", ["{0}/outside.png", "file://{0}/outside.png", "../outside.png"])
def test_a_table_in_an_archive_does_not_lead_out_of_it(tmp_path, out):
    (tmp_path / "outside.png").write_bytes(PICTURES[0])
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("0.png", PICTURES[1])
        archive.writestr("t.csv", f"image_path,label\n0.png,a\n{out.format(tmp_path)},b\n")
    with pytest.raises(DataError, match=r"names an image outside of it|cannot be found") as caught:
        find(f"{tmp_path}/a.zip/t.csv")
    assert "extracted" not in str(caught.value)


def test_a_path_in_an_archive_that_is_too_long(tmp_path):
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("a/" * 3000 + "0.png", PICTURES[1])
    with pytest.raises(DataError, match="is refused; found a path of 6,005 characters"):
        find(tmp_path / "b.zip")


def test_labels_after_all_images_of_a_shard(tmp_path, monkeypatch):
    from clearsight.data.sources import webdataset

    monkeypatch.setattr(webdataset, "PROBED", 4)
    assert find(shard(tmp_path / "a.tar", samples(CLASS))).stated.cells == ("0", "1") * 3
