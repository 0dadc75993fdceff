"""The questions as a user asks them, and their results."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from numpy.typing import ArrayLike

from wsrl.analysis.interrogation.adaptive import AdaptiveSearch, greedy_query
from wsrl.analysis.interrogation.answers import Answers, check_table
from wsrl.analysis.interrogation.separating import SeparatingSearch, check_size
from wsrl.analysis.interrogation.strategy import Strategy, build_strategy, fixed_strategy

BUDGET = 500_000
WORK = 1_500_000  # what a greedy strategy may cost where sets of candidates overlap: seconds


@dataclass(frozen=True)
class Bounds:
    """How many queries are needed: nobody gets by with fewer than ``lower`` in the worst case."""

    lower: int
    upper: int

    @property
    def exact(self) -> bool:
        """Whether ``upper``, that of what was found, is the fewest there are."""
        return self.lower == self.upper

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {**asdict(self), "exact": self.exact}


@dataclass(frozen=True)
class Interactive(Bounds):
    """What an interactive interrogator needs, and the best ``strategy`` found."""

    strategy: Strategy

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {**super().to_dict(), "strategy": self.strategy.to_dict()}


@dataclass(frozen=True)
class Noninteractive(Bounds):
    """What a non-interactive interrogator needs: the smallest set of ``queries`` found."""

    queries: tuple[int, ...]


def interactive(
    table: ArrayLike | Answers, budget: int = BUDGET, otherwise: Sequence[int] | None = None
) -> Interactive:
    """Find the fewest queries that identify any function, each depending on the answers so far.

    That is the depth of the shallowest decision tree. A greedy strategy comes first: it asks the
    query whose least welcome answer leaves the fewest candidates. Depth-first search with bounds
    then looks for better ones, until none is left or the budget is used up; the budget counts, so
    the result is the same on every machine.

    If the fewest are ``d``, the greedy strategy asks at most ``max(1, ceil(d ln(n - 1)))`` of ``n``
    functions: of ``m`` candidates some query rules out ``(m - 1) / d`` whatever the answer, so that
    ``m - 1`` shrinks by the factor ``1 - 1/d``. (A logarithmic factor cannot be avoided in
    polynomial time unless P = NP: Arkin et al. 1998, "Decision trees for geometric models"; Laber
    and Nogueira 2004, "On the hardness of the minimum height decision tree problem".)

    Args:
        table: integers ``(functions, queries)``: what each function answers to each query; or
            answers that may be alike within a tolerance.
        budget: into how many parts the search may divide sets of candidates: about 1 to 3 seconds
            for the default; 0 for the greedy strategy alone (with a lower bound).
        otherwise: queries that settle everything, all by default, to be asked whatever the answers
            where sets of candidates overlap so much that a tree would be too large, or no better
            one is found.

    Returns:
        A strategy and bounds, equal where the search came to its end.

    Raises:
        ValueError: for a table without functions or queries, answers that are no whole numbers, or
            functions with equal rows (named), which no query tells apart.
    """
    _check(budget)
    answers = table if isinstance(table, Answers) else Answers.of_table(table)
    fixed = fixed_strategy(answers, range(answers.queries) if otherwise is None else otherwise)
    limit = None if answers.table is not None else WORK
    greedy = build_strategy(answers, lambda left: greedy_query(answers, left), limit)
    if greedy is None:
        return Interactive(1, fixed.depth, fixed)
    lower, best = AdaptiveSearch(answers, budget).run(greedy)
    best = fixed if best.depth > fixed.depth else best
    return Interactive(lower, best.depth, best)


def noninteractive(table: ArrayLike | Answers, budget: int = BUDGET) -> Noninteractive:
    """Find the fewest queries that, fixed in advance, tell all functions apart.

    A set cover: each query covers the pairs of functions it tells apart (the "minimum test set").
    Greedy choice of what covers most of the pairs left takes at most ``1 + ln p`` times the fewest,
    where ``p`` is the most pairs that one query tells apart (Johnson 1974, Lovasz 1975, Chvatal
    1979). Branch and bound then looks for smaller sets, until none is left or the budget is used
    up: how often it may count the pairs that a query tells apart. The rest is as ``interactive``.

    Raises:
        ValueError: as ``interactive``, and for more than 1 GiB of pairs times queries.
    """
    _check(budget)
    if not isinstance(table, Answers):
        values = check_table(table)
        check_size(*values.shape)
        table = Answers.of_table(values)
    lower, queries = SeparatingSearch(table, budget).run()
    return Noninteractive(lower, len(queries), tuple(queries))


def _check(budget: int) -> None:
    if budget < 0:
        raise ValueError(f"budget must be at least 0, not {budget}")
