"""The same image in any form gets the file's answer, or an error that says how to write what is meant."""

from __future__ import annotations

import io
import itertools
import pathlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import PIL
import pytest
import torch
from PIL import Image, ImageSequence
from skimage import data

from clearsight.attacks import attack
from clearsight.bundle import Bundle
from clearsight.data.cached_pixels import PixelView
from clearsight.data.geometry import Geometry
from clearsight.data.inputs import ImageInputs, as_images
from clearsight.data.pixels import PixelFormat
from clearsight.errors import ConfigError, DataError, ImageError
from clearsight.explanation import explain
from clearsight.localisation import locate
from clearsight.models.network import from_spec
from clearsight.predictor import Predictor
from clearsight.retrieval import Index, search_images
from clearsight.retrieval.card import IndexCard
from clearsight.retrieval.index import build_faiss, model_digest, unit
from clearsight.tasks import read
from clearsight.tasks.classification import Classification

RGB = np.asarray(Image.fromarray(data.chelsea()).resize((24, 20)))
GRAY = np.asarray(Image.fromarray(RGB).convert("L"))
OTHER = np.asarray(Image.fromarray(data.coffee()).resize((30, 22)))


def predictor_of(channels: int = 3, bits: int = 8, size: tuple[int, int] = (16, 16)) -> Predictor:
    """A small network with random weights."""
    torch.manual_seed(0)
    spec = {
        "kind": "network", "name": "resnet8", "classes": 3, "img_size": max(size), "model_args": {},
        "input": {"mean": [0.5] * channels, "std": [0.3] * channels},
    }  # fmt: skip
    network = from_spec(spec).eval()
    task = Classification(("cat", "dog", "fox"))
    return Predictor(Bundle(network, task, PixelFormat(channels, bits), Geometry(*size)), engine="torch")


@pytest.fixture(scope="module")
def model() -> Predictor:
    return predictor_of()


_OPEN: list[Any] = []


def opened(path: Any, file: bool = False) -> Any:
    """A PIL image, not loaded, or an open file; closed after the test."""
    _OPEN.append(pathlib.Path(path).open("rb") if file else Image.open(path))  # noqa: SIM115
    return _OPEN[-1]


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    for one in _OPEN:
        one.close()
    _OPEN.clear()


FORMS: dict[str, Callable[[pathlib.Path], Any]] = {
    "str": str,
    "Path": lambda p: p,
    "relative to the home": lambda p: f"{p.parent}/./{p.name}",
    "glob": lambda p: f"{p.parent}/*.png",
    "glob of a Path": lambda p: p.parent / "pict*.png",
    "folder": lambda p: p.parent,
    "folder as text": lambda p: str(p.parent),
    "bytes": lambda p: p.read_bytes(),
    "bytearray": lambda p: bytearray(p.read_bytes()),
    "memoryview": lambda p: memoryview(p.read_bytes()),
    "open file": lambda p: opened(p, file=True),
    "BytesIO": lambda p: io.BytesIO(p.read_bytes()),
    "PIL, not loaded": opened,
    "PIL, loaded": lambda p: opened(p).copy(),
    "PIL RGBA": lambda p: opened(p).convert("RGBA"),
    "(H, W, 3)": lambda p: RGB,
    "(H, W, 4)": lambda p: np.dstack([RGB, np.full_like(GRAY, 255)]),
    "(1, H, W, 3)": lambda p: RGB[None],
    "(1, H, W, 4)": lambda p: np.dstack([RGB, np.full_like(GRAY, 255)])[None],
    "(1, 3, H, W)": lambda p: RGB.transpose(2, 0, 1)[None],
    "float64": lambda p: RGB / 255,
    "float32": lambda p: RGB.astype(np.float32) / np.float32(255),
    "float16": lambda p: (RGB / 255).astype(np.float16),
    "float32 (1, 3, H, W)": lambda p: (RGB.transpose(2, 0, 1)[None] / 255).astype(np.float32),
    "big-endian float": lambda p: (RGB / 255).astype(">f4"),
    "Fortran order": lambda p: np.asfortranarray(RGB),
    "mirrored view": lambda p: np.ascontiguousarray(RGB[:, ::-1])[:, ::-1],
    "read-only": lambda p: np.frombuffer(RGB.tobytes(), np.uint8).reshape(RGB.shape),
    "tensor (3, H, W)": lambda p: torch.from_numpy(RGB.copy()).permute(2, 0, 1),
    "tensor (H, W, 3)": lambda p: torch.from_numpy(RGB.copy()),
    "tensor (1, 3, H, W)": lambda p: torch.from_numpy(RGB.copy()).permute(2, 0, 1)[None],
    "tensor (1, H, W, 3)": lambda p: torch.from_numpy(RGB.copy())[None],
    "tensor of floats": lambda p: torch.from_numpy(RGB.copy()).permute(2, 0, 1).float() / 255,
    "tensor with gradients": lambda p: (torch.from_numpy(RGB.copy()).permute(2, 0, 1) / 255).requires_grad_(),
    "list of a path": lambda p: [p],
    "tuple of a path": lambda p: (str(p),),
    "generator of paths": lambda p: (q for q in [p]),
    "pathlib's glob": lambda p: p.parent.glob("*.png"),
    "generator of PIL": lambda p: (opened(q) for q in [p]),
    "map of arrays": lambda p: map(np.asarray, [RGB]),
    "Series of paths": lambda p: pd.Series([str(p)], index=[7]),
    "Series of images": lambda p: pd.Series([opened(p)]),
    "array of paths": lambda p: np.array([str(p)]),
    "object array of paths": lambda p: np.array([p], dtype=object),
    "list of PIL": lambda p: [opened(p)],
    "list of (H, W, 3)": lambda p: [RGB],
    "list of (3, H, W)": lambda p: [RGB.transpose(2, 0, 1)],
    "list of a tensor": lambda p: [torch.from_numpy(RGB.copy()).permute(2, 0, 1)],
    "list of (1, 3, H, W)": lambda p: [RGB.transpose(2, 0, 1)[None]],
    "list of bytes": lambda p: [p.read_bytes()],
    "list of an open file": lambda p: [opened(p, file=True)],
    "inputs": as_images,
}


def _predict(model: Predictor, images: Any) -> Any:
    return [list(one.probabilities.items()) for one in model.predict(images)]


def _explain(model: Predictor, images: Any) -> Any:
    return [one.heat for one in explain(model, images, method="saliency", faithfulness=False)]


def _attack(model: Predictor, images: Any) -> Any:
    inputs = model.inputs(images)
    found = attack(model, inputs, np.zeros(len(inputs), int), method="fgsm", epsilons=[0.02])
    return [len(inputs), [(point.accuracy, point.reached) for point in found.points], found.engine_difference]


def _search(model: Predictor, images: Any) -> Any:
    vectors = unit(np.random.default_rng(0).normal(size=(5, 64)).astype(np.float32))
    labels = tuple(range(5))
    card = IndexCard(model_digest(model.bundle), "", "exact", "", tuple("abcde"), labels, labels, tuple("abcde"), 64)
    return list(zip(*search_images(Index(card, build_faiss(vectors, "exact")), model, images, 2), strict=True))


VERBS: dict[str, Callable[[Predictor, Any], Any]] = {
    "predict": _predict,
    "predict_proba": lambda model, images: model.predict_proba(images),
    "embed": lambda model, images: model.embed(images),
    "forward": lambda model, images: model.forward(images).statistics,
    "originals": lambda model, images: list(model.originals(images)),
    "explain": _explain,
    "locate": lambda model, images: [one.heat for one in locate(model, images)],
    "attack": _attack,
    "search": _search,
}


@pytest.mark.parametrize("verb", VERBS)
def test_every_form_gets_the_answer_of_the_file(model: Predictor, tmp_path: pathlib.Path, verb: str) -> None:
    path = tmp_path / "picture.png"
    Image.fromarray(RGB).save(path)
    right = VERBS[verb](model, path)
    for name, made in FORMS.items():
        found = VERBS[verb](model, made(path))
        assert len(found) == len(right), name
        for one, other in zip(found, right, strict=True):
            np.testing.assert_array_equal(one, other, err_msg=name)


OWN_SIZE = np.ascontiguousarray(RGB[:16, :16])


@pytest.mark.parametrize("bits", [8, 16])
def test_images_of_the_networks_size_get_the_answer_of_the_file(tmp_path: pathlib.Path, bits: int) -> None:
    model, path = predictor_of(bits=bits), tmp_path / "picture.png"
    Image.fromarray(OWN_SIZE).save(path)
    right, planes = model.logits(path), OWN_SIZE.transpose(2, 0, 1)
    for images in (
        planes[None], planes[None] / 255, (planes[None] / 255).astype(np.float32),
        (planes / 255).astype(np.float16)[None],
        OWN_SIZE / 255, [OWN_SIZE / 255], [planes / 255], torch.from_numpy(planes.copy()) / 255,
        planes[None].astype(np.uint16) * 257, PixelView(planes[None], np.array([0])),
    ):  # fmt: skip
        np.testing.assert_array_equal(model.logits(images), right)


def test_floats_of_the_networks_size_keep_their_precision(model: Predictor) -> None:
    floats = np.random.default_rng(0).random((3, 3, 16, 16), np.float32)
    np.testing.assert_array_equal(np.concatenate(list(model.pixels(floats))), floats)
    np.testing.assert_array_equal(np.concatenate(list(model.pixels(list(floats)))), floats)
    mixed = np.concatenate(list(model.pixels([floats[0], OWN_SIZE, RGB])))
    np.testing.assert_array_equal(mixed[0], floats[0])
    np.testing.assert_array_equal(mixed[1], (OWN_SIZE.transpose(2, 0, 1) / np.float32(255)).astype(np.float32))


# --- pixels of every kind: a PIL image, its bytes and its array against its file -------------------------------------


def _rgba() -> Image.Image:
    alpha = np.linspace(0, 255, GRAY.size).reshape(GRAY.shape).astype(np.uint8)
    return Image.fromarray(np.dstack([RGB, alpha]))


def _oriented(way: int) -> tuple[Image.Image, dict[str, Any]]:
    exif = Image.Exif()
    exif[0x0112] = way
    return Image.fromarray(RGB), {"exif": exif}


PICTURES: dict[str, Callable[[], tuple[Image.Image, dict[str, Any]]]] = {
    "RGB": lambda: (Image.fromarray(RGB), {}),
    "L": lambda: (Image.fromarray(GRAY), {}),
    "1": lambda: (Image.fromarray(GRAY).convert("1"), {}),
    "RGBA": lambda: (_rgba(), {}),
    "LA": lambda: (_rgba().convert("LA"), {}),
    "P": lambda: (Image.fromarray(RGB).quantize(16), {}),
    "P with a transparent colour": lambda: (Image.fromarray(RGB).quantize(16), {"transparency": 3}),
    "gray palette": lambda: (Image.fromarray(GRAY).convert("P"), {}),
    "I;16": lambda: (Image.fromarray(GRAY.astype(np.uint16) * 200), {}),
    **{f"orientation {way}": lambda way=way: _oriented(way) for way in range(1, 9)},
}


@pytest.mark.parametrize("kind", PICTURES)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_pil_image_of_any_mode_is_as_its_file(tmp_path: pathlib.Path, channels: int, kind: str) -> None:
    image, options = PICTURES[kind]()
    path, model = tmp_path / "picture.png", predictor_of(channels)
    image.save(path, **options)
    right = np.concatenate(list(model.pixels(path)))
    loaded = opened(path)
    loaded.load()
    for name, images in {
        "not loaded": opened(path), "loaded": loaded, "content": path.read_bytes(), "list": [opened(path)] * 2,
    }.items():  # fmt: skip
        for found in np.concatenate(list(model.pixels(images))):
            np.testing.assert_array_equal(found, right[0], err_msg=name)
    for form in (opened(path), loaded):
        np.testing.assert_array_equal(next(model.originals(form)), next(model.originals(path)))


def test_arrays_of_every_kind_are_as_their_files(tmp_path: pathlib.Path) -> None:
    rgba = np.asarray(_rgba())
    for channels, array in itertools.product((1, 3), (RGB, GRAY, rgba, GRAY.astype(np.uint16) * 200)):
        path, model = tmp_path / "picture.png", predictor_of(channels)
        Image.fromarray(array).save(path)
        right = np.concatenate(list(model.pixels(path)))
        for images in (array, [array], array[None] if array.ndim == 3 else array[None, None]):
            np.testing.assert_array_equal(np.concatenate(list(model.pixels(images))), right)


def test_16_bit_colour_with_alpha_is_laid_over_white() -> None:
    deep = np.asarray(_rgba()).astype(np.uint16) * 257
    (found,) = predictor_of(bits=16).originals(deep)
    (shallow,) = predictor_of(bits=8).originals(np.asarray(_rgba()))
    assert np.abs(found / 257 - shallow).max() <= 1


def test_a_16_bit_colour_file_that_pil_opened_is_read_at_full_depth(tmp_path: pathlib.Path) -> None:
    import cv2

    deep = (RGB.astype(np.uint16) * 257) ^ 3
    cv2.imwrite(str(tmp_path / "deep.png"), deep[:, :, ::-1])
    (found,) = predictor_of(bits=16).originals(opened(tmp_path / "deep.png"))
    np.testing.assert_array_equal(found, deep.transpose(2, 0, 1))


def test_a_jpeg_that_pil_opened_is_as_its_file(model: Predictor, tmp_path: pathlib.Path) -> None:
    """Large JPEG files are decoded at a reduced scale; a PIL image that is not loaded yet is too."""
    Image.fromarray(data.chelsea()).save(tmp_path / "cat.jpg")
    right = model.logits(tmp_path / "cat.jpg")
    for same in (opened(tmp_path / "cat.jpg"), (tmp_path / "cat.jpg").read_bytes()):
        np.testing.assert_array_equal(model.logits(same), right)


def test_changes_to_a_pil_image_are_seen(model: Predictor, tmp_path: pathlib.Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "picture.png")
    image = opened(tmp_path / "picture.png")
    image.paste((255, 0, 0), (0, 0, 24, 10))
    np.testing.assert_array_equal(next(model.originals(image)), np.asarray(image).transpose(2, 0, 1))
    frames = [Image.fromarray(RGB), Image.fromarray(255 - RGB)]
    frames[0].save(tmp_path / "two.tif", save_all=True, append_images=frames[1:])
    second = opened(tmp_path / "two.tif")
    second.seek(1)
    np.testing.assert_array_equal(next(model.originals(second)), (255 - RGB).transpose(2, 0, 1))
    both = list(model.originals(ImageSequence.Iterator(opened(tmp_path / "two.tif"))))
    np.testing.assert_array_equal(both, [a.transpose(2, 0, 1) for a in (RGB, 255 - RGB)])


# --- several images, names, memory -----------------------------------------------------------------------------------


def test_several_images_of_any_forms_and_sizes(model: Predictor, tmp_path: pathlib.Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png")
    Image.fromarray(OTHER).save(tmp_path / "b.png")
    given = [
        tmp_path / "a.png", OTHER, opened(tmp_path / "b.png"), torch.from_numpy(RGB.copy()).permute(2, 0, 1),
        (tmp_path / "b.png").read_bytes(), str(tmp_path / "a.png"), GRAY,
    ]  # fmt: skip
    order = [tmp_path / f"{letter}.png" for letter in "abbaba"]
    found = model.predict(given)
    assert [one.image for one in found] == [str(order[0]), "#1", str(order[2]), "#3", "#4", str(order[5]), "#6"]
    np.testing.assert_array_equal(model.logits(given)[:6], model.logits([*order, GRAY])[:6])
    objects = np.empty(2, object)
    objects[:] = [RGB, OTHER]
    np.testing.assert_array_equal(model.logits(objects), model.logits(order[:2]))
    np.testing.assert_array_equal(model.logits(pd.Series([RGB, OTHER])), model.logits(order[:2]))


def test_an_iterator_is_read_once(model: Predictor) -> None:
    for verb in VERBS.values():
        assert len(verb(model, iter([RGB]))) == len(verb(model, RGB))
    assert model.names(iter([RGB, OTHER])) == ["#0", "#1"]


def test_patterns_and_folders(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("b.png", "a.PNG", "sub/c.jpg", ".hidden.png", "._a.png", ".cache/d.png", "notes.txt", "[1]*.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    def names(images: Any) -> list[str]:
        return [pathlib.Path(name).relative_to(tmp_path).as_posix() for name in as_images(images).names]

    assert names(tmp_path) == ["[1]*.png", "a.PNG", "b.png", "sub/c.jpg"]
    assert names(tmp_path / "*.png") == ["[1]*.png", "b.png"]
    assert names(f"{tmp_path}/**/*.jpg") == ["sub/c.jpg"]
    assert names(tmp_path / "[1]*.png") == ["[1]*.png"], "a file of that name is meant"
    with pytest.raises(DataError, match=r"no file matches the pattern .*nosuch-\*\.png"):
        as_images(tmp_path / "nosuch-*.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty contains no images"):
        as_images(tmp_path / "empty")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert names("~/sub") == ["sub/c.jpg"]


def test_a_memory_mapped_array_is_not_copied(tmp_path: pathlib.Path) -> None:
    stored = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.uint8, (6, 20, 24, 3))
    stored[:] = RGB
    assert np.shares_memory(as_images(stored).items, stored)
    floats = np.lib.format.open_memmap(tmp_path / "f.npy", "w+", np.float32, (6, 20, 24))
    assert np.shares_memory(as_images(floats).items, floats)


def test_inputs_are_returned_as_they_are() -> None:
    once = as_images([RGB, OTHER])
    assert as_images(once) is once
    assert isinstance(once, ImageInputs)


# --- axes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "as_tensor", "expected"),
    [
        ((20, 24), False, (1, 1, 20, 24)),
        ((20, 24, 1), False, (1, 1, 20, 24)),
        ((20, 24, 3), False, (1, 3, 20, 24)),
        ((20, 24, 4), False, (1, 4, 20, 24)),
        ((1, 20, 24), False, (1, 1, 20, 24)),
        ((7, 20, 24), False, (7, 1, 20, 24)),
        ((4, 20, 24), False, (4, 1, 20, 24)),
        ((7, 1, 20, 24), False, (7, 1, 20, 24)),
        ((3, 3, 20, 24), False, (3, 3, 20, 24)),
        ((3, 20, 24, 3), False, (3, 3, 20, 24)),
        ((7, 20, 24, 4), False, (7, 4, 20, 24)),
        ((1, 3, 3, 7), False, (1, 3, 3, 7)),
        ((20, 24), True, (1, 1, 20, 24)),
        ((1, 20, 24), True, (1, 1, 20, 24)),
        ((3, 20, 24), True, (1, 3, 20, 24)),
        ((20, 24, 3), True, (1, 3, 20, 24)),
        ((20, 24, 4), True, (1, 4, 20, 24)),
        ((2, 3, 20, 24), True, (2, 3, 20, 24)),
        ((2, 20, 24, 3), True, (2, 3, 20, 24)),
    ],
)
def test_shapes_with_one_reading(shape: tuple[int, ...], as_tensor: bool, expected: tuple[int, ...]) -> None:
    array = np.zeros(shape, np.uint8)
    assert as_images(torch.from_numpy(array) if as_tensor else array).items.shape == expected


AMBIGUOUS = [
    ((3, 20, 24), False, ("3 gray images of height 20 and width 24", "1 RGB image of height 20 and width 24")),
    ((3, 64, 3), False, ("3 gray images of height 64", "1 RGB image of height 3 and", "1 RGB image of height 64 and")),
    ((3, 64, 3), True, ("1 RGB image of height 3 and width 64", "1 RGB image of height 64 and width 3")),
    ((1, 20, 3), False, ("1 gray image of height 20 and width 3", "1 RGB image of height 1 and width 20")),
    ((3, 3, 3), False, ("3 gray images", "channels last", "channels first")),
    ((3, 4, 4), True, ("1 RGBA image of height 3", "1 RGB image of height 4")),
    ((3, 20, 4), False, ("3 gray images", "1 RGBA image", "1 RGB image")),
    ((2, 3, 4), False, ("2 gray images of height 3", "1 RGBA image of height 2")),
    ((5, 3, 3, 3), False, ("5 RGB images of height 3 and width 3, channels first", "channels last")),
    ((5, 3, 64, 3), False, ("5 RGB images of height 64 and width 3", "5 RGB images of height 3 and width 64")),
    ((5, 3, 64, 3), True, ("5 RGB images of height 64 and width 3", "5 RGB images of height 3 and width 64")),
    ((5, 1, 64, 1), False, ("5 gray images of height 64 and width 1", "5 gray images of height 1 and width 64")),
]


@pytest.mark.parametrize(("shape", "as_tensor", "readings"), AMBIGUOUS)
def test_shapes_with_several_readings_name_each(
    model: Predictor, shape: tuple[int, ...], as_tensor: bool, readings: tuple[str, ...]
) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    images = torch.from_numpy(array) if as_tensor else array
    for verb in VERBS.values():
        with pytest.raises(DataError, match=f"can be interpreted in {len(readings)} ways") as error:
            verb(model, images)
        assert all(reading in str(error.value) for reading in readings)
    _require_advice(images, str(error.value))


def _require_advice(images: Any, text: str) -> None:
    """Each expression that an error offers gives the images that it names."""
    offered = re.findall(r"`([^`]+)` for (\d+) (gray|RGB|RGBA) images? of height (\d+) and width (\d+)", text)
    assert len(offered) >= 2
    seen = []
    for code, count, kind, height, width in offered:
        found = as_images(eval(code, {"PIL": PIL, "images": images}))
        channels = {"gray": 1, "RGB": 3, "RGBA": 4}[kind]
        wholes = [found.original(i, PixelFormat(3, 8)) for i in range(len(found))]
        assert (len(found), [w.shape[1:] for w in wholes]) == (int(count), [(int(height), int(width))] * int(count))
        if channels == 1:
            assert all((w == w[:1]).all() for w in wholes)
        seen.append(np.stack(wholes).tobytes() + str(wholes[0].shape).encode())
    assert len(set(seen)) == len(offered), "each gives other images"


def _read(images: Any, **options: Any) -> tuple[ImageInputs | None, str]:
    try:
        return as_images(images, **options), ""
    except DataError as error:
        return None, str(error)


def test_every_shape_has_one_reading_or_an_error_with_good_advice() -> None:
    """All shapes of three and four axes of these lengths, as arrays and tensors."""
    rng, asked = np.random.default_rng(0), 0
    for axes in (3, 4):
        for shape in itertools.product((1, 2, 3, 4, 5, 9), repeat=axes):
            array = rng.integers(0, 256, shape, np.uint8)
            for images in (array, torch.from_numpy(array)):
                found, text = _read(images)
                assert found is None or found.items.size == array.size
                assert found or "can be interpreted in" in text or "the array cannot be read as images" in text
                if "can be interpreted in" in text:
                    asked += 1
                    _require_advice(images, text)
                found, text = _read(images, count=shape[0])
                assert found is None or len(found) == shape[0]
                assert found or axes == 4 or shape[0] == 1, "the number of labels resolves three axes"
    assert asked > 100


def test_the_number_of_labels_resolves_the_axes(model: Predictor) -> None:
    for shape in ((3, 20, 24), (64, 48, 3), (6, 5, 4), (3, 64, 3)):
        found = as_images(np.zeros(shape, np.uint8), count=shape[0])
        assert found.items.shape == (shape[0], 1, *shape[1:])
        assert len(as_images(torch.zeros(shape), count=shape[0])) == shape[0]
    assert as_images(np.zeros((1, 1, 3), np.uint8), count=1).items.shape == (1, 1, 1, 3)
    assert as_images(np.zeros((3, 20, 24), np.uint8), count=1).items.shape == (1, 3, 20, 24)
    gray = np.zeros((3, 20, 24), np.uint8)
    assert len(model.predict(model.inputs(gray, count=3))) == 3
    assert len(model.predict(model.inputs(gray, count=1))) == 1
    with pytest.raises(DataError, match="images and labels differ in number; found 6 and 5"):
        as_images(np.zeros((6, 20, 24), np.uint8), count=5)
    with pytest.raises(DataError, match="images and labels differ in number; found 2 and 5"):
        as_images([RGB, OTHER], count=5)


def test_the_networks_size_makes_a_reading_possible() -> None:
    tiny = predictor_of(1, size=(16, 4))
    with pytest.raises(DataError, match=r"6 gray images of height 16 and width 4.*1 RGBA image of height 6"):
        tiny.predict(np.zeros((6, 16, 4), np.uint8))
    assert len(tiny.predict(np.zeros((2, 1, 16, 4), np.uint8))) == 2


# --- what is refused -------------------------------------------------------------------------------------------------

BATCH = RGB.transpose(2, 0, 1)[None]


@pytest.mark.parametrize(
    ("images", "error", "text"),
    [
        (None, DataError, r"the input cannot be read as images; found None \(NoneType\); expected a path"),
        (3, DataError, r"found 3 \(int\)"),
        ({"a.png": 1}, DataError, r"\(dict\)"),
        ({"a.png"}, DataError, r"\(set\)"),
        (object, DataError, r"\(type\)"),
        (pd.DataFrame({"image_path": ["a.png"]}), DataError, r"\(DataFrame\).*frame\['image_path'\]"),
        ([], DataError, "there are no images"),
        ((), DataError, "there are no images"),
        (iter([]), DataError, "there are no images"),
        (np.zeros((0, 3, 8, 8), np.uint8), DataError, "the array contains no images"),
        (np.zeros((2, 0, 8), np.uint8), DataError, "the array contains no pixels"),
        ([None], ImageError, r"#0 is not an image; found None \(NoneType\)"),
        ([RGB, 3], ImageError, r"#1 is not an image; found 3"),
        ([[0, 1], [1, 0]], ImageError, r"nested lists of numbers with `np.asarray"),
        ([BATCH[[0, 0]]], ImageError, "#0 is not an image.*batch itself, not in a list"),
        (np.zeros(5, np.uint8), DataError, r"array cannot be read as images; found shape \(5,\).*reshape\(N, H, W\)"),
        (np.zeros((1, 1, 1, 8, 8), np.uint8), DataError, "the array cannot be read as images"),
        (np.zeros((2, 4, 8, 8), np.uint8), DataError, r"channels to the last axis: `images.transpose\(0, 2, 3, 1\)`"),
        (torch.zeros((2, 4, 8, 8)), DataError, r"channels to the last axis: `images.permute\(0, 2, 3, 1\)`"),
        (torch.zeros((6, 8, 8)), DataError, r"`images\[:, None\]` for gray images"),
        (torch.zeros((4, 8, 8)), DataError, r"`images.permute\(1, 2, 0\)` for one RGBA image"),
        (torch.zeros((3, 8, 8)).to_sparse(), DataError, "this tensor cannot be read.*a dense tensor"),
        (RGB > 5, DataError, r"a Boolean array does not.*found bool.*`images.astype\(np.uint8\) \* 255`"),
        (RGB.astype(np.int64), DataError, r"int64 values from \d+ to \d+; expected.*`images.astype\(np.uint8\)` if "),
        (RGB.astype(np.int32) * 200, DataError, r"int32 values .*`images.astype\(np.uint16\)` if pixels range from 0"),
        (RGB.astype(np.uint32), DataError, "uint32 values from"),
        (-RGB.astype(np.int16), DataError, r"int16 values from -\d+ to -\d+.*Shift and scale"),
        (torch.zeros((3, 8, 8), dtype=torch.int64), DataError, r"`images.to\(torch.uint8\)`"),
        ([RGB, RGB.astype(np.int64)], ImageError, "#1: the value of white is unknown for pixels of type int64"),
        (RGB.astype(np.complex64), DataError, "unsupported data type for pixels; found complex64"),
        (RGB.astype(np.float32), DataError, r"pixels are out of range; found values from \d+ to \d+; .*`images / 255`"),
        (RGB / 127.5 - 1, DataError, "are out of range.*the model scales and normalises them itself"),
        ([RGB / 255, np.where(RGB.max() == RGB, np.nan, 0.5)], ImageError, "#1: NaN or infinite values in 1 of 1 im"),
        (np.where(np.arange(6)[:, None, None] == 4, np.inf, np.full((6, 8, 8), 0.5)), DataError, "1 of 6 .*at index 4"),
        (b"", ImageError, "#0 is empty; found bytes without content"),
        (b"no image at all", ImageError, "#0 is not an image; found text"),
        (io.BytesIO(), ImageError, r"#0 is empty; found an open file.*\.seek\(0\)"),
        (io.StringIO("text"), ImageError, r'#0 is open in text mode; expected bytes. Open it with mode "rb"'),
        ("nosuch.png", ImageError, "nosuch.png does not exist"),
        ("a\0b.png", ImageError, "cannot be read; found embedded null byte"),
        (["nosuch-*.png"], ImageError, "a pattern by itself, not in a list"),
        (["."], ImageError, "a folder or a pattern by itself"),
        (Image.new("F", (8, 8)), ImageError, "floating-point pixels"),
        (Image.new("RGB", (0, 8)), ImageError, "#0 has no pixels"),
        (Image.fromarray(np.full((4, 4), 70_000, np.int32)), ImageError, "outside the 16-bit range"),
        (np.zeros((2, 8, 8), object), DataError, r"cannot be read as images; found shape \(2, 8, 8\), object"),
    ],
)  # fmt: skip
def test_what_is_refused(model: Predictor, images: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        model.predict(images)


# --- training --------------------------------------------------------------------------------------------------------


def test_training_takes_the_same_forms(tmp_path: pathlib.Path) -> None:
    pictures = [RGB, OTHER, GRAY]
    for i, array in enumerate(pictures):
        Image.fromarray(array).save(tmp_path / f"{i}.png")
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    labels, form, geometry = ["a", "b", "a"], PixelFormat(3, 8), Geometry(16, 16)
    right = read((paths, labels))
    assert right.source.inspect(2)[1].gray
    for images in (
        tmp_path, iter(paths), pictures, [opened(p) for p in paths], [opened(p).copy() for p in paths],
        [p.read_bytes() for p in paths], pd.Series(pictures), [a / 255 for a in pictures],
    ):  # fmt: skip
        found = read((images, labels))
        for i in range(3):
            np.testing.assert_array_equal(
                found.source.decode(i, form, geometry), right.source.decode(i, form, geometry)
            )
            ours, theirs = found.source.inspect(i)[1], right.source.inspect(i)[1]
            assert (ours.width, ours.height, ours.bits, ours.gray) == (
                theirs.width, theirs.height, theirs.bits, theirs.gray,
            )  # fmt: skip
    with pytest.raises(DataError, match="images and labels differ in number; found 3 and 2"):
        read((paths, labels[:2]))


def test_equal_pictures_have_equal_digests() -> None:
    first = as_images(RGB[None]).inspect(0)[0]
    assert as_images([RGB, RGB / 255]).inspect(1)[0] == first
    assert as_images(Image.fromarray(RGB)).inspect(0)[0] == first
    assert as_images(OTHER).inspect(0)[0] != first


def test_floats_are_8_bit_only_where_all_are_multiples_of_1_255() -> None:
    floats = np.linspace(0, 1, 300).reshape(15, 20)
    assert as_images(floats).inspect(0)[1].bits == 16
    for dtype, factor in itertools.product((np.float32, np.float64), (1 / 255, np.float32(1) / np.float32(255))):
        pixels = (np.arange(256).reshape(16, 16) * factor).astype(dtype).clip(0, 1)
        inputs = as_images(pixels)
        assert inputs.inspect(0)[1].bits == 8
        assert (inputs.original(0, PixelFormat(1, 8)).ravel() == np.arange(256)).all()
    half = (np.arange(256).reshape(16, 16) / 255).astype(np.float16)
    assert (as_images(half).original(0, PixelFormat(1, 8)).ravel() == np.arange(256)).all()
    noise = np.random.default_rng(0).random((16, 16))
    np.testing.assert_array_equal(as_images(noise).original(0, PixelFormat(1, 16))[0], np.rint(noise * 65535))


def test_16_bits_of_either_byte_order() -> None:
    values = np.arange(120, dtype=np.uint16).reshape(1, 10, 12) * 500
    for order in ("<u2", ">u2"):
        np.testing.assert_array_equal(as_images(values.astype(order)).original(0, PixelFormat(1, 16)), values)


# --- target= ---------------------------------------------------------------------------------------------------------


def test_a_target_is_a_name_or_an_index(model: Predictor) -> None:
    def index(target: Any) -> int:
        return model.bundle.task.index_of(target)

    assert [index(t) for t in ("dog", b"dog", np.str_("dog"), 1, np.int64(1), "1")] == [1] * 6
    for wrong, text in (
        (3, "unknown class 3; found 3 classes, with indices 0 to 2"),
        ("dgo", r"'dgo'. Did you mean dog\?"),
        (-1, "unknown class -1"),
    ):
        with pytest.raises(ConfigError, match=text):
            index(wrong)
    for wrong in (None, True, 1.0, ["dog"]):
        with pytest.raises(ConfigError, match="invalid class"):
            index(wrong)
    (found,) = explain(model, RGB, method="saliency", target=b"fox", faithfulness=False)
    assert found.target == "fox"
    (located,) = locate(model, RGB, target=b"fox")
    assert located.labels == ("fox",)


def test_a_number_that_is_also_a_name() -> None:
    task = Classification(("3", "7", "1", "40"))
    assert [task.index_of(t) for t in ("3", "7", "1", "40", 40, "0")] == [0, 1, 2, 3, 3, 0]
    with pytest.raises(ConfigError, match="1 is ambiguous; found class '7' at index 1, and class '1' at index 2"):
        task.index_of(1)
    assert Classification(("0", "1", "2")).index_of(2) == 2


def test_composed_and_decomposed_letters_are_the_same() -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    for name, target in itertools.product((composed, decomposed), (composed, decomposed, composed.encode())):
        assert Classification(("tea", name)).index_of(target) == 1
    assert Classification((composed, decomposed)).index_of(decomposed) == 1, "a class of exactly that name is meant"
    assert Classification(("b'cat'", "dog")).index_of(b"cat") == 0


def test_names_of_classes_are_the_same_in_bytes_and_in_either_unicode_form(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8)
    composed, decomposed = "caf\N{LATIN SMALL LETTER E WITH ACUTE}", "cafe\N{COMBINING ACUTE ACCENT}"
    found = read((x, [composed, decomposed, b"tea", "tea"] * 10))
    assert found.classes == (composed, "tea")
    assert np.bincount(found.labels).tolist() == [20, 20]


def test_gray_with_alpha_and_dark_sixteen_bits_are_not_guessed():
    with pytest.raises(DataError, match=r"fromarray\(images, 'LA'\).*16 gray images of height 12 and width 2"):
        as_images(np.zeros((16, 12, 2), np.uint8))
    dark = np.full((16, 12), 200, np.uint16)
    with pytest.raises(DataError, match=r"16-bit pixels do not exceed the 8-bit.*maximum of 200.*astype\(np.uint8\)"):
        as_images(dark)
    assert len(as_images([dark])) == 1
    assert len(as_images(np.zeros((16, 12), np.uint16))) == 1


@pytest.mark.parametrize("side", [40, 120])
def test_a_small_jpeg_and_its_array_have_the_same_pixels(model: Predictor, tmp_path: pathlib.Path, side: int) -> None:
    file = tmp_path / "picture.jpg"
    Image.fromarray(data.astronaut()).resize((side, side)).save(file)
    small = predictor_of(3, size=(40, 40))
    assert np.array_equal(small.predict_proba(file), small.predict_proba(np.asarray(Image.open(file))))
