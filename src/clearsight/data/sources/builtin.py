"""Data sets known by name. Each function takes the folder that holds the files (None: look where they usually lie)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from clearsight.data.dataset import Array, Files, Listing
from clearsight.data.sources.idx import is_idx_folder, read_idx_folder
from clearsight.data.targets import Stated
from clearsight.environment import is_offline, variable
from clearsight.errors import DataError

FASHION_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip


def store() -> Path:
    """Where downloads are kept: $CLEARSIGHT_DATA, or ~/.cache/clearsight/data."""
    named = variable("CLEARSIGHT_DATA")
    return Path(named).expanduser() if named else Path.home() / ".cache" / "clearsight" / "data"


def digits(folder: Path | None) -> Listing:
    """scikit-learn's 1,797 handwritten digits, 8x8 in 17 gray levels (UCI Optical Recognition, test part)."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    cells = tuple(str(t) for t in bunch.target)
    return Listing("digits", Array(images), np.full(len(cells), "", dtype="<U5"), Stated("digits", cells))


def mnist(folder: Path | None) -> Listing:
    """MNIST: 70,000 handwritten digits, 28x28 [LeCun 1998]."""
    return _idx("mnist", "MNIST", folder, None)


def fashion_mnist(folder: Path | None) -> Listing:
    """Fashion-MNIST: 70,000 pictures of clothes, 28x28 [Xiao 2017]; Debian's package is found by itself."""
    return _idx("fashion-mnist", "FashionMNIST", folder, FASHION_CLASSES)


def cifar10(folder: Path | None) -> Listing:
    """CIFAR-10: 60,000 colour pictures, 32x32 [Krizhevsky 2009]."""
    from torchvision.datasets import CIFAR10

    root = folder or store()
    fetch = partial(
        CIFAR10, root, download=folder is None and not is_offline()
    )  # a named folder is read; a run from others may name any
    parts = [_download("cifar10", partial(fetch, train=train), root) for train in (True, False)]
    images = np.concatenate([p.data for p in parts]).transpose(0, 3, 1, 2)
    classes = tuple(parts[0].classes)
    cells = tuple(classes[k] for p in parts for k in p.targets)
    given = np.array(["train"] * len(parts[0].data) + ["test"] * len(parts[1].data), dtype="<U5")
    return Listing("cifar10", Array(images), given, Stated("cifar10", cells, classes=classes))


def elpv(folder: Path | None) -> Listing:
    """2,624 solar cells under electroluminescence, 300x300 gray, functional or defective [Deitsch 2019].

    The experts' defect probabilities 0, 1/3, 2/3, 1 are stated as numbers, and as a class (defective above 1/2) with a
    weight, 1 where they were sure and 1/3 where they were not.
    """
    if folder is None:
        try:
            import elpv_dataset
        except ImportError as error:
            raise DataError(
                "the solar cell data set is not installed", fix="install it with `pip install elpv-dataset`"
            ) from error
        folder = Path(elpv_dataset.__file__).parent / "data"
    table = folder / "labels.csv"
    if not table.is_file():
        raise DataError(f"{folder} does not contain the solar cell data set", expected="labels.csv and images/")
    rows = [line.split() for line in table.read_text().splitlines() if line.strip()]
    try:
        probability = np.array([float(row[1]) for row in rows])
    except (IndexError, ValueError) as error:
        raise DataError(
            f"{table} is not the label table of the solar cell data set",
            found=str(error),
            expected="lines such as `images/cell0001.png 1.0 mono`",
        ) from error
    sure = np.abs(probability - 0.5) > 0.4
    return Listing(
        name="elpv",
        source=Files(tuple(folder / row[0] for row in rows), folder),
        given=np.full(len(rows), "", dtype="<U5"),
        stated=Stated(
            "elpv",
            tuple("defective" if p > 0.5 else "functional" for p in probability),
            columns=("defect probability",),
            numbers=probability[:, None],
            weights=np.where(sure, 1.0, 1 / 3).astype(np.float32),
            weight_note="labels that experts were unsure of (probability 1/3 or 2/3) have a weight of 1/3 in training",
        ),
    )


BUILTIN: dict[str, Callable[[Path | None], Listing]] = {
    "cifar10": cifar10,
    "digits": digits,
    "elpv": elpv,
    "fashion-mnist": fashion_mnist,
    "mnist": mnist,
}


def installed(name: str, torchvision_name: str, folder: Path | None = None) -> Path | None:
    """The folder that holds the files of MNIST or its like: `folder`, or one where they usually lie; None where they
    are not on this machine.
    """
    usual = [
        Path("/usr/share/datasets") / name,
        Path("/usr/share/dataset-" + name),
        store() / name,
        store() / torchvision_name / "raw",
    ]
    if folder is not None:
        usual = [folder, folder / torchvision_name / "raw"]
    return next((p for p in usual if p.is_dir() and is_idx_folder(p)), None)


def _idx(name: str, torchvision_name: str, folder: Path | None, classes: tuple[str, ...] | None) -> Listing:
    place = installed(name, torchvision_name, folder)
    if place is None:
        if folder is not None:
            raise DataError(
                f"{folder} does not contain {name}", expected="train-images-idx3-ubyte[.gz] and the other IDX files"
            )
        from torchvision import datasets

        made = getattr(datasets, torchvision_name)
        _download(name, lambda: made(store(), train=True, download=not is_offline()), store())
        place = store() / torchvision_name / "raw"
    return read_idx_folder(place, name, name, classes)


def _download(name: str, fetch: Callable[[], Any], where: Path) -> Any:
    """Run torchvision's download; DataError says what to do without a network."""
    import contextlib
    import sys

    try:
        with contextlib.redirect_stdout(sys.stderr):
            return fetch()
    except Exception as error:  # urllib, ssl, checksum and disk faults
        raise DataError(
            f"{name} is not on this machine and could not be downloaded",
            found=f"{type(error).__name__}: {str(error)[:120]}",
            fix=f"copy its files to {where}, or pass the folder that contains them with --data-dir",
        ) from error
