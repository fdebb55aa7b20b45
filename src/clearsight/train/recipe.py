"""The training recipe: decided from the images, the options and the machine, with reasons."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, cast

from clearsight.console import Console
from clearsight.data.checks.copies import MANY
from clearsight.data.content_order import by_content
from clearsight.data.dataset import Dataset, TaskKind
from clearsight.data.exclusion import without
from clearsight.data.geometry import Geometry, ResizeMode
from clearsight.data.prepare import Prepared, prepare
from clearsight.data.scan import Scan, scan
from clearsight.errors import ConfigError
from clearsight.models.classical import CLASSIFIERS, DESCRIPTORS, check_classical, is_classical
from clearsight.models.execution import device_of
from clearsight.models.gateway import PREFIX, check_arguments, default_img_size, timm_name
from clearsight.models.layer_probe import layer_name
from clearsight.models.network import headless
from clearsight.models.published import Weights
from clearsight.models.registry import check_model_args
from clearsight.models.weight_file import FileWeights
from clearsight.models.zoo import (
    DEFAULT_BACKBONE,
    at_hand,
    entry,
    fits_published,
    published,
    unlike_published,
    weight_facts,
)
from clearsight.tasks import Classification
from clearsight.tasks.reading import AUTO
from clearsight.train.class_weight import check_class_weight
from clearsight.train.config import TrainConfig
from clearsight.train.layer_features import feature_source
from clearsight.train.option_field import seconds

SMALL = 48
"""Images whose median short side, or the --img-size that they are made smaller to, is below this many pixels are
learned from scratch: a pretrained network's input would be blur, and a small network learns them in seconds."""

MANY_SMALL = 10_000
"""Small images from which the network is wider: more to learn from deserves more weights. On a CPU twice as wide, and
its stem takes squares of 2x2 pixels, which pays for them; on a GPU four times, and the stem stays fine."""


@dataclass(frozen=True)
class Decision:
    """Something Clearsight chose for the user: what, which, and the reason with its numbers."""

    what: str
    choice: str
    why: str

    def to_dict(self) -> dict[str, str]:
        return asdict(self)


def many_small(img_size: int, images: int) -> bool:
    """Whether there are many small images, at least so large that a stem can take squares of 2x2 pixels."""
    return images >= MANY_SMALL and 24 <= img_size <= 64


@dataclass(frozen=True)
class Recipe:
    """The plan of a run. kind: probe (a head on frozen features, perhaps fine-tuned), scratch, or classical (a
    classifier on descriptors or frozen features). weights: file of a pretrained network's weights, None for the
    published ones. normalize: of `NORMALIZATIONS`, the scale of the pixels.
    """

    kind: Literal["probe", "scratch", "classical"]
    model: str
    model_args: dict[str, Any]
    img_size: int
    decisions: tuple[Decision, ...]
    weights: str | None = None
    normalize: str = "auto"

    @property
    def weight_facts(self) -> Weights:
        """What is known about the weights that a pretrained network starts from."""
        return weight_facts(self.model) if self.weights is None else FileWeights.of(self.weights, self.model)


def network_options(recipe: Recipe) -> dict[str, Any]:
    """Options by which a command trains the recipe's network from random weights, whatever it would choose itself."""
    usual = {} if recipe.model.startswith(PREFIX) else entry(recipe.model).model_args
    model_args = {name: value for name, value in recipe.model_args.items() if name not in usual or value != usual[name]}
    return {"pretrained": False, "model": recipe.model, "model_arg": model_args, "img_size": recipe.img_size}


def check_names(config: TrainConfig) -> None:
    """Refuse a network that does not exist before any file is looked at."""
    name = config.model.model
    if is_classical(name):
        check_classical(name, config.model.model_arg)
        if fault := [flag for flag, given in _only_for_networks(config).items() if given]:
            raise ConfigError(f"the classical model {name} does not support {', '.join(fault)}")
        return
    if name.startswith(PREFIX):
        timm_name(name)
        check_arguments(name, config.model.model_arg)
    elif name != "auto":
        check_model_args(entry(name), config.model.model_arg)
    elif config.model.model_arg:
        raise ConfigError("--model-arg needs a named network, but --model is auto", fix="name a network with --model")
    if config.model.weights is not None:
        FileWeights.of(config.model.weights, name)
    elif name != "auto" and config.model.pretrained:
        weight_facts(name)


LARGER, LEAST_LARGER = 4 / 3, 1.15
"""Sides worth trying beside that of published weights, as shares of it: networks that learned from random crops see
things smaller in a whole image than they know them, and do better on a larger one [Touvron et al. 2019].
"""

ENOUGH_FOR_SIZES = 600.0
"""Seconds of budget from which a second size is tried, which costs the time of a head on frozen features."""


def larger_size(recipe: Recipe, config: TrainConfig, scanned: Scan, task: TaskKind) -> int | None:
    """Side of a larger input that the images fill and the weights allow, where a budget leaves time to try it."""
    budget, data = config.run.budget, config.data
    if recipe.kind != "probe" or not task.training.tries_sizes or data.img_size:
        return None
    if budget is None or seconds(budget) < ENOUGH_FOR_SIZES:
        return None
    side = int(min(scanned.short_side, LARGER * recipe.img_size)) // 32 * 32
    if side < LEAST_LARGER * recipe.img_size:
        return None
    shapes = [
        {name: tensor.shape for name, tensor in headless(recipe.model, 3, n, recipe.model_args).state_dict().items()}
        for n in (recipe.img_size, side)
    ]
    return side if shapes[0] == shapes[1] else None


def _only_for_networks(config: TrainConfig) -> dict[str, bool]:
    """Options that are about weights, and whether they are given."""
    model = config.model
    return {
        "--init": model.init is not None,
        "--pretrained": model.pretrained is True,
        "--no-pretrained": model.pretrained is False,
        "--weights": model.weights is not None,
        "--freeze": model.freeze != "auto",
        **dict.fromkeys(config.transfer.given(), True),
    }


def plan(config: TrainConfig, scanned: Scan, task: TaskKind = Classification) -> Recipe:
    """Choose network, weights and input size. ConfigError when the options exclude each other."""
    return checked(_plan(config, scanned, task), config)


def checked(recipe: Recipe, config: TrainConfig) -> Recipe:
    """The recipe; ConfigError for options that have no effect on its network."""
    if recipe.kind == "scratch" and (asked := _for_pretrained(config)):  # of a run that is continued
        raise ConfigError(
            f"{recipe.model} was trained from random weights, but pretrained weights are needed for {asked}",
            fix=f"drop {asked}, or use --model {DEFAULT_BACKBONE} to train a pretrained network",
        )
    if config.augmentation.adversarial != "none" and recipe.kind == "probe":
        raise ConfigError(
            "--adversarial needs a network trained from random weights",
            found=f"{recipe.model}, which starts from published weights",
            fix="add --no-pretrained, or use a smaller network, such as --model resnet8",
        )
    if recipe.kind == "probe" and config.transfer.freeze_to is not None:  # refused before a pixel is read
        channels = len(recipe.weight_facts.mean)
        layer_name(headless(recipe.model, channels, recipe.img_size, recipe.model_args), config.transfer.freeze_to)
    _check_normalize(recipe, config.data.normalize)
    return replace(recipe, normalize=config.data.normalize)


def _check_normalize(recipe: Recipe, choice: str) -> None:
    """Refuse a scale of the pixels that the recipe's network cannot use."""
    own = "pretrained" if recipe.kind == "probe" else "auto"
    if choice in ("auto", own) or (recipe.kind == "scratch" and recipe.model != "pixels" and choice != "pretrained"):
        return
    if recipe.kind == "probe":
        facts = recipe.weight_facts
        mean, std = (", ".join(f"{value:.3g}" for value in values) for values in (facts.mean, facts.std))
        raise ConfigError(
            f"--normalize {choice} cannot be used with the published weights of {recipe.model}",
            found=f"weights trained on pixels with mean {mean} and standard deviation {std} per channel",
            fix="drop --normalize, or add --no-pretrained to train from random weights",
        )
    if recipe.kind == "scratch" and recipe.model != "pixels":
        raise ConfigError(
            f"--normalize pretrained needs published weights, but {recipe.model} is trained from random weights",
            fix=f"drop --normalize, or use --model {DEFAULT_BACKBONE}",
        )
    raise ConfigError(
        f"--normalize {choice} has no effect: {recipe.model} takes the pixels as they are",
        fix="drop --normalize, or choose a network with --model",
    )


def _plan(config: TrainConfig, scanned: Scan, task: TaskKind) -> Recipe:
    model, size = config.model, config.data.img_size
    if model.model == "auto":
        return _automatic(config, scanned, task)
    if is_classical(model.model):
        return _classical(config, scanned)
    model_args = dict(model.model_arg)
    if model.weights is not None:
        side = size or FileWeights.of(model.weights, model.model).img_size
        why = f"as specified; training starts from the weights in {model.weights}"
        decision = Decision("network", model.model, why)
        return Recipe("probe", model.model, model_args, side, (decision,), model.weights)
    reshaped = published(model.model) is not None and not fits_published(model.model, model_args)
    pretrained = model.pretrained
    if pretrained is None:
        pretrained = model.init is None and not reshaped and at_hand(model.model)
    if pretrained and reshaped:
        raise ConfigError(
            f"--model-arg changes the tensor shapes of {model.model}, so the published weights do not fit",
            fix="drop --pretrained or the --model-arg options",
        )
    if pretrained and (unlike := unlike_published(model.model, model_args)):
        raise ConfigError(
            f"the pretrained weights of {model.model} were not trained with --model-arg {' --model-arg '.join(unlike)}",
            found="pretrained weights, which the network starts from"
            + ("" if model.pretrained else " as they are on this machine"),
            fix=f"drop {' and '.join(unlike)}, or add --no-pretrained to train from random weights",
        )
    if (asked := _for_pretrained(config)) and not pretrained:
        raise ConfigError(
            f"{model.model} starts from random weights, but pretrained weights are needed for {asked}",
            fix=f"drop {asked}, or use --model {DEFAULT_BACKBONE}",
        )
    if pretrained:
        facts = weight_facts(model.model)
        why = "as specified; training starts from the published weights"
        return Recipe(
            "probe", model.model, model_args, size or facts.img_size, (Decision("network", model.model, why),)
        )
    if size is None:
        if model.model.startswith(PREFIX):
            size = default_img_size(model.model)
        else:
            known = entry(model.model)
            size = max(known.min_size, min(known.img_size, scanned.short_side))
    why = "as specified; training starts from random weights"
    if model.pretrained is None and model.init is None and published(model.model):
        why += (
            ", since the published weights do not fit the tensor shapes that result from the options"
            if reshaped
            else ", since the published weights are not on this machine (--pretrained downloads them)"
        )
    return Recipe("scratch", model.model, model_args, size, (Decision("network", model.model, why),))


def _for_pretrained(config: TrainConfig) -> str:
    """The options given that mean something for pretrained weights alone, as one writes them; "" for none."""
    freeze = config.model.freeze
    return ", ".join([f"--freeze {freeze}"] * (freeze in ("all", "lower", "recipe")) + config.transfer.given())


def _classical(config: TrainConfig, scanned: Scan) -> Recipe:
    """A classical model: the images' own size up to LARGEST, and cells that suit it."""
    name = config.model.model
    descriptor, _ = check_classical(name, config.model.model_arg)
    decisions = [
        Decision("model", f"{name}: {DESCRIPTORS[descriptor]}, {CLASSIFIERS[name.partition('+')[2]]}", "as specified")
    ]
    if descriptor == "features":
        options = config.model.model_arg
        usual = feature_source(options).img_size if options else weight_facts(DEFAULT_BACKBONE).img_size
        return Recipe("classical", name, dict(options), config.data.img_size or usual, tuple(decisions))
    size = config.data.img_size or max(8, min(LARGEST, scanned.short_side))
    own = config.model.model_arg
    cells = {} if own.get("at") == "points" else _cells(descriptor, size, str(own.get("local", "sift")))
    if cells:
        cells = {**cells, **own}
        words = ", ".join(CELL_WORDS.get(name, f"{name} {{}}").format(value) for name, value in cells.items())
        decisions.append(
            Decision(
                "descriptor cells",
                words,
                f"suitable for images of {size} x {size} pixels; --model-arg overrides the sizes",
            )
        )
    return Recipe("classical", name, {**cells, **own}, size, tuple(decisions))


CELL_WORDS = {"cell": "side {} pixels", "step": "one every {} pixels"}
"""Sizes of a descriptor's cells in words, by the names of its arguments."""

LARGEST = 128
"""Side in pixels from which images are made smaller for descriptors, which gain little from more and cost much."""


def _cells(descriptor: str, size: int, local: str) -> dict[str, Any]:
    """Sides of a descriptor's cells for images of a size, where it has any. local: kind of local descriptors; two cells
    of HOG and LBP are as wide as four of SIFT and SURF.
    """
    if descriptor == "hog":
        return {"cell": min(8, max(2, size // 9))}
    if descriptor in ("bow", "pyramid", "fisher"):
        cell, step = (4, 4) if size >= 64 else (3, 2) if size >= 20 else (1, 1)
        return {"cell": 2 * cell if local in ("hog", "lbp") else cell, "step": step}
    return {}


def _automatic(config: TrainConfig, scanned: Scan, task: TaskKind) -> Recipe:
    asked = config.data.img_size
    side = scanned.short_side if asked is None else min(scanned.short_side, asked)
    found = f"a median shorter side of {side} pixels" if side == scanned.short_side else f"--img-size {asked}"
    small = side < SMALL
    if config.model.pretrained is True:
        small = False
    if config.model.pretrained is False or config.model.init is not None:
        small = True
    if small and (given := _for_pretrained(config)):
        random = "--no-pretrained" if config.model.pretrained is False else "--init" if config.model.init else ""
        raise ConfigError(
            f"{given} needs pretrained weights, but "
            + ("the network starts from random weights" if random else "images this small are trained on from scratch"),
            found=random or found,
            fix=f"drop {random}" if random
            else f"add --model {DEFAULT_BACKBONE}" if side == scanned.short_side else "drop --img-size",
        )  # fmt: skip
    if small and not task.training.small_from_scratch:
        size = config.data.img_size or max(8, min(64, -(-side // 4) * 4))
        why = f"the images are too small for a pretrained network ({found}, below {SMALL})"
        if config.model.pretrained is False:
            why = "as requested by --no-pretrained"
        return Recipe("scratch", "pixels", {}, size, (Decision("network", "none; pixels are used as features", why),))
    if small:
        size = config.data.img_size or max(8, min(64, -(-side // 4) * 4))
        many = many_small(size, len(scanned.digests))
        model_args = {"width": 32 if size <= 16 else 16}
        if many:
            model_args = {"width": 64} if device_of(config.run.device) == "cuda" else {"width": 32, "patch": 2}
        why = "--init sets random weights" if config.model.init else "as requested by --no-pretrained"
        if config.model.pretrained is None and config.model.init is None:
            why = f"the images are too small for a pretrained network ({found}, below {SMALL})"
        return Recipe(
            "scratch",
            "resnet8",
            model_args,
            size,
            (Decision("network", "resnet8 from scratch", f"{why}; a small residual network trains quickly"),),
        )
    facts = weight_facts(DEFAULT_BACKBONE)
    why = f"the images are large enough ({found}) for features learned on ImageNet, and the weights are installed"
    return Recipe(
        "probe",
        DEFAULT_BACKBONE,
        {},
        config.data.img_size or facts.img_size,
        (Decision("network", f"{DEFAULT_BACKBONE}, pretrained", why),),
    )


def check_task(dataset: Dataset, config: TrainConfig) -> None:
    """Refuse a task that the data was not read for."""
    asked = config.data.task
    if asked not in (AUTO, dataset.task.name):
        raise ConfigError(
            "this command supports only one class per image",
            found=f"--task {asked}",
            fix=f"use `clearsight train --task {asked}`",
        )


def first_geometry(recipe: Recipe, config: TrainConfig) -> Geometry:
    """The geometry that is used, or the first that is tried."""
    mode = config.data.resize_mode
    return Geometry(recipe.img_size, recipe.img_size, "squash" if mode == "auto" else cast(ResizeMode, mode))


def planned(
    dataset: Dataset, config: TrainConfig, console: Console, *, copies_limit: int = MANY
) -> tuple[Prepared, Recipe]:
    """The recipe, and the data at its size: what every job but `fit` itself begins with.

    copies_limit: images up to which the audit searches for turned, shifted and cropped copies.
    """
    check_task(dataset, config)
    if config.run.from_run is not None:
        raise ConfigError(
            f"--from {config.run.from_run} has an effect only in `clearsight train`",
            fix="omit it, and make sure that DATA contains the images of the run if they are needed",
        )
    if config.data.resize_mode == "auto":
        raise ConfigError(
            "--resize-mode auto trains a model with each mode, which only `clearsight train` does",
            fix="use --resize-mode squash, pad or crop",
        )
    check_class_weight(config.regularization.class_weight, dataset)
    scanned = scan(dataset, console.stage("inspecting the files"))
    recipe = plan(config, scanned, dataset.task)
    geometry = first_geometry(recipe, config)
    if config.data.order == "content":
        dataset, scanned = by_content(dataset, scanned, geometry, progress=console.stage("reading pixels"))
    prepared = prepare(
        dataset,
        scanned,
        geometry,
        seed=config.run.seed,
        test_fraction=config.data.test_fraction,
        folds=config.data.folds,
        progress=console.stage("reading pixels"),
        copies_limit=copies_limit,
    )
    return kept(prepared, config)[0], recipe


def say_errors(console: Console, prepared: Prepared) -> None:
    """Say which files cannot be read."""
    for finding in prepared.audit.findings:
        if finding.severity == "error":
            console.say(f"error: {finding.message}", "error")


def kept(data: Prepared, config: TrainConfig) -> tuple[Prepared, list[Decision]]:
    """The data without the images that are not to be learned from, and which these are."""
    if config.data.leave_out is None:
        return data, []
    data, choice, why = without(data, config.data.leave_out)
    return data, [Decision("left out", choice, why)]
