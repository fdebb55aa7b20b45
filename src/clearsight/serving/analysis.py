"""What a person at the page waits for: attacks, layers, units. Each in its turn, on modules of its own, and dropped as
soon as nobody waits for it any more.

The weights are the engine's, not copies: what is done here to a network leaves them as they are.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request

from clearsight.attacks import Attacked, attack_one
from clearsight.attacks.curve import check as check_attack
from clearsight.attacks.gradient import Norm
from clearsight.data.loader import to_float
from clearsight.errors import ModelError, UnsuitedError
from clearsight.feature_vis import (
    ExcitingPatches,
    FeatureMaps,
    Peaks,
    Settings,
    UnitInputs,
    check,
    checked_node,
    exciting_patches,
    feature_maps,
    search,
    unit_inputs,
)
from clearsight.feature_vis.maps import checked_units
from clearsight.models.anatomy import Layer, layers_by_name
from clearsight.models.layer_graph import Node, wiring
from clearsight.models.network import shared_copy
from clearsight.predictor import Predictor
from clearsight.serving.folder import RunFolder
from clearsight.serving.problems import overloaded, too_slow
from clearsight.serving.queueing import Deadline, Turns, leaving
from clearsight.serving.settings import KEPT_LAYERS, WAITING_LOOKS
from clearsight.serving.uploads import Upload
from clearsight.serving.worker import Worker

Result = TypeVar("Result")
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Graph:
    """The nodes of a network, and what is known of the layers among them, by full name."""

    nodes: tuple[Node, ...]
    layers: dict[str, Layer]


class Looker:
    """Looks into the model of a worker. Its coroutines belong to the worker's event loop."""

    def __init__(self, worker: Worker, folder: RunFolder) -> None:
        self.worker, self.folder = worker, folder
        self._outputs = Turns("look", WAITING_LOOKS, worker.config.client_share)
        self._searches = Turns("patches", WAITING_LOOKS, worker.config.client_share)
        self._peaks: OrderedDict[int, Peaks] = OrderedDict()
        self._making = threading.Lock()

    def stop(self) -> None:
        """End the threads; what waits is dropped."""
        self._outputs.stop()
        self._searches.stop()

    def left_out(self) -> dict[str, str]:
        """What this model does not have, and why."""
        found = self.folder.missing()
        if self.worker.index is None:
            found["search"] = "This model has no index. Run `clearsight index RUN` and restart the server."
        return found | {name: str(error) for name, error in self._refused().items()}

    def unsuited(self) -> list[str]:
        """What no model of this task has."""
        return [name for name, error in self._refused().items() if isinstance(error, UnsuitedError)]

    def _refused(self) -> dict[str, ModelError]:
        """What this model cannot do, and why."""
        one = self.worker.predictor
        checks: dict[str, Callable[[], None]] = {
            "attack": lambda: check_attack(one, "pgd", "linf"),
            "network": lambda: check(one, "maps", Settings()),
            "robustness": lambda: one.classifies("the robustness report"),
        }
        found = {}
        for name, checked in checks.items():
            try:
                checked()
            except ModelError as error:
                found[name] = error
        return found

    async def attack(
        self, request: Request, image: Upload, epsilon: float, method: str, norm: Norm, steps: int, target: str | None
    ) -> Attacked:
        """The image attacked; ModelError for a model without gradients, ConfigError for options out of range."""
        check_attack(self.worker.predictor, method, norm)
        goal = None if target is None else self.worker.predictor.bundle.task.index_of(target)
        pixels = await self._pixels(image)

        def work(deadline: Deadline) -> Attacked:
            found = attack_one(self._shared_copy, pixels, epsilon, method=method, norm=norm, steps=steps, target=goal)
            return replace(found, before=replace(found.before, image=image.name))

        return await self._do(self._outputs, request, work)

    async def graph(self, request: Request) -> Graph:
        """The network as a graph; ModelError for a classical model."""
        check(self.worker.predictor, "maps", Settings())
        return await self._do(self._outputs, request, lambda deadline: self._graph)

    async def maps(
        self, request: Request, image: Upload, layer: int | None, start: int, most: int
    ) -> tuple[list[FeatureMaps], list[int]]:
        """Maps of one layer, from unit `start` on; or of all, of each those that vary most. And their numbers."""
        check(self.worker.predictor, "maps", Settings())
        pixels = await self._pixels(image)

        def work(deadline: Deadline) -> tuple[list[FeatureMaps], list[int]]:
            nodes = self._graph.nodes
            if layer is None:
                shown = [node for node in nodes if node.visible]
                found = feature_maps(self._shared_copy, pixels, [node.layer() for node in shown], most=most, dense=most)
                by_name = {f.layer.name: f for f in found}
                return [by_name[n.name] for n in shown if n.name in by_name], [
                    n.number for n in shown if n.name in by_name
                ]
            node = checked_node(nodes, layer).layer()
            checked_units(node, [start])
            units = range(start, min(node.units, start + most))
            return feature_maps(self._shared_copy, pixels, [node], units=units), [layer]

        return await self._do(self._outputs, request, work)

    async def unit(self, request: Request, image: Upload, layer: int, unit: int) -> UnitInputs:
        """One unit's map of an image and what feeds it."""
        check(self.worker.predictor, "maps", Settings())
        pixels = await self._pixels(image)
        return await self._do(
            self._outputs,
            request,
            lambda deadline: unit_inputs(self._shared_copy, pixels, self._graph.nodes, layer, unit),
        )

    async def patches(self, request: Request, layer: int, unit: int) -> ExcitingPatches:
        """The places in training images that excite a unit most; BundleError where there are no such images."""
        check(self.worker.predictor, "maps", Settings())

        def work(deadline: Deadline) -> ExcitingPatches:
            chosen = checked_node(self._graph.nodes, layer).layer()
            checked_units(chosen, [unit])
            sample = self.folder.sample()
            deadline.check()
            peaks = self._peaks.pop(layer, None)
            if peaks is None:
                peaks = search(self._searching, chosen, sample.images, progress=deadline.stage("searching"))
            self._peaks[layer] = peaks
            while len(self._peaks) > KEPT_LAYERS:
                self._peaks.popitem(last=False)
            return exciting_patches(
                self._searching, chosen, sample.images, sample.words, sample.names, units=[unit], found=peaks
            )

        return await self._do(self._searches, request, work)

    async def _pixels(self, image: Upload) -> Floats:
        """The image (C, H, W) as the network sees it."""
        pixels = await self.worker.decoded(image)
        return to_float(pixels).numpy()

    async def _do(self, turns: Turns, request: Request, work: Callable[[Deadline], Result]) -> Result:
        seconds = self.worker.config.explain_timeout
        async with leaving(request) as left:
            try:
                return await turns.take(work, seconds, left)
            except TimeoutError:
                raise too_slow(
                    "the response", seconds, "raise --explain-timeout or, for an attack, use fewer steps"
                ) from None
            except OverflowError:
                self.worker.metrics.refused.labels("looks").inc()
                raise overloaded("too many analysis requests are waiting", 2) from None

    @cached_property
    def _shared_copy(self) -> Predictor:
        return self._own()

    @cached_property
    def _searching(self) -> Predictor:
        return self._own()

    def _own(self) -> Predictor:
        one = self.worker.predictor
        return Predictor(
            replace(one.bundle, network=shared_copy(one.bundle.network)), engine="torch", device=one.device
        )

    @cached_property
    def _graph(self) -> Graph:
        with self._making:
            network, shape = shared_copy(self.worker.predictor.network), self.worker.predictor.shape
            return Graph(wiring(network, shape), layers_by_name(network.without_tta(), shape))
