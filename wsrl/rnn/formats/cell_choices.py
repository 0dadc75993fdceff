"""Which cells the tensors of a recurrent module can be of, and what tells these apart."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields

from wsrl.rnn.cells import Cell, get_cell, list_cells
from wsrl.rnn.formats.content import Said


@dataclass(frozen=True)
class CellChoice:
    """What choosing a cell means; the attributes are those of ``Candidate``."""

    choices: Mapping[str, str] = field(default_factory=dict)
    assumed: tuple[str, ...] = ()
    usual: bool = True
    unsure: tuple[str, ...] = ()


def possible_cells(shapes: Mapping[str, tuple[int, ...]], said: Said) -> list[Cell]:
    """Return registered cells, with the options that a layer of such tensors leaves open.

    One that is said with its options is taken as it is; one that is said comes first.
    """
    known = [get_cell(name) for name in list_cells()]
    found = [variant for kind in known for variant in kind.variants(shapes)]
    if "cell" in said:
        given = get_cell(str(said["cell"]))
        own = [given] if "(" in str(said["cell"]) else given.variants(shapes)
        found = [*own, *found]
    return list(dict.fromkeys(found))


def of_nonlinearity(cells: Sequence[Cell], said: Said) -> list[Cell]:
    """Return the cells that what is said of the nonlinearity leaves, or raise ``ValueError``.

    It is the name of a cell of ``nn.RNN``; where it is an option of a cell, all are left.
    """
    wanted = said.get("nonlinearity")
    if wanted is None or len({kind.name for kind in cells}) == 1:
        return list(cells)
    options = [{option.name for option in fields(kind)} for kind in cells]
    pairs = zip(cells, options, strict=True)
    left = [kind for kind, own in pairs if kind.name == str(wanted) or "nonlinearity" in own]
    if not left:
        known = " or ".join(sorted(kind.name for kind in cells))
        raise ValueError(f"the nonlinearity is {known}, not {str(wanted)!r}")
    return left


def tell_apart(cells: Iterable[Cell], said: Said) -> dict[Cell, CellChoice]:
    """Return what choosing each of the cells means, beside the others.

    Cells of ``torch.nn`` come before others; of those of one name that was said, the first.
    """
    groups = defaultdict[str, list[Cell]](list)
    for kind in cells:
        groups[kind.name].append(kind)
    of_torch = any(kind.torch_form for group in groups.values() for kind in group)
    named = get_cell(str(said["cell"])).name if "cell" in said else None
    found = {}
    for name, group in groups.items():
        options = [option.name for option in fields(group[0])]
        differ = [n for n in options if len({getattr(kind, n) for kind in group}) > 1]
        hidden = bool(options) and not differ  # options that nothing here tells
        for kind in group:
            own = {option: str(getattr(kind, option)) for option in differ}
            cell = _with_options(name, options) if hidden else name
            first, by_name = kind == group[0], named == name
            taken = own if by_name and first and not own.keys() & said.keys() else {}
            found[kind] = CellChoice(
                {**({"cell": cell} if hidden or len(groups) > 1 else {}), **own},
                tuple(f"{n} {value}, as {name} has by default" for n, value in taken.items()),
                (kind.torch_form is not None or not of_torch) and (first or not by_name),
                () if by_name else ("cell",) if hidden else tuple(differ),
            )
    return found


def _with_options(name: str, options: Sequence[str]) -> str:
    """Return the name of a cell, and those of its options, which no file tells."""
    return f"{name}({', '.join(f'{option}=...' for option in options)})"
