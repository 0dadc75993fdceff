"""Files as projects write them, from random weights, give what a loop in NumPy computes."""

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.rnn.formats.numpy_loops import INPUTS, Array, H, I, O, check, draw, loop, relu, sigmoid
from tests.rnn.formats.samples import sample
from wsrl import read_rnn
from wsrl.rnn import run_population
from wsrl.rnn.formats import OpenChoiceError, read_container, read_content


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


@pytest.mark.parametrize("own", [False, True])
def test_the_full_rank_cell_of_smc_rnns_hears_no_bias(own: bool, tmp_path: Path) -> None:
    shapes = {"w_inp": (I, H), "w_rec": (H, H), "w_out": (H, O), "b_rec": (H,), "x0": (1, H)}
    state = {name: draw(*shape) for name, shape in shapes.items()}
    state |= {"w_inp_scale": draw(1), "w_out_scale": draw(1), "taus_gaus": draw(H if own else 1)}
    saved = {n if n == "x0" else f"rnn.{n}": torch.tensor(v) for n, v in state.items()}
    torch.save(saved, tmp_path / "x.pt")
    alphas = np.linspace(0.1, 0.8, H, dtype="f4") if own else np.array([0.3], "f4")
    u = (state["w_inp"] * state["w_inp_scale"]).T
    step = leaky("state", np.tanh, alphas, state["w_rec"], u, np.zeros(H))
    outputs = loop(step, INPUTS, np.tile(state["x0"], (2, 1))) @ state["w_out"]
    said = {"nonlinearity": "tanh", "alpha": alphas.tolist()}
    weights = read_rnn(tmp_path / "x.pt", **said)
    check(weights, outputs * state["w_out_scale"])
    assert not weights.spec.bias
    with pytest.raises(OpenChoiceError, match="nonlinearity relu or"):
        read_rnn(tmp_path / "x.pt", alpha=0.3)


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


@pytest.mark.parametrize(("low", "fits"), [(1.0, True), (0.8, False)])
def test_an_alpha_that_only_the_project_computes_with_is_refused(low: float, fits: bool) -> None:
    """Trained time constants that are shorter than a step: no cell here has such leaks."""
    content = read_container(next(sample("spikernn-rate").glob("*.mat")))
    content.tensors["taus"] = torch.tensor([low, 20.0])
    content.tensors["taus_gaus"][3] = -100  # this neuron's time constant is the lowest
    if fits:
        found = read_content(content).weights
        assert float(found.tensors()["rnn.alpha_l0"][0, 3]) == 1
        return
    with pytest.raises(ValueError, match=r"alpha = dt / tau is \S+ to 1\.25 in the file\. The pro"):
        read_content(content)
