"""What a CUDA GPU does: checks the Triton kernels, then prints the GPU tables of the documentation.

    python benchmarks/gpu.py [--minutes 10]
    python benchmarks/gpu.py --device cpu [--rnns 8]   # all of it, small, to see that it works

1. Kernels: values and gradients of every cell against PyTorch in float64 on the CPU.
2. Zoos: RNN-steps a second at 64 and 1,000 members: kernels, PyTorch, and one ``nn.LSTM`` of cuDNN
   after the other.
3. The recurrence alone, forward and backward, in the same three ways.
4. Training steps of the published encoders with their emulator: PyTorch's own modules, wsrl in
   float32, with TF32, and with ``torch.compile`` besides.

Ways take turns; medians over the rounds. ``torch.compile`` has what is left of the minutes, in
processes of its own. Copy what it prints into docs/performance.md, with the name of the GPU.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from encoder_speed import PLAIN, make_batch, plain_step, wsrl_step
from measuring import count_flops, in_turns, median_ratio, product_rates
from torch import nn
from zoo_speed import header, measure, workloads

from wsrl.rnn import RNNSpec, RNNWeights, backends, run_population
from wsrl.zoos.group import initial_weights

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # to find the tests

from tests.rnn import cases

PAPER = (
    "FlashRNN's paper (arXiv 2412.07752) reports up to 50 times the speed of plain PyTorch, in its "
    "abstract. Its kernels leave the inputs' products to others; its times by size are not "
    "repeated here."
)


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    device: str
    members: tuple[int, ...]  # of a zoo
    rnns: int  # in a batch of an encoder
    hidden: tuple[int, ...]  # of the recurrence and of what is checked
    steps: int  # of the recurrence
    rounds: int
    seconds: float  # of a turn
    compiled: tuple[str, ...]  # encoders


def plan(device: str, rnns: int) -> Plan:
    if device == "cuda":
        encoders = tuple(PLAIN)
        return Plan(device, (64, 1000), rnns, (16, 32, 64), 1024, 5, 1.0, encoders)
    return Plan(device, (4, 8), rnns, (5, 16), 16, 2, 0.1, ("FlattenedWeights",))


def find_device(wanted: str) -> str:
    """Return ``cuda`` or ``cpu``; ends the program where there is no GPU or no kernels for it."""
    if wanted == "cpu":
        return wanted
    if not torch.cuda.is_available():
        sys.exit(
            f"no CUDA GPU: PyTorch {torch.__version__} finds none; run this on a machine with one, "
            "or with --device cpu for a small run of the script itself"
        )
    if isinstance(found := backends.kernels_of("triton"), Exception):
        sys.exit(f"no Triton kernels: {found}")
    return "cuda"


def describe(device: str) -> str:
    """Say what is measured, in words."""
    if device == "cpu":
        return f"CPU, {torch.get_num_threads()} threads; PyTorch {torch.__version__}"
    import triton

    found = torch.cuda.get_device_properties(0)
    return (
        f"{found.name}, compute capability {found.major}.{found.minor}, {found.total_memory >> 30} "
        f"GiB; PyTorch {torch.__version__}, CUDA {torch.version.cuda}, cuDNN "
        f"{torch.backends.cudnn.version()}, Triton {triton.__version__}"
    )


def largest_error(seed: int, backend: backends.Backend, sizes: cases.Sizes, device: str) -> float:
    """Compare losses, outputs, states and all gradients with float64; of the largest magnitude."""
    case = cases.random_case(seed, sizes)
    ours, truth = case.to(torch.float32, device), case.to(torch.float64)
    pairs = [
        (cases.losses_and_gradient(ours, backend), cases.losses_and_gradient(truth, "eager")),
        (
            cases.run_and_gradients(ours, backend, True),
            cases.run_and_gradients(truth, "eager", True),
        ),
    ]
    errors = []
    for found, wanted in pairs:
        for one, other in zip(found, wanted, strict=True):
            exact = other.detach()
            difference = (one.detach().double().cpu() - exact).abs().max()
            errors.append(float(difference / (exact.abs().max() + 1e-30)))
    return float(torch.tensor(errors).max())  # nan where one is


def check_kernels(setting: Plan) -> None:
    """Print each cell's largest error; ends the program where one is too large."""
    backend: backends.Backend = "triton"
    if isinstance(backends.kernels_of("triton"), Exception):  # neither a GPU nor interpreted
        backend = "cpu"
    print(f"\n| kernels ({backend}) | largest error of values and gradients |\n|---|---|")
    failed = False
    for cell in sorted(backends.cells_with_kernels(backend)):
        errors = [
            largest_error(seed, backend, cases.Sizes([cell], hidden=(hidden,)), setting.device)
            for hidden in setting.hidden
            for seed in range(2)
        ]
        worst = float(torch.tensor(errors).max())
        wrong = not worst <= cases.TOLERANCE  # nan is wrong, too
        failed |= wrong
        print(f"| `{cell}` | {worst:.1e}{' WRONG' if wrong else ''} |", flush=True)
    if failed:
        sys.exit(f"the kernels are wrong here: errors above {cases.TOLERANCE}; report this table")


def zoo_table(setting: Plan, floor: float) -> None:
    print(f"\n{header()}")
    for members in setting.members:
        for work in workloads(members, setting.device):
            work.name += f", {members} members"
            measure(work, members, setting.rounds, setting.seconds, floor)


def recurrence(hidden: int, setting: Plan, members: int = 12) -> dict[str, Callable[[], object]]:
    """Make the ways to run ``members`` LSTMs on 16 sequences of each, forward and backward."""
    spec = RNNSpec("lstm", hidden, hidden, 1, hidden)
    flat = initial_weights(spec, 0, range(members)).to(setting.device).requires_grad_()
    inputs = torch.randn(members, 16, setting.steps, hidden, device=setting.device)
    modules: list[nn.Module] = [
        RNNWeights(flat.detach()[i : i + 1], spec).to_module().to(setting.device)
        for i in range(members)
    ]

    def together(backend: backends.Backend) -> None:
        outputs, _ = run_population(RNNWeights(flat, spec), inputs, backend=backend)
        torch.autograd.grad(outputs.sum(), flat)

    def one_by_one() -> None:
        for module, own in zip(modules, inputs, strict=True):
            torch.autograd.grad(module(own)[0].sum(), list(module.parameters()))

    kernels: backends.Backend = "triton" if setting.device == "cuda" else "cpu"
    return {
        "kernels": functools.partial(together, kernels),
        "PyTorch": functools.partial(together, "eager"),
        "one by one": one_by_one,
    }


def recurrence_table(setting: Plan) -> None:
    print(
        f"\n12 LSTMs on 16 sequences of {setting.steps} steps each, forward and backward, float32; "
        "one by one is `nn.LSTM`, cuDNN's on a GPU.\n\n"
        "| neurons | kernels, ms | PyTorch | one by one |\n|---|---|---|---|"
    )
    for hidden in setting.hidden:
        found = in_turns(recurrence(hidden, setting), setting.rounds)
        ours = found["kernels"]
        others = [
            f"{1000 * statistics.median(found[way]):.1f} ({median_ratio(found[way], ours):.1f}x)"
            for way in ("PyTorch", "one by one")
        ]
        row = (f"1 x {hidden}", f"{1000 * statistics.median(ours):.1f}", *others)
        print(f"| {' | '.join(row)} |", flush=True)
    print(f"\n{PAPER}")


@contextmanager
def tf32() -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=True):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def encoder_table(setting: Plan, floor: float, ends: float) -> None:
    print(
        f"\n{setting.rnns} LSTMs of 2 x 32, one sequence of 41 tokens each; a step with emulator, "
        "loss, backward pass, clipping and AdamW.\n\n"
        "| encoder | PyTorch's modules, ms | wsrl, ms | times faster | with TF32 | and compiled "
        "| GFLOP | of the floor |\n|---|---|---|---|---|---|---|---|"
    )
    waiting = len(setting.compiled)
    for name in PLAIN:
        batch = make_batch(setting.rnns, device=setting.device)
        plain, ours = plain_step(name, batch), wsrl_step(name, batch)

        def rounded(step: Callable[[], None] = ours) -> None:
            with tf32():
                step()

        flops = count_flops(plain)
        found = in_turns({"plain": plain, "wsrl": ours, "tf32": rounded}, setting.rounds)
        plain_ms, ms, tf32_ms = (1000 * statistics.median(part) for part in found.values())
        compiled = ""
        if name in setting.compiled:
            compiled = time_compiled(name, setting, (ends - time.monotonic()) / waiting)
            waiting -= 1
        print(
            f"| {name} | {plain_ms:.1f} | {ms:.1f} | "
            f"{median_ratio(found['plain'], found['wsrl']):.2f} | {tf32_ms:.1f} | {compiled} | "
            f"{flops / 1e9:.1f} | {1000 * flops / ms / floor:.0%} |",
            flush=True,
        )


def time_compiled(name: str, setting: Plan, seconds: float) -> str:
    """Return the milliseconds of a compiled step, or why there are none."""
    command = [sys.executable, __file__, "--device", setting.device, "--rnns", str(setting.rnns)]
    try:
        done = subprocess.run(
            [*command, "--compiled", name],
            capture_output=True,
            text=True,
            timeout=max(seconds, 1),
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"not in {seconds:.0f} s"
    if done.returncode == 0:
        return done.stdout.strip()
    return f"fails ({(done.stderr.strip().splitlines() or ['no message'])[-1][:80]})"


def print_compiled(name: str, setting: Plan) -> None:
    """Print the milliseconds of a compiled step with TF32; also how this is called by itself."""
    batch = make_batch(setting.rnns, device=setting.device)
    step = wsrl_step(name, batch, "reduce-overhead")
    with tf32():
        step()  # compiles
        found = in_turns({"compiled": step}, setting.rounds)
    print(f"{1000 * statistics.median(found['compiled']):.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rnns", type=int, default=64, help="in a batch of an encoder")
    parser.add_argument("--compiled", choices=list(PLAIN), help="time only this, compiled")
    args = parser.parse_args()
    ends = time.monotonic() + 60 * args.minutes
    setting = plan(find_device(args.device), args.rnns)
    if args.compiled:
        print_compiled(args.compiled, setting)
        return
    torch.backends.cudnn.allow_tf32 = False  # else its LSTMs would round in every column
    print(describe(setting.device))
    check_kernels(setting)
    floor = product_rates(setting.device)["large"]
    print(f"\nOne large float32 product: {floor / 1e12:.3g} TFLOP/s")
    zoo_table(setting, floor)
    recurrence_table(setting)
    encoder_table(setting, floor, ends)


if __name__ == "__main__":
    main()
