"""Interrogate RNNs: which strings tell them apart, where answers are alike within a tolerance."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from wsrl.analysis.interrogation.answers import Answers, members, to_masks
from wsrl.analysis.interrogation.search import (
    BUDGET,
    Interactive,
    Noninteractive,
    interactive,
    noninteractive,
)
from wsrl.analysis.interrogation.separating import check_size
from wsrl.rnn import RNNs, RNNSpec, run_population

NUMBERS_AT_ONCE = 2**24  # how many outputs and states are held at once: 64 MiB
ROUNDING = 1e-5
"""By how much outputs of one RNN may differ from run to run (of their size, if above 1)."""


@dataclass(frozen=True)
class Interrogation:
    """What it takes to tell RNNs apart by their answers to ``probes (S, T, I)``.

    No probe tells the pairs ``alike`` apart, ``(i, j)`` with ``i < j``; ``groups`` are the RNNs of
    these pairs, joined as far as pairs join them.
    """

    weights: RNNs
    probes: Tensor
    tolerance: float
    output_kind: str
    interactive: Interactive
    noninteractive: Noninteractive
    alike: tuple[tuple[int, int], ...]
    groups: tuple[tuple[int, ...], ...]

    def identify(self, ask: Callable[[int], Tensor]) -> tuple[tuple[int, ...], int]:
        """Return the RNNs that answer like a black box, and how many probes it took.

        By the interactive strategy: one RNN, if all are told apart. The box gives outputs
        ``(T, O)`` (the readout's, not normalised) for the number of a probe. It must be one of the
        RNNs, its outputs off by up to half the tolerance (and rounding); another is refused where
        it differs from all candidates, or else taken for one of them.
        """
        nodes = self.interactive.strategy.nodes
        node, left, asked = nodes[0], nodes[0].functions, 0
        while node.query is not None:
            distances, size = self._distances_to(ask(node.query), left, node.query)
            nearest = min(left, key=distances.__getitem__)
            within = self.tolerance / 2 + ROUNDING * max(1.0, size)
            if not distances[nearest] <= within:
                raise ValueError(
                    f"the black box is none of the RNNs: its answer to probe {node.query} is "
                    f"{distances[nearest]:.3g} from the nearest of the {len(left)} left, the "
                    f"tolerance {self.tolerance:g} allows for {self.tolerance / 2:g}"
                )
            like = {rnn for rnn, distance in distances.items() if distance <= within}
            ways = [nodes[branch.node] for branch in node.branches]
            ways = [way for way in ways if nearest in way.functions]
            node = max(ways, key=lambda way: len(like.intersection(way.functions)))
            left, asked = tuple(rnn for rnn in node.functions if rnn in like), asked + 1
        return left, asked

    @torch.no_grad()
    def _distances_to(
        self, outputs: Tensor, rnns: tuple[int, ...], probe: int
    ) -> tuple[dict[int, float], float]:
        """Return how far an answer is from each RNN's, and its size: at most that of theirs."""
        own = _outputs(self.weights[torch.tensor(rnns)], self.probes[probe][None])[:, 0]
        if outputs.shape != own.shape[1:] or not outputs.isfinite().all():
            raise ValueError(
                f"the black box must answer finite (T, O) = {tuple(own.shape[1:])} to probe "
                f"{probe}, not {tuple(outputs.shape)} of which some are not finite"
            )
        every = torch.cat([outputs[None].to(own), own])
        distances = _distances(every, self.output_kind)[0, 1:].tolist()
        size = min(float(outputs.abs().max()), float(own.abs().max()))
        return dict(zip(rnns, distances, strict=True)), size

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; RNNs and probes by their numbers."""
        sizes = {"rnns": len(self.weights), "probes": len(self.probes)}
        how = {"tolerance": self.tolerance, "output_kind": self.output_kind}
        lists = {"alike": [*map(list, self.alike)], "groups": [*map(list, self.groups)]}
        found = {"noninteractive": self.noninteractive, "interactive": self.interactive}
        return {**sizes, **how, **lists, **{name: part.to_dict() for name, part in found.items()}}


def tell_apart(
    weights: RNNs,
    probes: Tensor,
    tolerance: float,
    output_kind: str = "categorical",
    budget: int = BUDGET,
) -> Interrogation:
    """Find which probes tell RNNs apart: the fewest in advance, and the fewest one by one.

    A probe tells two RNNs apart if their answers are further apart than the tolerance: the largest
    total variation between their next-token distributions at any step (``categorical``), or the
    largest absolute difference of any output at any step (``real``). Being alike within a tolerance
    is not transitive. So no classes of answers are made up: a fixed set of probes must tell each
    pair apart that any probe does; and an answer to an interactive interrogator leaves RNNs that
    are alike on this probe pair by pair, as is right for a black box whose answers may be off by
    half the tolerance. The greedy bound of ``interactive`` holds where all pairs are told apart.

    Pairs that no probe tells apart are a result, not an error: an interrogation ends where only
    such are left. Where very many RNNs are alike, the sets that answers leave can be too many for a
    tree; ``interactive.strategy`` then asks the probes of ``noninteractive`` one after the other.

    Args:
        weights: at least two RNNs, of any cells and sizes, and black boxes.
        probes: ``(S, T, I)``, the same for all RNNs.
        tolerance: at least 0; between 0 and 1 for ``categorical``. Outputs of equal RNNs may differ
            by rounding, about 1e-6.
        output_kind: ``categorical`` (outputs are logits) or ``real``.
        budget: as of ``interactive`` and ``noninteractive``.

    Raises:
        ValueError: for options out of range, probes that do not fit, more than 1 GiB of pairs times
            probes, or outputs that are not finite (naming the RNN).
    """
    _check(weights, probes, tolerance, output_kind)
    check_size(len(weights), len(probes))
    close = [to_masks(d <= tolerance) for d in answer_distances(weights, probes, output_kind)]
    answers = Answers(close)
    pairs = [(i, j) for i, mask in enumerate(answers.never) for j in members(mask) if i < j]
    fixed = noninteractive(answers, budget)
    adaptive = interactive(answers, budget, fixed.queries)
    alike = tuple(pairs), _joined(pairs, len(weights))
    return Interrogation(weights, probes, tolerance, output_kind, adaptive, fixed, *alike)


@torch.no_grad()
def answer_distances(
    weights: RNNs, probes: Tensor, output_kind: str
) -> Iterator[NDArray[np.float32]]:
    """Yield how far apart the answers of RNNs are, ``(B, B)`` for each of the probes ``(S, T, I)``.

    Distances as ``tell_apart`` has them; the diagonal is 0. Memory is bounded whatever ``S``.
    """
    sizes = weights.interface
    specs = [spec for spec in weights.specs if isinstance(spec, RNNSpec)]
    states = [spec.num_layers * spec.hidden_size * (spec.gates + 1) for spec in specs]
    per_step = sizes.input_size + sizes.output_size + max(states, default=0)
    at_once = max(1, NUMBERS_AT_ONCE // (len(weights) * probes.shape[1] * per_step))
    for some in probes.split(at_once):
        outputs = _outputs(weights, some)
        for index in range(len(some)):
            yield _distances(outputs[:, index], output_kind).numpy()


def _outputs(weights: RNNs, probes: Tensor) -> Tensor:
    """Return ``(B, S, T, O)``, on the CPU; checked to be finite."""
    inputs = probes.to(weights.device, weights.dtype).expand(len(weights), *probes.shape)
    outputs, _ = run_population(weights, inputs.contiguous())
    bad = (~outputs.isfinite()).flatten(1).any(1).nonzero().flatten().tolist()
    if bad:
        named = ", ".join(map(str, bad[:5])) + (", ..." if len(bad) > 5 else "")
        raise ValueError(f"RNNs with outputs that are not finite: {named}. Leave them out")
    return outputs.cpu()


def _distances(outputs: Tensor, output_kind: str) -> Tensor:
    """Return ``(B, B)`` of outputs ``(B, T, O)`` to one probe."""
    if output_kind == "real":
        flat = outputs.flatten(1)
        return torch.cdist(flat, flat, p=torch.inf)
    result = outputs.new_zeros(len(outputs), len(outputs))
    for step in outputs.softmax(-1).unbind(1):
        result = torch.maximum(result, torch.cdist(step, step, p=1.0) / 2)
    return result


def _joined(pairs: list[tuple[int, int]], count: int) -> tuple[tuple[int, ...], ...]:
    """Return the groups of two and more of ``count`` RNNs that pairs join."""
    graph = np.zeros((count, count), bool)
    graph[tuple(np.array(pairs, np.intp).reshape(-1, 2).T)] = True
    number, group = connected_components(csr_array(graph), directed=False)
    groups = (tuple(np.flatnonzero(group == k).tolist()) for k in range(number))
    return tuple(each for each in groups if len(each) > 1)


def _check(weights: RNNs, probes: Tensor, tolerance: float, output_kind: str) -> None:
    if len(weights) < 2:
        raise ValueError(f"there must be at least two RNNs to tell apart, not {len(weights)}")
    if probes.ndim != 3 or 0 in probes.shape or probes.shape[2] != weights.interface.input_size:
        raise ValueError(
            f"probes must be (S, T, I) with S, T >= 1 and I = {weights.interface.input_size}, "
            f"not {tuple(probes.shape)}"
        )
    if output_kind not in ("categorical", "real"):
        raise ValueError(f"output_kind must be categorical or real (values), not {output_kind!r}")
    if not tolerance >= 0:
        raise ValueError(f"tolerance must be at least 0, not {tolerance}")
    if output_kind == "categorical" and tolerance >= 1:
        raise ValueError(f"tolerance must be below 1, as far as distributions are, not {tolerance}")
