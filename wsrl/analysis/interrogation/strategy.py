"""A strategy: which query to ask first, and after every answer which next."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from wsrl.analysis.interrogation.answers import Answers, members


@dataclass(frozen=True)
class Branch:
    """Where an answer leads: to a node, by its index in ``Strategy.nodes``.

    With a tolerance the answer is ``None``: those of the functions at the node are meant.
    """

    answer: int | None
    node: int


@dataclass(frozen=True)
class Node:
    """A state of an interrogation: the candidates left, ascending, and what to ask now.

    At a leaf, where nothing is left to tell apart, the query is ``None``.
    """

    functions: tuple[int, ...]
    query: int | None = None
    branches: tuple[Branch, ...] = ()


@dataclass(frozen=True)
class Strategy:
    """A decision tree as a list of nodes: the first is the start, children come after parents.

    With a tolerance nodes with equal candidates are one node.
    """

    nodes: tuple[Node, ...]

    @cached_property
    def depth(self) -> int:
        """The most queries it asks."""
        return max(self._longest.values())

    @cached_property
    def expected(self) -> float:
        """Queries on average, if all functions are as likely (of several ways, the longest)."""
        return sum(self._longest.values()) / len(self.nodes[0].functions)

    def identify(self, ask: Callable[[int], int]) -> tuple[int, int]:
        """Return which function a black box is, and how many queries it was asked, by number.

        The box must be one of the functions. If it is not, but answers all that is asked as one of
        them does, it is taken for that one: the strategy asks no more than it needs to. An answer
        that none of the candidates left gives is a ``ValueError``.
        """
        node, asked = self.nodes[0], 0
        while node.query is not None:
            answer = ask(node.query)
            found = [branch.node for branch in node.branches if branch.answer == answer]
            if not found:
                known = {branch.answer for branch in node.branches}
                raise ValueError(
                    f"the black box is none of the functions: to query {node.query} it answers "
                    f"{answer!r}, the {len(node.functions)} candidates left one of {known}"
                )
            node, asked = self.nodes[found[0]], asked + 1
        return node.functions[0], asked

    def to_dict(self) -> dict[str, Any]:
        """Return plain values: ``depth``, ``expected`` and the nodes."""
        return {"depth": self.depth, "expected": self.expected, **asdict(self)}

    def render(
        self,
        query_name: Callable[[int], str] = "query {}".format,
        function_name: Callable[[int], str] = "{}".format,
        lines: int = 200,
    ) -> str:
        """Return the tree to read, a line an answer, indented by the queries before; not all."""
        text: list[str] = []
        pending = [(0, 0, "")]
        while pending and len(text) < lines:
            index, level, label = pending.pop()
            node = self.nodes[index]
            names = ", ".join(function_name(f) for f in node.functions)
            left = f"{len(node.functions)} left: " if label else ""
            what = names if node.query is None else f"{left}ask {query_name(node.query)}"
            text.append(f"{'  ' * level}{label}{what}")
            below = [(branch.node, level + 1, _label(branch, self)) for branch in node.branches]
            pending += reversed(below)
        return "\n".join([*text, *(["..."] if pending else [])])

    @cached_property
    def _longest(self) -> dict[int, int]:
        """The most queries asked of each function."""
        levels, longest = [0] * len(self.nodes), dict.fromkeys(self.nodes[0].functions, 0)
        for index, node in enumerate(self.nodes):
            for branch in node.branches:
                levels[branch.node] = max(levels[branch.node], levels[index] + 1)
            for function in node.functions if node.query is None else ():
                longest[function] = max(longest[function], levels[index])
        return longest


def _label(branch: Branch, strategy: Strategy) -> str:
    if branch.answer is not None:
        return f"{branch.answer}: "
    return "" if strategy.nodes[branch.node].query is None else "alike, "


def build_strategy(
    answers: Answers, choose: Callable[[int], int], most_work: int | None = None
) -> Strategy | None:
    """Follow a rule that says which query to ask of a mask; ``None`` if that is more work."""
    pending, before = [answers.everyone], answers.work
    order: dict[int, tuple[int | None, list[int]]] = {}
    while pending:
        mask = pending.pop()
        if mask in order:
            continue
        if answers.settled(mask):
            order[mask] = (None, [])
            continue
        if most_work is not None and answers.work - before > most_work:
            return None
        query = choose(mask)
        parts = answers.parts(mask, query)
        order[mask] = (query, parts)
        pending += parts
    # Larger sets first: a part is smaller than what it is a part of, so children follow parents.
    ranked = sorted(order, key=lambda mask: (-mask.bit_count(), mask))
    number = {mask: index for index, mask in enumerate(ranked)}
    nodes = []
    for mask in ranked:
        asked, parts = order[mask]
        branches = tuple(Branch(answers.answer(part, asked), number[part]) for part in parts)
        nodes.append(Node(tuple(members(mask)), asked, branches))
    return Strategy(tuple(nodes))


def fixed_strategy(answers: Answers, queries: Sequence[int]) -> Strategy:
    """Return the strategy that asks the same queries whatever the answers; its leaf keeps all."""
    everyone = tuple(range(answers.functions))
    nodes = [Node(everyone, q, (Branch(None, n),)) for n, q in enumerate(queries, 1)]
    return Strategy((*nodes, Node(everyone)))
