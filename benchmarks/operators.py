"""Which operators a computation consists of: their kind, matrix products, bytes and time, as PyTorch runs them."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

LINEAR, ATTENTION, OPTIMIZER, REST = "linear layers", "attention", "clipping and optimizer", "everything else"
KINDS = {
    "aten::mm": LINEAR,
    "aten::addmm": LINEAR,
    "mkldnn::_linear_pointwise": LINEAR,
    "aten::bmm": ATTENTION,
    "aten::baddbmm": ATTENTION,
    "aten::_softmax": ATTENTION,
    "aten::_softmax_backward_data": ATTENTION,
    "aten::_scaled_dot_product_flash_attention_for_cpu": ATTENTION,
    "aten::gelu": "GELU",
    "aten::gelu_backward": "GELU",
    "aten::native_layer_norm": "layer norm",
    "aten::native_layer_norm_backward": "layer norm",
    "aten::copy_": "copies and casts",
    "aten::_to_copy": "copies and casts",
    "aten::clone": "copies and casts",
    "aten::cat": "copies and casts",
    "aten::stack": "copies and casts",
    "aten::add": "sums and scalings",
    "aten::add_": "sums and scalings",
    "aten::mul": "sums and scalings",
    "aten::sum": "sums and scalings",
}
OF_THE_OPTIMIZER = ("Optimizer.", "aten::_foreach_", "aten::_fused_adamw", "aten::linalg_vector_norm")
MOVE_NOTHING = ("aten::empty", "aten::new_empty", "aten::_unsafe_view")
Product = tuple[torch.dtype, int, int, int, int]  # batch x (M, K) @ (K, N)


@dataclass
class Work:
    """What one call computes, by kind: how often each matrix product, and the bytes of each other operator."""

    products: dict[str, Counter[Product]] = field(default_factory=lambda: defaultdict(Counter))
    moved: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))


def gflop(products: Counter[Product]) -> float:
    """10^9 floating-point operations."""
    return sum(2e-9 * times * batch * m * k * n for (_, batch, m, k, n), times in products.items())


def in_precision(products: Counter[Product], dtype: torch.dtype) -> Counter[Product]:
    converted: Counter[Product] = Counter()
    for (_, *shape), times in products.items():
        converted[dtype, *shape] += times
    return converted


class Recorder(TorchDispatchMode):
    """Fills `work` with the operators of the calls within. Raises ValueError for a product it does not know."""

    def __init__(self):
        super().__init__()
        self.work = Work()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        with self:  # inference mode does not decompose operators by itself
            out = func.decompose(*args, **kwargs)
        if out is not NotImplemented:
            return out
        out = func(*args, **kwargs)
        name = func._schema.name
        if products := _products(name, args, out):
            self.work.products[KINDS[name]].update(products)
        elif func._overloadpacket in flop_registry:
            raise ValueError(f"there is no floor for {name}")
        elif not _is_view(func) and not name.startswith(MOVE_NOTHING):
            tensors = [one for one in tree_leaves((args, kwargs, out)) if isinstance(one, Tensor)]
            self.work.moved[kind_of(name)].append(sum(one.numel() * one.element_size() for one in tensors))
        return out


def _products(name: str, args: tuple, out: object) -> list[Product]:
    if name in ("aten::mm", "aten::bmm", "aten::addmm", "aten::baddbmm"):
        a, b = args[-2:]
        return [(a.dtype, a.shape[0] if a.ndim == 3 else 1, *a.shape[-2:], b.shape[-1])]
    if name == "mkldnn::_linear_pointwise" and isinstance(out, Tensor):
        k, n = args[0].shape[-1], out.shape[-1]
        return [(out.dtype, 1, out.numel() // n, k, n)]
    if name == "aten::_scaled_dot_product_flash_attention_for_cpu":
        B, heads, N, d = args[0].shape
        return [(args[0].dtype, B * heads, N, d, N), (args[0].dtype, B * heads, N, N, d)]
    return []


def _is_view(func: torch._ops.OpOverload) -> bool:
    return any(one.alias_info is not None and not one.alias_info.is_write for one in func._schema.returns)


def kind_of(name: str) -> str:
    return OPTIMIZER if name.startswith(OF_THE_OPTIMIZER) else KINDS.get(name, REST)


def record(run: Callable[[], object]) -> Work:
    with Recorder() as recorder:
        run()
    return recorder.work


def milliseconds(run: Callable[[], object], seconds: float) -> float:
    """Per call, over about `seconds` of calls after the first."""
    run()
    calls, began = 0, time.perf_counter()
    while not calls or time.perf_counter() < began + seconds:
        run()
        calls += 1
    return 1000 * (time.perf_counter() - began) / calls


def profiled(run: Callable[[], object], seconds: float) -> dict[str, float]:
    """Milliseconds per call by kind of operator; what no operator accounts for is in REST."""
    calls = max(1, round(1000 * seconds / milliseconds(run, seconds)))
    with profile(activities=[ProfilerActivity.CPU]) as measured:
        began = time.perf_counter()
        for _ in range(calls):
            run()
        passed = 1000 * (time.perf_counter() - began) / calls
    spent: Counter[str] = Counter()
    for event in measured.events():
        name, above = event.name, event
        while above is not None and kind_of(name) != OPTIMIZER:
            name, above = above.name, above.cpu_parent
        kind = OPTIMIZER if kind_of(name) == OPTIMIZER else kind_of(event.name)
        if kind != REST:
            spent[kind] += event.self_cpu_time_total / 1000 / calls
    return dict(spent.most_common()) | {REST: passed - spent.total()}
