"""State dicts of ``torch.nn`` modules, under any names: maybe a linear layer or an embedding, a
recurrent part, a readout of up to three layers."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import permutations

from torch import Tensor

from wsrl.rnn.cells import Cell
from wsrl.rnn.formats.cell_choices import of_nonlinearity, possible_cells, tell_apart
from wsrl.rnn.formats.content import Candidate, Content, Recogniser, Said, listed
from wsrl.rnn.formats.names import STATE_DICTS
from wsrl.rnn.formats.parts import Affine, Parts
from wsrl.rnn.formats.placement import NAMES, Placement, placements
from wsrl.rnn.formats.torch_keys import acting_weights, check_stored, without_training
from wsrl.rnn.formats.torch_parts import (
    Recurrent,
    chains,
    first_states,
    holders,
    joined,
    keys_of,
    linear_layers,
    recurrent_modules,
    shapes_of,
    through_projections,
    with_lists_joined,
    with_source,
)
from wsrl.rnn.spec import readout_name

_MOST_STACKED = 4  # modules of which every order is tried as layers

MODULE = "module"
"""Kind of the tensors of a module that will be run and compared."""

OPTIONS = {
    "cell": "a registered cell; tanh or relu of an nn.RNN",
    "nonlinearity": "the same of an nn.RNN, by its name",
    "module": "the recurrent module of several; of layers in several modules, all their names",
    **NAMES,
}


def _find(content: Content, said: Said) -> list[Candidate] | str:
    check_stored(content.tensors)
    tensors, training = without_training(acting_weights(content.tensors))
    single = recurrent_modules(tensors, possible_cells(shapes_of(tensors), said))
    several = "," in str(said.get("module"))  # these are put together as they are said
    modules = single if several else with_lists_joined(single, tensors)
    if not modules:
        return (
            "no key is of an nn.LSTM or another cell (such as rnn.weight_ih_l0); there are "
            f"{listed(content.tensors)}"
        )
    chosen = _selected(modules, tensors, said.get("module"))
    found, faults = [], []
    for module in chosen:
        left, beside = _around(module, modules, tensors)
        choice = {"module": module.label} if len(chosen) > 1 else {}
        dropped = [*beside, *training]
        also = (f"not read, as no part of the RNN: {listed(dropped)}",) if dropped else ()
        try:
            view = _Model(module, tensors, left, content.kind == MODULE)
            found += [
                replace(
                    one,
                    choices={**choice, **one.choices},
                    assumed=one.assumed + also,
                    unsure=(*one.unsure, *choice),
                )
                for one in view.candidates(said)
            ]
        except ValueError as error:
            faults.append(error)
    if not found:
        raise faults[0]
    return found


def _selected(
    modules: list[Recurrent], tensors: Mapping[str, Tensor], said: str | None
) -> list[Recurrent]:
    """Return the modules that can be meant."""
    if said is None:
        few = modules if len(modules) <= _MOST_STACKED else []
        stacks = [order for count in range(2, len(few) + 1) for order in permutations(few, count)]
        return modules + [joined(order) for order in stacks if chains(order, tensors)]
    chosen = []
    for name in (part.strip() for part in str(said).split(",")):
        inside = [m for m in modules if any(f"{path}.".startswith(f"{name}.") for path in m.paths)]
        if len(inside) != 1:
            held = f"holds {listed(m.label for m in inside)}" if inside else "is not there"
            raise ValueError(
                f"module {name!r} {held}; name one of {listed(m.label for m in modules)}"
            )
        chosen += inside
    return [joined(chosen)] if len(chosen) > 1 else chosen


def _around(
    module: Recurrent, modules: list[Recurrent], tensors: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], list[str]]:
    """Return the tensors that can be around a recurrent module, and what is of other modules.

    Where there are others, those are around it that the same part of the model holds: the smallest
    one that has linear layers.
    """
    used = {key for other in modules for key in other.keys.values()}
    left = {key: value for key, value in tensors.items() if key not in used}
    others = [o.label for o in modules if not {*o.paths} & {*module.paths}]
    if not others:
        return left, []
    for before in holders(module.paths):
        inside = {key: value for key, value in left.items() if key.startswith(before)}
        if linear_layers(inside):
            return inside, [*others, *(key for key in left if key not in inside)]
    return left, others


class _OfNoCellError(ValueError):
    """The shapes of a layer are not those of a cell."""


@dataclass(frozen=True)
class _Model:
    """A recurrent module of a state dict, and the tensors that are of none."""

    module: Recurrent
    tensors: Mapping[str, Tensor]
    left: Mapping[str, Tensor]
    proven: bool  # by running it, so that other buffers do not matter

    def candidates(self, said: Said) -> list[Candidate]:
        """Return every RNN that it can be; a ``ValueError`` says why it can be none."""
        if turned := [key for name, key in self.module.keys.items() if name.endswith("_reverse")]:
            raise ValueError(
                f"{listed(turned[:1])}: a bidirectional RNN also reads its inputs from their end. "
                "It does not go step by step, and cannot be read (expected: in one direction)"
            )
        found: dict[Cell, list[Candidate]] = {}
        faults: list[tuple[int, bool, bool, str]] = []
        own = {name: self.tensors[key] for name, key in self.module.keys.items()}
        for kind in possible_cells(shapes_of(own), said):
            names = {n for n in self.module.keys if not n.startswith("weight_hr_")}
            required = _names(kind, self.module.layers, bias=False)
            unknown = names.difference(_names(kind, self.module.layers, bias=True))
            missing = [name for name in required if name not in names]
            if unknown or missing:
                keys = listed(
                    self.module.keys[name] for name in self.module.keys if name in unknown
                )
                fault = (
                    f"missing keys: {listed(missing)} beside {listed(self.module.keys.values())}"
                    if missing
                    else f"unknown keys: {keys}"
                )
                faults.append((len(unknown) + len(missing), True, kind.torch_form is None, fault))
                continue
            try:
                found[kind] = self._of_cell(kind)
            except ValueError as error:
                of_none = isinstance(error, _OfNoCellError)
                faults.append((0, of_none, kind.torch_form is None, str(error)))
        if not found:
            raise ValueError(min(faults)[-1])
        return [
            replace(
                one,
                choices={**known.choices, **one.choices},
                assumed=one.assumed + known.assumed,
                usual=one.usual and known.usual,
                unsure=known.unsure,
            )
            for kind, known in tell_apart(of_nonlinearity([*found], said), said).items()
            for one in found[kind]
        ]

    def _of_cell(self, kind: Cell) -> list[Candidate]:
        layers = [self._layer(kind, layer) for layer in range(self.module.layers)]
        projections = self._projections()
        shapes = {name: tuple(value.shape) for name, value in layers[0].items()}
        if projections and "weight_hh" in shapes:
            shapes["weight_hh"] = (shapes["weight_hh"][0], projections[0].shape[1])
        if (sizes := kind.sizes(shapes, bias=False)) is None:
            names = {name: self.module.keys[f"{name}_l0"] for name in layers[0]}
            seen = ", ".join(f"{listed([key])} is {shapes[n]}" for n, key in names.items())
            raise _OfNoCellError(f"such shapes are of no cell: {seen}")
        inputs, size = sizes
        linear = linear_layers(self.left)
        last = {name: tuple(value.shape) for name, value in layers[-1].items()}
        outputs = projections[-1].shape[0] if projections else (kind.sizes(last, False) or sizes)[1]
        if not linear:
            shown = listed(self.left)
            raise ValueError(f"no key is the linear readout's (as linear.weight is): {shown}")
        places = placements(linear, inputs, outputs)
        used = {key for path, layer in linear.items() for key in keys_of(path, layer).values()}
        others = {key: value for key, value in self.left.items() if key not in used}
        first, first_keys = first_states(others, kind.state, len(layers), size)
        strange = [key for key in others if key not in first_keys]
        if strange and not self.proven:
            raise ValueError(
                f"unknown keys: {listed(strange)}. What is no part of the RNN and its readout can "
                f"be left out: --ignore {listed(strange[:1])} (ignore=[...] in Python)"
            )
        if first and projections:
            raise ValueError(f"{listed(first_keys)}: first states of an RNN with projections")
        found = []
        for place in places:
            if projections:
                place = place.reading_through(projections[-1])
            own, before = with_source(kind, through_projections(layers, projections), place.source)
            parts = Parts(
                str(kind),
                own,
                place.readout,
                before,
                [{name: value[k] for name, value in first.items()} for k in range(len(own))]
                if first
                else (),
                place.readout_activation,
                keys=self._keys(place, linear),
            )
            notes = self._assumed(kind, place, first_keys)
            found.append(Candidate(parts.weights(), place.choices, notes, place.usual))
        return found

    def _layer(self, kind: Cell, layer: int) -> dict[str, Tensor]:
        names = {t.name: f"{t.name}_l{layer}" for t in kind.tensors(bias=True)}
        return {
            name: self.tensors[self.module.keys[full]]
            for name, full in names.items()
            if full in self.module.keys
        }

    def _projections(self) -> list[Tensor]:
        keys = [self.module.keys.get(f"weight_hr_l{layer}") for layer in range(self.module.layers)]
        return [self.tensors[key] for key in keys if key is not None]

    def _keys(self, way: Placement, linear: Mapping[str, Affine]) -> dict[str, str]:
        """Return the keys by the names that a spec gives their tensors."""
        keys = {f"rnn.{name}": key for name, key in self.module.keys.items()}
        for layer, path in enumerate(way.after):
            own = keys_of(path, linear[path])
            keys |= {readout_name(part, layer): key for part, key in own.items()}
        return keys

    def _assumed(self, kind: Cell, way: Placement, first: list[str]) -> tuple[str, ...]:
        label, several = self.module.label, self.module.layers > 1
        notes = [f"{label}: {kind}, gates and biases as in torch.nn"]
        if len(self.module.paths) > 1:
            notes.append(f"{label} are layers in this order")
        if self.module.looped:
            notes.append("the loop around the cell does no more than call it")
        notes.append(f"starts from {', '.join(first)}" if first else "starts from zero")
        if way.before is not None:
            what = "an embedding" if way.is_table else "a linear layer"
            notes.append(f"{way.before} is {what} before it, without a nonlinearity")
        if several:
            notes.append("dropout between layers is off")
        notes.append(f"the readout is {', '.join(way.after)}")
        return tuple(notes)


def _names(kind: Cell, layers: int, bias: bool) -> list[str]:
    own = [tensor.name for tensor in kind.tensors(bias)]
    return [f"{name}_l{layer}" for layer in range(layers) for name in own]


TORCH_MODULES = Recogniser("torch.nn modules", STATE_DICTS, OPTIONS, _find)
