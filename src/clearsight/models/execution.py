"""What runs a network: PyTorch, or OpenVINO for much work on a CPU. Both take and give float32.

An engine maps batches (B, C, H, W) in [0, 1] to a list of arrays, one per output of the network. OpenVINO computes in
float32 here, so its answers differ from PyTorch's by rounding alone (measured: about 1e-4 in features of size 10).
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from clearsight.data.cache import entry
from clearsight.data.unit_range import BATCH as BATCH
from clearsight.environment import variable
from clearsight.errors import ConfigError
from clearsight.models.base import traceable
from clearsight.models.openvino_import import openvino_without_telemetry as openvino_without_telemetry

Module = TypeVar("Module", bound=nn.Module)
Outputs = list[NDArray[np.float32]]
Shape = tuple[int, int, int]

Hint = Literal["throughput", "latency"]
"""Whether OpenVINO runs several batches side by side, or gives every core to one: the first for much work known in
advance, the second for answers that somebody waits for."""

WORTH_CONVERTING = 1e11
"""Operations from which OpenVINO's conversion, some seconds the first time, is made up for by its speed."""


FEW = 16
"""Images below which nothing is worth converting, and counting operations would take longer than answering."""


class Engine(Protocol):
    """Runs a network over batches; `stream` keeps the order and may work on several batches at once, `lanes` of them
    to good effect. Several threads may stream at once.
    """

    lanes: int

    def stream(self, batches: Iterable[NDArray[np.float32]]) -> Iterator[Outputs]: ...


DEVICES = ("auto", "cpu", "cuda", "mps", "xpu")
"""Names of devices; `cuda:1` and its like name one of several."""


def device_of(name: str) -> str:
    """The processor behind auto or a name; ConfigError when there is no such device. auto is what CLEARSIGHT_DEVICE
    names, or a GPU of CUDA, or the CPU.

    Under torchrun, auto and cuda mean the GPU of this process.
    """
    if name == "auto":
        name = variable("CLEARSIGHT_DEVICE") or "auto"
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, colon, index = name.partition(":")
    if kind not in DEVICES or kind == "auto" or (colon and not index.isdecimal()):
        raise ConfigError(f"unknown device {name!r}", expected=f"{', '.join(DEVICES)}, or one of several, as cuda:1")
    number, there = int(index or 0), _devices(kind)
    if not there:
        raise ConfigError(
            f"no {'GPU' if kind == 'cuda' else 'device'} is available for --device {name}",
            fix=f"use --device cpu, or check that the driver works and that PyTorch is built with {_BUILT_FOR[kind]} "
            "support",
        )  # fmt: skip
    if number >= there:
        raise ConfigError(f"there is no device {name}", found=f"{there} of the kind {kind}", expected=f"{kind}:0 to "
                          f"{kind}:{there - 1}" if there > 1 else kind)  # fmt: skip
    return kind if kind in ("cpu", "mps") else name


_BUILT_FOR = {"cuda": "CUDA", "mps": "Metal", "xpu": "Intel GPU"}


def _devices(kind: str) -> int:
    """The number of devices of a kind."""
    if kind == "mps":
        return int(torch.backends.mps.is_available())
    if kind == "xpu":
        return int(torch.xpu.device_count()) if torch.xpu.is_available() else 0
    return torch.cuda.device_count() if kind == "cuda" else 1


def on_device(network: Module, device: str) -> Module:
    """The network itself on a CPU, where it stays; a copy of it on a GPU."""
    return network if device == "cpu" else copy.deepcopy(network).to(device)


class TorchEngine:
    """Eager PyTorch in evaluation mode. On a GPU it computes in whole float32, as a CPU does, not in TF32."""

    lanes = 1

    def __init__(self, network: nn.Module, device: str = "cpu") -> None:
        self.network, self.device = on_device(network, device).eval(), device

    def stream(self, batches: Iterable[NDArray[np.float32]]) -> Iterator[Outputs]:
        for batch in batches:
            with torch.inference_mode(), self._exactly():
                out = self.network(torch.from_numpy(np.ascontiguousarray(batch)).to(self.device))
            yield [o.float().cpu().numpy() for o in (out if isinstance(out, tuple) else (out,))]

    def _exactly(self) -> contextlib.AbstractContextManager[None]:
        if self.device == "cpu":
            return contextlib.nullcontext()
        backend: Any = torch.backends.cudnn
        return backend.flags(enabled=True, deterministic=True, allow_tf32=False)  # type: ignore[no-any-return]


class OpenVinoEngine:
    """OpenVINO on the CPU, float32, several requests in flight.

    The converted network is kept in the cache under the digest of its weights and settings, so it is converted once per
    machine.
    """

    def __init__(self, network: nn.Module, shape: Shape, hint: Hint = "throughput") -> None:
        self.ov = openvino_without_telemetry()
        folder = entry("openvino", self._key(network, shape), lambda f: self._convert(network, shape, f))
        core = self.ov.Core()
        self.compiled = core.compile_model(
            core.read_model(str(folder / "network.xml")),
            "CPU",
            {"PERFORMANCE_HINT": hint.upper(), "INFERENCE_PRECISION_HINT": "f32"},
        )
        self.lanes = int(self.compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))

    def stream(self, batches: Iterable[NDArray[np.float32]]) -> Iterator[Outputs]:
        # Plain requests, collected in order, and no completion callbacks: those run in OpenVINO's threads, need the
        # interpreter's lock, and can wait forever for a thread that holds it while it frees a request.
        idle = [self.compiled.create_infer_request() for _ in range(self.lanes + 1)]
        busy: deque[Any] = deque()
        for batch in batches:
            if not idle:
                request = busy.popleft()
                yield self._collect(request)
                idle.append(request)
            request = idle.pop()
            request.start_async([np.ascontiguousarray(batch)])
            busy.append(request)
        while busy:
            yield self._collect(busy.popleft())

    @staticmethod
    def _collect(request: Any) -> Outputs:
        """Wait for a request and copy its outputs, whose memory the next batch will overwrite."""
        request.wait()
        return [tensor.data.copy() for tensor in request.output_tensors]

    def _convert(self, network: nn.Module, shape: Shape, folder: Path) -> None:
        save_openvino(network, shape, folder / "network.xml")

    def _key(self, network: nn.Module, shape: Shape) -> str:
        versions = [torch.__version__, self.ov.__version__, 2]
        h = hashlib.blake2b(json.dumps([str(network), shape, versions]).encode(), digest_size=16)
        h.update(repr(settings_of(network)).encode())
        for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
            h.update(name.encode())
            h.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return h.hexdigest()


def settings_of(network: nn.Module) -> list[tuple[str, list[tuple[str, Any]]]]:
    """The plain attributes of all modules by their names, such as views and widths of kernels. Beside weights and kinds
    of modules, outputs depend on them, and converted graphs hold them as constants.
    """
    return [
        (name, sorted((k, v) for k, v in vars(module).items() if k[0] != "_" and k != "training" and _is_plain(v)))
        for name, module in network.named_modules()
    ]


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_plain, value)) and all(map(_is_plain, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return isinstance(value, int | float | str | None)


def engine_name(network: nn.Module, shape: Shape, images: int, device: str) -> str:
    """`openvino` where converting is possible and pays for so many images, on a CPU, else `torch`."""
    if not traceable(network):
        return "torch"
    worth = device == "cpu" and images >= FEW and images * _counted_once(network, shape) > WORTH_CONVERTING
    return "openvino" if worth else "torch"


def engine_for(
    network: nn.Module, shape: Shape, images: int, device: str, name: str = "auto", hint: Hint = "throughput"
) -> Engine:
    """The engine of that name, or for `auto` the one that suits so many images."""
    if name == "auto":
        name = engine_name(network, shape, images, device)
    if name == "openvino" and not traceable(network):
        raise ConfigError("classical models run only in PyTorch", fix="use the auto or torch engine")
    return OpenVinoEngine(network, shape, hint) if name == "openvino" else TorchEngine(network, device)


_COUNTED: WeakKeyDictionary[nn.Module, dict[Shape, int]] = WeakKeyDictionary()


def _counted_once(network: nn.Module, shape: Shape) -> int:
    """The operations, counted the first time: counting takes as long as a batch, and predictors ask again and again."""
    known = _COUNTED.setdefault(network, {})
    if shape not in known:
        known[shape] = operations(network, shape)
    return known[shape]


def operations(network: nn.Module, shape: Shape) -> int:
    """Floating-point operations for one image (a multiply-add is two)."""
    counter = _Operations()
    with counter, torch.no_grad():
        network.eval()(torch.zeros(1, *shape, device=next(network.parameters()).device))
    return counter.total


class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the operations of this thread. PyTorch's own counter hooks every module of the process, and gradients that
    other threads take meanwhile fail on its hooks.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total: int = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        from torch.utils.flop_counter import flop_registry

        kwargs = kwargs or {}
        count = flop_registry.get(func._overloadpacket)
        if count is None and func is not torch.ops.prim.device.default:
            with self:
                found = func.decompose(*args, **kwargs)
                if found is not NotImplemented:
                    return found
        output = func(*args, **kwargs)
        if count is not None:
            self.total += int(count(*args, **kwargs, out_val=output))
        return output


def save_openvino(network: nn.Module, shape: Shape, file: Path) -> None:
    """Write a network as a model of OpenVINO, in float32, for batches (N, *shape) of any size."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit.trace is deprecated, and OpenVINO's own way in
        model = openvino_model(network.eval(), torch.zeros(2, *shape))
    model.reshape([-1, *shape])
    openvino_without_telemetry().save_model(model, str(file), compress_to_fp16=False)


def openvino_model(network: nn.Module, example: torch.Tensor) -> Any:
    """A network as a model of OpenVINO, traced on an example (N, ...).

    As `openvino.convert_model` does of itself, but that PyTorch does not trace it a second time to compare the two,
    which takes long and can only differ for a network that draws random numbers.
    """
    openvino = openvino_without_telemetry()
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    traced = TorchScriptPythonDecoder(network, example_input=example, trace_kwargs={"check_trace": False})
    return openvino.convert_model(traced, example_input=example)
