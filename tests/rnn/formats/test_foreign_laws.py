"""Files written here from random weights give what a loop in NumPy, or ONNX itself, computes."""

import io
import json
import zipfile
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import nn

from wsrl import read_rnn
from wsrl.rnn import RNNWeights, run_population
from wsrl.rnn.formats import OpenChoiceError
from wsrl.rnn.formats.parts import Parts

h5py = pytest.importorskip("h5py", reason="the extra wsrl[files] is not here")
msgpack = pytest.importorskip("msgpack", reason="the extra wsrl[files] is not here")
onnx = pytest.importorskip("onnx", reason="the extra wsrl[files] is not here")

Array: TypeAlias = NDArray[np.float32]
I, H, O = 3, 4, 2  # noqa: E741
RNG = np.random.default_rng(0)
INPUTS = RNG.standard_normal((2, 6, I)).astype("f4")


def draw(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype("f4")


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


def loop(step: Callable[[Array, Any], tuple[Array, Any]], inputs: Array, state: Any) -> Array:
    """Run over ``inputs (S, T, I)``; a step returns what is read, and the next state."""
    outputs = []
    for x in inputs.swapaxes(0, 1):
        output, state = step(x, state)
        outputs.append(output)
    return np.stack(outputs, 1)


def check(weights: RNNWeights, wanted: Array) -> None:
    found = run_population(weights, torch.from_numpy(INPUTS)[None])[0][0].numpy()
    assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()


def keras_lstm(w: list[Array]) -> Callable[[Array, Any], tuple[Array, Any]]:
    def step(x: Array, state: Any) -> tuple[Array, Any]:
        h, c = state
        i, f, g, o = np.split(x @ w[0] + h @ w[1] + w[2], 4, -1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        return h, (h, c)

    return step


def keras_gru(w: list[Array], after: bool) -> Callable[[Array, Any], tuple[Array, Any]]:
    def step(x: Array, h: Array) -> tuple[Array, Array]:
        xz, xr, xn = np.split(x @ w[0] + (w[2][0] if after else w[2]), 3, -1)
        uz, ur, un = np.split(w[1], 3, -1)
        bz, br, bn = np.split(w[2][1], 3, -1) if after else (0, 0, 0)
        z, r = sigmoid(xz + h @ uz + bz), sigmoid(xr + h @ ur + br)
        n = np.tanh(xn + (r * (h @ un + bn) if after else (r * h) @ un))
        h = z * h + (1 - z) * n
        return h, h

    return step


def layer(kind: str, name: str, **config: Any) -> dict[str, Any]:
    return {"class_name": kind, "config": {"name": name, **config}}


def keras(path: Path, layers: list[dict[str, Any]], weights: dict[str, list[Array]]) -> Path:
    """Write a model; weights are given by group and place, as ``lstm/cell``."""
    stored = io.BytesIO()
    with h5py.File(stored, "w") as file:
        for place, arrays in weights.items():
            for number, array in enumerate(arrays):
                file[f"layers/{place}/vars/{number}"] = array
    if not layers:
        path.write_bytes(stored.getvalue())
        return path
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.weights.h5", stored.getvalue())
        config = {"class_name": "Sequential", "config": {"layers": layers}}
        archive.writestr("config.json", json.dumps(config))
    return path


def test_keras_lstms_with_layers_before_and_after(tmp_path: Path) -> None:
    one, two = ([draw(n, 4 * H), draw(H, 4 * H), draw(4 * H)] for n in (2, H))
    before, mid, last = [draw(I, 2), draw(2)], [draw(H, 5), draw(5)], [draw(5, O), draw(O)]
    layers = [
        layer("InputLayer", "input"),
        layer("Dense", "dense"),
        layer("LSTM", "lstm", activation="tanh", recurrent_activation="sigmoid"),
        layer("Dropout", "dropout_1"),
        layer("RNN", "lstm_1", cell=layer("LSTMCell", "c", activation="tanh")),
        layer("Dropout", "dropout"),
        layer("TimeDistributed", "dense_1", layer=layer("Dense", "d", activation="relu")),
        layer("Dense", "dense_2", activation="softmax"),
    ]
    places = {"dense": before, "lstm/cell": one, "lstm_1/cell": two}
    places |= {"dense_1/layer": mid, "dense_2": last}
    weights = read_rnn(keras(tmp_path / "x.keras", layers, places))
    zeros = np.zeros((2, H), "f4")
    hidden = loop(keras_lstm(one), INPUTS @ before[0] + before[1], (zeros, zeros))
    hidden = loop(keras_lstm(two), hidden, (zeros, zeros))
    check(weights, relu(hidden @ mid[0] + mid[1]) @ last[0] + last[1])
    assert weights.spec.output_activation == "softmax"
    odd = {
        "recurrent_activation hard_sigmoid": layer(
            "LSTM", "lstm", recurrent_activation="hard_sigmoid"
        ),
        "bidirectional": layer("Bidirectional", "lstm", layer=layer("LSTM", "lstm")),
        "go_backwards=True": layer("LSTM", "lstm", go_backwards=True),
        "an activation of its own": layer("LSTM", "lstm", activation={"class_name": "F"}),
    }
    for reason, one_layer in odd.items():
        keras(tmp_path / "x.keras", [*layers[:2], one_layer, *layers[3:]], places)
        with pytest.raises(ValueError, match=reason):
            read_rnn(tmp_path / "x.keras")


def node(*names: str) -> list[list[list[Any]]]:
    """Return what Keras 2 writes of a layer that reads others."""
    return [[[name, 0, 0, {}] for name in names]]


def test_files_of_keras_2_are_read_by_names_and_nodes(tmp_path: Path) -> None:
    arrays = {"gru": [draw(I, 3 * H), draw(H, 3 * H), draw(2, 3 * H)], "out": [draw(H, O), draw(O)]}
    layers = [  # in no order
        layer("Dense", "out", activation="linear") | {"inbound_nodes": node("gru")},
        layer("GRU", "gru", reset_after=True) | {"inbound_nodes": node("in")},
        layer("InputLayer", "in") | {"inbound_nodes": []},
    ]
    model = {"class_name": "Functional", "config": {"layers": layers}}
    names = ("kernel", "recurrent_kernel", "bias")

    def write(**attributes: str) -> Path:
        with h5py.File(tmp_path / "x.h5", "w") as file:
            for place, own in arrays.items():
                home = f"model_weights/{place}/{place}" + ("/gru_cell" if place == "gru" else "")
                given = names if place == "gru" else ("kernel", "bias")
                for name, array in zip(given, own, strict=True):
                    file[f"{home}/{name}:0"] = array
            file["optimizer_weights/Adam/m/out/kernel:0"] = draw(H, O)
            file.attrs.update(attributes)
        return tmp_path / "x.h5"

    hidden = loop(keras_gru(arrays["gru"], after=True), INPUTS, np.zeros((2, H), "f4"))
    wanted = hidden @ arrays["out"][0] + arrays["out"][1]
    for outputs in (["out", 0, 0], [["out", 0, 0]]):
        model["config"] = {"layers": layers, "output_layers": outputs}
        check(read_rnn(write(model_config=json.dumps(model))), wanted)
    check(read_rnn(write()), wanted)  # by names alone
    layers[0]["inbound_nodes"] = node("gru", "in")
    with pytest.raises(ValueError, match="no chain of layers, at gru, in"):
        read_rnn(write(model_config=json.dumps(model)))


@pytest.mark.parametrize("sizes", [(5, 2, 4), (1, 3), (3, 2)])
def test_layers_of_several_sizes_are_filled_up(sizes: tuple[int, ...], tmp_path: Path) -> None:
    below = (I, *sizes)
    lstms = [[draw(n, 4 * h), draw(h, 4 * h), draw(4 * h)] for n, h in zip(below, sizes)]  # noqa: B905
    names = ["lstm", *(f"lstm_{number}" for number in range(1, len(sizes)))]
    readout = [draw(sizes[-1], O), draw(O)]
    places = {f"{name}/cell": arrays for name, arrays in zip(names, lstms, strict=True)}
    layers = [layer("LSTM", name) for name in names] + [layer("Dense", "dense")]
    weights = read_rnn(keras(tmp_path / "x.keras", layers, {**places, "dense": readout}))
    hidden = INPUTS
    for arrays, size in zip(lstms, sizes, strict=True):
        hidden = loop(keras_lstm(arrays), hidden, (np.zeros((2, size), "f4"),) * 2)
    check(weights, hidden @ readout[0] + readout[1])
    keras(tmp_path / "x.keras", layers, {**places, "dense": [draw(sizes[-1] + 1, O)]})
    with pytest.raises(ValueError, match=r"linear\.weight is .*, not "):
        read_rnn(tmp_path / "x.keras")


def test_cells_of_several_sizes_and_first_states_are_filled_up(tmp_path: Path) -> None:
    cells = nn.ModuleList([nn.GRUCell(I, 5), nn.GRUCell(5, 2)])
    readout = nn.Linear(2, O)
    first = nn.ParameterList([torch.randn(5), torch.randn(2)])
    parts = {"cells": cells, "readout": readout}
    state = {f"{name}.{k}": v for name, m in parts.items() for k, v in m.state_dict().items()}
    torch.save(state, tmp_path / "x.pt")
    weights = read_rnn(tmp_path / "x.pt")
    states = [torch.zeros(2, 5), torch.zeros(2, 2)]
    outputs = []
    for x in torch.from_numpy(INPUTS).unbind(1):
        states[0] = cells[0](x, states[0])
        states[1] = cells[1](states[0], states[1])
        outputs.append(readout(states[1]))
    check(weights, torch.stack(outputs, 1).detach().numpy())
    layers = [{"weight_ih": c.weight_ih, "weight_hh": c.weight_hh} for c in cells]
    own = [{"h": vector} for vector in first]
    found = Parts("gru", layers, [(readout.weight, None)], initial=own).weights().tensors()
    assert found["initial.h_l0"][0].tolist() == first[0].tolist()
    assert found["initial.h_l1"][0].tolist() == [*first[1].tolist(), 0, 0, 0]


@pytest.mark.parametrize("after", [True, False])
def test_keras_grus_reset_as_their_biases_or_configuration_say(after: bool, tmp_path: Path) -> None:
    cell = [draw(I, 3 * H), draw(H, 3 * H), draw(2, 3 * H) if after else draw(3 * H)]
    readout = [draw(H, O), draw(O)]
    wanted = loop(keras_gru(cell, after), INPUTS, np.zeros((2, H), "f4")) @ readout[0] + readout[1]
    path = keras(tmp_path / "x.weights.h5", [], {"gru_3/cell": cell, "dense": readout})
    check(read_rnn(path), wanted)
    path = keras(tmp_path / "x.weights.h5", [], {"gru_3/cell": cell[:2], "dense": readout})
    with pytest.raises(OpenChoiceError, match="reset_after False or True"):
        read_rnn(path)
    cell[2] *= 0
    wanted = loop(keras_gru(cell, after), INPUTS, np.zeros((2, H), "f4")) @ readout[0] + readout[1]
    check(read_rnn(path, reset_after=after), wanted)


def pack(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: pack(value) for key, value in tree.items()}
    return msgpack.ExtType(1, msgpack.packb((tree.shape, tree.dtype.name, tree.tobytes())))


def flax(path: Path, **modules: Any) -> Path:
    path.write_bytes(msgpack.packb({"params": pack(modules)}))
    return path


def test_flax_grus_with_a_layer_before_them(tmp_path: Path) -> None:
    def cell(inputs: int) -> dict[str, Any]:
        own = {f"i{g}": {"kernel": draw(inputs, H), "bias": draw(H)} for g in "rzn"}
        return own | {f"h{g}": {"kernel": draw(H, H)} for g in "rzn"} | {"hn": dense(H, H)}

    def dense(*shape: int) -> dict[str, Array]:
        return {"kernel": draw(*shape), "bias": draw(shape[1])}

    def run(w: dict[str, Any], x: Array, h: Array) -> tuple[Array, Array]:
        i = {g: x @ w[f"i{g}"]["kernel"] + w[f"i{g}"]["bias"] for g in "rzn"}
        u = {g: h @ w[f"h{g}"]["kernel"] for g in "rzn"}
        z, r = sigmoid(i["z"] + u["z"]), sigmoid(i["r"] + u["r"])
        h = (1 - z) * np.tanh(i["n"] + r * (u["n"] + w["hn"]["bias"])) + z * h
        return h, h

    first, second, before, after = cell(2), cell(H), dense(I, 2), dense(H, O)
    modules = {"rnn": {"GRUCell_0": first, "GRUCell_1": second}, "b": before, "a": after}
    zeros = np.zeros((2, H), "f4")
    hidden = INPUTS @ before["kernel"] + before["bias"]
    for w in (first, second):
        hidden = loop(lambda x, h, w=w: run(w, x, h), hidden, zeros)
    path = flax(tmp_path / "x.msgpack", **modules)
    check(read_rnn(path), hidden @ after["kernel"] + after["bias"])
    flax(path, **modules, odd={"scale": draw(H)})
    with pytest.raises(ValueError, match="params/odd/scale"):
        read_rnn(path)
    weights = read_rnn(path, ignore=["params/odd"])
    assert weights.spec.num_layers == 2


@pytest.mark.parametrize("modes", [2, 6])
def test_linear_recurrent_units_of_fewer_and_more_modes_than_outputs(
    modes: int, tmp_path: Path
) -> None:
    shapes = {"nu_log": (modes,), "theta_log": (modes,), "gamma_log": (modes,), "D": (H,)}
    shapes |= {f"{m}_{part}": (modes, H) for m in "B" for part in ("re", "im")}
    shapes |= {f"{m}_{part}": (H, modes) for m in "C" for part in ("re", "im")}
    w = {name: draw(*shape) for name, shape in shapes.items()}
    first, hidden, last = ({"kernel": draw(*s)} for s in ((I, H), (H, 5), (5, O)))
    modules = {"encoder": first, "lru": w, "Dense_0": hidden, "Dense_1": last}
    path = flax(tmp_path / "x.msgpack", **modules)
    with pytest.raises(OpenChoiceError, match="readout_activation gelu or none or relu"):
        read_rnn(path)
    weights = read_rnn(path, readout_activation="relu")
    assert weights.spec.hidden_size == max(modes, H)
    eigenvalues = np.exp(-np.exp(w["nu_log"]) + 1j * np.exp(w["theta_log"]))
    b, c = w["B_re"] + 1j * w["B_im"], w["C_re"] + 1j * w["C_im"]

    def step(x: Array, s: Any) -> tuple[Array, Any]:
        s = eigenvalues * s + np.exp(w["gamma_log"]) * (x @ b.T)
        return (s @ c.T).real + w["D"] * x, s

    read = loop(step, INPUTS @ first["kernel"], np.zeros((2, modes)))
    check(weights, relu(read @ hidden["kernel"]) @ last["kernel"])
    flax(path, **modules, lru_1=w)
    with pytest.raises(ValueError, match="several LRUs"):
        read_rnn(path)


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


def leaky(
    form: str, phi: Callable[[Array], Array], alpha: Any, w: Array, u: Array, b: Array
) -> Callable[[Array, Array], tuple[Array, Array]]:
    def step(x: Array, s: Array) -> tuple[Array, Array]:
        heard = phi(s) if form == "state" else s
        total = heard @ w.T + x @ u.T + b
        if form == "inside":
            s = phi((1 - alpha) * s + alpha * total)
        else:
            s = (1 - alpha) * s + alpha * (total if form == "state" else phi(total))
        return (phi(s) if form == "state" else s), s

    return step


PHIS = {"tanh": np.tanh, "relu": relu, "sigmoid": sigmoid}


@pytest.mark.parametrize("form", ["state", "rate", "inside"])
def test_leaky_units_of_nn_brain_are_what_is_said(form: str, tmp_path: Path) -> None:
    names = {"net.rnn.input2h.weight": (H, I), "net.rnn.input2h.bias": (H,)}
    names |= {"net.rnn.h2h.weight": (H, H), "net.rnn.h2h.bias": (H,)}
    state = {name: draw(*shape) for name, shape in names.items()}
    u, b_in, w, b = state.values()
    readout, excitatory = draw(O, H - 1), np.eye(H)[:, : H - 1].astype("f4")
    signs = np.array([1, 1, 1, -1], "f4")
    acting = {"none": w, "dale": np.abs(w) * signs * (1 - np.eye(H, dtype="f4"))}
    stored = {k: torch.from_numpy(v) for k, v in {**state, "net.fc.weight": readout}.items()}
    torch.save(stored, tmp_path / "x.pt")
    alphas = 0.3, np.array([0.1, 0.2, 0.3, 0.4])
    for (phi, f), constraint, alpha in product(PHIS.items(), acting, alphas):
        said = {"form": form, "nonlinearity": phi, "alpha": alpha, "constraint": constraint}
        weights = read_rnn(tmp_path / "x.pt", **said)
        step = leaky(form, f, np.array(alpha, "f4"), acting[constraint], u, b + b_in)
        check(weights, loop(step, INPUTS, np.zeros((2, H), "f4")) @ excitatory @ readout.T)
    torch.save({name: value.half() for name, value in stored.items()}, tmp_path / "half.pt")
    torch.save({name: value.half().float() for name, value in stored.items()}, tmp_path / "y.pt")
    half, whole = (read_rnn(tmp_path / name, **said) for name in ("half.pt", "y.pt"))
    assert bool((half.flat == whole.flat).all())  # two biases are added up in float32
    for wrong in (0, 1.5, "much", [0.1, 0.2]):
        with pytest.raises(ValueError, match="alpha"):
            read_rnn(tmp_path / "x.pt", **said | {"alpha": wrong})


@pytest.mark.parametrize("orientation", ["to, from", "from, to"])
def test_tensors_of_any_names_are_what_the_user_says(orientation: str, tmp_path: Path) -> None:
    shapes = {"A": (H, H), "B": (H, I), "C": (H, O), "d": (1, H), "e": (H,), "f": (O,), "s": (H,)}
    arrays = {name: draw(*shape) for name, shape in shapes.items()}
    a, b, c, d, e, f, start = arrays.values()
    path = tmp_path / "x.npz"
    np.savez(path, **arrays | ({"B": b.T} if orientation == "from, to" else {}), step=np.array(3))
    roles = {"recurrent": "A", "input": "B", "readout": "C", "bias": "d, e"}
    roles |= {"readout_bias": "f", "initial": "s", "nonlinearity": "relu", "alpha": 0.5}
    said = roles | {"form": "rate", "orientation": orientation}
    weights = read_rnn(path, ignore=["step"], **said)
    step = leaky("rate", relu, 0.5, a if orientation == "to, from" else a.T, b, d[0] + e)
    check(weights, loop(step, INPUTS, np.tile(start, (2, 1))) @ c + f)
    with pytest.raises(ValueError, match=r"what these are for: step\. .*--ignore"):
        read_rnn(path, **said)
    with pytest.raises(OpenChoiceError, match=r"orientation 'from, to' or 'to, from'; form inside"):
        read_rnn(path, ignore=["step"], **roles)
    with pytest.raises(ValueError, match="one key each is expected of recurrent"):
        read_rnn(path, ignore=["step"], **said | {"recurrent": "A, A"})
    with pytest.raises(ValueError, match="no key Z; there are A, B"):
        read_rnn(path, ignore=["step"], **said | {"bias": "Z"})


def test_a_reference_settles_what_is_open_or_is_too_short_to_do_so(tmp_path: Path) -> None:
    arrays = {"A": draw(H, H), "B": draw(H, I), "C": draw(O, H), "f": draw(H)}
    np.savez(tmp_path / "x.npz", **arrays)
    roles = {"recurrent": "A", "input": "B", "readout": "C", "bias": "f"}
    said = {"orientation": "from, to", "form": "state", "nonlinearity": "tanh", "alpha": 0.25}
    weights = read_rnn(tmp_path / "x.npz", **roles, **said)
    inputs = torch.from_numpy(INPUTS)
    outputs = run_population(weights, inputs[None])[0][0]
    for steps in (1, 6):
        reference = {"inputs": inputs[:, :steps], "outputs": outputs[:, :steps]}
        path = tmp_path / "io.safetensors"
        save_file({name: value.contiguous() for name, value in reference.items()}, path)
        if steps == 1:  # the first step from zero hears no neuron
            with pytest.raises(OpenChoiceError, match=r"differ on other .* orientation 'from, to'"):
                read_rnn(tmp_path / "x.npz", reference=path, **roles)
        else:
            found = read_rnn(tmp_path / "x.npz", reference=path, **roles)
            assert bool((found.flat == weights.flat).all())


@pytest.mark.parametrize("full", [True, False])
def test_the_first_step_without_a_bias_is_that_of_lowrank_inference(
    full: bool, tmp_path: Path
) -> None:
    shapes = {"wi": (I, H), "si": (I,), "b": (H,), "wo": (H, O), "so": (O,), "h0": (H,)}
    shapes |= {"wrec": (H, H)} if full else {"m": (H, 2), "n": (H, 2)}
    state = {name: draw(*shape) / 3 for name, shape in shapes.items()}
    torch.save({k: torch.from_numpy(v) for k, v in state.items()}, tmp_path / "x.pt")
    size = 1 if full else H
    w = state["wrec"] if full else state["m"] @ state["n"].T / size
    u, out = (state["wi"].T * state["si"]).T, state["wo"] * state["so"] / size

    def step(x: Array, carried: tuple[Array, Array]) -> tuple[Array, Any]:
        s, r = carried
        s = s + 0.2 * (-s + r @ w.T + x @ u)
        return np.tanh(s) @ out, (s, np.tanh(s + state["b"]))

    first = np.tile(state["h0"], (2, 1))
    said = {"nonlinearity": "tanh", "alpha": 0.2} | ({} if full else {"scale": "1/N"})
    weights = read_rnn(tmp_path / "x.pt", **said)
    check(weights, loop(step, INPUTS, (first, np.tanh(first))))
    for without_gradients in (torch.no_grad(), torch.inference_mode()):
        with without_gradients:
            assert bool((read_rnn(tmp_path / "x.pt", **said).flat == weights.flat).all())
    with pytest.raises(AssertionError):  # the bias there counts in what is compared
        check(weights, loop(step, INPUTS, (first, np.tanh(first + state["b"]))))


@pytest.mark.parametrize(("kind", "form"), [("s", "rate"), ("h", "state")])
def test_trainrnnbrain_is_read_where_the_leak_is_linear(
    kind: str, form: str, tmp_path: Path
) -> None:
    shapes = {"W_inp": (H, I), "W_rec": (H, H), "W_out": (O, H), "y_init": (H,), "bias": (H,)}
    arrays = {name: draw(*shape) for name, shape in shapes.items()}
    facts = {"equation_type": kind, "gamma": 0.0, "dt": 1, "tau": 10}
    facts["activation_args"] = {"name": "tanh", "slope": 1.0}
    content = facts | {name: array.tolist() for name, array in arrays.items()}
    (tmp_path / "x.json").write_text(json.dumps(content))
    u, w, out, start, b = arrays.values()
    step = leaky(form, np.tanh, 0.1, w, u, b)
    check(read_rnn(tmp_path / "x.json"), loop(step, INPUTS, np.tile(start, (2, 1))) @ out.T)
    with pytest.raises(ValueError, match=r"alpha is .* in the file, not \[0.5\]"):
        read_rnn(tmp_path / "x.json", alpha=0.5)
    (tmp_path / "x.json").write_text(json.dumps(content | {"tau": 0.5}))
    with pytest.raises(ValueError, match=r"dt 1 and tau 0\.5; expected numbers with dt above 0"):
        read_rnn(tmp_path / "x.json")


def test_leaves_of_equinox_tell_what_they_are_by_their_shapes(tmp_path: Path) -> None:
    def write(*shapes: tuple[int, ...]) -> Path:
        with (tmp_path / "x.eqx").open("wb") as file:
            for shape in shapes:
                np.save(file, draw(*shape))
        return tmp_path / "x.eqx"

    cell = [(12, I), (12, H), (12,), (H,)]
    assert str(read_rnn(write(*cell, (O, H))).spec) == "gru 1x4, 3 inputs, 2 outputs"
    two = [*cell, (12, H), (12, H), (12,), (H,), (O, H), (O,)]
    assert read_rnn(write(*two)).spec.num_layers == 2
    square = [(16, H), (16, H), (16,), (H, H), (H,), (H, H)]
    with pytest.raises(OpenChoiceError, match="input_layer 'leaf 3' or 'leaf 5'"):
        read_rnn(write(*square))
    said = {"readout": "leaf 5", "input_layer": "leaf 3"}
    assert read_rnn(write(*square), **said).spec.cell == "lstm"
    with pytest.raises(ValueError, match=r"there are \(4, 3\), \(4, 4\)"):
        read_rnn(write((H, I), (H, H), (H,), (O, H)))
