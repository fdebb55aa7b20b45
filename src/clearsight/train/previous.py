"""The run that a training continues: its recipe, its head and its weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import nn

from clearsight.data.geometry import Geometry
from clearsight.data.pixels import PixelFormat
from clearsight.data.split_record import SplitRecord
from clearsight.models.base import ModelNetwork, from_spec
from clearsight.models.layers import last_dense
from clearsight.models.network import AS_IT_IS, Network
from clearsight.tasks import Task
from clearsight.tasks.regression import Regression
from clearsight.train.head_search import Candidate
from clearsight.train.recipe import Recipe

NETWORK_OPTIONS = ("model", "model_arg", "init", "pretrained", "img_size", "resize_mode", "normalize", "weights")
"""Options that decide network and pixels: those of the run are kept where the user gives none of them anew."""

SHARE = 4
"""A network that is trained further gets one of so many epochs of the run."""

FIRST_EPOCHS = 5
"""Epochs of the first training where they are not recorded."""

GROWN = 1.5
"""From how many times the images of the run on its head is chosen anew, not only fitted anew."""


@dataclass(frozen=True)
class Previous:
    """A finished run, as far as training goes on from it.

    name: what to call it. network: its whole network. task: what it predicts. renamed: what each of its names
    is now; names that are gone are missing. images: that it learned from or validated on.
    recipe, form, geometry: how it made pixels and network. tuned: a pretrained network's own layers were trained. head:
    chosen on frozen features, None where none was. epochs: to train further for. record: of its images.
    """

    name: str
    network: ModelNetwork
    task: Task
    renamed: Mapping[str, str]
    images: int
    recipe: Recipe
    form: PixelFormat
    geometry: Geometry
    tuned: bool
    head: Candidate | None
    epochs: int
    record: SplitRecord

    def head_for(self, images: int) -> Candidate | None:
        """The kind of head to fit to so many images; None where it is to be chosen anew."""
        return self.head if images < GROWN * self.images else None

    def whole_network(self, task: Task, seed: int) -> Network | None:
        """A copy of the run's network for another task of its kind; None where it is not one that was trained as a
        whole.

        Outputs that it knows by name keep their weights, those of others are drawn by the seed.
        """
        spec = self.network.spec
        if "classes" not in spec:
            return None
        torch.manual_seed(seed)
        network = cast(Network, from_spec({**spec, "classes": task.outputs, "views": list(AS_IT_IS)}))
        layer, state = last_dense(network)[0], network.state_dict()
        theirs = self.network.state_dict()
        if any(state[name].shape != theirs[name].shape for name in state if not name.startswith(f"{layer}.")):
            return None  # such as auxiliary classifiers
        network.load_state_dict(
            {**theirs, **{f"{layer}.{name}": state[f"{layer}.{name}"] for name in ("weight", "bias")}}
        )
        old, new = last_dense(self.network)[1], last_dense(network)[1]
        if not isinstance(task, Regression) or not isinstance(self.task, Regression):
            self.keep_outputs(new, old, task.names)
        elif (task.kind, task.spread) == (self.task.kind, self.task.spread):  # else outputs mean something else
            self.keep_outputs(new, old, task.names)
            if task.kind == "number":
                _rescale(new, self.task, task)
        return network

    def keep_outputs(self, new: nn.Module, old: nn.Module, names: tuple[str, ...]) -> None:
        """Copy the rows of a dense layer for outputs that are known by name: one for each name, or several blocks of
        one for each.

        Of several that were merged, the one whose name they have now counts, or else the first.
        """
        known = self.task.names
        rows = {name: name for name in names} if names == known else self.renamed
        place = {name: k for k, name in enumerate(names)}
        order = sorted(range(len(known)), key=lambda k: (rows.get(known[k]) == known[k], -k))
        with torch.no_grad():
            for name in ("weight", "bias"):
                target, source = getattr(new, name), getattr(old, name)
                if names == known and target.shape == source.shape:
                    target.copy_(source)
                    continue
                blocks, rest = divmod(len(source), len(known))
                if rest or len(target) != blocks * len(names):
                    continue
                for k in order:
                    row = place.get(rows.get(known[k], ""))
                    if row is None:
                        continue
                    for block in range(blocks):
                        target[block * len(names) + row] = source[block * len(known) + k]

    def tuned_network(self, published: nn.Module) -> ModelNetwork | None:
        """Of its networks the first whose backbone is no longer the published one: its layers were trained."""
        known = published.state_dict()

        def trained(network: ModelNetwork) -> bool:
            own = network.get_submodule(network.backbone_path).state_dict()
            return own.keys() == known.keys() and any(not torch.equal(own[name], known[name]) for name in known)

        return next((one for one in _single(self.network) if trained(one)), None)


def _rescale(layer: nn.Linear, old: Regression, new: Regression) -> None:
    """Let a layer that gives numbers in the deviations of a run give the same numbers in those of the new data."""
    known = {name: k for k, name in enumerate(old.names)}
    with torch.no_grad():
        for k, name in enumerate(new.names):
            if name not in known:
                continue
            mean, std = old.mean[known[name]], old.std[known[name]]
            ratio = std / new.std[k]
            layer.weight[k] *= ratio
            layer.bias[k] = layer.bias[k] * ratio + (mean - new.mean[k]) / new.std[k]
            if new.spread:  # logarithms of variances
                layer.bias[len(new.names) + k] += 2 * math.log(ratio)


def _single(network: ModelNetwork) -> Iterator[ModelNetwork]:
    """The network itself, or the single networks of an ensemble, at any depth."""
    if not network.member_networks:
        yield network
    for member in network.member_networks:
        yield from _single(member)
