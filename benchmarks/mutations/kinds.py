"""What is mutated, and which commands read it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, update_wrapper
from pathlib import Path
from random import Random

from benchmarks.mutations import folders, tensors, text_files
from benchmarks.mutations.inputs import PACK
from benchmarks.mutations.parquet import parquet

Mutator = Callable[[Random, Path], str]
"""Changes a file or a folder in place; says what it did."""


@dataclass(frozen=True)
class Command:
    """A command line; its words are relative to the folder with the inputs.

    Attributes:
        words: after ``wsrl``.
        reads: the inputs that it reads, by their first names.
        writes: the files and folders that it names, which it may change.
    """

    words: str
    reads: str
    writes: str = ""


FEW = "--data.zoo zoo --trainer.max_steps 12"
BEST = "run/checkpoints/best.ckpt"
COMMANDS = (
    *(Command(f"zoo info {zoo}", zoo) for zoo in ("zoo", "packed", "binding")),
    *(Command(f"zoo info {zoo} --json", zoo) for zoo in ("zoo", "packed")),
    *(Command(f"zoo verify {zoo}", zoo) for zoo in ("zoo", "packed", "binding")),
    *(Command(f"zoo repair {zoo}", zoo, zoo) for zoo in ("zoo", "packed", "unfinished")),
    Command("zoo export zoo --out new", "zoo", "new"),
    Command("zoo build --config zoo.yaml --out zoo", "zoo zoo.yaml", "zoo"),
    Command("zoo build --config zoo.yaml --out unfinished", "unfinished zoo.yaml", "unfinished"),
    Command("zoo build --config zoo.yaml --out new", "zoo.yaml", "new"),
    Command("zoo build --config binding.yaml --out new", "binding.yaml", "new"),
    Command(f"{PACK} --table table.csv --out new", "models table.csv", "new"),
    Command(f"{PACK} --table table.csv --task animal --out new", "models table.csv", "new"),
    Command(f"{PACK} --table table.parquet --out new", "models table.parquet", "new"),
    Command(f"{PACK} --out new", "models", "new"),
    Command(
        f"{PACK} --table table.csv --task animal --out packed", "packed models table.csv", "packed"
    ),
    Command("fit --config emulation.yaml --data.zoo zoo --run new", "zoo emulation.yaml", "new"),
    Command(
        "fit --config emulation.yaml --data.zoo binding --model.loss mean_squared_error "
        "--data.split_by nothing --run new",
        "binding",
        "new",
    ),
    Command(
        f"fit --config prediction.yaml --data.zoo zoo --model.pretrained {BEST} --run new",
        "zoo run prediction.yaml",
        "new",
    ),
    Command(
        "fit --config prediction.yaml --data.zoo packed --model.target animal --run new "
        "--data.split_by nothing "
        "--model.mode untrained --model.encoder LayerwiseStatistics",
        "packed prediction.yaml",
        "new",
    ),
    Command(f"fit --run run --ckpt_path last {FEW}", "run zoo", "run"),
    Command(f"fit --run run --ckpt_path auto {FEW}", "run zoo", "run"),
    Command(f"fit --run new --ckpt_path run/checkpoints/last.ckpt {FEW}", "run zoo", "new"),
    Command(f"fit --run predicted --ckpt_path last {FEW}", "predicted zoo", "predicted"),
    Command("test --run run --ckpt_path best", "run zoo", "run"),
    Command(f"test --ckpt_path {BEST} --data.zoo zoo", "run zoo", "run"),
    Command("validate --run run --ckpt_path last", "run zoo", "run"),
    Command("test --run predicted --ckpt_path best", "predicted zoo", "predicted"),
    Command(
        "predict --run run --ckpt_path best --out new.safetensors", "run zoo", "new.safetensors run"
    ),
    Command("predict --run predicted --ckpt_path best", "predicted zoo", "predicted"),
    Command("inspect own.pt --ckpt run", "own.pt run zoo", "run"),
    Command(f"inspect own.safetensors --ckpt {BEST} --json", "own.safetensors run zoo", "run"),
    Command("inspect own.pt --ckpt run --predict predicted", "own.pt run predicted zoo", "run"),
    Command("search models --ckpt run --csv new.csv", "models run zoo", "run new.csv"),
    Command("memory analyze own.pt --task repeat_copy --steps 2 --dims 5", "own.pt"),
    Command(
        "memory analyze own.safetensors --task 31,0,0 --steps 2 --dims 5 --json", "own.safetensors"
    ),
    Command("memory analyze binding", "binding"),
    Command("memory analyze binding --row 1 --out new", "binding", "new"),
    Command("interrogate zoo --rnns 3 --probes 8 --out new.json", "zoo", "new.json"),
    Command("baseline mean --data.zoo zoo --target task --run new", "zoo", "new"),
    Command(
        "baseline trees --data.zoo packed --target animal --data.split_by nothing --run new",
        "packed",
        "new",
    ),
    Command("baseline pca --data.zoo zoo --target step --run new", "zoo", "new"),
    Command("report bench", "bench", "bench"),
    Command("benchmark --config benchmark.yaml --out bench", "bench benchmark.yaml", "bench"),
    Command("benchmark --config benchmark.yaml --out new --plan json", "benchmark.yaml zoo", "new"),
)


@dataclass(frozen=True)
class Kind:
    """A kind of input.

    Attributes:
        files: patterns of what is mutated.
        mutators: one of them changes it.
        commands: a pattern of the commands that are run, of all that read what was mutated.
        must_be_refused: whether a command that accepts it is wrong.
    """

    files: tuple[str, ...]
    mutators: tuple[Mutator, ...]
    commands: str = ""
    must_be_refused: bool = False


def in_both(mutator: Mutator) -> Mutator:
    """Have a checkpoint changed under both its names, whichever a command reads."""

    def change(chance: Random, path: Path) -> str:
        done = mutator(chance, path)
        for name in ("best.ckpt", "last.ckpt"):
            if path.name != name:
                shutil.copy(path, path.with_name(name))
        return done

    return update_wrapper(change, getattr(mutator, "func", mutator))


STATES = ("optimizer_states", "loops", "callbacks", "lr_schedulers", "global_step", "cost")
"""Sections of a checkpoint that only training that goes on reads."""

FOLDERS = (
    *(folders.linked_out, folders.linked_out, folders.piped, folders.replaced),
    *(folders.more_entries, folders.unreadable),
)
BELOW = ("", "/*", "/*/*")
KINDS = {
    "manifests": Kind(
        ("*/manifest.json",), (text_files.json_value,) * 4 + (text_files.json_text, tensors.damaged)
    ),
    "checkpoints": Kind(
        ("run/checkpoints/*.ckpt", "predicted/checkpoints/*.ckpt"),
        (
            *(in_both(partial(tensors.checkpoint_section, without=STATES)),) * 6,
            *(in_both(tensors.damaged), in_both(tensors.calling_checkpoint)),
            in_both(tensors.old_format),
        ),
    ),
    "training states": Kind(
        ("run/checkpoints/*.ckpt", "predicted/checkpoints/*.ckpt"),
        (
            *(in_both(partial(tensors.checkpoint_section, sections=STATES)),) * 2,
            in_both(partial(tensors.checkpoint_section, sections=("optimizer_states",))),
        ),
        commands="fit .*--ckpt_path",
    ),
    "state dicts": Kind(
        ("own.*", "own.*", "models/*"),
        (tensors.state_dict, tensors.state_dict, tensors.state_dict, tensors.damaged),
    ),
    "tables": Kind(("table.csv",), (text_files.table_cell,) * 3 + (text_files.table_text,)),
    "Parquet": Kind(("table.parquet",), (parquet, parquet, parquet, tensors.damaged)),
    "YAML": Kind(
        ("*.yaml", "*.yaml", "run/config.yaml", "predicted/config.yaml"),
        (text_files.yaml_value, text_files.yaml_value, text_files.yaml_text),
        commands=r"(?!zoo (info|verify)|memory|interrogate)",
    ),
    "shards": Kind(("*/shards/*.safetensors",), (tensors.shard,)),
    "measured": Kind(
        (
            "run/checkpoints/inspection.safetensors",
            "run/test.safetensors",
            "bench/**/*.safetensors",
        ),
        (tensors.state_dict, tensors.safetensors_header, tensors.damaged),
        commands="inspect|search|report|benchmark --config benchmark.yaml --out bench",
    ),
    "records": Kind(
        ("bench/**/*.json", "bench/*.lock", "*/progress/*.json", "run/*.json"),
        (text_files.json_value,) * 3 + (text_files.json_text,),
        commands="report|benchmark|zoo build|zoo repair|fit --run|test|inspect",
    ),
    "folders of zoos": Kind(
        tuple(f"{zoo}{below}" for zoo in ("zoo", "unfinished", "packed") for below in BELOW),
        FOLDERS,
        commands="zoo (build|repair|pack|verify|export)|fit --config|interrogate",
    ),
    "other folders": Kind(
        (
            "*",
            *(
                f"{run}{below}"
                for run in ("run", "predicted", "bench", "models")
                for below in BELOW
            ),
        ),
        FOLDERS,
        commands="(?!zoo (info|verify|repair|export))",
    ),
    "flipped bits": Kind(
        ("run/checkpoints/best.ckpt", "own.pt", "models/*.pt"),
        (tensors.flipped_weight,),
        commands="test|fit --config prediction|inspect|memory|zoo pack|search",
        must_be_refused=True,
    ),
    "flipped bits of zoos": Kind(
        ("zoo/shards/*", "packed/shards/*", "binding/shards/*"),
        (tensors.flipped_weight,),
        commands="zoo verify",
        must_be_refused=True,
    ),
}


def commands_that_read(kind: Kind, path: Path, inputs: Path) -> list[Command]:
    """Return the commands of a kind for one of the inputs, by its path in their folder."""
    return [
        command
        for command in COMMANDS
        if path.parts[0] in command.reads.split()
        and all((inputs / name).exists() for name in command.reads.split())
        and re.match(kind.commands, command.words)
    ]
