"""An index may come from someone else: its files and what they name are checked before they are read."""

import json
import os
import shutil
import struct

import faiss
import numpy as np
import pytest
from PIL import Image

import clearsight as cs
from clearsight.data.sources.read import recorded_place
from clearsight.errors import BundleError
from clearsight.retrieval import Index, Originals
from clearsight.retrieval.faiss_file import read_faiss
from clearsight.retrieval.index import build_faiss, unit

WIDTH = 8
VECTORS = unit(np.random.default_rng(0).normal(size=(600, WIDTH)).astype(np.float32))
IVFPQ = f"OPQ4_{WIDTH},IVF16,PQ4"


def saved(index):
    return faiss.serialize_index(index).tobytes()


def roughly(text, metric=faiss.METRIC_INNER_PRODUCT):
    """An index of product codes, learned in few steps: how good it is does not matter."""
    index = faiss.index_factory(WIDTH, text, metric)
    codes = faiss.downcast_index(faiss.extract_index_ivf(index))
    codes.cp.niter = codes.pq.cp.niter = 1
    codes.do_polysemous_training = False  # what takes longest, and only changes the order of the codes
    rotation = faiss.downcast_VectorTransform(index.chain.at(0))
    rotation.niter = rotation.niter_pq = rotation.niter_pq_0 = 1
    index.train(VECTORS)
    return index


@pytest.fixture(scope="module")
def learned():
    """As `build_faiss` makes it, still without vectors."""
    return saved(roughly(IVFPQ))


@pytest.fixture(scope="module")
def coded(learned):
    index = faiss.deserialize_index(np.frombuffer(learned, np.uint8))
    index.add(VECTORS)
    faiss.extract_index_ivf(index).nprobe = 2
    return index, saved(index)


@pytest.fixture(scope="module")
def exact():
    return saved(build_faiss(VECTORS[:50], "exact"))


@pytest.fixture(scope="module")
def original(digits_arrays, tmp_path_factory, new_cache):
    """A run of a classifier of digits with its index: the run's folder, and that of the images."""
    images, labels = digits_arrays
    folder = tmp_path_factory.mktemp("foreign")
    for c in range(3):
        (folder / "data" / f"digit {c}").mkdir(parents=True)
        for k, i in enumerate(np.flatnonzero(labels == c)[:20]):
            Image.fromarray(images[i, 0]).save(folder / "data" / f"digit {c}" / f"{k}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLEARSIGHT_CACHE", new_cache())
        run = cs.fit(str(folder / "data"), model="pixels+softmax", out=str(folder / "run")).folder
        cs.index(run)
    return run, folder / "data"


@pytest.fixture
def made(original, tmp_path):
    """A copy of the run that a test may change, and its images."""
    return shutil.copytree(original[0], tmp_path / "run"), original[1]


def others(data, to):
    """Images of the same names as others, each with other pixels."""
    shutil.copytree(data, to)
    for path in to.rglob("*.png"):
        pixels = np.asarray(Image.open(path))
        Image.fromarray(255 - pixels).save(path)
    return to


def change(path, **values):
    card = json.loads(path.read_text())
    path.write_text(json.dumps({**card, **values}))


def test_both_kinds_are_read_as_they_were_written(coded, exact):
    index, content = coded
    again = read_faiss(content, "ivfpq", WIDTH, len(VECTORS))
    for found, expected in zip(again.search(VECTORS[:20], 5), index.search(VECTORS[:20], 5), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert faiss.extract_index_ivf(again).nprobe == faiss.extract_index_ivf(index).nprobe
    assert read_faiss(exact, "exact", WIDTH, 50).ntotal == 50


def test_lists_that_are_mostly_empty_are_read(learned):
    index = faiss.deserialize_index(np.frombuffer(learned, np.uint8))
    index.add(VECTORS[:3])
    content = saved(index)
    assert b"sprs" in content
    with pytest.raises(BundleError, match="of 16 lists"):  # more lists than vectors is no index of ours
        read_faiss(content, "ivfpq", WIDTH, 3)
    index.add(np.repeat(VECTORS[:1], 40, axis=0))
    assert b"sprs" in saved(index)
    assert read_faiss(saved(index), "ivfpq", WIDTH, 43).ntotal == 43


@pytest.mark.parametrize("cut", [0, 3, 4, 40, 52, 53, 200, 1000, -1])
def test_a_file_cut_short_is_named_in_one_line(coded, exact, cut):
    for content, kind, count in ((coded[1], "ivfpq", len(VECTORS)), (exact, "exact", 50)):
        with pytest.raises(BundleError, match=r"index\.faiss is damaged, or was not written by Clearsight") as message:
            read_faiss(content[:cut], kind, WIDTH, count)
        assert "\n" not in str(message.value)
    with pytest.raises(BundleError, match="4 extra bytes"):
        read_faiss(exact + b"more", "exact", WIDTH, 50)


def test_any_changed_byte_is_refused_or_harmless(coded):
    """Fuzz: what is accepted can be searched and finds positions in range; nothing ends the process."""
    rng = np.random.default_rng(0)
    _, content = coded
    accepted = 0
    edges = [*range(60), *range(300, 420)]
    for at in edges + rng.integers(0, len(content), 60).tolist():
        changed = bytearray(content)
        changed[at] ^= 1 << int(rng.integers(8))
        try:
            index = read_faiss(bytes(changed), "ivfpq", WIDTH, len(VECTORS))
        except BundleError:
            continue
        accepted += 1
        assert index.search(VECTORS[:2], 3)[1].max() < len(VECTORS)
    assert accepted


OTHER_KINDS = {
    "L2": lambda: faiss.IndexFlatL2(WIDTH),
    "graph": lambda: faiss.IndexHNSWFlat(WIDTH, 8, faiss.METRIC_INNER_PRODUCT),
    "codes": lambda: faiss.IndexPQ(WIDTH, 4, 4, faiss.METRIC_INNER_PRODUCT),
    "lists": lambda: faiss.index_factory(WIDTH, "IVF4,Flat", faiss.METRIC_INNER_PRODUCT),
    "main axes": lambda: roughly("PCA4,IVF4,PQ4"),
    "other distances": lambda: roughly(IVFPQ, faiss.METRIC_L2),
    "numbered": lambda: faiss.IndexIDMap(faiss.IndexFlatIP(WIDTH)),
}


@pytest.mark.parametrize("kind", OTHER_KINDS)
def test_other_kinds_of_index_are_refused(kind):
    index = OTHER_KINDS[kind]()
    if not index.is_trained:
        index.train(VECTORS)
    if kind == "numbered":
        index.add_with_ids(VECTORS[:100], np.arange(100))
    else:
        index.add(VECTORS[:100])
    for as_kind in ("exact", "ivfpq", "else"):
        with pytest.raises(BundleError, match="was not written by Clearsight"):
            read_faiss(saved(index), as_kind, WIDTH, 100)


def test_lists_on_disk_are_refused_and_their_file_is_left_alone(coded, tmp_path):
    victim = tmp_path / "victim"
    victim.write_bytes(b"as it was")
    _, content = coded
    head, _, _ = content.partition(b"ilar")
    name = str(victim).encode()
    listed = struct.pack("<QQ", 16, 4) + struct.pack("<Q", 0) * 2
    for tail in (
        b"ilod" + listed + struct.pack("<Q", len(name)) + name + struct.pack("<Q", 1 << 30),
        b"il00",
    ):
        (tmp_path / "index.faiss").write_bytes(head + tail)
        with pytest.raises(BundleError, match=r"inverted lists of kind 'il(od|00)'"):
            read_faiss((tmp_path / "index.faiss").read_bytes(), "ivfpq", WIDTH, len(VECTORS))
    assert victim.read_bytes() == b"as it was"


def test_sizes_are_those_of_the_card(made):
    run, _ = made
    card = run / "index" / "card.json"
    kept = card.read_text()
    whole = json.loads(kept)
    for values in (
        {"width": whole["width"] + 1},
        {"width": 0},
        {"width": "8"},
        {"names": whole["names"][:-1]},
        {name: whole[name][:-1] for name in ("names", "labels", "rows", "digests")},
        {"rows": [-1, *whole["rows"][1:]]},
        {"rows": [0.5, *whole["rows"][1:]]},
        {"labels": [99, *whole["labels"][1:]]},
        {"digests": whole["digests"][:-1]},
        {"origin": 5},
        {"kind": "ivfpq"},
        {"kind": "else"},
    ):
        change(card, **values)
        with pytest.raises(BundleError, match="contains a damaged index"):
            Index.load(run / "index")
        card.write_text(kept)
    Index.load(run / "index")


@pytest.mark.parametrize("name", ["card.json", "index.faiss"])
@pytest.mark.parametrize("made_of", ["link", "pipe", "device", "link to a link"])
def test_files_of_an_index_lie_in_its_folder(made, tmp_path, name, made_of):
    run, _ = made
    file, outside = run / "index" / name, tmp_path / "outside"
    file.rename(outside)
    if made_of == "pipe":
        os.mkfifo(file)
    elif made_of == "device":
        file.symlink_to("/dev/zero")
    elif made_of == "link":
        file.symlink_to(outside)
    else:
        (run / "index" / "between").symlink_to(outside)
        file.symlink_to("between")
    with pytest.raises(BundleError):
        Index.load(run / "index")


def test_a_link_inside_the_folder_is_followed(made):
    run, _ = made
    file = run / "index" / "index.faiss"
    file.rename(run / "index" / "kept.faiss")
    file.symlink_to("kept.faiss")
    assert len(Index.load(run / "index", run)) > 0


def test_a_run_s_index_lies_in_the_run(made, tmp_path):
    run, data = made
    (run / "index").rename(tmp_path / "elsewhere")
    (run / "index").symlink_to(tmp_path / "elsewhere")
    image = next(data.rglob("*.png"))
    with pytest.raises(BundleError, match="symbolic link that points outside the run"):
        cs.search(run, image)
    assert cs.search(run, image, index=str(tmp_path / "elsewhere")).pictures is not None


def test_building_over_links_leaves_what_they_name(made, tmp_path):
    run, _ = made
    for name in ("embeddings.npy", "index.faiss", "card.json.partial"):
        victim = tmp_path / name
        victim.write_bytes(b"as it was")
        (run / "index" / name).unlink(missing_ok=True)
        (run / "index" / name).symlink_to(victim)
    cs.index(run)
    assert {(tmp_path / name).read_bytes() for name in ("embeddings.npy", "index.faiss", "card.json.partial")} == {
        b"as it was"
    }


def test_only_images_that_were_indexed_are_shown(made, tmp_path):
    run, data = made
    image = next(data.rglob("*.png"))
    found = cs.search(run, image)
    assert found.pictures is not None
    change(run / "index" / "card.json", origin=str(others(data, tmp_path / "private")))
    again = cs.search(run, image, out=tmp_path / "b")
    assert again.pictures is None
    assert again.neighbours == found.neighbours
    assert [path.suffix for path in (tmp_path / "b").iterdir()] == [".json"]
    originals = Originals(Index.load(run / "index"))
    for place in range(5):
        with pytest.raises(cs.ClearsightError, match="the image has changed since it was indexed"):
            originals.picture(place)
    change(run / "index" / "card.json", origin=str(shutil.copytree(data, tmp_path / "copy")))
    assert cs.search(run, image).pictures is not None


def test_each_image_is_checked_by_itself(made, tmp_path):
    run, data = made
    data = shutil.copytree(data, tmp_path / "data")
    change(run / "index" / "card.json", origin=str(data))
    index = Index.load(run / "index")
    changed = data / index.card.names[3]
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(changed)
    originals = Originals(index)
    originals.picture(2)
    with pytest.raises(cs.ClearsightError, match="the image has changed since it was indexed"):
        originals.picture(3)
    changed.unlink()
    with pytest.raises(cs.ClearsightError):
        Originals(index).picture(len(index) - 1)  # the others have moved up


def test_an_index_without_digests_has_no_pictures_and_says_what_to_do(made, tmp_path):
    run, data = made
    for digests in ([], [""] * len(Index.load(run / "index"))):
        change(run / "index" / "card.json", digests=digests)
        found = cs.search(run, next(data.rglob("*.png")))
        assert len(found)
        assert found.pictures is None
    change(run / "index" / "card.json", digests=[])
    with pytest.raises(BundleError, match=r"contains no image digests.*Build the index again: `clearsight index RUN`"):
        Originals(Index.load(run / "index"))


def test_no_images_are_indexed_but_those_the_model_was_trained_on(made, tmp_path):
    run, data = made
    private = others(data, tmp_path / "private")
    card = run / "model" / "card.json"
    about = json.loads(card.read_text())
    about["data"]["origin"] = str(private)
    card.write_text(json.dumps(about))
    with pytest.raises(BundleError, match=r"no longer contains the images the model was trained on.*RUN DATA"):
        cs.index(run)
    with pytest.raises(BundleError, match="no longer contains the images the model was trained on"):
        cs.evaluate(run)
    assert len(cs.index(run, str(private), out=str(tmp_path / "named")).index)  # what the user names is used


@pytest.mark.parametrize(
    "origin",
    [
        "//server/share", r"\\server\share", "smb://server/share", "https://server/data.csv", "file:/etc", "/dev/stdin",
        "/dev", "/proc/self/cwd", "/sys", "/net/server/data", "/tmp/../net/server", "a\0b", "", None, 5, ["digits"],
        "s3:bucket",
    ],
)  # fmt: skip
def test_places_that_no_record_may_name(origin):
    with pytest.raises(BundleError) as message:
        recorded_place(origin, "the images")
    assert "no longer available" not in str(message.value)


def test_pipes_and_links_to_devices_are_no_places(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "link").symlink_to("/dev/null")
    for name in ("pipe.csv", "link"):
        with pytest.raises(BundleError, match="the location recorded for the images cannot be used"):
            recorded_place(str(tmp_path / name), "the images")
    with pytest.raises(BundleError, match=r"the images are no longer available; found nothing at "):
        recorded_place(str(tmp_path / "nothing"), "the images")
    assert recorded_place(str(tmp_path), "the images") == str(tmp_path)
    assert recorded_place("digits", "the images") == "digits"
