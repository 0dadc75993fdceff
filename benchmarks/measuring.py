"""What the benchmarks share: rounds in turns, counted FLOPs, and this machine's own limits."""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


def finish() -> None:
    """Wait until a GPU has done what it was asked for, where one is used."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def in_turns(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Call all ways once a round, after one call to warm up; return the seconds of every call.

    What else runs on the machine then slows all of them alike.
    """
    for way in ways.values():
        way()
    finish()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            finish()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def median_ratio(slow: list[float], fast: list[float]) -> float:
    """Return the median over rounds of how many times faster ``fast`` was."""
    return statistics.median(a / b for a, b in zip(slow, fast, strict=True))


def count_flops(step: Callable[[], object]) -> int:
    """Count the FLOPs of all matrix products of a step, written in plain PyTorch."""
    # Without oneDNN, cuDNN and fused attention everything is made of products that can be counted.
    with warnings.catch_warnings(), sdpa_kernel(SDPBackend.MATH):
        warnings.simplefilter("ignore")  # switching oneDNN warns of what nobody asked for
        with (
            torch.backends.mkldnn.flags(enabled=False),
            torch.backends.cudnn.flags(enabled=False),
            FlopCounterMode(display=False) as counter,
        ):
            step()
    return counter.get_total_flops()


def count_kept(step: Callable[[], object]) -> int:
    """Count the bytes that a step keeps from its forward pass for its backward pass."""
    kept = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        step()
    return sum(kept.values())


def copy_rate() -> float:
    """Measure the bytes a second that this machine reads and writes in one large copy."""
    source = torch.randn(2**25)
    target = torch.empty_like(source)
    seconds = in_turns({"copy": lambda: target.copy_(source)}, 9)["copy"]
    return 2 * source.nbytes / statistics.median(seconds)


def product_rates(device: str = "cpu") -> dict[str, float]:
    """Measure a device's FLOP/s: one large product, and many small ones at once."""
    large = torch.randn(2048, 2048, device=device)
    left, right = (torch.randn(64, *size, device=device) for size in ((320, 64), (64, 128)))
    ways: dict[str, Callable[[], object]] = {
        "large": lambda: large @ large,
        "small": lambda: [left @ right for _ in range(10)],
    }
    flops = {"large": 2 * 2048**3, "small": 10 * 2 * 64 * 320 * 64 * 128}
    seconds = in_turns(ways, 9)
    return {name: flops[name] / statistics.median(seconds[name]) for name in ways}
