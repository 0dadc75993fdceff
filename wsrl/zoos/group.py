"""Members of a zoo that train together: their steps, their snapshots, their state on disk."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from wsrl.problems import TrainableProblem
from wsrl.problems.streams import Purpose, draw_each
from wsrl.rnn import Backend, PreparedPopulation, RNNSpec, RNNWeights, with_initial_values
from wsrl.rnn.backends import choose_backend
from wsrl.zoos.manifest import ZooError
from wsrl.zoos.optimizer import PopulationAdamW, clip_norms
from wsrl.zoos.settings import BuildSettings
from wsrl.zoos.tensors import digest, read_metadata, read_tensors, write_tensors

EVALUATED_TOGETHER = 8
"""Members whose samples are in memory at one time, or more where there are more cores."""


class Group:
    """Members that train together."""

    def __init__(
        self,
        problem: TrainableProblem,
        spec: RNNSpec,
        settings: BuildSettings,
        members: Sequence[int],
        device: torch.device,
        backend: Backend = "auto",
    ) -> None:
        self.problem, self.spec, self.settings = problem, spec, settings
        self.backend: Backend = backend
        self.members = list(members)
        self.tasks = problem.draw_tasks(settings.seed, self.members).to(device)
        self.flat = initial_weights(spec, settings.seed, self.members).to(device)
        fixed = [range(t.offset, t.offset + t.numel) for t in spec.tensors if not t.trained]
        self.fixed = torch.tensor([*chain(*fixed)], dtype=torch.long, device=device)
        self.bounded = [
            (values[tensor.name], tensor.bounds)
            for values in RNNWeights(self.flat, spec).layers()
            for tensor in spec.kind.tensors(spec.bias)
            if tensor.bounds != (-math.inf, math.inf)
        ]
        decay = problem.weight_decays(settings.seed, self.members, settings.weight_decay)
        decay = decay.to(device, torch.float32) if isinstance(decay, Tensor) else decay
        self.optimizer = PopulationAdamW(self.flat, decay, backend)
        how = (settings.seed, settings.batch_size, settings.unique_sequences)
        self.data = problem.training_stream(self.tasks, self.members, *how)
        self.failed_at = torch.full((len(self.members),), -1, device=device)
        self.snapshots: list[dict[str, Tensor]] = []
        chosen = choose_backend(backend, RNNWeights(self.flat, spec))
        self.backends = {f"{'eager' if chosen == 'eager' else 'kernels'} on {device.type}"}

    def train(self, state: Path, checkpoint_seconds: float, between: Callable[[int], None]) -> None:
        """Train to the last snapshot, going on from a file ``state``, which is kept up to date.

        ``between`` is called with the updates made, between two of them and between the parts of an
        evaluation. Where it ends the process (as ``KeyboardInterrupt``) the state is saved.
        """
        if state.exists():
            self._restore(state)
        saved = time.monotonic()

        def rest() -> None:
            try:
                between(self.optimizer.step_count)
            except (KeyboardInterrupt, SystemExit):
                self._save(state)
                raise

        for snapshot in self.settings.snapshots[len(self.snapshots) :]:
            while self.optimizer.step_count < snapshot:
                rest()
                self._train_step()
                if time.monotonic() - saved > checkpoint_seconds:
                    self._save(state)
                    saved = time.monotonic()
            self.snapshots.append(self._snapshot(snapshot, rest))

    def columns(self) -> dict[str, Tensor]:
        """Return all snapshots taken, member by member: ``(P * snapshots, *shape)`` each."""
        names = self.snapshots[0]
        return {n: torch.stack([s[n] for s in self.snapshots], 1).flatten(0, 1) for n in names}

    def failures(self) -> dict[str, int]:
        """Return the members with anything not finite, and after how many updates it was seen."""
        steps = zip(self.members, self.failed_at.tolist(), strict=True)
        return {str(member): step for member, step in steps if step >= 0}

    def _train_step(self) -> None:
        step = self.optimizer.step_count
        flat = self.flat.requires_grad_()
        batch = self.data.batch(step)
        weights = RNNWeights(flat, self.spec)
        losses, accuracy = self.problem.loss_and_accuracy(weights, batch, self.backend)
        (gradient,) = torch.autograd.grad(losses.sum(), flat)
        with torch.no_grad():
            if accuracy is not None:
                self.data.observe(accuracy)
            if len(self.fixed):
                gradient, kept = gradient.index_fill(1, self.fixed, 0), self.flat[:, self.fixed]
            if self.settings.clip_norm is not None:
                gradient = clip_norms(gradient, self.settings.clip_norm)
            self.optimizer.step(gradient, self.settings.learning_rate(step))
            if len(self.fixed):
                self.flat[:, self.fixed] = kept  # without their weight decay
            for value, (least, most) in self.bounded:  # beyond, they would have no gradient
                value.clamp_(least, most)
            fresh = ~losses.isfinite() & (self.failed_at < 0)
            self.failed_at.masked_fill_(fresh, step)

    @torch.no_grad()
    def _snapshot(self, step: int, rest: Callable[[], None]) -> dict[str, Tensor]:
        count = len(self.members)
        cores = torch.get_num_threads() if self.flat.device.type == "cpu" else count
        together = max(EVALUATED_TOGETHER, cores)
        parts = []
        for start in range(0, count, together):
            rest()
            part = slice(start, start + together)
            weights = RNNWeights(self.flat.detach()[part], self.spec)
            run = PreparedPopulation(weights, self.backend)
            about = (self.tasks[part], self.members[part], self.settings.seed, step)
            parts.append(self.problem.evaluate(run, *about))
        columns = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        flat = self.flat.detach()
        for value in (flat, *columns.values()):
            # Weights can overflow in the last update, and finite outputs in their stored dtype.
            fresh = ~value.isfinite().flatten(1).all(1) if value.ndim > 1 else ~value.isfinite()
            self.failed_at.masked_fill_(fresh & (self.failed_at < 0), step)
        labels = {"run": torch.tensor(self.members), "step": torch.full((count,), step)}
        own = {"weights": flat, **labels}
        # Copies: weights go on changing, and a task stands in every snapshot of its group.
        return {name: value.detach().cpu().clone() for name, value in (own | columns).items()}

    def _state(self) -> dict[str, Tensor]:
        mean, square = self.optimizer.mean, self.optimizer.square
        return {"flat": self.flat, "mean": mean, "square": square, "failed_at": self.failed_at}

    def _save(self, path: Path) -> None:
        parts = {"state": self._state(), "stream": self.data.state_dict()}
        parts |= {f"snapshot.{index}": kept for index, kept in enumerate(self.snapshots)}
        tensors = {f"{part}.{n}": value for part, own in parts.items() for n, value in own.items()}
        about: dict[str, Any] = {"step": self.optimizer.step_count}
        about |= {"snapshots": len(self.snapshots), "backends": sorted(self.backends)}
        write_tensors(path, tensors, about | {"sha256": digest(tensors, about)})

    def _restore(self, path: Path) -> None:
        tensors, metadata = read_state(path)
        with torch.no_grad():
            for name, tensor in self._state().items():
                tensor.copy_(tensors[f"state.{name}"])
        self.optimizer.step_count = metadata["step"]
        self.backends |= set(metadata.get("backends", ()))  # earlier states do not tell
        self.data.load_state_dict(_named(tensors, "stream."))
        for index in range(metadata["snapshots"]):
            self.snapshots.append(_named(tensors, f"snapshot.{index}."))


def _named(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)}


def read_state(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the state of a group in training and compare it with its checksum."""
    try:
        tensors = {name: value.clone() for name, value in read_tensors(path).items()}
        metadata = read_metadata(path)
        claimed = metadata.pop("sha256", None)
        if claimed != digest(tensors, metadata):
            raise ZooError(f"{path} is damaged: its checksum differs")
    except ZooError as error:
        hint = "It is the state of a group in training: delete it to train that from its start"
        raise ZooError(f"{error}. {hint}") from error
    return tensors, metadata


def initial_weights(spec: RNNSpec, seed: int, members: Sequence[int]) -> Tensor:
    """Draw the weights that training starts from, ``(P, N)``, each member from its own stream."""
    bound, count = spec.hidden_size**-0.5, spec.num_parameters
    key = (members, seed, Purpose.WEIGHTS)
    drawn = draw_each(lambda own: own.uniform(-bound, bound, count), *key)
    return with_initial_values(spec, drawn).flat.float()
