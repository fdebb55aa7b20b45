"""Which pretrained network, at which input size: heads on frozen features of some images, by successive halving.

The folds are those of the run, cut to the part. What is compared is the best linear head of each candidate, by ridge
regression.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from clearsight.console import Console
from clearsight.data.cached_pixels import cached_pixels
from clearsight.data.channel_statistics import statistics_of_rows
from clearsight.data.dataset import Dataset
from clearsight.data.geometry import Geometry
from clearsight.data.pixels import PixelFormat
from clearsight.data.prepare import split_of
from clearsight.data.sample import Chosen
from clearsight.data.scan import Scan
from clearsight.data.splits import Split
from clearsight.models.execution import operations
from clearsight.models.network import headless
from clearsight.models.zoo import DEFAULT_BACKBONE, at_hand, weight_facts
from clearsight.train.allowance import Work
from clearsight.train.config import TrainConfig
from clearsight.train.features import extract
from clearsight.train.halving import Trial, halve
from clearsight.train.head_search import Targets, proportional_sample
from clearsight.train.linear_trial import linear_trial
from clearsight.train.recipe import Decision, Recipe
from clearsight.train.strategies.probe import feature_sets, probe_of
from clearsight.wording import percent

BACKBONES = (DEFAULT_BACKBONE, "efficientnet_lite2")
"""Networks that are compared, cheapest first: those whose weights come with installed packages."""

ROUNDS = (200, 600)
"""Images on which candidates are compared, half of them on the second number."""

SIZES = (1.0, 2**0.5, 2.0)
"""Input sizes to try, as multiples of that of the weights; the images' own size is tried too."""

ENLARGED = 1.5
"""How many times larger than the images an input is made at most."""

ALIKE = 1.25
"""Sizes whose ratio is below this are not both tried."""

EPOCHS_ABOVE = 2.0
"""Epochs of training, on four fifths of the images, that must be affordable at a size for it to be tried, where a
budget lets layers be trained.
"""


@dataclass
class NetworkSelection:
    """Trials of networks and input sizes on one data set.

    recipe, geometry: those that are used if nothing is better.
    """

    dataset: Dataset
    scanned: Scan
    form: PixelFormat
    config: TrainConfig
    test_fraction: float | None
    device: str
    console: Console
    recipe: Recipe
    geometry: Geometry
    work: Work
    _split: Split = field(init=False)
    _options: dict[str, tuple[str, int]] = field(init=False)

    def choose(self) -> tuple[Recipe, Geometry, list[Decision], tuple[Trial, ...]]:
        """The recipe and geometry to use, the decision, and every trial."""
        self._options = self._candidates()
        if len(self._options) < 2:
            return self.recipe, self.geometry, [], ()
        pixels = cached_pixels(
            self.dataset.source, self.scanned.digests, self.form, self.geometry, skip=frozenset(self.scanned.failed)
        )
        self._split = split_of(
            self.dataset, self.scanned, {**self.scanned.failed, **pixels.failed}, seed=self.config.run.seed,
            test_fraction=self.test_fraction, folds=self.config.data.folds,
        )  # fmt: skip
        images = len(self._split.train) + len(self._split.val)
        rounds = sorted({min(number, images) for number in ROUNDS})
        best, trials = halve(list(self._options), rounds, self._measure, self._affordable)
        model, side = self._options[best]
        geometry = replace(self.geometry, height=side, width=side)
        return replace(self.recipe, model=model, img_size=side), geometry, [self._decision(best, trials)], trials

    def _decision(self, best: str, trials: Sequence[Trial]) -> Decision:
        last = max(trial.images for trial in trials)
        words = ", ".join(f"{trial.name} {percent(trial.accuracy)}" for trial in trials if trial.images == last)
        why = f"validation accuracy with a linear head on frozen features of {last:,} images: {words}"
        if len(trials) == 1 and trials[0].may_improve:
            why += "; other networks and sizes would exceed the work allowed"
        elif len(trials) == 1:
            why += "; with so few errors, a gain by another network or size would be within the noise"
        else:
            why += "; a larger network or size is used if its log loss is lower by more than one standard error"
        return Decision("network and size", best, why)

    def _candidates(self) -> dict[str, tuple[str, int]]:
        """Networks and sizes by name, in the order of their work."""
        asked, short = self.config.data.img_size, self.scanned.short_side
        found = {}
        for model in BACKBONES if self.config.model.model == "auto" else (self.recipe.model,):
            if self.recipe.weights is None and not at_hand(model):
                continue
            own = self.recipe.img_size if model == self.recipe.model else weight_facts(model).img_size // 32 * 32
            sides = [asked or own] if asked or not self._any_size(model) else sizes(own, short)
            for side in sides:
                found[f"{model} at {side} pixels"] = (model, side)
        first = (self.recipe.model, self.recipe.img_size)
        return dict(sorted(found.items(), key=lambda item: (item[1] != first, self._cost(*item[1]))))

    def _any_size(self, model: str) -> bool:
        """Whether the weights of a network fit every input size."""
        forms = [
            {
                name: tensor.shape
                for name, tensor in headless(model, 3, side, self.recipe.model_args).state_dict().items()
            }
            for side in (self.recipe.img_size, 2 * self.recipe.img_size)
        ]
        return forms[0] == forms[1]

    def _cost(self, model: str, side: int) -> float:
        """Operations of one image: that of the backbone at one size, scaled with the number of pixels."""
        known = self._costs.get(model)
        if known is None:
            own = self.recipe.img_size
            known = self._costs[model] = (
                operations(headless(model, 3, own, self.recipe.model_args), (3, own, own)) / own**2
            )
        return known * side**2

    _costs: dict[str, float] = field(default_factory=dict)

    def _affordable(self, name: str, images: int) -> bool:
        each, total = self._cost(*self._options[name]), len(self._split.train) + len(self._split.val)
        trained = 0.0 if self.config.run.budget is None else 3 * EPOCHS_ABOVE * 0.8
        return each * (images + total * (1 + trained)) <= self.work.left

    def _measure(self, name: str, images: int) -> Trial:
        model, side = self._options[name]
        rows = self._rows(images)
        geometry = replace(self.geometry, height=side, width=side)
        title = f"comparing {name}"
        pixels = cached_pixels(
            Chosen(self.dataset.source, rows), self.scanned.rows(rows).digests, self.form, geometry,
            progress=self.console.stage(f"{title}: reading pixels"),
        )  # fmt: skip
        recipe = replace(self.recipe, model=model, img_size=side)
        usual = self.form.channels in (1, len(recipe.weight_facts.mean))
        own = ((), ()) if usual else statistics_of_rows(pixels, self.form, np.arange(len(rows)))
        probe = probe_of(recipe, *own)
        parts = extract(
            probe, pixels, np.arange(len(rows)), device=self.device, progress=self.console.stage(f"{title}: features")
        )
        self.work.spent += self._cost(model, side) * len(rows)
        weights = self.dataset.weights
        targets = Targets(
            self.dataset.labels[rows],
            np.ones(len(rows), np.float32) if weights is None else weights[rows],
            len(self.dataset.classes),
        )
        folds = [
            (np.flatnonzero(np.isin(rows, fit)), np.flatnonzero(np.isin(rows, val))) for fit, val in self._split.folds
        ]
        return linear_trial(name, self._cost(model, side), parts, feature_sets(probe), targets, folds)

    def _rows(self, images: int) -> NDArray[np.int64]:
        """The images of a round, among them those of the round before."""
        every = np.sort(np.concatenate([self._split.train, self._split.val]))
        return proportional_sample(every, self.dataset.labels, images, self.config.run.seed)


def sizes(own: int, short_side: int) -> list[int]:
    """Sides of inputs to try: that of the weights, larger ones that the images fill at least in part, and theirs."""
    native = short_side // 32 * 32
    possible = [own, *([native] if own < native <= 2 * own else []), *(round(own * f / 32) * 32 for f in SIZES[1:])]
    found: list[int] = []
    for side in possible:
        apart = all(max(side, known) / min(side, known) >= ALIKE for known in found)
        if not found or (apart and side <= ENLARGED * short_side):
            found.append(side)
    return sorted(found)
