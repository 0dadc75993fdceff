"""How much memory a training step takes, and how much there is."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from dataclasses import astuple, dataclass

import torch
from torch import Tensor

from wsrl.problems import Problem
from wsrl.resources import machine_memory
from wsrl.rnn import RNNWeights
from wsrl.tasks import EmulationModule, PredictionModule

# Bytes of a process beside its steps: Python, PyTorch and Lightning, which processes of one machine
# share in part, the data, and what evaluation and clones take.
_PROCESS = 3 << 28
_RNNS = 2  # of the step that is measured


@dataclass(frozen=True)
class Estimate:
    """What a module takes.

    Attributes:
        parameters: all of its parameters.
        encoder: those of its encoder.
        bytes: memory of a training step, of the process included.
    """

    parameters: int
    encoder: int
    bytes: int

    def or_larger(self, other: Estimate) -> Estimate:
        """Return the larger of each."""
        pairs = zip(astuple(self), astuple(other), strict=True)
        return Estimate(*(max(pair) for pair in pairs))


def estimate(
    module: EmulationModule | PredictionModule, problem: Problem, batch_size: int
) -> Estimate:
    """Estimate a training step from what the gradient of a small one keeps.

    Args:
        module: the module, on the CPU.
        problem: of the zoo it is trained on.
        batch_size: RNNs of a step.
    """
    parameters = sum(parameter.numel() for parameter in module.parameters())
    encoder = sum(parameter.numel() for parameter in module.encoder.parameters())
    kept: dict[int, int] = {}

    own = {parameter.untyped_storage().data_ptr() for parameter in module.parameters()}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:  # parameters are there once, whatever the batch
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    weights = RNNWeights(0.1 * torch.randn(_RNNS, module.spec.num_parameters), module.spec)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        embedding = module.embed(weights)
        if isinstance(module, EmulationModule):
            _, *shape = problem.columns()["sequences"].shape  # without how many are stored
            inputs = problem.encode(torch.zeros(_RNNS, 1, *shape))
            module.emulate(embedding, inputs).sum()
    activations = sum(kept.values()) * batch_size // _RNNS
    # Weights, gradients and AdamW's two moments; what is kept, and as much again on the way.
    return Estimate(parameters, encoder, _PROCESS + 4 * 4 * parameters + 2 * activations)


def available_memory(workers: int) -> tuple[int, str]:
    """Return the bytes that each of the workers of this machine has, and of which memory."""
    gpus = gpu_memory()
    if gpus:
        return min(gpus) // -(-workers // len(gpus)), "GPU memory"
    return (machine_memory() or sys.maxsize) // workers, "memory"


def gpu_memory() -> list[int]:
    """Return the bytes of every GPU; asked in another process, since asking takes some."""
    if torch.version.cuda is None:
        return []
    code = (
        "import torch\n"
        "for i in range(torch.cuda.device_count()):\n"
        "    print(torch.cuda.get_device_properties(i).total_memory)"
    )
    with contextlib.suppress(OSError, ValueError):
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        return [int(line) for line in found.stdout.split()]
    return []
