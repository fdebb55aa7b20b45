"""A model at work: decoding in bounded processes, an engine fed in batches, explanations and searches beside it.

On a CPU the engine is there twice. A batch that comes while no other is at work gets all cores at once; under load
several batches run side by side, a core each, which takes less of the processor in all (measured on two cores: 18 ms of
a core per image of EfficientNet-Lite0 in place of 23) and does not stall when decoding needs a core.

An image counts as accepted until its work has ended, even if the client has received a 429; so the work in progress
is bounded whatever clients do.
"""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from starlette.requests import ClientDisconnect

from clearsight.data.pixels import Pixels
from clearsight.errors import ConfigError, DataError, ImageError
from clearsight.explanation import Explanation, Settings, explain
from clearsight.explanation.explain import check, usual_method
from clearsight.ood.drift import DriftReference
from clearsight.predictor import ModelOutput, Predictor
from clearsight.retrieval import Index
from clearsight.serving.batching import Batcher
from clearsight.serving.clients import Budget
from clearsight.serving.decoders import Decoders, DecodersLostError
from clearsight.serving.drift import DriftMonitor
from clearsight.serving.logs import event
from clearsight.serving.metrics import Metrics
from clearsight.serving.problems import RefusedError, overloaded, too_slow
from clearsight.serving.queueing import Deadline, Left, Turns
from clearsight.serving.settings import WAITING_EXPLANATIONS, ServeConfig
from clearsight.serving.uploads import Upload
from clearsight.tasks import PredictOptions
from clearsight.tasks.task import OODScores

Result = TypeVar("Result")

WARM = (1, 2, 4, 8, 16)
"""Sizes of the batches that warm the engine."""


@dataclass(frozen=True)
class Seen:
    """One image's prediction, its features (D,), its pixels (C, H, W) as the network got them, and what is monitored
    of it.
    """

    prediction: Any
    monitored: dict[str, float]
    features: NDArray[np.float32]
    pixels: Pixels


@dataclass(frozen=True)
class _Question:
    pixels: Pixels
    name: str
    options: PredictOptions


class Worker:
    """Answers for one model. Its coroutines belong to one event loop; `start` before, `stop` after."""

    def __init__(self, predictor: Predictor, config: ServeConfig, metrics: Metrics, index: Index | None = None) -> None:
        self.predictor, self.config, self.metrics, self.index = predictor, config, metrics, index
        self.ready = False
        self.budget = Budget(config.queue, config.client_share)
        known = predictor.bundle.data.get("monitor")
        self.drift = DriftMonitor(DriftReference.from_dict(known) if known else None, config.drift_alarms, metrics)
        self._decoders = Decoders(
            predictor.decode_rule, workers=config.workers, max_pixels=config.pixels, seconds=config.decode_timeout,
            memory=int(config.decode_memory * 1e6),
        )  # fmt: skip
        self._explanations = Turns("explain", WAITING_EXPLANATIONS, config.client_share)
        self._searcher = ThreadPoolExecutor(1, "search")  # one: Faiss's lists are widened during a search
        self._batcher: Batcher[_Question, Seen] = Batcher(
            self._infer, config.batch_size, config.linger / 1000, self._observed
        )
        self._wide: Predictor | None = None
        self._own: Predictor | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        """Make the engine and run it on batches of several sizes; then it is ready."""
        Image.init()  # plug-ins are found once, before threads look for them
        began = time.perf_counter()
        _, lanes = await asyncio.gather(asyncio.to_thread(self._decoders.start), asyncio.to_thread(self._warm))
        self._batcher.start(lanes)
        self.ready = True
        self.metrics.ready.set(1)
        event("ready", seconds=round(time.perf_counter() - began, 3))

    async def stop(self) -> None:
        """Finish what is at work and end the threads."""
        self.ready = False
        self.metrics.ready.set(0)
        await self._batcher.stop()
        self._explanations.stop()
        self._searcher.shutdown(wait=True, cancel_futures=True)
        await asyncio.to_thread(self._decoders.stop)

    async def predict(
        self, images: Sequence[Upload], options: PredictOptions, left: Left | None = None
    ) -> list[Seen | ImageError]:
        """What each image's answer is, or why it cannot be read; given up when `left` is done. ConfigError for options
        that the model cannot honour: requests share a batch, in which one must not fail the others.
        """
        if options != PredictOptions():
            task = self.predictor.bundle.task
            task.predictions(np.empty((0, task.outputs), np.float32), [], None, options)
        tasks = [self._take(self._predict_one(image, options)) for image in self._admit(images)]
        return await self._in_time(tasks, left)

    async def search(self, image: Upload, k: int) -> list[dict[str, Any]]:
        """The k indexed images most similar to one, best first."""
        index = self.index
        assert index is not None
        if not 1 <= k <= len(index):
            raise ConfigError(f"k is {k}", expected=f"1 to {len(index):,} (the number of images in the index)")
        self._admit([image])
        found: list[list[dict[str, Any]]] = await self._in_time([self._take(self._neighbours(index, image, k))])
        return found[0]

    async def explain(
        self, image: Upload, method: str | None, target: str | None, settings: Settings, faithfulness: bool, left: Left
    ) -> Explanation:
        """A heatmap of one image, given up when `left` is done. RefusedError 422 where it takes longer than it may, 429
        where others wait.
        """
        chosen = method or usual_method(self.predictor)
        check(self.predictor, chosen, settings)
        if target is not None:
            self.predictor.bundle.task.index_of(target)
        pixels = await self.decoded(image)

        def work(deadline: Deadline) -> Explanation:
            found = explain(
                self._explained_predictor(), pixels[None], method=chosen, target=target, settings=settings,
                faithfulness=faithfulness, console=deadline,
            )  # fmt: skip
            return replace(next(iter(found)), image=image.name)

        try:
            return await self._explanations.take(work, self.config.explain_timeout, left)
        except OverflowError:
            self.metrics.refused.labels("explanations").inc()
            raise overloaded("too many explanations are waiting", self.config.explain_timeout / 4) from None
        except TimeoutError:
            fix = "use fewer samples, the method grad-cam or faithfulness=false, or raise --explain-timeout"
            raise too_slow("the explanation", self.config.explain_timeout, fix) from None

    def _admit(self, images: Sequence[Upload]) -> Sequence[Upload]:
        """The images, if they can be answered in time; else RefusedError 429."""
        wait = (self._batcher.seconds_per_item or 0.0) * self.budget.taken
        if not self.budget.allows(len(images)) or wait > self.config.timeout:
            self.metrics.refused.labels("images").inc()
            raise overloaded("too many images are waiting", wait)
        return images

    def _take(self, work: Any) -> asyncio.Task[Any]:
        """Begin work on an image, counted until it ends."""
        client = self.budget.take()
        self.metrics.queue.set(self.budget.taken)
        task = self._keep(work)
        task.add_done_callback(lambda _: self._given_back(client))
        return task

    def _given_back(self, client: str) -> None:
        self.budget.give_back(client)
        self.metrics.queue.set(self.budget.taken)

    def _keep(self, work: Any) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda t: t.cancelled() or t.exception())  # nobody may be left to ask for it
        return task

    async def _in_time(self, tasks: list[asyncio.Task[Any]], left: Left | None = None) -> list[Any]:
        """The tasks' results. RefusedError 429 where they take longer than a request may; ClientDisconnect as soon as
        `left` is done, and the tasks are cancelled.
        """
        ended = asyncio.ensure_future(asyncio.wait(tasks, timeout=self.config.timeout))
        awaited: list[asyncio.Future[Any]] = [ended] if left is None else [ended, left]
        await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            for task in (ended, *tasks):
                task.cancel()
            raise ClientDisconnect
        _, late = ended.result()
        if late:
            self.metrics.refused.labels("time").inc()
            raise overloaded(
                "the response exceeds its time limit", (self._batcher.seconds_per_item or 0.0) * self.budget.taken
            )
        return [task.result() for task in tasks]

    async def _predict_one(self, image: Upload, options: PredictOptions) -> Seen | ImageError:
        began = time.perf_counter()
        try:
            pixels = await self.decoded(image)
        except ImageError as error:
            self.metrics.images.labels("unreadable").inc()
            return error
        if time.perf_counter() - began > self.config.timeout:  # whoever asked has been answered
            return ImageError(f"{image.name} takes too long to decode")
        seen = await self._batcher.submit(_Question(pixels, image.name, options))
        self.metrics.images.labels("answered").inc()
        self.drift.observe(seen.monitored)
        return seen

    async def decoded(self, image: Upload) -> Pixels:
        """The pixels of an image or sound as the model wants them; ImageError for what is none."""
        if not image.content:
            raise ImageError(f"{image.name} is empty", found="0 bytes", expected="an image")
        try:
            return await self._decoders.decode(image.content, image.name)
        except DecodersLostError as error:
            raise RefusedError(503, error, headers={"Retry-After": "1"}) from None

    async def _in(self, pool: ThreadPoolExecutor, function: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(pool, function)

    async def _neighbours(self, index: Index, image: Upload, k: int) -> list[dict[str, Any]]:
        if index.card.layer:
            pixels, layer = await self.decoded(image), index.card.layer
            features = await self._batcher.call(lambda: next(iter(self.predictor.embeddings(pixels[None], layer))))
        else:
            seen = await self._predict_one(image, PredictOptions())
            if isinstance(seen, ImageError):
                raise seen
            features = seen.features[None]
        likeness, places = await self._in(self._searcher, lambda: index.search(features, k))
        card = index.card
        return [
            {
                "image": card.names[place],
                "label": card.words(int(place)),
                "likeness": float(score),
                "place": int(place),
            }
            for score, place in zip(likeness[0], places[0], strict=True)
        ]

    def _explained_predictor(self) -> Predictor:
        """A predictor with weights of its own: some methods change the network while they look at it."""
        if self._own is None:
            bundle = self.predictor.bundle
            own = replace(bundle, network=copy.deepcopy(bundle.network))
            self._own = Predictor(own, engine=self.predictor.engine, device=self.predictor.device)
        return self._own

    def _warm(self) -> int:
        """Make the engines and run them; how many batches they work on side by side."""
        one = self.predictor
        one.prepare(10**9)
        wide = Predictor(one.bundle, engine=one.engine, device=one.device)
        lanes = wide.prepare(10**9)
        if lanes > 1:
            self._wide = wide
        blank = np.zeros(one.shape, one.bundle.form.dtype)
        for size in WARM:
            if size <= self.config.batch_size:
                for alone in (True, False):
                    self._infer([_Question(blank, "", PredictOptions())] * size, alone)
        return lanes

    def _infer(self, questions: list[_Question], alone: bool) -> list[Seen]:
        predictor = self.predictor if alone or self._wide is None else self._wide
        output = predictor.forward(np.stack([q.pixels for q in questions]))
        monitored, ood = self._monitored(output)
        task = self.predictor.bundle.task
        found: list[Seen | None] = [None] * len(questions)
        for options in {q.options for q in questions}:
            rows = [i for i, q in enumerate(questions) if q.options == options]
            scores = None if ood is None else ood.at(np.array(rows))
            predictions = task.predictions(output.logits[rows], [questions[i].name for i in rows], scores, options)
            for i, prediction in zip(rows, predictions, strict=True):
                values = {name: float(values[i]) for name, values in monitored.items()}
                found[i] = Seen(prediction, values, output.features[i], questions[i].pixels)
        return [seen for seen in found if seen is not None]

    def _monitored(self, output: ModelOutput) -> tuple[dict[str, NDArray[Any]], OODScores | None]:
        """Values of each image by the name of the signal, and the OOD scores."""
        bundle, ood = self.predictor.bundle, self.predictor.ood(output)
        brightness = output.statistics[:, : bundle.form.channels].mean(1)
        values = {"output": bundle.task.drift_values(output.logits), "brightness": brightness}
        if ood is not None and ood.score is not None:
            values["ood_score"] = ood.score
        return values, ood

    def _observed(self, size: int, seconds: float) -> None:
        self.metrics.batch.observe(size)
        self.metrics.engine.observe(seconds)


def one_image(images: Sequence[Upload]) -> Upload:
    """The only image of a request; DataError where there are more."""
    if len(images) != 1:
        raise DataError(
            "this request takes only one image", found=f"{len(images)} images", fix="send one request per image"
        )
    return images[0]
