"""What the zoo's RNNs are like to an encoder and its emulator, measured once and kept.

The file ``inspection.safetensors`` beside the checkpoint holds it. Where it cannot be written, all
is measured again each time.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wsrl.analysis.calibration import FEWEST, Placement
from wsrl.analysis.neighbours import nearest
from wsrl.data import ZooDataModule
from wsrl.data.order import fixed_picks
from wsrl.encoders import embed
from wsrl.problems import Problem
from wsrl.rnn import RNNs, run_population
from wsrl.studies.inspection.records import Fit, Imitation
from wsrl.studies.inspection.sizes import compare_sizes, most_tensors, tensor_sizes
from wsrl.studies.training.checkpoints import SPLIT_OPTIONS
from wsrl.tasks import EmulationModule
from wsrl.tasks.evaluation import chosen_rows
from wsrl.tasks.losses import get_loss
from wsrl.tasks.metrics import EMULATION_METRICS
from wsrl.zoos import ZooError
from wsrl.zoos.files import checksum, remove_leftovers
from wsrl.zoos.tensors import digest, read_metadata, read_tensors, write_tensors

FILE = "inspection.safetensors"
"""The file's name."""

SEQUENCES = 16
"""How many sequences an imitation is measured on."""

IMITATED = 512
"""How many validation RNNs it is measured of, at most."""

_LAYOUT = 3
_BATCH = 128


@dataclass(frozen=True)
class Reference:
    """Measures of the zoo's ``n`` RNNs, of which ``v`` are of the validation split."""

    embedding: Tensor  # (n, D)
    sizes: Tensor  # (n, tensors), the log root mean square of every weight tensor; NaN: it has less
    distance: Tensor  # (v,), to the nearest RNN of another run
    zoo_imitation: Tensor  # how far the emulator is from some of the v, on the probes
    own_imitation: Tensor  # the same on the sequences stored with each
    probes: Tensor  # (SEQUENCES, T, I), inputs drawn from those of training RNNs


def load_reference(
    checkpoint: Path,
    module: EmulationModule,
    data: ZooDataModule,
    say: Callable[[str], object] = lambda text: None,
) -> Reference:
    """Return the measures of a zoo: those that are kept, where they are of this very checkpoint.

    Raises:
        ZooError: for a damaged zoo.
        ValueError: where the encoder gives no finite embedding, as after training that diverged.
    """
    key = _key(checkpoint, data)
    path = checkpoint.parent / FILE
    if path.is_file():
        try:
            metadata, tensors = read_metadata(path), read_tensors(path)
            written = metadata.pop("sha256", None)
            changed = metadata == key  # else of another checkpoint, zoo or version
            if changed and written == digest(tensors, key):
                *found, _ = map(len, vars(kept := Reference(**tensors)).values())
                every, held_out = len(data.zoo), len(data.rows("validation"))
                imitated = min(held_out, IMITATED)
                if found == [every, every, held_out, imitated, imitated]:
                    return kept
        except (ZooError, TypeError):
            changed = True
        if changed:
            say(f"{path} has changed since it was written: it is made again")
    data.zoo.check()
    say(f"measuring the {len(data.zoo)} RNNs of {data.zoo.place}, once")
    reference = measure(module, data)
    if not bool(reference.embedding.isfinite().all()):
        raise ValueError(
            f"the encoder in {checkpoint} gives no finite embedding of the zoo's RNNs, as after "
            "training that diverged"
        )
    remove_leftovers(path.parent, path.name)
    with contextlib.suppress(OSError):
        keep_reference(checkpoint, data, reference)
    return reference


def keep_reference(checkpoint: Path, data: ZooDataModule, reference: Reference) -> None:
    """Keep the measures of a zoo beside a checkpoint."""
    key, tensors = _key(checkpoint, data), vars(reference)
    write_tensors(checkpoint.parent / FILE, tensors, key | {"sha256": digest(tensors, key)})


def _key(checkpoint: Path, data: ZooDataModule) -> dict[str, Any]:
    """Return what the measures depend on."""
    return {
        "layout": _LAYOUT,
        "checkpoint": checksum(checkpoint),
        "zoo": [zoo.identity for zoo in data.zoo.zoos],
        "splits": {name: data.hparams[name] for name in (*SPLIT_OPTIONS, "ood_to_train", "seed")},
    }


@torch.no_grad()
def measure(module: EmulationModule, data: ZooDataModule) -> Reference:
    """Embed and weigh all RNNs of a zoo, and imitate those of its validation split."""
    zoo, rows = data.zoo, data.rows("validation")
    embeddings, sizes, most = [], [], most_tensors(zoo.specs)
    for part in torch.arange(len(zoo)).split(_BATCH):
        rnns = zoo.read_weights(part)
        embeddings.append(embed(module.encoder, rnns))
        sizes.append(tensor_sizes(rnns, most))
    embedding = torch.cat(embeddings)
    run = zoo.read("run").numpy()
    apart, _ = nearest(as_points(embedding), as_points(embedding[rows]), 1, run, run[rows])
    # One stored sequence from each of some training RNNs.
    probes = _stored(data, chosen_rows(data.rows("train"), SEQUENCES), 1)[0][:, 0]
    on_zoo, on_own = [], []
    for part in chosen_rows(rows, IMITATED).split(_BATCH):
        shared = probes.expand(len(part), *probes.shape)
        answers, _ = run_population(zoo.read_weights(part), shared)
        on_zoo.append(imitation_error(module, embedding[part], shared, answers))
        stored = _stored(data, part, min(SEQUENCES, zoo.sequences_stored))
        on_own.append(imitation_error(module, embedding[part], *stored))
    distance, zoo_imitation = torch.from_numpy(apart[:, 0]), torch.cat(on_zoo)
    sizes_of_all, own_imitation = torch.cat(sizes), torch.cat(on_own)
    return Reference(embedding, sizes_of_all, distance, zoo_imitation, own_imitation, probes)


def imitation_error(
    module: EmulationModule, embedding: Tensor, inputs: Tensor, answers: Tensor
) -> Tensor:
    """Return how far the emulator is from ``B`` RNNs, by the loss that chooses checkpoints."""
    metric = get_loss(EMULATION_METRICS[module.output_kind][0], module.output_kind)
    return metric(module.emulate(embedding, inputs), answers).mean((1, 2))


def imitate(
    module: EmulationModule,
    problem: Problem,
    rnn: RNNs,
    embedding: Tensor,
    reference: Reference,
) -> Imitation:
    """Compare the emulator with one RNN, on the zoo's sequences and on those that it writes."""

    def error(inputs: Tensor) -> float:
        answers, _ = run_population(rnn, inputs)
        return float(imitation_error(module, embedding, inputs, answers))

    written = problem.write_sequences(
        lambda inputs, state: run_population(rnn, inputs, state),
        SEQUENCES,
        torch.Generator().manual_seed(0),
    )
    own = None
    if written is not None:
        own = Placement.among(error(problem.encode(written)), reference.own_imitation)
    zoo = Placement.among(error(reference.probes[None]), reference.zoo_imitation)
    return Imitation(EMULATION_METRICS[module.output_kind][0], zoo, own)


def judge(
    rnn: RNNs,
    nearest_of_zoo: float,
    imitation: Imitation,
    reference: Reference,
    data: ZooDataModule,
) -> Fit:
    """Judge one RNN by its place among the zoo's, the sizes of its weights and its imitation."""
    held_out = data.rows("validation")
    distance = Placement.among(nearest_of_zoo, reference.distance)
    sizes = compare_sizes(rnn, reference.sizes, data)
    placements = {
        "its embedding is further from all RNNs of the zoo than theirs are": distance,
        f"its weights are of another size than the zoo's, {sizes.largest} most of all": (
            sizes.placement
        ),
        "the emulator imitates it worse than the zoo's on their sequences": imitation.zoo,
        "the emulator imitates it worse than the zoo's on its own sequences": imitation.own,
    }
    reasons = tuple(why for why, place in placements.items() if place and place.extreme)
    verdict = "outside" if reasons else "within" if len(held_out) >= FEWEST else "unknown"
    return Fit(verdict, reasons, distance, sizes.placement, sizes.tensors)


def as_points(embedding: Tensor) -> NDArray[np.float64]:
    """Return embeddings as the functions on neighbours take them."""
    return embedding.double().numpy()


def _stored(data: ZooDataModule, rows: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Draw sequences stored with RNNs: inputs ``(B, count, T, I)`` and outputs."""
    picks = fixed_picks(data.hparams["seed"], rows.numpy(), data.zoo.sequences_stored, count)
    sequences, outputs = data.zoo.read_sequences(rows, picks)
    return data.problem.encode(sequences), outputs.float()
