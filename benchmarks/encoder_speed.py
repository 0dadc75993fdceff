"""How long a training step of each encoder with its emulator takes: wsrl's against the plain way.

    python benchmarks/encoder_speed.py [--rounds 7] [--threads 2] [--dropout 0.1] [--only NAME ...]

The last rows are of the probed RNNs alone: 22 steps forward, and backward to what they were asked,
all at once and step by step (which the plain way can only).

Published sizes: 64 LSTMs of 2 x 32 a step, one sequence of 41 tokens each. ``--dropout`` is the
transformer's, 0 unless said. A step is forward, loss, backward, clipping and AdamW. Both ways take
turns; medians over the rounds. FLOPs are those of the plain way's matrix products, whichever way
takes the time. Kept is what the forward pass leaves for the backward pass. The floor is the
roofline: the FLOPs at the rate of one large product, or what wsrl keeps, written and read once at
the rate of one large copy, whichever takes longer.
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Callable
from typing import TypeAlias

import torch
from measuring import copy_rate, count_flops, count_kept, in_turns, median_ratio, product_rates
from plain_encoders import (
    Emulator,
    Flattened,
    Probing,
    Statistics,
    Transformer,
    WeightSpace,
    subject_step,
)
from torch import Tensor, nn
from torch.func import vmap
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_

from wsrl.encoders import create_encoder
from wsrl.rnn import PreparedPopulation, RNNSpec, RNNWeights, run_population
from wsrl.tasks import EmulationModule
from wsrl.tasks.losses import total_variation

TRANSFORMER = "ParameterTransformer"
PLAIN: dict[str, Callable[[RNNSpec], nn.Module]] = {
    "LayerwiseStatistics": Statistics,
    "FlattenedWeights": Flattened,
    TRANSFORMER: Transformer,
    "DeepWeightSpace": WeightSpace,
    "NoninteractiveProbing": lambda spec: Probing(spec, interactive=False),
    "InteractiveProbing": lambda spec: Probing(spec, interactive=True),
}
SPEC = RNNSpec("lstm", input_size=6, hidden_size=32, num_layers=2, output_size=6)


Batch: TypeAlias = tuple[RNNWeights, Tensor, Tensor]
"""RNNs, inputs of each and its outputs."""


def make_batch(rnns: int = 64, steps: int = 41, device: str = "cpu") -> Batch:
    generator = torch.Generator().manual_seed(0)
    flat = torch.empty(rnns, SPEC.num_parameters).uniform_(-0.18, 0.18, generator=generator)
    tokens = torch.randint(6, (rnns, 1, steps), generator=generator)
    outputs = torch.randn(rnns, 1, steps, 6, generator=generator).log_softmax(-1)
    inputs = functional.one_hot(tokens, 6).float()
    return RNNWeights(flat.to(device), SPEC), inputs.to(device), outputs.to(device)


def plain_step(name: str, batch: Batch, dropout: float = 0.0) -> Callable[[], None]:
    weights, inputs, outputs = batch
    plain = PLAIN[name](SPEC) if name != TRANSFORMER else Transformer(SPEC, dropout)
    encoder, emulator = plain.to(inputs.device), Emulator(SPEC).to(inputs.device)
    parameters = [*encoder.parameters(), *emulator.parameters()]
    optimizer = torch.optim.AdamW(parameters, 1e-4, weight_decay=0.01)

    def step() -> None:
        embedding = functional.normalize(encoder(weights), dim=-1)
        student = emulator(embedding, inputs[:, 0]).softmax(-1)
        loss = 0.5 * (student - outputs[:, 0].softmax(-1)).abs().sum(-1).mean()
        optimizer.zero_grad()
        loss.backward()
        for module in (encoder, emulator):
            clip_grad_norm_(module.parameters(), 0.1)
        optimizer.step()

    return step


def wsrl_step(
    name: str, batch: Batch, compiled: str | None = None, dropout: float = 0.0
) -> Callable[[], None]:
    """Make a step of ours; its parts ``compiled`` in a mode of ``torch.compile``."""
    weights, inputs, outputs = batch
    options = {"dropout": dropout} if name == TRANSFORMER else {}
    module = EmulationModule(lambda spec: create_encoder(name, spec, **options), SPEC.to_dict())
    module.to(inputs.device)
    for part in module.children() if compiled else ():
        if any(True for _ in part.parameters()):  # not metrics
            part.compile(mode=compiled)
    optimizer = module.configure_optimizers()

    def step() -> None:
        loss = total_variation(module(weights, inputs), outputs).mean()
        optimizer.zero_grad()
        loss.backward()
        module.configure_gradient_clipping(optimizer)
        optimizer.step()

    return step


def plain_subject() -> None:
    weights, probes = make_batch()[0], torch.rand(64, 22, 6, requires_grad=True)
    h = c = torch.zeros(64, SPEC.num_layers, SPEC.hidden_size)
    answers = []
    for probe in probes.unbind(1):
        answer, h, c = vmap(subject_step)(weights.tensors(), probe, h, c)
        answers.append(answer)
    torch.stack(answers).sum().backward()


def subject_at_once() -> None:
    probes = torch.rand(64, 1, 22, 6, requires_grad=True)
    run_population(make_batch()[0], probes)[0].sum().backward()


def subject_by_steps() -> None:
    run, probes = PreparedPopulation(make_batch()[0]), torch.rand(64, 1, 22, 6, requires_grad=True)
    state, answers = None, []
    for probe in probes.unbind(2):
        answer, state = run(probe[:, :, None], state)
        answers.append(answer)
    torch.cat(answers, 2).sum().backward()


SUBJECTS = {"RNNs, all steps at once": subject_at_once, "RNNs, step by step": subject_by_steps}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--only", nargs="*", choices=[*PLAIN, *SUBJECTS], default=[*PLAIN, *SUBJECTS]
    )
    parser.add_argument("--dropout", type=float, default=0.0)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(f"{args.threads} threads, load before: {', '.join(f'{x:.1f}' for x in os.getloadavg())}")
    floor, copying = product_rates()["large"], copy_rate()
    print(f"one large float32 product: {floor / 1e9:.0f} GFLOP/s; copy: {copying / 1e9:.1f} GB/s")
    columns = "plain, ms | wsrl, ms | times faster | GFLOP | kept, MiB: plain, wsrl | of the floor"
    print(f"| encoder | {columns} |")
    print("|---" * (2 + columns.count("|")) + "|")
    for name in args.only:
        subject = name in SUBJECTS
        plain = plain_subject if subject else plain_step(name, make_batch(), args.dropout)
        ours_step = (
            SUBJECTS[name] if subject else wsrl_step(name, make_batch(), dropout=args.dropout)
        )
        flops = count_flops(plain)
        kept = count_kept(ours_step)
        seconds = in_turns({"plain": plain, "wsrl": ours_step}, args.rounds)
        ours = statistics.median(seconds["wsrl"])
        ratio = median_ratio(seconds["plain"], seconds["wsrl"])
        least = max(flops / floor, 2 * kept / copying)
        print(
            f"| {name} | {1000 * statistics.median(seconds['plain']):.0f} | {1000 * ours:.0f} "
            f"| {ratio:.2f} | {flops / 1e9:.1f} | {count_kept(plain) / 2**20:.0f}, "
            f"{kept / 2**20:.0f} | {least / ours:.0%} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
