"""Does ``wsrl inspect`` name the language of LSTMs that wsrl did not train?

python benchmarks/inspect_own.py RUN [RNNS]

RUN is an emulation run on a zoo of formal languages, as a benchmark leaves behind, with its heads
beside it. RNNS (10) plain ``torch.nn.LSTM``s of the zoo's sizes are trained on languages drawn from
the zoo's, and half as many are not trained at all. What each performs is measured on all languages
of the zoo; the head and the nearest RNN know no more than the embedding.
"""

from __future__ import annotations

import sys
import time

import torch
from torch import Tensor, nn
from torch.nn import functional

from wsrl.studies.inspection import Inspector

STEPS, BATCH, RATE = 3000, 32, 0.01


class Own(nn.Module):
    """An LSTM as anybody would write it."""

    def __init__(self, tokens: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.tokens = tokens
        self.lstm = nn.LSTM(tokens, hidden, layers, batch_first=True)
        self.linear = nn.Linear(hidden, tokens)

    def forward(self, strings: Tensor) -> Tensor:
        inputs = functional.one_hot(strings, self.tokens).float()
        return self.linear(self.lstm(inputs)[0])


def strings_of(language: list[int], length: int, largest: int) -> Tensor:
    """All strings a^(k+m1) b^(k+m2) ..., between a beginning and ends up to the length."""
    start, end, found = len(language), len(language) + 1, []
    for k in range(max(0, -min(language)), largest):
        letters = [letter for letter, more in enumerate(language) for _ in range(k + more)]
        string = [start, *letters, *[end] * length]
        found.append(string[:length])
    return torch.tensor(found)


def train(model: Own, strings: Tensor) -> None:
    optimizer = torch.optim.Adam(model.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        batch = strings[torch.randint(len(strings), (BATCH,))]
        outputs = model(batch[:, :-1])
        loss = functional.cross_entropy(outputs.flatten(0, 1), batch[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def main(run: str, count: int = 10) -> None:
    inspector = Inspector(run)
    problem, spec = inspector.problem, inspector.spec
    settings = problem.settings()
    languages = problem.draw_tasks(12345, range(count)).tolist()
    print("language | measured | head | nearest RNN | score | like the zoo")
    right = {"measured": 0, "head": 0, "nearest": 0}
    for number in range(count + count // 2):
        torch.manual_seed(number)
        model = Own(spec.input_size, spec.hidden_size, spec.num_layers)
        language = languages[number] if number < count else None  # untrained
        start = time.perf_counter()
        if language is not None:
            train(model, strings_of(language, settings["length"], settings["max_n"]))
        seconds = time.perf_counter() - start
        found = inspector.inspect(model)
        truth = "(untrained)" if language is None else problem.task_name(language)
        said = {
            "measured": found.skill.name if found.skill.performs else "nothing",
            "head": next((p.text for p in found.properties if p.name == "task"), "-"),
            "nearest": found.neighbours[0].name,
        }
        for who, name in said.items():
            right[who] += name == truth
        cells = [truth, *map(str, said.values()), f"{found.skill.score:.2f}", found.fit.verdict]
        print(" | ".join([*cells, f"{seconds:.0f} s of training"]), flush=True)
    print(f"named, of {count}: {right}")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
