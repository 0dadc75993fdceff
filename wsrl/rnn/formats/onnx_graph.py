"""ONNX: LSTM, GRU and RNN nodes, found by following the graph from its output to its input.

Names say nothing. All between the nodes must be changes of shape, linear layers or nonlinearities.

Source: https://onnx.ai/onnx/operators, LSTM, GRU, RNN.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from wsrl.rnn.cells import list_cells
from wsrl.rnn.formats.content import Candidate, Content, Recogniser, Said
from wsrl.rnn.formats.onnx_files import Node
from wsrl.rnn.formats.parts import Affine, Parts, blocks, folded, readout_of

_RESHAPES = [
    "Transpose",
    "Squeeze",
    "Unsqueeze",
    "Reshape",
    "Identity",
    "Cast",
    "Dropout",
    "Flatten",
]
_ACTIVATIONS = ["Relu", "Tanh", "Sigmoid", "Softplus", "Softmax", "Gelu"]
_COPIES = [*_RESHAPES, "Expand", "Slice", "Gather", "Split", "Tile"]
_ORDERS = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2), "RNN": (0,)}  # i, o, f, c; z, r, h
_USUAL = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"]}
_LENGTHS, _STATES, _PEEPHOLES = 4, (5, 6), 7  # inputs by their place


@dataclass(frozen=True)
class _Cell:
    name: str
    tensors: Mapping[str, Tensor]


class _Graph:
    """A graph in which values are looked up by their names."""

    def __init__(self, content: Content) -> None:
        self.known = content.tensors
        self.inputs = set(content.settings["inputs"])
        nodes: list[Node] = content.settings["nodes"]
        self.makers = {name: node for node in nodes for name in node.outputs if name}

    def constant(self, name: str) -> Tensor | None:
        """Return a value that no input changes, as far as it is plain."""
        if name in self.known:
            return self.known[name]
        node = self.makers.get(name)
        if node is None:
            return None
        if node.op == "Constant":
            (value,) = node.attributes.values()
            return value if isinstance(value, Tensor) else torch.tensor(value)
        if node.op not in ("Identity", "Transpose"):
            return None
        inner = self.constant(node.inputs[0])
        if inner is None or node.op == "Identity":
            return inner
        order = node.attributes.get("perm", list(range(inner.ndim))[::-1])
        return inner.permute(order)

    def is_zero(self, name: str) -> bool:
        """Say whether a first state is zero, or left to whoever runs the graph."""
        if not name or name in self.inputs:
            return True
        if (value := self.constant(name)) is not None:
            return not bool(value.any())
        node = self.makers[name]
        if node.op == "ConstantOfShape":
            return not bool(node.attributes.get("value", torch.zeros(1)).any())
        if node.op == "Concat":
            return all(map(self.is_zero, node.inputs))
        return (
            node.op in _COPIES
            and node.inputs[0] not in self.inputs
            and (self.is_zero(node.inputs[0]))
        )

    def steps(self, name: str) -> Iterator[Affine | str | _Cell]:
        """Yield what is done between the graph's input and a value, the last first."""
        bias: Tensor | None = None
        above = True  # the last recurrent node
        passed: set[str] = set()
        while name not in self.inputs:
            node = self.makers.get(name)
            if node is None or name in passed:
                raise ValueError(f"{name!r} is no value of the graph, or leads back to itself")
            passed.add(name)
            name = node.inputs[0]
            if bias is not None and node.op != "MatMul":
                raise ValueError(f"a constant is added to what {node.op} gives")
            if node.op == "Add":
                values = [self.constant(other) for other in node.inputs]
                place = 0 if values[0] is not None else 1
                name, bias = node.inputs[1 - place], values[place]
                if bias is None:
                    raise ValueError("two values that change are added: no chain of layers")
            elif node.op in ("MatMul", "Gemm"):
                yield self._affine(node, bias)
                bias = None
            elif node.op in _ORDERS:
                above = False
                yield self._cell(node)
            elif node.op in _ACTIVATIONS:
                yield node.op.lower()
            elif node.op == "Gather" and (table := self.constant(name)) is not None:
                yield table.mT, None  # an embedding of one-hot inputs
                name = node.inputs[1]
            elif node.op not in _RESHAPES and not (above and self._picks_a_step(node)):
                raise ValueError(f"the graph has a node {node.op}, which is no part of an RNN here")

    def _picks_a_step(self, node: Node) -> bool:
        """Say whether a node takes one step of all: the RNN is the same, of which less is read."""
        index = self.constant(node.inputs[1]) if node.op == "Gather" else None
        return index is not None and index.numel() == 1 and node.attributes.get("axis", 0) in (0, 1)

    def _affine(self, node: Node, bias: Tensor | None) -> Affine:
        weight, given = self.constant(node.inputs[1]), node.attributes
        if weight is None or weight.ndim != 2:
            raise ValueError(f"a {node.op} of two values that change, or of no matrix")
        if node.op == "MatMul":
            return weight.mT, None if bias is None else bias.reshape(-1)
        if given.get("transA"):
            raise ValueError("a Gemm of turned inputs is no linear layer")
        weight = (weight if given.get("transB") else weight.mT) * given.get("alpha", 1.0)
        added = self.constant(node.inputs[2]) if len(node.inputs) > 2 else None
        return weight, None if added is None else added.reshape(-1) * given.get("beta", 1.0)

    def _cell(self, node: Node) -> _Cell:
        _check_attributes(node)
        given = [*node.inputs, *[""] * (_PEEPHOLES + 1 - len(node.inputs))]
        if given[_LENGTHS] or given[_PEEPHOLES]:
            odd = "peepholes" if given[_PEEPHOLES] else "lengths of sequences"
            raise ValueError(f"an {node.op} with {odd} has no cell here")
        if not all(self.is_zero(given[place]) for place in _STATES):
            raise ValueError(f"an {node.op} starts from a state that is not zero")
        w_ih, w_hh = self.constant(given[1]), self.constant(given[2])
        bias = self.constant(given[3]) if given[3] else None
        if w_ih is None or w_hh is None or (given[3] and bias is None):
            raise ValueError(f"the weights of an {node.op} are computed in the graph")
        order = _ORDERS[node.op]
        tensors = {"weight_ih": blocks(w_ih[0], order), "weight_hh": blocks(w_hh[0], order)}
        before = node.op == "GRU" and not node.attributes.get("linear_before_reset", 0)
        if bias is not None:
            one, two = (blocks(part, order) for part in bias[0].chunk(2))
            both = {"bias_ih": one, "bias_hh": two}
            tensors |= {"bias": one + two} if before else both
        return _Cell(_name(node, before), tensors)


def _check_attributes(node: Node) -> None:
    given: Mapping[str, Any] = node.attributes
    if given.get("direction", "forward") != "forward":
        raise ValueError(f"an {node.op} in direction {given['direction']}: it reads later inputs")
    odd = [name for name in ("clip", "input_forget") if given.get(name)]
    if node.op in _USUAL and given.get("activations", _USUAL[node.op]) != _USUAL[node.op]:
        odd.append(f"activations {', '.join(given['activations'])}")
    if odd:
        raise ValueError(f"an {node.op} with {' and '.join(odd)} has no cell here")


def _name(node: Node, before: bool) -> str:
    if node.op == "RNN":
        name = str(node.attributes.get("activations", ["Tanh"])[0]).lower()
        if name not in list_cells():
            raise ValueError(f"there is no cell for an RNN with activation {name}")
        return name
    return f"{node.op.lower()}_reset_before" if before else node.op.lower()


def _find(content: Content, said: Said) -> list[Candidate] | str:
    ops = {node.op for node in content.settings["nodes"]}
    if not ops & {*_ORDERS}:
        return f"no LSTM, GRU or RNN in the graph, whose nodes are {', '.join(sorted(ops))}"
    output = said.get("output", content.settings["outputs"][0])
    steps = [*_Graph(content).steps(output)][::-1]
    places = [place for place, step in enumerate(steps) if isinstance(step, _Cell)]
    if not places:
        raise ValueError(f"no recurrent node leads to the output {output!r}")
    cells = [step for step in steps[places[0] : places[-1] + 1] if isinstance(step, _Cell)]
    before, after = steps[: places[0]], steps[places[-1] + 1 :]
    if len(cells) != places[-1] + 1 - places[0] or len({cell.name for cell in cells}) > 1:
        raise ValueError("recurrent nodes of several kinds, or with other layers between them")
    linear = [step for step in before if isinstance(step, tuple)]
    if len(linear) != len(before):
        raise ValueError("before the recurrent nodes stands a nonlinearity")
    readout, inner, final = readout_of([step for step in after if not isinstance(step, _Cell)])
    parts = Parts(
        cells[0].name,
        [cell.tensors for cell in cells],
        readout,
        folded(*linear) if linear else None,
        (),
        inner,
        final,
    )
    return [Candidate(parts.weights(), {}, ("gates in ONNX's order", "a first state of zeros"))]


ONNX_GRAPH = Recogniser(
    "ONNX",
    frozenset({"onnx"}),
    {"output": "name of the graph's output, where the first is not the readout"},
    _find,
)
