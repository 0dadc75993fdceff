"""The Triton kernels equal PyTorch: on a GPU, or in Triton's interpreter where there is none.

``test_triton.py`` runs these in a process of their own: the interpreter must be switched on before
anything imports Triton, and stays on.
"""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.rnn.cases import (
    CHECKS,
    Sizes,
    check_adamw,
    check_agreement,
)
from wsrl.problems import FormalLanguages
from wsrl.rnn import (
    RNNSpec,
    RNNWeights,
    backends,
    population_cross_entropy,
    run_population,
)
from wsrl.zoos import BuildSettings, build_zoo, open_zoo
from wsrl.zoos.optimizer import PopulationAdamW

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
TRITON_CELLS = sorted(backends.cells_with_kernels("triton"))
INTERPRETED = Sizes(
    cells=TRITON_CELLS,
    inputs=(1, 3, 17),
    outputs=(1, 6, 17),
    hidden=(1, 5, 16, 33),
    layers=(1, 2),
    members=(1, 2),
    sequences=(1, 5, 17),
    steps=(1, 2, 3),
)
SIZES = INTERPRETED if DEVICE == "cpu" else Sizes(TRITON_CELLS, hidden=(1, 5, 16, 24, 32, 33, 64))


def small(cell: str, layers: int = 1) -> tuple[RNNWeights, Tensor]:
    spec = RNNSpec(cell, 3, 5, layers, 4)
    flat = torch.rand(3, spec.num_parameters, device=DEVICE) - 0.5
    return RNNWeights(flat, spec), torch.randn(3, 2, 3, 3, device=DEVICE)


@pytest.mark.parametrize("seed", range(6 if DEVICE == "cpu" else 60))
def test_agrees_with_eager_in_double_precision(seed: int) -> None:
    check_agreement(seed, "triton", SIZES, DEVICE)


@pytest.mark.parametrize("cell", TRITON_CELLS)
@pytest.mark.parametrize("law", CHECKS)
def test_a_law_of_kernels(law: str, cell: str) -> None:
    CHECKS[law](cell, "triton", DEVICE)


def test_sequences_without_weight_count_nothing_whatever_they_hold() -> None:
    weights, inputs = small("lstm")
    targets = torch.randint(4, inputs.shape[:3], device=DEVICE)
    shares = torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.0, 2.0]], device=DEVICE)
    inputs[0, 1], inputs[1, 1] = float("nan"), float("nan")
    losses = population_cross_entropy(weights, inputs, targets, shares, "triton")
    data = (inputs[:, :1], targets[:, :1], shares[:, :1])
    alone = population_cross_entropy(weights, *data, "triton")
    assert losses[0] == alone[0]
    assert losses[1].isnan()  # but these count
    assert losses[2].isfinite()


def test_a_target_that_is_no_class_makes_the_loss_nan() -> None:
    weights, inputs = small("tanh")
    targets = torch.zeros(inputs.shape[:3], dtype=torch.long, device=DEVICE)
    wrong = targets.clone()
    wrong[1, 1, 1], wrong[2, 0, 0] = 4, -1
    kernels = backends.kernels_of("triton")
    shares = torch.ones(3, 2, device=DEVICE)
    for given, finite in ((targets, [True, True, True]), (wrong, [True, False, False])):
        found, _ = kernels.cross_entropy(weights.spec, weights.flat, inputs, given, shares, False)
        assert found.isfinite().tolist() == finite


def test_adamw_in_one_pass() -> None:
    check_adamw("triton", DEVICE)


def test_zoos_of_both_backends_agree(tmp_path: Path) -> None:
    problem = FormalLanguages(
        num_tokens=2, length=4, max_n=2, min_difference=0, max_difference=1,
        evaluated_strings=3, stored_strings=2,
    )  # fmt: skip
    cell, runs = ("lstm", 3) if DEVICE == "cuda" else ("tanh", 1)  # the interpreter takes its time
    settings = BuildSettings(runs, snapshots=[0, 50], cell=cell, hidden_size=4, num_layers=1)
    for backend in ("eager", "triton"):
        folder = tmp_path / backend
        build_zoo(folder, problem, settings, device=DEVICE, backend=backend, quiet=True)
    ours, truth = (open_zoo(tmp_path / name) for name in ("triton", "eager"))
    torch.testing.assert_close(ours.read("weights"), truth.read("weights"), rtol=0, atol=1e-4)
    start, end = ours.read("weights")[:2]
    assert (start - end).abs().max() > 1e-3
    assert ours.manifest.versions["backend"] == f"kernels on {DEVICE}"


def test_what_the_kernels_cannot_do_is_refused_by_name_and_left_to_eager_by_auto() -> None:
    weights, inputs = small("gru")
    natural = "triton" if DEVICE == "cuda" else backends.choose_elementwise("auto", torch.ones(1))
    assert backends.choose_backend("auto", weights) == natural  # interpreted by name only
    assert backends.choose_backend("triton", weights) == "triton"
    large = RNNSpec("gru", 3, 65, 1, 2)
    cases = [
        (weights.to(torch.float64), r"a tensor is torch\.float64"),
        (RNNWeights(torch.rand(2, large.num_parameters, device=DEVICE), large), "64 neurons a"),
    ]
    for refused, reason in cases:
        with pytest.raises(ValueError, match=f"'triton' cannot be used here: .*{reason}"):
            backends.choose_backend("triton", refused)
        if DEVICE == "cuda":
            assert backends.choose_backend("auto", refused) == "eager"
    linear = RNNSpec("linear", 3, 4, 1, 2)
    flat = torch.rand(2, linear.num_parameters, device=DEVICE)
    assert backends.choose_backend("triton", RNNWeights(flat, linear)) == "eager"
    with torch.autocast(DEVICE), pytest.raises(ValueError, match="autocast is on"):
        backends.choose_backend("triton", weights)
    with pytest.raises(ValueError, match=r"a transform of torch\.func"):
        torch.func.jacrev(lambda x: run_population(weights, x, backend="triton")[0])(inputs)


@pytest.mark.skipif(DEVICE == "cpu", reason="needs a CUDA GPU")
def test_a_training_step_does_not_wait_for_the_gpu() -> None:
    weights, inputs = small("lstm")
    flat = weights.flat.requires_grad_()
    targets = torch.zeros(inputs.shape[:3], dtype=torch.long, device=DEVICE)
    shares = torch.ones(3, 2, device=DEVICE)
    optimizer = PopulationAdamW(flat, 0.01)
    assert optimizer.backend == "triton"
    for mode in ("default", "error"):  # the first step compiles
        torch.cuda.set_sync_debug_mode(mode)
        try:
            losses = population_cross_entropy(weights, inputs, targets, shares)
            (gradient,) = torch.autograd.grad(losses.sum(), flat)
            with torch.no_grad():
                optimizer.step(gradient, 0.1)
        finally:
            torch.cuda.set_sync_debug_mode("default")
