"""Run a network on tensors that have a shape but no data, and note what each of its modules did.

`no_data` builds networks without memory or random numbers; `Trace` follows one forward pass. Both see every
function PyTorch is asked for. Convolutions, pooling, normalisation and activations are answered from the
layer arithmetic alone, which keeps the listing of fifty networks to seconds; every other function runs on
PyTorch's meta device.

Legend: I, N sides of the input and output map, P side of the filter, z padding, s stride, d input channels, K
filters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from math import prod
from typing import Any, Self

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from clearsight.errors import ModelError
from clearsight.models.arithmetic import ReceptiveField, output_size, size_formula


@dataclass(frozen=True)
class View:
    """What one unit of a tensor sees of the image, along its height and its width.

    pooled: whether a global operation (pooling of the whole map, flattening, attention) stands behind it.
    """

    height: ReceptiveField
    width: ReceptiveField
    pooled: bool = False

    @property
    def side(self) -> int:
        return max(self.height.side, self.width.side)


@dataclass
class Step:
    """What one module did in one call.

    output: shape without the batch. multiply_adds: of its own functions. arithmetic: the sums that led there.
    view: of its output's units, None where it is not known.
    """

    module: nn.Module
    name: str
    output: tuple[int, ...] = ()
    multiply_adds: int = 0
    arithmetic: list[str] = field(default_factory=list)
    view: View | None = None


class _NoData(TorchFunctionMode):
    """In-place functions have nothing to write on the meta device: skip them, random numbers above all."""

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name.endswith("_") and not name.endswith("__") and args and _is_meta(args[0]):
            return args[0]
        return func(*args, **(kwargs or {}))


def _is_meta(value: object) -> bool:
    return isinstance(value, torch.Tensor) and value.device.type == "meta"


@contextmanager
def no_data() -> Iterator[None]:
    """Networks built inside the block have parameters with shapes and no memory."""
    with torch.device("meta"), _NoData():
        yield


class Follower(TorchFunctionMode):
    """Sees every function that one forward pass of `network` calls, and which of its modules is running.

    Use as a context manager around the pass. Subclasses say in `__torch_function__`, `begin` and `end` what they note.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._network = network
        self._handles: list[Any] = []

    def follows(self, name: str, module: nn.Module) -> bool:
        """Whether `begin` and `end` are called for a module."""
        return True

    def begin(self, name: str, module: nn.Module, inputs: Any) -> None:
        raise NotImplementedError

    def end(self, module: nn.Module, inputs: Any, output: Any) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        for name, module in self._network.named_modules():
            if self.follows(name, module):
                self._handles.append(module.register_forward_pre_hook(partial(self.begin, name)))
                self._handles.append(module.register_forward_hook(self.end))
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        for handle in self._handles:
            handle.remove()
        super().__exit__(*error)  # type: ignore[no-untyped-call]


def run_without_data(follower: Follower, network: nn.Module, image: torch.Tensor, name: str) -> torch.Tensor:
    """The output (1, K), without data, of a pass that the follower sees; the network stays as it is.

    image (1, C, H, W): on the meta device. name: of the network, for the ModelError where it cannot take the image.
    """
    tensors = dict(network.named_parameters()) | dict(network.named_buffers())
    without_data = {key: tensor.detach().to("meta") for key, tensor in tensors.items()}
    with evaluating(network), torch.no_grad(), follower:
        try:
            output: torch.Tensor = torch.func.functional_call(network, without_data, (image,))
            return output
        except RuntimeError as error:
            channels, height, width = image.shape[1:]
            raise ModelError(
                f"{name} cannot process images of this shape",
                found=f"{channels} channels of {height}x{width} pixels: {str(error).splitlines()[0]}",
            ) from error


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode inside the block, and every module's own mode again behind it."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


class Trace(Follower):
    """Follows one forward pass of `network`; use as a context manager around it.

    steps: in the order the modules finished. reach: side of the receptive field of the last maps before
    anything global, in pixels. whole: side of the image, which units behind attention see.
    """

    def __init__(self, network: nn.Module, image: torch.Tensor) -> None:
        super().__init__(network)
        self.steps: list[Step] = []
        self.reach = 1
        self.whole = image.shape[-1]
        self._views: dict[int, tuple[torch.Tensor, View]] = {
            id(image): (image, View(ReceptiveField(), ReceptiveField()))
        }
        self._open: list[Step] = []

    def follows(self, name: str, module: nn.Module) -> bool:
        return not isinstance(module, nn.Identity)

    def begin(self, name: str, module: nn.Module, inputs: Any) -> None:
        self._open.append(Step(module, name))

    def end(self, module: nn.Module, inputs: Any, output: Any) -> None:
        step = self._open.pop()
        if isinstance(output, torch.Tensor):
            step.output = tuple(output.shape[1:])
            step.view = self.view(output)
        self.steps.append(step)

    def view(self, tensor: torch.Tensor) -> View | None:
        """What a unit of the tensor sees, None where the tensor does not come from the image."""
        known = self._views.get(id(tensor))
        return known[1] if known else None

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _UNCHANGED:
            return args[0]  # a tensor without data stands for both
        if func in _MEASURED:
            output, view = _MEASURED[func](self, *args, **kwargs)
        else:
            alike = func in _ELEMENTWISE and _same_shapes(args)
            output = args[0].new_empty(args[0].shape) if alike else func(*args, **kwargs)
            if not isinstance(output, torch.Tensor | tuple | list):
                return output
            view = self._merged((*args, *kwargs.values()))
        if view is not None:
            for tensor in tensors_in((output,)):
                self._views[id(tensor)] = (tensor, view)  # holding the tensor keeps its id unique
        return output

    def note(self, multiply_adds: int, arithmetic: str) -> None:
        """Put a function's cost down to the module that is running."""
        if self._open:
            self._open[-1].multiply_adds += multiply_adds
            self._open[-1].arithmetic.append(arithmetic)

    def _merged(self, values: Iterable[Any]) -> View | None:
        """The view behind several tensors: the widest of those with the largest maps.

        A gate of one value per channel therefore does not count, though it saw the whole image.
        """
        known = [(t, v) for t in tensors_in(values) if (v := self.view(t)) is not None]
        if not known:
            return None
        places = max(_places(t) for t, _ in known)
        views = [v for t, v in known if _places(t) == places]
        views = [v for v in views if not v.pooled] or views
        return View(_widest(v.height for v in views), _widest(v.width for v in views), all(v.pooled for v in views))

    def through(
        self,
        x: torch.Tensor,
        window: tuple[int, int],
        stride: tuple[int, int],
        dilation: tuple[int, int],
        padding: tuple[int, int],
    ) -> View | None:
        """The view behind a filter or pooling window over x, noting how far the maps reach."""
        view = self.view(x)
        if view is None:
            return None
        view = replace(
            view,
            height=view.height.through(window[0], stride[0], dilation[0], padding[0]),
            width=view.width.through(window[1], stride[1], dilation[1], padding[1]),
        )
        if not view.pooled:
            self.reach = max(self.reach, view.side)
        return view

    def everywhere(self, x: torch.Tensor, outputs: int = 1) -> View | None:
        """The view behind what reads the whole map x (N, C, h, w) into `outputs` x `outputs` places."""
        view = self.view(x)
        if view is None or x.dim() != 4:
            return view
        sizes = [max(1, n - (outputs - 1) * max(1, n // outputs)) for n in x.shape[2:]]
        return View(view.height.through(sizes[0]), view.width.through(sizes[1]), pooled=True)


def tensors_in(values: Iterable[Any]) -> Iterator[torch.Tensor]:
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, tuple | list):
            yield from tensors_in(value)


def _same_shapes(values: Iterable[Any]) -> bool:
    return len({v.shape if isinstance(v, torch.Tensor) else None for v in values}) == 1


def _places(x: torch.Tensor) -> int:
    """Units per channel: the pixels of a map, 1 for a vector of features; tokens count as their number."""
    return prod(x.shape[2:]) if x.dim() == 4 else (x.shape[1] if x.dim() == 3 else 1)


def _widest(fields: Iterable[ReceptiveField]) -> ReceptiveField:
    """The window that holds all of them, in the steps of the widest."""
    fields = list(fields)
    start = min(f.start for f in fields)
    jump = max(fields, key=lambda f: (f.side, f.jump)).jump
    return ReceptiveField(max(f.start + f.side for f in fields) - start, jump, start)


def pair(value: Any) -> tuple[int, int]:
    """A size as PyTorch's layers take it, one number or two, along height and width."""
    return (value, value) if isinstance(value, int) else (value[0], value[-1])


Measured = tuple[torch.Tensor, View | None]


def _conv2d(
    trace: Trace,
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Measured:
    p, s, dil = tuple(weight.shape[2:]), pair(stride), pair(dilation)
    span = [(side - 1) * step + 1 for side, step in zip(p, dil, strict=True)]
    if isinstance(padding, str):
        same = padding == "same"
        z = ((span[0] - 1) // 2, (span[1] - 1) // 2) if same else (0, 0)
    else:
        z = pair(padding)
    sizes = x.shape[2:]
    n = [output_size(sizes[i], span[i], stride=s[i], padding=z[i], rounding="down") for i in (0, 1)]
    filters, per_group = weight.shape[:2]
    if x.shape[1] != per_group * groups:
        raise RuntimeError(f"the input has {x.shape[1]} channels, but the filters expect {per_group * groups}")
    adds = filters * per_group * prod(p) * prod(n)
    grouped = f"/{groups}" if groups > 1 else ""
    weights = f"{p[0]}*{p[1]}*{per_group * groups}{grouped}"
    each = f"({weights} + 1)*{filters}" if bias is not None else f"{weights}*{filters}"
    count = weight.numel() + (bias.numel() if bias is not None else 0)
    trace.note(
        adds,
        f"{_sizes(sizes, span, s, z, n)}; {each} = {count:,} parameters; "
        f"{weights}*{filters}*{n[0]}*{n[1]} = {adds:,} multiply-adds",
    )
    return x.new_empty(x.shape[0], filters, *n), trace.through(x, (p[0], p[1]), s, dil, z)


def _sizes(sizes: Any, span: Any, stride: Any, padding: Any, outputs: Any) -> str:
    """The size formula with its numbers, once where height and width agree."""
    lines = []
    for size, p, s, z, n in zip(sizes, span, stride, padding, outputs, strict=True):
        exact = (size - p + 2 * z) / s + 1
        formula = f"{size_formula(size, p, stride=s, padding=z)} = {exact:g}"
        lines.append(formula if exact == n else f"{formula}, rounded to {n}")
    return lines[0] if lines[0] == lines[1] else f"height {lines[0]}, width {lines[1]}"


def _linear(trace: Trace, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> Measured:
    outputs, inputs = weight.shape
    if x.shape[-1] != inputs:
        raise RuntimeError(f"the input has {x.shape[-1]} values, but the dense layer expects {inputs}")
    rows = x.numel() // x.shape[0] // inputs
    adds = inputs * outputs * rows
    each = f"({inputs} + 1)*{outputs}" if bias is not None else f"{inputs}*{outputs}"
    count = weight.numel() + (bias.numel() if bias is not None else 0)
    times = f"*{rows}" if rows > 1 else ""
    trace.note(adds, f"{each} = {count:,} parameters; {inputs}*{outputs}{times} = {adds:,} multiply-adds")
    return x.new_empty(*x.shape[:-1], outputs), trace.view(x)


def _batch_norm(
    trace: Trace,
    x: torch.Tensor,
    mean: Any,
    variance: Any,
    weight: Any = None,
    bias: Any = None,
    *_: Any,
    **__: Any,
) -> Measured:
    if weight is not None:
        trace.note(0, f"2*{weight.numel()} = {2 * weight.numel():,} parameters")
    return x, trace.view(x)


def _pool(
    trace: Trace,
    x: torch.Tensor,
    window: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> Measured:
    p, z, dil = pair(window), pair(padding), pair(dilation)
    s = p if stride is None or stride == [] else pair(stride)
    rounding = "up" if ceil_mode else "down"
    span = [(side - 1) * step + 1 for side, step in zip(p, dil, strict=True)]
    sizes = x.shape[2:]
    n = [output_size(sizes[i], span[i], stride=s[i], padding=z[i], rounding=rounding) for i in (0, 1)]
    trace.note(0, _sizes(sizes, span, s, z, n))
    return x.new_empty(*x.shape[:2], *n), trace.through(x, p, s, dil, z)


def _max_pool2d(trace: Trace, x: torch.Tensor, kernel_size: Any, *args: Any, **kwargs: Any) -> Measured:
    kwargs.pop("return_indices", None)
    return _pool(trace, x, kernel_size, *args, **kwargs)


def _avg_pool2d(
    trace: Trace,
    x: torch.Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    *_: Any,
    **__: Any,
) -> Measured:
    return _pool(trace, x, kernel_size, stride, padding, ceil_mode=ceil_mode)


def _pad(trace: Trace, x: torch.Tensor, pad: Sequence[int], mode: str = "constant", value: Any = None) -> Measured:
    output, view = F.pad(x, pad, mode, value), trace.view(x)
    if view is None or x.dim() != 4:
        return output, view
    left, top = pad[0], pad[2] if len(pad) > 2 else 0
    width, height = view.width.through(1, padding=left), view.height.through(1, padding=top)
    return output, replace(view, height=height, width=width)


def _adaptive_avg_pool2d(trace: Trace, x: torch.Tensor, output_size: Any) -> Measured:
    n = pair(output_size)
    trace.note(0, f"adaptive pooling to {n[0]}x{n[1]}")
    unchanged = tuple(x.shape[2:]) == n and n != (1, 1)
    return x.new_empty(*x.shape[:2], *n), trace.view(x) if unchanged else trace.everywhere(x, n[0])


def _mean(trace: Trace, x: torch.Tensor, dim: Any = None, *args: Any, **kwargs: Any) -> Measured:
    output = torch.mean(x, dim, *args, **kwargs)
    return output, trace.everywhere(x) if x.dim() == 4 else trace.view(x)


def _flatten(trace: Trace, x: torch.Tensor, start_dim: int = 0, end_dim: int = -1) -> Measured:
    output = torch.flatten(x, start_dim, end_dim)
    return output, trace.everywhere(x) if start_dim == 1 and x.dim() == 4 else trace.view(x)


def _matmul(trace: Trace, a: torch.Tensor, b: torch.Tensor) -> Measured:
    output = torch.matmul(a, b)
    adds = output.numel() // output.shape[0] * a.shape[-1]
    sums = output.numel() // output.shape[0]
    trace.note(adds, f"{sums:,} dot products of length {a.shape[-1]} = {adds:,} multiply-adds")
    return output, _seen_all(trace)


def _attention(trace: Trace, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *_: Any, **__: Any) -> Measured:
    heads, tokens, values = q.shape[1:]
    others = k.shape[2]
    adds = heads * tokens * others * (values + v.shape[-1])
    trace.note(
        adds,
        f"{heads} heads * {tokens}*{others} token pairs * ({values} + {v.shape[-1]}) = {adds:,} multiply-adds",
    )
    return q.new_empty(*q.shape[:-1], v.shape[-1]), _seen_all(trace)


def _seen_all(trace: Trace) -> View:
    """Attention joins all tokens, so that each has seen the whole image."""
    trace.reach = trace.whole
    all_of_it = ReceptiveField(trace.whole, jump=0)
    return View(all_of_it, all_of_it)


_MEASURED: dict[Callable[..., Any], Callable[..., Measured]] = {
    F.conv2d: _conv2d,
    F.linear: _linear,
    F.batch_norm: _batch_norm,
    F.max_pool2d: _max_pool2d,
    F.avg_pool2d: _avg_pool2d,
    F.adaptive_avg_pool2d: _adaptive_avg_pool2d,
    F.pad: _pad,
    F.scaled_dot_product_attention: _attention,
    torch.mean: _mean,
    torch.Tensor.mean: _mean,
    torch.flatten: _flatten,
    torch.Tensor.flatten: _flatten,
    torch.matmul: _matmul,
    torch.bmm: _matmul,
    torch.Tensor.matmul: _matmul,
    torch.Tensor.bmm: _matmul,
    torch.Tensor.__matmul__: _matmul,
}

_UNCHANGED: set[Callable[..., Any]] = {
    F.relu,
    F.hardtanh,
    F.gelu,
    F.silu,
    F.elu,
    F.leaky_relu,
    F.dropout,
    F.layer_norm,
    F.local_response_norm,
    torch.sigmoid,
    torch.tanh,
    torch.relu,
}

_ELEMENTWISE: set[Callable[..., Any]] = {torch.add, torch.mul, torch.Tensor.add, torch.Tensor.mul}
