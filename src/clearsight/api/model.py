"""`Model`: a trained model as users hold it; its verbs are those of the package, bound to the model."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.api.attack import attack as _attack
from clearsight.api.ensembles import compare_models as _compare_models
from clearsight.api.evaluate import evaluate as _evaluate
from clearsight.api.explain import explain as _explain
from clearsight.api.landscape import landscape as _landscape
from clearsight.api.locate import locate as _locate
from clearsight.api.push import push as _push
from clearsight.api.retrieve import index as _index
from clearsight.api.retrieve import search as _search
from clearsight.api.robustness import robustness as _robustness
from clearsight.api.visualize import visualize as _visualize
from clearsight.arguments import known_arguments
from clearsight.calibration.prediction_sets import Method
from clearsight.console import Console, usual_console
from clearsight.data.temporary import TemporaryFolder
from clearsight.errors import ConfigError
from clearsight.exporting import export as _export
from clearsight.hub.names import hub_name
from clearsight.predictor import Images, Predictor
from clearsight.runs.load import load_predictor
from clearsight.serving.launch import serve as _serve
from clearsight.tasks.predict_options import PredictOptions, check_effect
from clearsight.tasks.prediction_list import Predictions, kept_items

DISPLAY = "clearsight.api.run_display"
"""The module that knows how models and runs are shown, loaded by name at the first display."""

OTHER_METHODS = {
    **dict.fromkeys(("val", "validate", "test"), "use `model.evaluate(data)`"),
    **dict.fromkeys(("score",), "use `model.evaluate(data).accuracy`"),
    **dict.fromkeys(("train", "fit", "fit_one_cycle", "fine_tune"), "use `cs.fit(data)`"),
    **dict.fromkeys(
        ("predict_batch", "predict_classes", "get_preds"), "use `predict`, which takes any number of images"
    ),
    **dict.fromkeys(("export_onnx", "to_onnx"), "use `model.export(format='onnx')`"),
    **dict.fromkeys(("class_names", "vocab", "classes_"), "use `classes`"),
    **dict.fromkeys(("extract_features", "encode", "forward_features"), "use `embed`"),
}
"""Methods of models in other libraries, and what to use here."""


class Model:
    """A trained model: it predicts, and every verb that takes a model is a method.

    Each method is the function of the same name with the model as its first argument: `model.evaluate("more/")` is
    `cs.evaluate(model, "more/")`.

    Args:
        predictor: what gives the model's outputs.
        folder: the run or model that it was loaded from; None for a network that lies in no folder.
        temporary: keeps a folder in the cache that nobody asked to keep.

    Example:
        >>> model = cs.load("runs/digits")
        >>> model.predict("new.png")[0].label
        '0'
        >>> figure = model.explain("new.png").plot()
    """

    def __init__(
        self, predictor: Predictor, folder: Path | None = None, *, temporary: TemporaryFolder | None = None
    ) -> None:
        self.predictor, self.folder, self._temporary = predictor, folder, temporary

    attack = _attack
    compare_models = _compare_models
    evaluate = _evaluate
    explain = _explain
    export = _export
    index = _index
    landscape = _landscape
    locate = _locate
    push = _push
    robustness = _robustness
    search = _search
    serve = _serve
    visualize = _visualize

    @known_arguments
    def predict(
        self,
        images: Images,
        *,
        coverage: float | None = None,
        sets: Method | None = None,
        by_class: bool = False,
        back_off: float | None = None,
        group: Mapping[str, str] | None = None,
        console: Console | None = None,
    ) -> Predictions:
        """Predict the classes, labels or numbers of images.

        Args:
            images: N images: paths, patterns, folders, bytes, PIL images, arrays, tensors, or lists of these.
            coverage: probability with which prediction sets and intervals hold the truth, in (0, 1) (default 0.9).
            sets: method of prediction sets, "lac", "aps" or "raps" (default "lac").
            by_class: sets hold the truth with this probability within each class, not only on average.
            back_off: of a model with a tree of classes, the probability that the predicted class or parent reaches, in
                (0.5, 1) (default 0.9).
            group: a column of the table that the model was trained on and the value that all N images have, such as
                `{"site": "A"}`: sets hold the truth with this probability within that group.
            console: where progress is shown; by default below the cell of a notebook, nowhere elsewhere.

        Returns:
            A sequence of N predictions, also for one image. A notebook shows it as pictures; `to_frame()` is a table.
            Prediction sets are printed where `coverage`, `sets`, `by_class` or `group` asks for them; `notes` names
            classes that are in every set, as they have too few calibration images.

        Raises:
            ImageError: an image cannot be read.
            DataError: there are no images.
            ConfigError: the coverage or `back_off` is out of range, the model does not know the group, or an option
                has no effect with this model.

        Example:
            >>> model = cs.load("runs/digits")
            >>> model.predict("new.png")[0].label
            '0'
            >>> table = model.predict("new/*.png").to_frame()
        """
        console, task = console or usual_console(), self.predictor.bundle.task
        member_of = None if group is None else _group(group)
        about_sets: dict[str, Any] = {
            "coverage": coverage,
            "sets": sets,
            "by_class": by_class or None,
            "group": member_of,
        }
        given = {name: value for name, value in {**about_sets, "back_off": back_off}.items() if value is not None}
        check_effect(given, task.predict_options, task.name)
        options = PredictOptions(**given)
        inputs, bundle = self.predictor.inputs(images), self.predictor.bundle
        rows = self.predictor.predict(inputs, console.stage("predicting"), **vars(options))
        asked = {}
        if about_sets.keys() & given.keys():
            asked = {name: getattr(options, name) for name in about_sets if name in task.predict_options}
        notes = task.set_notes(options) if asked else ()
        for note in notes:
            console.say(f"prediction sets: {note}")
        return Predictions(
            tuple(rows), task.names, bundle.thing, kept_items(inputs), bundle.form, bundle.geometry, asked, notes
        )

    @known_arguments
    def predict_average(self, images: Images, name: str = "") -> Any:
        """Predict several images of one thing, such as the recordings of a speaker, from their mean output.

        A model of anomalies whose training table has a column `group` knows how mean scores of a group vary, and
        compares with those.

        Args:
            images: images of one thing, as `predict` takes them.
            name: what the prediction says it is of.

        Returns:
            The prediction, without a statement on images that are out of distribution.

        Raises:
            ImageError: an image cannot be read.
            DataError: there are no images.

        Example:
            >>> model = cs.load("runs/digits")
            >>> model.predict_average("new/*.png", "two views").label
            '0'
        """
        return self.predictor.predict_average(images, name)

    @known_arguments
    def predict_proba(self, images: Images) -> NDArray[np.float64]:
        """Calibrated probabilities.

        Args:
            images: N images, as `predict` takes them.

        Returns:
            Probabilities (N, K) in the order of `classes`; of an anomaly (N, 1).

        Raises:
            ModelError: the model predicts numbers; see `values`.
        """
        return self.predictor.predict_proba(images)

    @known_arguments
    def values(self, images: Images) -> NDArray[np.float64]:
        """The numbers (N, T) that a model of numbers predicts, in the unit of the training data.

        Args:
            images: N images, as `predict` takes them.

        Returns:
            float64 (N, T).

        Raises:
            ModelError: the model predicts classes; see `predict_proba`.
        """
        return self.predictor.values(images)

    @known_arguments
    def embed(self, images: Images) -> NDArray[np.float32]:
        """Features below the head (N, D).

        Args:
            images: N images, as `predict` takes them.

        Returns:
            float32 (N, D).
        """
        return self.predictor.embed(images)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, labels or numbers that the model predicts."""
        return self.predictor.classes

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the network's input."""
        return self.predictor.shape

    def __getattr__(self, name: str) -> Any:
        if name in OTHER_METHODS:
            raise AttributeError(f"a model has no `{name}`: {OTHER_METHODS[name]}", name=name, obj=self)
        raise AttributeError(f"a Model has no attribute {name!r}", name=name, obj=self)

    def __repr__(self) -> str:
        """The task, the input images, and the test scores of the model.

        Returns:
            Text of several lines.
        """
        bundle, (_, height, width) = self.predictor.bundle, self.shape
        shown = ", ".join(bundle.classes[:5]) + (", ..." if len(bundle.classes) > 5 else "")
        spec = bundle.network.spec
        lines = [
            f"task: {bundle.task.name} ({bundle.thing}s), {len(bundle.classes)} "
            f"{bundle.task.words_used.names[len(bundle.classes) != 1]} ({shown})",
            f"network {spec.get('name', spec.get('kind'))}, input {width} x {height} pixels, "
            f"{bundle.form.colours}, {bundle.form.bits} bits per channel",
        ]
        if test := bundle.scores.get("test"):
            lines.append(f"test split: {bundle.task.evaluation.headline(test, bundle.thing).splitlines()[0]}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return str(import_module(DISPLAY).renderer(self).fragment())


def _group(group: Mapping[str, str]) -> tuple[str, str]:
    """The column and the value of a group; ConfigError if it is invalid."""
    if not (isinstance(group, Mapping) and len(group) == 1):
        raise ConfigError("group must map a single column to a value", found=repr(group), expected='{"site": "A"}')
    return next(iter(group.items()))


@known_arguments
def load(
    folder: str | os.PathLike[str], *, revision: str | None = None, engine: str = "auto", device: str = "auto"
) -> Model:
    """Load a trained model: `cs.load("runs/photos")`.

    Args:
        folder: a run, its folder or its `model/` folder; the name of a model on the Hugging Face Hub, `user/name`; or
            the name of a network with published ImageNet weights.
        revision: commit, tag or branch of a model on the Hub; a commit pins one state (default: the branch main).
        engine: "auto" takes OpenVINO for much work on a CPU and PyTorch otherwise; "torch" or "openvino" fix it.
        device: "cpu", "cuda", or "auto" for a GPU where there is one.

    Returns:
        The model.

    Raises:
        BundleError: there is no model in the folder or on the Hub, or a file of it is missing or damaged.
        ConfigError: there is no such engine or device, or `revision` is given for a folder.

    Example:
        >>> cs.load("runs/digits").predict("new.png")[0].label
        '0'
    """
    if revision is not None:
        if hub_name(str(folder)) is None:
            raise ConfigError(
                "a revision is one of a model on the Hugging Face Hub", found=str(folder), expected="user/name"
            )
        folder = f"{str(folder).partition('@')[0]}@{revision}"
    path = Path(folder).expanduser()
    return Model(load_predictor(folder, engine=engine, device=device), path if path.is_dir() else None)
