"""Exports of labelling tools, and files of other libraries: what each reader makes of them, and its errors."""

from __future__ import annotations

import json
import re
import shlex
import tarfile
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clearsight.data.decode import PixelFormat
from clearsight.data.geometry import Geometry
from clearsight.data.sources.contained import as_inputs
from clearsight.data.sources.read import find
from clearsight.errors import DataError
from clearsight.tasks import read
from tests.data.twelve_forms import add, png

PICTURES = [png(np.random.default_rng(k).integers(0, 255, (6, 6), np.uint8)) for k in range(6)]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("CLEARSIGHT_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def root(tmp_path):
    for k, content in enumerate(PICTURES):
        (tmp_path / f"{k}.png").write_bytes(content)
    return tmp_path


def facts(listing):
    cells = listing.stated.cells
    return {listing.source.name(i): cells[i] for i in range(len(listing.source))}


def commands(error) -> list[str]:
    return [shlex.split(text)[2] for text in re.findall(r"`(clearsight train [^`]+)`", str(error))]


def written(path, content):
    path.write_text(json.dumps(content))
    return path


# --- Label Studio ----------------------------------------------------------------------------------------------------


def task(k, *labels, image=None, control="choice", kind="choices", **more):
    """A task with an annotation for each of `labels`, a list of choices."""
    results = [
        {"result": [{"from_name": control, "type": kind, "value": {kind: one}}], "was_cancelled": False}
        for one in labels
    ]
    return {"id": k, "data": {"image": image or f"/data/upload/1/1a2b3c4d-{k}.png"}, "annotations": results, **more}


def test_label_studio(root):
    path = written(root / "export.json", [task(k, ["cat" if k % 2 else "dog"]) for k in range(6)])
    assert facts(find(path)) == {f"{k}.png": "cat" if k % 2 else "dog" for k in range(6)}


def test_label_studio_annotations_that_disagree_are_left_out(root):
    tasks = [task(k, ["cat"] if k < 3 else ["dog"]) for k in range(4)]
    tasks += [task(4, ["cat"], ["dog"]), task(5)]
    found = find(written(root / "export.json", tasks))
    assert len(facts(found)) == 4
    assert found.losses == (
        "left out 1 image without an annotation",
        "left out 1 image whose annotations disagree, for example /data/upload/1/1a2b3c4d-4.png",
    )
    tasks[4]["annotations"][1]["ground_truth"] = True
    assert facts(find(written(root / "export.json", tasks)))["4.png"] == "dog"
    tasks[4]["annotations"][0]["was_cancelled"] = True
    assert facts(find(written(root / "export.json", tasks)))["4.png"] == "dog"


def test_label_studio_several_choices_and_taxonomies(root):
    found = read(written(root / "export.json", [task(k, ["red", "round"] if k % 2 else ["red"]) for k in range(6)]))
    assert found.task.name == "multilabel"
    trees = [task(k, [["animal", "cat" if k % 2 else "dog"]], kind="taxonomy") for k in range(6)]
    assert set(find(written(root / "export.json", trees)).stated.cells) == {"animal/cat", "animal/dog"}


def test_label_studio_with_two_controls_has_a_command_for_each(root):
    tasks = [task(k, ["cat" if k % 2 else "dog"]) for k in range(6)]
    for k, one in enumerate(tasks):
        one["annotations"][0]["result"] += task(k, ["good" if k < 3 else "bad"], control="quality")["annotations"][0][
            "result"
        ]
    path = written(root / "export.json", tasks)
    with pytest.raises(DataError, match="2 kinds of labels; found choice, quality") as caught:
        find(path)
    assert [set(find(data).stated.cells) for data in commands(caught.value)] == [{"cat", "dog"}, {"good", "bad"}]


def test_label_studio_short_forms(root):
    rows = [
        {"image": f"/data/local-files/?d=set/{k}.png", "id": k, "choice": "cat" if k % 2 else "dog", "annotator": 1,
         "annotation_id": k, "created_at": "2024", "updated_at": "2024", "lead_time": 3.5}
        for k in range(6)
    ]  # fmt: skip
    expected = {f"{k}.png": "cat" if k % 2 else "dog" for k in range(6)}
    assert facts(find(written(root / "min.json", rows))) == expected
    pd.DataFrame(rows).to_csv(root / "export.csv", index=False)
    assert facts(find(root / "export.csv")) == expected
    lists = [{**row, "choice": {"choices": ["cat", "old"]}} for row in rows]
    pd.DataFrame([{**row, "choice": json.dumps(row["choice"])} for row in lists]).to_csv(root / "l.csv", index=False)
    assert facts(find(root / "l.csv")) == facts(find(written(root / "l.json", lists)))
    assert set(facts(find(root / "l.csv")).values()) == {"cat|old"}


def test_label_studio_errors(root):
    boxes = task(0, ["cat"], kind="rectanglelabels")
    with pytest.raises(DataError, match=r"regions in images.*COCO format"):
        find(written(root / "export.json", [boxes]))
    with pytest.raises(DataError, match=r"no image in .* has a label"):
        find(written(root / "export.json", [task(0), task(1)]))
    with pytest.raises(DataError, match="cannot be found"):
        find(written(root / "export.json", [task(9, ["a"]), task(8, ["b"])]))


def test_a_list_of_objects_is_a_table(root):
    rows = [{"image_path": f"{k}.png", "label": "ab"[k % 2]} for k in range(6)]
    assert facts(find(written(root / "rows.json", rows))) == {f"{k}.png": "ab"[k % 2] for k in range(6)}


# --- COCO without boxes ----------------------------------------------------------------------------------------------


def coco(annotations):
    images = [{"id": k, "file_name": f"{k}.png", "width": 6, "height": 6} for k in range(6)]
    names = [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]
    return {"images": images, "annotations": annotations, "categories": names}


@pytest.mark.parametrize("more", [{}, {"bbox": []}, {"bbox": [0, 0, 6, 6]}])
def test_coco_categories_of_whole_images(root, more):
    path = written(root / "coco.json", coco([{"image_id": k, "category_id": 1 + k % 2, **more} for k in range(5)]))
    found = find(path)
    assert found.boxed is None
    assert facts(found) == {f"{k}.png": "ab"[k % 2] for k in range(5)}
    assert "1 image without a category left out" in found.notes


def test_coco_several_categories_of_an_image_are_labels(root):
    pairs = [(k, c) for k in range(6) for c in (1, 2) if (k + c) % 3]
    found = read(written(root / "coco.json", coco([{"image_id": k, "category_id": c} for k, c in pairs])))
    assert found.task.name == "multilabel"
    assert len(found) == 6


def test_coco_with_some_boxes_has_a_command_for_each_reading(root):
    boxes = [{"image_id": k, "category_id": 1 + k % 2, "bbox": [1, 1, 3, 3]} for k in range(6)]
    path = written(root / "coco.json", coco([*boxes, {"image_id": 0, "category_id": 1}]))
    with pytest.raises(DataError, match="only some annotations") as caught:
        find(path)
    first, second = commands(caught.value)
    assert set(facts(find(first)).values()) == {"a", "b"}
    assert second.endswith("#format=detection")
    assert len(find(f"{written(root / 'all.json', coco(boxes))}#format=classification").source) == 6


# --- YOLO ------------------------------------------------------------------------------------------------------------


def test_yolo_classify(tmp_path):
    for k, content in enumerate(PICTURES):
        place = tmp_path / "set" / ("train" if k < 4 else "val") / ("cat" if k % 2 else "dog")
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{k}.png").write_bytes(content)
    text = "path: set\ntrain: train\nval: val\nnames:\n  0: cat\n  1: dog\n"
    (tmp_path / "data.yaml").write_text(text)
    found = find(tmp_path / "data.yaml")
    assert facts(found) == facts(find(tmp_path / "set"))
    assert sorted(found.given.tolist()) == sorted(find(tmp_path / "set").given.tolist())
    (tmp_path / "data.yaml").write_text("train: nowhere\n")
    with pytest.raises(DataError, match="names a folder that does not exist; found train: nowhere"):
        find(tmp_path / "data.yaml")
    (tmp_path / "data.yaml").write_text("!!python/object/apply:os.system ['true']")
    with pytest.raises(DataError, match="cannot be read as YAML"):
        find(tmp_path / "data.yaml")


def yolo(tmp_path, names, folders=("cat", "dog")):
    for k, content in enumerate(PICTURES):
        place = tmp_path / ("train" if k < 4 else "val") / folders[k % 2]
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{k}.png").write_bytes(content)
    (tmp_path / "data.yaml").write_text(f"train: train\nval: val\nnames: {names}\n")
    return find(tmp_path / "data.yaml")


@pytest.mark.parametrize("names", ["[cat, dog]", "{0: cat, 1: dog}", "[dog, cat]"])
def test_names_of_yolo_that_agree_with_the_folders(tmp_path, names):
    found = yolo(tmp_path, names)
    assert (set(found.stated.cells), found.losses) == ({"cat", "dog"}, ())


@pytest.mark.parametrize(
    ("names", "folders", "losses"),
    [
        ("[cat, dog, owl]", ("cat", "dog"), ["1 name in data.yaml without images: owl"]),
        ("[cat, owl]", ("cat", "dog"), [
            "1 class folder not among the 2 names in data.yaml, used as a class under the folder's name: dog",
            "1 name in data.yaml without images: owl",
        ]),
        ("[cat, dog]", ("0", "7"), [
            "2 class folders not among the 2 names in data.yaml, used as classes under the folder's name: 0, 7",
            "2 names in data.yaml without images: cat, dog",
        ]),
        ("{3: cat, 5: dog, 6: owl}", ("3", "5"), ["1 name in data.yaml without images: owl"]),
    ],
)  # fmt: skip
def test_names_of_yolo_that_differ_from_the_folders_are_reported(tmp_path, names, folders, losses):
    assert list(yolo(tmp_path, names, folders).losses) == losses


def test_folders_called_by_the_numbers_of_yolos_names_get_the_names(tmp_path):
    found = yolo(tmp_path, "{0: yes, 1: no}", ("0", "1"))  # which YAML takes for booleans
    assert (set(found.stated.cells), found.losses) == ({"yes", "no"}, ())
    assert "the class folders are numbers of the names in data.yaml, such as 0: yes" in found.notes
    assert set(yolo(tmp_path / "own", "['1', '0']", ("0", "1")).stated.cells) == {"0", "1"}
    with pytest.raises(DataError, match=r"states no names of classes; found names: cat; expected names: \[cat, dog\]"):
        yolo(tmp_path / "text", "cat")


def test_yolo_boxes_are_refused(tmp_path):
    for part in ("images", "labels"):
        (tmp_path / "train" / part).mkdir(parents=True)
    (tmp_path / "train" / "images" / "0.png").write_bytes(PICTURES[0])
    (tmp_path / "train" / "labels" / "0.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    (tmp_path / "data.yaml").write_text("train: train\nnames: [cat]\n")
    with pytest.raises(DataError, match=r"describes boxes in images.*COCO"):
        find(tmp_path / "data.yaml")


# --- Parquet and Arrow -----------------------------------------------------------------------------------------------

STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def hugging_face(features, **columns):
    about = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    return pa.table(columns).replace_schema_metadata(about)


def pictures(names=True):
    rows = [{"bytes": content, "path": f"{k}.png" if names else None} for k, content in enumerate(PICTURES)]
    return pa.array(rows, STRUCT)


def class_label(*names):
    return {"_type": "ClassLabel", "names": list(names)}


def test_parquet_of_hugging_face(tmp_path):
    features = {"image": {"_type": "Image"}, "kind": class_label("cat", "dog")}
    table = hugging_face(features, image=pictures(), kind=pa.array([0, 1, 0, 1, 0, -1]))
    pq.write_table(table, tmp_path / "pets.parquet")
    found = find(tmp_path / "pets.parquet")
    expected = {f"{k}.png": ["cat", "dog"][k % 2] for k in range(5)} | {"5.png": ""}
    assert facts(found) == expected
    pixels = found.source.decode(3, PixelFormat(1, 8), Geometry(6, 6))
    assert (pixels == as_inputs(PICTURES[3]).decode(0, PixelFormat(1, 8), Geometry(6, 6))).all()


@pytest.mark.parametrize("stream", [True, False])
def test_arrow_files_of_save_to_disk(tmp_path, stream):
    features = {"image": {"_type": "Image"}, "label": class_label("cat", "dog")}
    table = hugging_face(features, image=pictures(False), label=pa.array([0, 1, 0, 1, 0, 1]))
    for split, part in (("train", table.slice(0, 4)), ("test", table.slice(4))):
        (tmp_path / split).mkdir()
        (tmp_path / split / "state.json").write_text("{}")
        make = pa.ipc.new_stream if stream else pa.ipc.new_file
        with make(str(tmp_path / split / "data-00000-of-00001.arrow"), part.schema) as writer:
            writer.write_table(part)
    found = find(tmp_path)
    assert found.given.tolist() == ["test"] * 2 + ["train"] * 4
    assert found.stated.cells == ("cat", "dog") * 3
    names = as_inputs(tmp_path / "test" / "data-00000-of-00001.arrow").names
    assert names == [f"data-00000-of-00001.arrow#{k}" for k in (0, 1)]


def test_parquet_with_bytes_alone_and_with_paths(root):
    pq.write_table(pa.table({"img": pa.array(PICTURES, pa.binary()), "label": list("ababab")}), root / "b.parquet")
    assert facts(find(root / "b.parquet")) == {f"b.parquet#{k}": "ab"[k % 2] for k in range(6)}
    pq.write_table(pa.table({"path": [f"{k}.png" for k in range(6)], "label": list("ababab")}), root / "p.parquet")
    assert facts(find(root / "p.parquet")) == {f"{k}.png": "ab"[k % 2] for k in range(6)}


def test_parquet_with_lists_of_classes_and_numbers(tmp_path):
    features = {"image": {"_type": "Image"}, "labels": {"_type": "Sequence", "feature": class_label("red", "round")}}
    lists = pa.array([[0], [0, 1], [1], [], [0], [1]], pa.list_(pa.int64()))
    pq.write_table(hugging_face(features, image=pictures(), labels=lists), tmp_path / "m.parquet")
    assert read(tmp_path / "m.parquet").task.name == "multilabel"
    pq.write_table(pa.table({"image": pictures(), "angle": [0.5, 1.5, 2.5, 3.5, 4.5, 5.5]}), tmp_path / "n.parquet")
    assert read(tmp_path / "n.parquet").task.name == "regression"


def test_parquet_with_two_columns_of_classes_or_images_has_a_command_for_each(tmp_path):
    features = {"img": {"_type": "Image"}, "fine": class_label("a", "b"), "coarse": class_label("x", "y")}
    numbers = {"fine": pa.array([0, 1] * 3), "coarse": pa.array([0, 0, 0, 1, 1, 1])}
    pq.write_table(hugging_face(features, img=pictures(), **numbers), tmp_path / "c.parquet")
    with pytest.raises(DataError, match="2 columns of classes; found fine, coarse") as caught:
        find(tmp_path / "c.parquet")
    assert [set(find(data).stated.cells) for data in commands(caught.value)] == [{"a", "b"}, {"x", "y"}]
    pq.write_table(pa.table({"left": pictures(), "right": pictures(), "label": list("ababab")}), tmp_path / "i.parquet")
    with pytest.raises(DataError, match="several columns of images; found left, right") as caught:
        find(tmp_path / "i.parquet")
    assert all(len(find(data).source) == 6 for data in commands(caught.value))


def test_broken_rows_of_a_parquet_file_are_images_set_aside(tmp_path):
    rows = pa.array([*PICTURES[:4], b"broken", None], pa.binary())
    pq.write_table(pa.table({"image": rows, "label": list("ababab")}), tmp_path / "b.parquet")
    from clearsight.data.scan import scan

    assert sorted(scan(read(tmp_path / "b.parquet")).failed) == [4, 5]


def test_what_is_no_parquet(tmp_path):
    for name in ("x.parquet", "x.arrow"):
        (tmp_path / name).write_bytes(b"no table")
        with pytest.raises(DataError, match=r"cannot be read as (Parquet|Arrow)"):
            find(tmp_path / name)
    pq.write_table(pa.table({"label": ["a"]}), tmp_path / "y.parquet")
    with pytest.raises(DataError, match="no column of images; found label"):
        find(tmp_path / "y.parquet")


# --- folders with metadata -------------------------------------------------------------------------------------------


def test_hugging_face_folder_nested(tmp_path):
    for split, rows in (("train", range(4)), ("test", (4, 5))):
        (tmp_path / split / "deep").mkdir(parents=True)
        for k in rows:
            (tmp_path / split / "deep" / f"{k}.png").write_bytes(PICTURES[k])
        lines = [json.dumps({"file_name": f"deep/{k}.png", "label": "ab"[k % 2], "site": "X"}) for k in rows]
        (tmp_path / split / "metadata.jsonl").write_text("\n".join(lines))
    (tmp_path / "train" / "more.png").write_bytes(PICTURES[0])
    found = find(tmp_path)
    assert facts(found) == {f"{'train' if k < 4 else 'test'}/deep/{k}.png": "ab"[k % 2] for k in range(6)}
    assert sorted(found.given.tolist()) == ["test"] * 2 + ["train"] * 4
    assert set(found.metadata["site"].tolist()) == {"X"}
    assert found.losses == ("left out 1 image that the table does not list, for example more.png",)


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.parquet"])
def test_hugging_face_folder_of_other_tables(root, name):
    frame = pd.DataFrame({"file_name": [f"{k}.png" for k in range(6)], "label": list("ababab")})
    if name.endswith("csv"):
        frame.to_csv(root / name, index=False)
    else:
        pq.write_table(pa.Table.from_pandas(frame), root / name)
    assert facts(find(root)) == {f"{k}.png": "ab"[k % 2] for k in range(6)}


def test_metadata_without_labels_leaves_the_class_folders(tmp_path):
    for k, content in enumerate(PICTURES):
        (tmp_path / "ab"[k % 2]).mkdir(exist_ok=True)
        (tmp_path / "ab"[k % 2] / f"{k}.png").write_bytes(content)
    rows = [{"file_name": f"{'ab'[k % 2]}/{k}.png", "text": f"a picture {k}", "width": 6} for k in range(6)]
    lines = [json.dumps(row) for row in rows]
    (tmp_path / "metadata.jsonl").write_text("\n".join(lines))
    assert set(find(tmp_path).stated.cells) == {"a", "b"}


def test_metadata_that_contradicts_class_folders_has_a_command_for_each(tmp_path):
    for k, content in enumerate(PICTURES):
        (tmp_path / "ab"[k % 2]).mkdir(exist_ok=True)
        (tmp_path / "ab"[k % 2] / f"{k}.png").write_bytes(content)
    rows = "\n".join(f"{'ab'[k % 2]}/{k}.png,{'xyz'[k % 3]}" for k in range(6))
    (tmp_path / "metadata.csv").write_text("file_name,label\n" + rows)
    with pytest.raises(DataError, match=r"class folders and a table, metadata.csv, and they disagree") as caught:
        find(tmp_path)
    first, second = commands(caught.value)
    assert set(find(first).stated.cells) == set("xyz")
    assert set(find(second).stated.cells) == set("ab")


def test_a_folder_with_images_and_one_table(root):
    (root / "labels.csv").write_text("image_path,label\n" + "\n".join(f"{k}.png,{'ab'[k % 2]}" for k in range(6)))
    assert len(facts(find(root))) == 6
    (root / "other.csv").write_text("image_path,label\n0.png,x\n1.png,y\n")
    with pytest.raises(DataError, match="no labelled images in the folder") as caught:
        find(root)
    assert [len(find(data).source) for data in commands(caught.value)] == [6, 2]


def test_roboflow_classes(tmp_path):
    for split, rows in (("train", range(4)), ("valid", (4, 5))):
        (tmp_path / split).mkdir()
        for k in rows:
            (tmp_path / split / f"{k}.png").write_bytes(PICTURES[k])
        lines = [f"{k}.png,{int(k % 2)},{int(not k % 2)}" for k in rows]
        (tmp_path / split / "_classes.csv").write_text("\n".join(["filename, cat, dog", *lines]))
    found = read(tmp_path)
    assert found.classes == ("cat", "dog")
    assert sorted(found.given.tolist()) == ["train"] * 4 + ["val"] * 2


# --- WebDataset ------------------------------------------------------------------------------------------------------


def shard(path, samples, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, content in samples:
            add(archive, name, content)
    return path


def samples(rows, kind, value):
    return [pair for k in rows for pair in ((f"{k:03d}.png", PICTURES[k]), (f"{k:03d}.{kind}", str(value(k)).encode()))]


@pytest.mark.parametrize("name", ["set.tar", "set.tar.gz"])
@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("cls", lambda k: f"{k % 2}\n"),
        ("txt", lambda k: k % 2),
        ("json", lambda k: json.dumps({"label": k % 2, "site": "X"})),
        ("json", lambda k: k % 2),
    ],
)
def test_webdataset(tmp_path, kind, value, name):
    found = find(shard(tmp_path / name, samples(range(6), kind, value), "w:gz" if name.endswith("gz") else "w"))
    assert facts(found) == {f"{k:03d}.png": str(k % 2) for k in range(6)}
    pixels = found.source.decode(2, PixelFormat(1, 8), Geometry(6, 6))
    assert (pixels == as_inputs(PICTURES[2]).decode(0, PixelFormat(1, 8), Geometry(6, 6))).all()


def test_shards_of_splits(tmp_path):
    shard(tmp_path / "train-000.tar", samples(range(2), "cls", lambda k: k % 2))
    shard(tmp_path / "train-001.tar", samples(range(2, 4), "cls", lambda k: k % 2))
    shard(tmp_path / "val-000.tar", samples(range(4, 6), "cls", lambda k: k % 2))
    found = find(tmp_path)
    assert found.given.tolist() == ["train"] * 4 + ["val"] * 2
    assert len(find(str(tmp_path / "train-{000..001}.tar")).source) == 4
    assert len(find(str(tmp_path / "train-*.tar")).source) == 4
    assert as_inputs(str(tmp_path / "train-*.tar")).names[0] == "train-000.tar/000.png"


@pytest.mark.parametrize("names", [("train", "val", "test"), ("training", "valid", "testing")])
def test_shards_in_folders_of_splits(tmp_path, names):
    for number, name in enumerate(names):
        (tmp_path / name).mkdir()
        shard(tmp_path / name / "000.tar", samples([2 * number], "cls", lambda k: k % 3))
        shard(tmp_path / name / "001.tar.gz", samples([2 * number + 1], "cls", lambda k: k % 3), "w:gz")
    (tmp_path / names[0] / "000.idx").write_text("of the shard")
    found = find(tmp_path)
    stated = {found.source.name(i): (found.given[i], cell) for i, cell in enumerate(found.stated.cells)}
    assert stated == {
        f"{names[k // 2]}/00{k % 2}.tar{'.gz' * (k % 2)}/{k:03d}.png": (("train", "val", "test")[k // 2], str(k % 3))
        for k in range(6)
    }
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for file in tmp_path.glob("*/*.tar*"):
            archive.write(file, file.relative_to(tmp_path))
    assert sorted(find(tmp_path / "set.zip").given) == sorted(found.given)
    (tmp_path / "more").mkdir()
    shard(tmp_path / "more" / "000.tar", samples([0], "cls", lambda k: k))
    with pytest.raises(DataError, match=r"unclear to which split 1 file in .* belongs"):
        find(tmp_path)


def test_webdataset_fields_have_a_command_for_each(tmp_path):
    def value(k):
        return json.dumps({"class": "ab"[k % 2], "category": "xyz"[k % 3]})

    path = shard(tmp_path / "set.tar", samples(range(6), "json", value))
    with pytest.raises(DataError, match="2 columns that may contain the labels") as caught:
        find(path)
    assert [set(find(data).stated.cells) for data in commands(caught.value)] == [set("ab"), set("xyz")]


def test_a_tar_that_may_be_both_has_a_command_for_each(tmp_path):
    rows = []
    for k in range(6):
        rows += [(f"{'ab'[k % 2]}/{k}.png", PICTURES[k]), (f"{'ab'[k % 2]}/{k}.cls", str(k % 3).encode())]
    path = shard(tmp_path / "set.tar", rows)
    with pytest.raises(DataError, match="can be read in two ways") as caught:
        find(path)
    assert [set(find(data).stated.cells) for data in commands(caught.value)] == [set("012"), set("ab")]


def test_captions_are_no_classes(tmp_path):
    path = tmp_path / "set.tar"
    pairs = [p for k in range(20) for p in ((f"{k}.png", PICTURES[k % 6]), (f"{k}.txt", f"a photo {k}".encode()))]
    with pytest.raises(DataError, match="look like captions"):
        find(shard(path, pairs))


def test_webdataset_errors(tmp_path):
    with pytest.raises(DataError, match=r"a sample in .* has two images; found 000"):
        find(shard(tmp_path / "a.tar", [*samples(range(6), "cls", int), ("000.jpg", b"x")]))
    broken = shard(tmp_path / "b.tar", samples(range(6), "cls", int)).read_bytes()
    (tmp_path / "c.tar").write_bytes(broken[:4500])
    with pytest.raises(DataError, match="cannot be read"):
        find(tmp_path / "c.tar")
    with pytest.raises(DataError, match=r"000.json in .* is not valid JSON"):
        find(shard(tmp_path / "d.tar", samples(range(6), "json", lambda k: "{")))
    left = shard(tmp_path / "e.tar", [*samples(range(6), "cls", int), ("readme.md", b"x")])
    assert "left out 1 file of no image, for example readme.md" in find(left).notes
