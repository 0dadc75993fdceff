"""ONNX files: initial values of tensors, and the graph that says what is what."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from wsrl.rnn.formats.arrays import MOST_BYTES, Contents, to_tensor
from wsrl.safe_files import read_regular


@dataclass(frozen=True)
class Node:
    """One node of a graph.

    Attributes:
        op: its operator, such as ``LSTM``.
        inputs: names of values; empty for those that are left out.
        outputs: names of values.
        attributes: plain values; of an array, its tensor.
    """

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any] = field(default_factory=dict)


def read_onnx(path: Path) -> Contents:
    """Read an ONNX file; nothing is run, and numbers in other files are refused.

    Returns:
        The initialisers, and ``{"nodes": [Node], "inputs": [names], "outputs": [names]}``.
    """
    import onnx

    graph = onnx.load_model_from_string(read_regular(path, MOST_BYTES)).graph
    tensors = {item.name: _tensor(item) for item in graph.initializer}
    nodes = [
        Node(
            node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}",
            tuple(node.input),
            tuple(node.output),
            {item.name: _attribute(item) for item in node.attribute},
        )
        for node in graph.node
    ]
    inputs = [item.name for item in graph.input if item.name not in tensors]
    return tensors, {
        "nodes": nodes,
        "inputs": inputs,
        "outputs": [item.name for item in graph.output],
    }


def _attribute(item: Any) -> Any:
    import onnx

    if item.type == onnx.AttributeProto.TENSOR:
        return _tensor(item.t)
    if item.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS):
        return "a graph"  # of a loop or a condition
    value = onnx.helper.get_attribute_value(item)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, int | float):
        return value
    return [v.decode(errors="replace") if isinstance(v, bytes) else v for v in value]


def _tensor(item: Any) -> Tensor:
    import onnx

    name = item.name or "a constant"
    if item.data_location == onnx.TensorProto.EXTERNAL:
        raise ValueError(f"the numbers of {name} lie in another file: export it as one file")
    size = int(np.prod(list(item.dims), dtype=object)) if item.dims else 1
    if size > item.ByteSize():  # each number takes at least a byte, but in 4-bit types
        raise ValueError(f"{name} says it has {size} numbers, and has {item.ByteSize()} bytes")
    tensor = to_tensor(onnx.numpy_helper.to_array(item))
    if tensor is None:
        raise ValueError(f"{name} has no numbers that weights have")
    return tensor
