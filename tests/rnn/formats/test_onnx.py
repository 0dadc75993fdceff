"""ONNX files of random weights give what ONNX itself computes."""

from pathlib import Path
from typing import Any

import pytest

from tests.rnn.formats.numpy_loops import INPUTS, H, I, O, check, draw
from wsrl import read_rnn

onnx = pytest.importorskip("onnx", reason="the extra wsrl[files] is not here")


def onnx_model(path: Path, op: str, gates: int, directions: int = 1, **attributes: Any) -> Any:
    """Write a model of one recurrent node and a Gemm; return it."""
    shapes = {"W": (gates * H, I), "R": (gates * H, H), "B": (2 * gates * H,)}
    arrays = {name: draw(directions, *shape) for name, shape in shapes.items()}
    arrays |= {"out": draw(O, H * directions), "bias": draw(O)}
    node = onnx.helper.make_node
    nodes = [
        node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        node(op, ["t", "W", "R", "B"], ["y"], hidden_size=H, **attributes),
        node("Transpose", ["y"], ["turned"], perm=[2, 0, 1, 3]),
        node("Constant", [], ["shape"], value_ints=[2, 6, directions * H]),
        node("Reshape", ["turned", "shape"], ["hidden"]),
        node("Constant", [], ["flat"], value_ints=[12, directions * H]),
        node("Reshape", ["hidden", "flat"], ["rows"]),
        node("Gemm", ["rows", "out", "bias"], ["gemm"], transB=1),
        node("Constant", [], ["back"], value_ints=[2, 6, O]),
        node("Reshape", ["gemm", "back"], ["outputs"]),
    ]
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes,
        "g",
        [value("x", 1, [2, 6, I])],
        [value("outputs", 1, [2, 6, O])],
        [onnx.numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 14)])
    onnx.save(model, path)
    return model


@pytest.mark.parametrize(
    ("op", "gates", "attributes", "cell"),
    [
        ("LSTM", 4, {}, "lstm"),
        ("GRU", 3, {"linear_before_reset": 1}, "gru"),
        ("GRU", 3, {}, "gru_reset_before"),
        ("RNN", 1, {}, "tanh"),
    ],
)
def test_onnx_nodes_give_what_onnx_computes(
    op: str, gates: int, attributes: dict[str, Any], cell: str, tmp_path: Path
) -> None:
    from onnx.reference import ReferenceEvaluator

    model = onnx_model(tmp_path / "x.onnx", op, gates, **attributes)
    weights = read_rnn(tmp_path / "x.onnx")
    assert weights.spec.cell == cell
    (wanted,) = ReferenceEvaluator(model).run(None, {"x": INPUTS})
    check(weights, wanted)


def test_an_onnx_file_may_give_the_last_step_alone(tmp_path: Path) -> None:
    model = onnx_model(tmp_path / "x.onnx", "RNN", 1)
    whole = read_rnn(tmp_path / "x.onnx")
    nodes = [*model.graph.node]
    nodes[7].input[0] = "last"
    index = onnx.helper.make_node("Constant", [], ["index"], value_int=5)
    nodes[7:7] = [index, onnx.helper.make_node("Gather", ["hidden", "index"], ["last"], axis=1)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, tmp_path / "x.onnx")
    assert bool((read_rnn(tmp_path / "x.onnx").flat == whole.flat).all())
    nodes[8].attribute[0].i = 2  # a neuron, not a step
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, tmp_path / "x.onnx")
    with pytest.raises(ValueError, match="node Gather, which is no part"):
        read_rnn(tmp_path / "x.onnx")
    nodes[8].input[0], nodes[8].attribute[0].i = "last", 1
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, tmp_path / "x.onnx")
    with pytest.raises(ValueError, match="'last' is no value of the graph, or leads back to"):
        read_rnn(tmp_path / "x.onnx")


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"direction": "bidirectional", "directions": 2}, "it reads later inputs"),
        ({"clip": 3.0}, "with clip has no cell"),
        ({"activations": ["HardSigmoid", "Tanh", "Tanh"]}, "with activations HardSigmoid"),
    ],
)
def test_onnx_nodes_that_compute_something_else_are_refused(
    attributes: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    onnx_model(tmp_path / "x.onnx", "LSTM", 4, **attributes)
    with pytest.raises(ValueError, match=reason):
        read_rnn(tmp_path / "x.onnx")
