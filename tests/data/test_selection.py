"""Data that can be read in several ways: an error with a command for each, and the selections in them."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import tarfile

import numpy as np
import pytest

from clearsight.data.sources.contained import as_inputs
from clearsight.data.sources.read import find, recorded_place
from clearsight.data.sources.selection import FORMATS, Selection, selected
from clearsight.errors import DataError
from clearsight.tasks import read
from tests.data.twelve_forms import add, png


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLEARSIGHT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def commands(error) -> list[str]:
    """DATA of each command in an error."""
    return [shlex.split(text)[2] for text in re.findall(r"`(clearsight train [^`]+)`", str(error))]


@pytest.fixture
def root(tmp_path):
    for k in range(6):
        (tmp_path / f"{k}.png").write_bytes(png(np.full((4, 4), 40 * k, np.uint8)))
    return tmp_path


def table(root, header, *columns, name="pets.csv"):
    rows = zip([f"{k}.png" for k in range(6)], *columns, strict=True)
    (root / name).write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]))
    return root / name


def test_every_command_of_an_ambiguous_table_works(root):
    path = table(root, "image_path,class,target", "aabbcc", [0, 1, 0, 1, 0, 1])
    with pytest.raises(DataError, match="2 columns that may contain the labels, and they differ") as caught:
        find(path)
    first, second = commands(caught.value)
    assert find(first).stated.cells == tuple("aabbcc")
    assert find(second).stated.cells == ("0", "1") * 3
    assert recorded_place(find(second).stated.origin, "x") == find(second).stated.origin == f"{path}#label=target"


def test_columns_that_name_the_same_classes_are_one(root):
    path = table(root, "image_path,class_id,class_name", [0, 0, 1, 1, 2, 2], "aabbcc")
    assert find(path).stated.cells is not None
    assert set(find(path).stated.cells) == {"a", "b", "c"}


def test_a_column_called_label_is_the_label(root):
    assert find(table(root, "image_path,label,category", "aabbcc", "xyxyxy")).stated.cells == tuple("aabbcc")


def test_unknown_columns_are_offered(root):
    path = table(root, "image_path,breed,colour", "aabbcc", "xyxyxy")
    with pytest.raises(DataError, match="no label or target column") as caught:
        find(path)
    assert [find(data).stated.cells for data in commands(caught.value)] == [tuple("aabbcc"), ("x", "y") * 3]
    with pytest.raises(DataError, match=r"has no column 'bred'; found image_path, breed, colour. Did you mean"):
        find(f"{path}#label=bred")


def test_a_frame_is_renamed(root):
    import pandas as pd

    frame = pd.DataFrame({"image_path": ["0.png"], "class": ["a"], "target": [1]})
    with pytest.raises(DataError, match=r"2 columns") as caught:
        find(pd.concat([frame, frame.assign(target=2)]))
    assert "frame.rename(columns={'class': 'label'})" in str(caught.value)


def test_unclear_arrays_have_a_command_for_each_pair(tmp_path):
    images = np.zeros((6, 5, 4), np.uint8)
    np.savez(tmp_path / "set.npz", images, np.arange(6) % 2, np.arange(6) % 3)
    with pytest.raises(DataError, match="no pair of image and label arrays with known names") as caught:
        find(tmp_path / "set.npz")
    assert [set(find(data).stated.cells) for data in commands(caught.value)] == [{"0", "1"}, {"0", "1", "2"}]
    with pytest.raises(DataError, match="has no array 'pixels'"):
        find(f"{tmp_path / 'set.npz'}#image=pixels&label=arr_1")


def test_arrays_without_labels_are_reported(tmp_path):
    images = np.zeros((6, 5, 4), np.uint8)
    np.savez(tmp_path / "set.npz", x_train=images, y_train=np.arange(6) % 2, x_test=images[:3])
    assert find(tmp_path / "set.npz").losses == (
        "left out the array x_test, which has no labels of its own, with shape (3, 5, 4)",
    )


@pytest.mark.parametrize(("colours", "many"), [(1, 1), (3, 1), (1, 14)])
def test_medmnist(tmp_path, colours, many):
    """Three splits, labels (N, 1) or (N, 14) of 0 and 1, gray or RGB."""
    rng = np.random.default_rng(0)
    arrays = {}
    for split, n in (("train", 40), ("val", 10), ("test", 12)):
        shape = (n, 28, 28) if colours == 1 else (n, 28, 28, 3)
        arrays[f"{split}_images"] = rng.integers(0, 256, shape, np.uint8)
        arrays[f"{split}_labels"] = rng.integers(0, 2, (n, many), np.uint8)
    np.savez_compressed(tmp_path / "mnist.npz", **arrays)
    found = read(tmp_path / "mnist.npz")
    assert [int((found.given == split).sum()) for split in ("train", "val", "test")] == [40, 10, 12]
    assert found.task.name == ("classification" if many == 1 else "multilabel")
    assert len(found.source) == 62


def test_volumes_are_no_images(tmp_path):
    np.savez(tmp_path / "set.npz", train_images=np.zeros((8, 28, 28, 28), np.uint8), train_labels=np.zeros((8, 1)))
    with pytest.raises(DataError):
        find(tmp_path / "set.npz")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.csv#labl=x", "'labl=x'.*Did you mean"),
        ("a.csv#label=", "'label='"),
        ("a.csv#label=x&label=y", "'label=y'"),
        ("a.csv#format=fodler", "unknown format 'fodler'.*folder"),
    ],
)
def test_selections_that_cannot_be_read(text, message):
    with pytest.raises(DataError, match=message):
        selected(text)


def test_selections(tmp_path):
    assert selected("a#b.csv") == ("a#b.csv", Selection())
    assert selected("a#b.csv#label=x") == ("a#b.csv", Selection(label="x"))
    odd = tmp_path / "a#label=x"
    odd.touch()
    assert selected(str(odd)) == (str(odd), Selection())
    assert Selection(label="x y").command("a.csv") == "`clearsight train 'a.csv#label=x y'`"


@pytest.mark.parametrize("name", ["R&B", "#1", "100%", "50%26", "a=b", "a b"])
def test_names_with_the_characters_of_a_selection(root, name):
    path = table(root, f"image_path,breed,{name}", "aabbcc", "xyxyxy")
    with pytest.raises(DataError, match="no label or target column") as caught:
        find(path)
    found = find(commands(caught.value)[1])
    assert found.stated.cells == ("x", "y") * 3
    assert find(found.stated.origin).stated.cells == found.stated.cells


@pytest.mark.parametrize("name", ["a#b", "a#k=1", "a#label=x", "50%25", "[1]"])
def test_folders_with_the_characters_of_a_selection(tmp_path, name):
    content = [png(np.full((4, 4), 40 * k, np.uint8)) for k in range(6)]
    for k, one in enumerate(content):
        (tmp_path / name / "set" / "ab"[k % 2]).mkdir(parents=True, exist_ok=True)
        (tmp_path / name / "set" / "ab"[k % 2] / f"{k}.png").write_bytes(one)
    rows = "\n".join(f"set/{'ab'[k % 2]}/{k}.png,{'xy'[k % 2]}" for k in range(6))
    (tmp_path / name / "t.csv").write_text(f"image_path,breed\n{rows}")
    shutil.make_archive(str(tmp_path / name / "set"), "zip", tmp_path / name)
    with tarfile.open(tmp_path / name / "t-0.tar", "w") as archive:
        for k, one in enumerate(content):
            add(archive, f"{k}.png", one)
            add(archive, f"{k}.cls", b"ab"[k % 2 :][:1])
    places = {"set": "ab", "t.csv#label=breed": "xy", "set.zip/set": "ab", "set.zip/t.csv#label=breed": "xy"}
    for data, classes in (places | {"t-*.tar": "ab", "t-{0..0}.tar": "ab"}).items():
        found = find(f"{tmp_path / name}/{data}")
        assert set(found.stated.cells) == set(classes)
        assert recorded_place(found.stated.origin, "x")
        assert find(found.stated.origin).stated.cells == found.stated.cells
    assert len(as_inputs(f"{tmp_path / name}/t-*.tar")) == 6


KINDS = {
    "t.csv": ["label=label", "image=image_path"],
    "t.tsv": ["label=label", "image=image_path"],
    "t.jsonl": ["label=label", "image=image_path"],
    "rows.json": ["label=label", "image=image_path"],
    "coco.json": ["format=classification"],
    "t.npz": ["image=x&label=y"],
    "t.parquet": ["label=label", "image=image_path"],
    "t.tar": ["label=cls", "format=webdataset"],
    "tars": ["label=cls", "format=webdataset"],
    "tars/*.tar": ["label=cls", "format=webdataset"],
    "classes": ["format=folder"],
    "classes.zip": ["format=folder"],
    "listed": ["label=label", "image=file_name", "format=table"],
    "data.yaml": [],
}
"""Data of each kind, and the selections that apply to it."""


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    """All of `KINDS`."""
    import pandas as pd

    top = tmp_path_factory.mktemp("kinds")
    images = [np.full((4, 4), 40 * k, np.uint8) for k in range(6)]
    for folder in ("classes/a", "classes/b", "listed", "tars"):
        (top / folder).mkdir(parents=True)
    for k, image in enumerate(images):
        for place in (top, top / "listed", top / "classes" / "ab"[k % 2]):
            (place / f"{k}.png").write_bytes(png(image))
    frame = pd.DataFrame({"image_path": [f"{k}.png" for k in range(6)], "label": list("ababab")})
    frame.to_csv(top / "t.csv", index=False)
    frame.to_csv(top / "t.tsv", index=False, sep="\t")
    frame.to_json(top / "t.jsonl", orient="records", lines=True)
    frame.to_json(top / "rows.json", orient="records")
    frame.to_parquet(top / "t.parquet")
    frame.rename(columns={"image_path": "file_name"}).to_csv(top / "listed" / "metadata.csv", index=False)
    about = {"images": [{"id": k, "file_name": f"{k}.png"} for k in range(6)]}
    about["annotations"] = [{"image_id": k, "category_id": k % 2} for k in range(6)]
    about["categories"] = [{"id": 0, "name": "a"}, {"id": 1, "name": "b"}]
    (top / "coco.json").write_text(json.dumps(about))
    np.savez(top / "t.npz", x=np.stack(images), y=np.arange(6) % 2)
    for place in (top / "t.tar", top / "tars" / "0.tar"):
        with tarfile.open(place, "w") as archive:
            for k, image in enumerate(images):
                add(archive, f"{k}.png", png(image))
                add(archive, f"{k}.cls", b"ab"[k % 2 :][:1])
    shutil.make_archive(str(top / "classes"), "zip", top / "classes")
    (top / "data.yaml").write_text("train: classes\n")
    return top


@pytest.mark.parametrize("kind", KINDS)
def test_a_selection_applies_or_is_an_error(kinds, kind):
    data = f"{kinds}/{kind}"
    plain = find(data)
    for one in KINDS[kind]:
        assert find(f"{data}#{one}").stated.cells == plain.stated.cells
    ways = {one.partition("=")[0] for text in KINDS[kind] for one in text.split("&")} - {"format"}
    others = [f"{name}=x" for name in {"label", "image"} - ways]
    others += [f"format={name}" for name in FORMATS if f"format={name}" not in KINDS[kind]]
    if kind in ("coco.json", "listed", "t.tar", "tars"):  # which might have boxes, or class folders
        others = [one for one in others if one not in ("format=detection", "format=folder")]
    for one in others:
        with pytest.raises(DataError, match=rf"#{one} does not apply to .*; expected (#|no selection)"):
            find(f"{data}#{one}")


def test_several_tables_and_a_selection(kinds, tmp_path):
    shutil.copytree(kinds / "classes", tmp_path / "set")
    for name in ("one.csv", "two.csv"):
        (tmp_path / "set" / name).write_text("image_path,label\n" + "\n".join(f"a/{k}.png,x" for k in (0, 2, 4)))
    with pytest.raises(DataError, match="contains several tables") as caught:
        find(f"{tmp_path / 'set'}#label=label")
    assert len({len(find(data).source) for data in commands(caught.value)}) == 1


def test_a_selection_of_images_to_predict(kinds):
    assert as_inputs(f"{kinds / 'classes'}#format=folder").names == as_inputs(kinds / "classes").names
    for kind in ("classes", "classes.zip", "t.tar"):
        with pytest.raises(DataError, match="#image=x does not apply"):
            as_inputs(f"{kinds / kind}#image=x")


def test_a_built_in_name_has_no_selections():
    with pytest.raises(DataError, match="#label=x does not apply to digits"):
        find("digits#label=x")
