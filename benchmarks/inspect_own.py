"""Does ``wsrl inspect`` name the language of RNNs that wsrl did not train?

python benchmarks/inspect_own.py CKPT [--count 30] [--cells LSTM GRU ReLU] [--sizes 12 24 48]

CKPT is an emulation run on formal languages, as a benchmark leaves behind, with its heads beside
it, or the name of an encoder that comes with wsrl. COUNT RNNs of ``torch.nn``, of the cells and
sizes in turn, are trained on languages drawn from the zoo's, and half as many are not trained at
all. What each performs is measured on all languages of the zoo; the head and the nearest RNN know
no more than the embedding.
"""

from __future__ import annotations

import argparse
import time
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn import functional

from wsrl.studies.inspection import Inspector

STEPS, BATCH, RATE = 2000, 32, 0.01
KINDS = {
    "LSTM": nn.LSTM,
    "GRU": nn.GRU,
    "ReLU": lambda *sizes, **options: nn.RNN(*sizes, nonlinearity="relu", **options),
    "tanh": nn.RNN,
}


class Own(nn.Module):
    """An RNN as anybody would write it."""

    def __init__(self, kind: str, tokens: int, hidden: int) -> None:
        super().__init__()
        self.tokens = tokens
        self.core = KINDS[kind](tokens, hidden, batch_first=True)
        self.linear = nn.Linear(hidden, tokens)

    def forward(self, strings: Tensor) -> Tensor:
        inputs = functional.one_hot(strings, self.tokens).float()
        return self.linear(self.core(inputs)[0])


def strings_of(language: list[int], length: int, largest: int) -> Tensor:
    """All strings a^(k+m1) b^(k+m2) ..., between a beginning and ends up to the length."""
    start, end, found = len(language), len(language) + 1, []
    for k in range(max(0, -min(language)), largest):
        letters = [letter for letter, more in enumerate(language) for _ in range(k + more)]
        string = [start, *letters, *[end] * length]
        found.append(string[:length])
    return torch.tensor(found)


def train(model: Own, strings: Tensor) -> float:
    optimizer = torch.optim.Adam(model.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        batch = strings[torch.randint(len(strings), (BATCH,))]
        outputs = model(batch[:, :-1])
        loss = functional.cross_entropy(outputs.flatten(0, 1), batch[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return float(loss.detach())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ckpt")
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("--cells", nargs="+", default=["LSTM", "GRU", "ReLU"], choices=KINDS)
    parser.add_argument("--sizes", nargs="+", type=int, default=[12, 24, 48])
    given = parser.parse_args()
    inspector, count = Inspector(given.ckpt), given.count
    problem, settings = inspector.problem, inspector.problem.settings()
    languages = problem.draw_tasks(12345, range(count)).tolist()
    kinds = list(product(given.sizes, given.cells))
    print("| RNN | language | measured | head | nearest RNN | score | like the zoo | loss |")
    print("|---|---|---|---|---|---|---|---|")
    right, begun = {"measured": 0, "head": 0, "nearest": 0}, time.perf_counter()
    for number in range(count + count // 2):
        torch.manual_seed(number)
        size, kind = kinds[number % len(kinds)]
        model = Own(kind, problem.input_size, size)
        language = languages[number] if number < count else None  # untrained
        loss = float("nan")
        if language is not None:
            strings = strings_of(language, settings["length"], settings["max_n"])
            loss = train(model, strings)
        found = inspector.inspect(model)
        truth = "(untrained)" if language is None else problem.task_name(language)
        said = {
            "measured": found.skill.name if found.skill.performs else "nothing",
            "head": next((p.text for p in found.properties if p.name == "task"), "-"),
            "nearest": found.neighbours[0].name,
        }
        for who, name in said.items():
            right[who] += name == truth
        row = [f"{kind} {size}", truth, *map(str, said.values()), f"{found.skill.score:.2f}"]
        print(f"| {' | '.join([*row, found.fit.verdict, f'{loss:.2f}'])} |", flush=True)
    seconds = time.perf_counter() - begun
    print(f"named, of {count}: {right}; {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
