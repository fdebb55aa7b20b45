"""Folders of images: what is recognised, what is left out, what is refused and why."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clearsight.data.scan import scan
from clearsight.errors import DataError
from clearsight.tasks import read


def make(root: Path, *names: str) -> Path:
    for i, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in (".png", ".jpg", ".JPEG"):
            Image.new("L", (4, 4), i % 256).save(path)
        else:
            path.write_text("text")
    return root


def names(dataset) -> list[str]:
    return [dataset.source.name(i) for i in range(len(dataset))]


def test_class_folders(tmp_path):
    found = read(make(tmp_path / "photos", "dog/1.png", "cat/10.png", "cat/2.jpg", "cat/inner/3.JPEG"))
    assert found.name == "photos"
    assert found.classes == ("cat", "dog")
    assert names(found) == ["cat/2.jpg", "cat/10.png", "cat/inner/3.JPEG", "dog/1.png"]
    assert found.labels.tolist() == [0, 0, 0, 1]
    assert found.given.tolist() == [""] * 4
    assert found.origin == str(tmp_path / "photos")
    assert found.notes == ()


def test_classes_in_natural_order(tmp_path):
    found = read(make(tmp_path, *(f"class {i}/a.png" for i in (10, 9, 1, 2))))
    assert found.classes == ("class 1", "class 2", "class 9", "class 10")


def test_split_folders(tmp_path):
    found = read(
        make(tmp_path, *(f"{s}/{c}/{i}.png" for s in ("train", "val", "test") for c in "ab" for i in range(2)))
    )
    assert found.splits_given == {"train", "val", "test"}
    assert {(names(found)[i].split("/")[0], str(found.given[i])) for i in range(12)} == {
        ("train", "train"),
        ("val", "val"),
        ("test", "test"),
    }
    assert found.classes == ("a", "b")


@pytest.mark.parametrize(
    ("word", "means"), [("valid", "val"), ("validation", "val"), ("Dev", "val"), ("testing", "test"), ("TEST", "test")]
)
def test_other_words_for_splits(tmp_path, word, means):
    found = read(make(tmp_path, "Training/a/1.png", "Training/b/1.png", f"{word}/a/1.png", f"{word}/b/1.png"))
    assert found.splits_given == {"train", means}


def test_only_train(tmp_path):
    assert read(make(tmp_path, "train/a/1.png", "train/b/1.png")).splits_given == {"train"}


def test_differing_classes_are_named(tmp_path):
    make(tmp_path, "train/cat/1.png", "train/dog/1.png", "test/cat/1.png", "test/wolf/1.png")
    with pytest.raises(DataError) as found:
        read(tmp_path)
    text = str(found.value)
    assert f"the classes of {tmp_path}/train and {tmp_path}/test differ: 2 classes in only one of them" in text
    assert "only in train: dog; only in test: wolf" in text
    assert "expected the same class folders in every split. Rename, add or remove these class folders." in text


def test_a_class_whose_folder_is_empty_in_one_split(tmp_path):
    make(tmp_path, "train/a/1.png", "train/b/1.png", "val/a/1.png")
    (tmp_path / "val" / "b").mkdir()
    with pytest.raises(DataError, match="only in train: b"):
        read(tmp_path)


def test_a_test_folder_without_labels_is_left_out_and_reported(tmp_path):
    found = read(make(tmp_path, "train/a/1.png", "train/b/1.png", "test/1.png", "test/2.png", "other/a/1.png"))
    assert found.splits_given == {"train"}
    assert len(found) == 2
    assert found.losses == (
        "test: left out 2 images outside class folders, for example test/1.png",
        f"left out 1 folder outside the split folders: {tmp_path.name}/other",
    )


def test_split_folders_without_train(tmp_path):
    with pytest.raises(
        DataError, match="split folders, but no training images in class folders; found test, val; expected train/CLASS"
    ):
        read(make(tmp_path, "val/a/1.png", "val/b/1.png", "test/a/1.png", "test/b/1.png"))


def test_split_folders_without_classes(tmp_path):
    """Read as classes, these would train a detector of the test split."""
    with pytest.raises(
        DataError,
        match=r"the split folders in .* contain no class folders.*expected train/CLASS/image.*pass that table",
    ):
        read(make(tmp_path, "train/1.png", "test/1.png"))


def test_a_class_may_be_called_train(tmp_path):
    found = read(make(tmp_path, "train/1.png", "bus/1.png", "test/inner/1.png"))
    assert found.classes == ("bus", "test", "train")


def test_nothing_and_nothing_labelled(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        DataError, match=r"no labelled images in the folder .*empty; found an empty folder; expected one folder of"
    ):
        read(tmp_path / "empty")
    with pytest.raises(DataError, match="found 2 images outside class folders"):
        read(make(tmp_path / "loose", "1.png", "2.png", "a/readme.txt"))
    with pytest.raises(DataError, match=r"found a, readme\.txt"):
        read(make(tmp_path / "text", "readme.txt", "a/b.txt"))


def test_unicode_and_spaces(tmp_path):
    found = read(make(tmp_path / "Bilder von heute", "schöne Katzen/eine 猫.png", "chiens d'été/#1 %20&.png"))
    assert found.classes == ("chiens d'été", "schöne Katzen")
    assert not scan(found).failed


def test_names_that_are_not_utf_8(tmp_path):
    for name in (b"caf\xe9", b"tea"):
        folder = os.fsencode(tmp_path) + b"/" + name
        os.mkdir(folder)  # noqa: PTH102
        Image.new("L", (4, 4)).save(os.fsdecode(folder + b"/\xff.png"))
    found = read(tmp_path)
    assert found.classes == ("caf\\udce9", "tea")
    assert names(found)[0].encode() == b"caf\\udce9/\\udcff.png"
    assert not scan(found).failed


def test_hidden_files_are_not_looked_at(tmp_path):
    found = read(make(tmp_path, "a/1.png", "b/1.png", "a/._1.png", "a/.thumbs/1.png", ".git/x/1.png", "a/Thumbs.db"))
    assert names(found) == ["a/1.png", "b/1.png"]
    assert found.notes == ()


def test_what_is_left_out_is_reported(tmp_path):
    make(tmp_path, "a/1.png", "b/1.png", "a/raw.cr2", "b/notes.txt", "b/README", "title.jpg", "c/empty.txt")
    found = read(tmp_path)
    assert found.classes == ("a", "b")
    assert len(found) == 2
    assert found.losses == (
        f"no images in {tmp_path.name}/c, so not used as a class",
        f"left out 1 image outside class folders, for example {tmp_path.name}/title.jpg",
        "left out 1 image without a supported suffix (.cr2), for example a/raw.cr2",
    )
    assert found.notes == ("left out 3 files without a supported suffix (.txt, no suffix), for example b/README",)


def test_a_class_none_of_whose_images_can_be_read_is_an_error(tmp_path):
    make(tmp_path, "a/1.png", "b/1.png", "c/1.png", "c/2.png")
    for path in (tmp_path / "c").iterdir():
        path.rename(path.with_suffix(".xyz"))
    with pytest.raises(DataError, match=r"no image in the folder c can be read; found 2 images, such as .\.xyz"):
        read(tmp_path)


def test_what_systems_leave_in_folders_is_not_looked_at(tmp_path):
    make(tmp_path, "a/1.png", "b/1.png", "a/@eaDir/1.png/SYNOFILE_THUMB_M.jpg", "__MACOSX/a/._1.png", "#recycle/2.png")
    found = read(tmp_path)
    assert names(found) == ["a/1.png", "b/1.png"]
    assert found.losses == found.notes == ()


@pytest.mark.parametrize(
    ("train", "other", "means"),
    [
        ("training_set", "test_set", "test"), ("seg_train", "seg_test", "test"), ("train_images", "val_images", "val"),
        ("train2017", "val2017", "val"), ("xrayTrain", "xrayTest", "test"),
    ],
)  # fmt: skip
def test_split_folders_that_are_called_alike_but_for_the_split(tmp_path, train, other, means):
    found = read(make(tmp_path, *(f"{s}/{c}/{i}.png" for s in (train, other) for c in "ab" for i in range(2))))
    assert found.classes == ("a", "b")
    assert {(n.split("/")[0], str(s)) for n, s in zip(names(found), found.given, strict=True)} == {
        (train, "train"), (other, means),
    }  # fmt: skip


def test_folders_that_may_be_splits_of_a_class_are_asked_about(tmp_path):
    make(tmp_path / "flat", "cat_train/1.png", "cat_test/1.png", "dog_train/1.png", "dog_test/1.png")
    with pytest.raises(DataError, match="are splits of a class or of the whole data set; found cat_test, cat_train"):
        read(tmp_path / "flat")
    make(tmp_path / "deep", "a_train/x/1.png", "a_test/x/1.png", "b_train/x/1.png", "b_test/x/1.png")
    with pytest.raises(DataError, match="expected train/CLASS/image, or CLASS/train/image"):
        read(tmp_path / "deep")
    found = read(make(tmp_path / "plain", "train station/1.png", "test tube/1.png"))
    assert found.classes == ("test tube", "train station")


def test_split_folders_in_each_class(tmp_path):
    make(tmp_path, *(f"{c}/{s}/{i}.png" for c in ("cat", "dog") for s in ("train", "valid", "Test") for i in range(2)))
    found = read(tmp_path)
    assert found.classes == ("cat", "dog")
    assert found.splits_given == {"train", "val", "test"}
    assert str(found.given[names(found).index("cat/Test/0.png")]) == "test"
    make(tmp_path, "dog/3.png")
    with pytest.raises(DataError, match=r"only some images in the class folders of .* are in split folders"):
        read(tmp_path)


def test_a_folder_that_holds_but_one_other_is_passed_through(tmp_path):
    found = read(make(tmp_path, "photos/a/1.png", "photos/b/1.png"))
    assert (found.classes, names(found)) == (("a", "b"), ["a/1.png", "b/1.png"])
    assert read(make(tmp_path / "s", "s/train/a/1.png", "s/train/b/1.png")).splits_given == {"train"}
    twice = make(tmp_path / "t", *(f"{s}/{s}/{c}/1.png" for s in ("training_set", "test_set") for c in "ab"))
    assert read(twice).splits_given == {"train", "test"}


def test_names_that_differ_in_their_unicode_form_alone_are_one_class(tmp_path):
    make(tmp_path, "train/caf\u00e9/1.png", "train/tea/1.png", "test/cafe\u0301/1.png", "test/tea/1.png")
    assert read(tmp_path).classes == ("caf\u00e9", "tea")


def test_links_to_folders_are_followed_once(tmp_path):
    store = make(tmp_path / "store", "more/2.png")
    make(tmp_path / "root", "a/1.png", "b/1.png")
    (tmp_path / "root" / "a" / "linked").symlink_to(store / "more")
    (tmp_path / "root" / "a" / "loop").symlink_to(tmp_path / "root" / "a")
    assert names(read(tmp_path / "root")) == ["a/1.png", "a/linked/2.png", "b/1.png"]


def test_links(tmp_path):
    store = make(tmp_path / "store", "cats/1.png", "dogs/1.png")
    root = tmp_path / "root"
    (root / "dog").mkdir(parents=True)
    (root / "cat").symlink_to(store / "cats")
    (root / "dog" / "linked.png").symlink_to(store / "dogs" / "1.png")
    (root / "dog" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (root / "dog" / "loop").symlink_to(root / "dog")
    found = read(root)
    assert names(found) == ["cat/1.png", "dog/gone.png", "dog/linked.png"]
    seen = scan(found)
    assert list(seen.failed) == [1]  # a link to nowhere is an unreadable image, not a silent loss
    assert "dog/gone.png" in seen.failed[1] or "gone.png cannot be read" in seen.failed[1]


def test_a_pipe_named_as_an_image_does_not_hang(tmp_path):
    make(tmp_path, "a/1.png", "b/1.png")
    os.mkfifo(tmp_path / "a" / "pipe.png")
    assert names(read(tmp_path)) == ["a/1.png", "b/1.png"]


def test_a_folder_that_cannot_be_listed(tmp_path, monkeypatch):
    make(tmp_path, "a/1.png", "b/inner/1.png")

    def barred(path, *args, **kwargs):
        if os.fspath(path).endswith("inner"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path, *args, **kwargs)

    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", barred)
    with pytest.raises(DataError, match="b/inner cannot be listed; found Permission denied"):
        read(tmp_path)


def test_the_order_does_not_depend_on_the_file_system(tmp_path, monkeypatch):
    make(tmp_path, *(f"{c}/{i}.png" for c in ("x1", "x01") for i in (1, "01", "001", 2)))
    expected = names(read(tmp_path))
    original = os.walk

    def backwards(*args, **kwargs):
        for top, folders, files in original(*args, **kwargs):
            yield top, folders, files[::-1]

    monkeypatch.setattr(os, "walk", backwards)
    assert names(read(tmp_path)) == expected
    assert np.array_equal(read(tmp_path).labels, [0] * 4 + [1] * 4)
