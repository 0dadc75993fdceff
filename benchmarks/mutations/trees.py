"""Changes of nested dicts and lists: what JSON, YAML and pickled checkpoints hold."""

from __future__ import annotations

import copy
from collections.abc import Callable
from random import Random
from typing import Any

Tree = Any
"""A dict, a list or a leaf."""

MARKUP = "<script>alert(1)</script>"
TEXTS = (
    *(
        "",
        "x",
        "0",
        "-1",
        "1e5",
        "2_16",
        "nan",
        "NaN",
        "True",
        "null",
        "zoo",
        "run",
        "best",
        "auto",
    ),
    *(
        "\x1b[31mred\x1b[0m\x07",
        "two\nlines\rback",
        "\u202ereversed",
        MARKUP,
        "\x00",
        "\ud800",
        "é",
    ),
    *("../outside/keep.txt", "../outside", "../../outside/new", "/dev/zero", "/dev/stdin", "~"),
    *("os.system", "subprocess.Popen", "torch.nn.Linear", "wsrl.encoders.base", "${HOME}", "%s{0}"),
    *("mean", "lstm", "F64", "a" * 10_000, "9" * 5000, "0" * 64),
)
NUMBERS = (
    *(0, 1, -1, 2, 3, 7, 100, 1001, 65536, 2**31, 2**32, 2**53 + 1, 2**63, 2**64, -(2**63) - 1),
    *(10**12, 10**18, 10**30, 10**400, 0.5, -0.0, 1e-300, 1e308),
    *(float("nan"), float("inf"), float("-inf")),
)
PLAIN = (None, True, False)


def hostile(chance: Random) -> Tree:
    """Return a value of a random kind."""
    pick = chance.random()
    if pick < 0.4:
        return chance.choice(NUMBERS)
    if pick < 0.7:
        return chance.choice(TEXTS)
    if pick < 0.8:
        return chance.choice(PLAIN)
    return copy.deepcopy(
        chance.choice(
            (
                *([], {}, [1], [None], [[]], {"a": 1}, {"": {}}, {"class_path": "os.system"}),
                *([0] * 10_000, [[0, 1], [2]], ["x", 1], [-1], [1e400], nested(chance, 150)),
            )
        )
    )


def nested(chance: Random, depth: int) -> Tree:
    """Return lists or dicts within each other."""
    tree: Tree = 0
    for _ in range(depth):
        tree = [tree] if chance.random() < 0.5 else {"a": tree}
    return tree


def places(tree: Tree) -> list[tuple[Any, Any]]:
    """Return every container of a tree with each of its keys or indices."""
    found, waiting = [], [tree]
    while waiting:
        one = waiting.pop()
        keys = list(one) if isinstance(one, dict) else range(len(one))
        for key in keys:
            found.append((one, key))
            if isinstance(one[key], (dict, list)):
                waiting.append(one[key])
    return found


def change_tree(
    chance: Random, tree: Tree, hostile: Callable[[Random], Tree] = hostile, leaf: bool = False
) -> str:
    """Change a tree at one random place; return what was done.

    Args:
        chance: what is random.
        tree: a dict or a list, changed in place.
        hostile: makes values for it.
        leaf: change the value there and keep the rest.
    """
    found = places(tree)
    if not found:
        return "nothing to change"
    container, key = chance.choice(found)
    old = container[key]
    pick = chance.random()
    if leaf or pick < 0.45:
        container[key] = hostile(chance)
        return f"{key!r}: {short(old)} became {short(container[key])}"
    if pick < 0.65:
        container[key] = nearby(chance, old)
        return f"{key!r}: {short(old)} became {short(container[key])}"
    if pick < 0.8:
        del container[key]
        return f"{key!r} is gone"
    if pick < 0.9:
        other, name = chance.choice(found)
        container[key] = copy.deepcopy(other[name])
        return f"{key!r} became a copy of {name!r}"
    if isinstance(container, dict):
        name = chance.choice((*TEXTS, 7, -1, None))
        container[name] = old if chance.random() < 0.5 else hostile(chance)
        return f"there is {short(name)} beside {key!r}"
    container.insert(key, copy.deepcopy(old))
    return f"item {key!r} is there twice"


def nearby(chance: Random, value: Tree) -> Tree:
    """Return a value like the old one, or the same in another kind."""
    if isinstance(value, bool) or value is None:
        return chance.choice((1, 0, "true", [value], not value))
    if isinstance(value, (int, float)):
        near = (value + 1, value - 1, -value, value * 1000, value * 2**40, [value])
        return chance.choice((*near, short(value), value / 2 if abs(value) < 2**63 else 0.5))
    if isinstance(value, str):
        changed = (value + " ", value.upper(), value[:-1], value * 2, [value], {value: value})
        return chance.choice((*changed, f"../outside/{value}", value + chance.choice(TEXTS)))
    if isinstance(value, list):
        return chance.choice((value * 2, value[:-1], value[::-1], value * 1000, [value]))
    if isinstance(value, dict):
        fewer = dict(list(value.items())[:-1])
        return chance.choice((list(value), list(value.values()), {"a": value}, fewer))
    return [value]


def short(value: Any) -> str:
    """Return a value's text in few characters, without control characters."""
    try:
        text = ascii(value)
    except ValueError:  # a number of more digits than Python writes
        text = f"a {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}..."
