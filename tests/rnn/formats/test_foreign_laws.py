"""Files of Keras, Flax and Equinox, from random weights, give what a loop in NumPy computes."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.rnn.formats.numpy_loops import INPUTS, Array, H, I, O, check, draw, loop, relu, sigmoid
from tests.rnn.formats.samples import sample
from wsrl import read_rnn
from wsrl.rnn.formats import OpenChoiceError
from wsrl.rnn.formats.parts import Parts

h5py = pytest.importorskip("h5py", reason="the extra wsrl[files] is not here")
msgpack = pytest.importorskip("msgpack", reason="the extra wsrl[files] is not here")


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


@pytest.mark.parametrize(
    ("file", "said", "known"),
    [
        ("equinox-gru/model.eqx", {"readout": "leaf 9"}, "readout is 'leaf 4'"),
        ("equinox-gru/model.eqx", {"input_layer": "leaf 4"}, "input_layer is none"),
        ("keras-gru-reset-before/model.keras", {"reset_after": True}, "reset_after is False"),
        ("keras-simple-relu/model.keras", {"nonlinearity": "tanh"}, "nonlinearity is relu"),
        ("torch-lstmcell-loop/model.pt", {"readout": "fc2"}, "readout is "),
    ],
)
def test_what_contradicts_the_file_is_refused(file: str, said: dict[str, Any], known: str) -> None:
    folder, _, name = file.partition("/")
    with pytest.raises(ValueError, match=rf"the {known}.*, not '{[*said.values()][-1]}'"):
        read_rnn(sample(folder) / name, **said)


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
