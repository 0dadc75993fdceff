"""The compiled kernels equal PyTorch, and where they cannot be had PyTorch does it."""

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.rnn.cases import (
    CHECKS,
    Sizes,
    assert_close,
    check_adamw,
    check_agreement,
    losses_and_gradient,
    random_case,
)
from wsrl.encoders.reader import ReaderOptions, SequenceReader
from wsrl.problems import FormalLanguages, TiledImages, tiled_images
from wsrl.rnn import (
    RNNSpec,
    RNNWeights,
    backends,
    population_cross_entropy,
    run_population,
)
from wsrl.rnn.kernels import compilation, cpu
from wsrl.rnn.statistics import weight_statistics
from wsrl.zoos import BuildSettings, build_zoo, group, open_zoo
from wsrl.zoos.optimizer import PopulationAdamW

kernels = compilation.library("elementwise")
needs_kernels = pytest.mark.skipif(isinstance(kernels, Exception), reason=str(kernels))


@needs_kernels
@pytest.mark.parametrize("seed", range(60))
def test_agrees_with_eager_in_double_precision(seed: int) -> None:
    check_agreement(seed, "cpu", Sizes(), "cpu")


@needs_kernels
@pytest.mark.parametrize("cell", cpu.KERNELS)
@pytest.mark.parametrize("law", CHECKS)
def test_a_law_of_kernels(law: str, cell: str) -> None:
    CHECKS[law](cell, "cpu", "cpu")


@needs_kernels
def test_adamw_in_one_pass() -> None:
    check_adamw("cpu", "cpu")


@needs_kernels
@pytest.mark.parametrize("wanted", [False, True])
def test_autograd_sees_that_adamw_in_one_pass_has_changed_the_weights(wanted: bool) -> None:
    flat = torch.randn(3, 11, requires_grad=wanted)
    before = flat.detach().clone()
    factor = torch.ones(3, 11, requires_grad=True)
    product = (flat * factor).sum()
    PopulationAdamW(flat, 0.01, "cpu").step(torch.ones(3, 11), 0.1)
    assert not torch.equal(flat.detach(), before)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        product.backward()


@needs_kernels
def test_threads_and_neighbours_change_nothing() -> None:
    case = random_case(2).to(torch.float32)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(losses_and_gradient(case, "cpu"))
    finally:
        torch.set_num_threads(before)
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)
    last = slice(len(case.weights) - 1, None)
    data = (case.inputs[last], case.targets[last], case.sequence_weights[last])
    alone = population_cross_entropy(case.weights[last], *data, backend="cpu")
    assert torch.equal(alone, results[0][0][last])


@needs_kernels
@pytest.mark.parametrize(
    "problem",
    [
        FormalLanguages(num_tokens=2, length=10, max_n=4, evaluated_strings=5, stored_strings=2),
        TiledImages(evaluated_images=8, stored_sequences=2),
    ],
    ids=["languages", "images"],
)
def test_zoos_of_both_backends_agree_and_one_of_both_says_so(
    problem: FormalLanguages | TiledImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = BuildSettings(runs=3, snapshots=[0, 50], hidden_size=8, group_size=2)
    step = group.Group._train_step

    def dying(members: group.Group) -> None:
        if members.optimizer.step_count == 3:
            raise KeyboardInterrupt
        step(members)

    with monkeypatch.context() as patched:
        patched.setattr(group.Group, "_train_step", dying)
        with pytest.raises(KeyboardInterrupt):
            build_zoo(tmp_path / "both", problem, settings, 0.0, backend="eager", quiet=True)
    versions = {"eager": "eager on cpu", "cpu": "kernels on cpu"}
    for name, backend in (("eager", "eager"), ("cpu", "cpu"), ("both", "cpu")):
        build_zoo(tmp_path / name, problem, settings, backend=backend, quiet=True)
        zoo, truth = open_zoo(tmp_path / name), open_zoo(tmp_path / "eager")
        torch.testing.assert_close(zoo.read("weights"), truth.read("weights"), rtol=0, atol=1e-4)
        wanted = versions.get(name, "eager on cpu, kernels on cpu")
        assert zoo.manifest.versions["backend"] == wanted


@needs_kernels
def test_images_are_moved_to_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = TiledImages()
    rows, angles = torch.randint(500, (3, 7)), torch.tensor([0.0, 33.3, 271.0]).double()
    for chosen in (rows, rows[:1]):  # each member's own images, and the same for all
        fast = problem.sequences(chosen, angles)
        with monkeypatch.context() as patched:
            patched.setattr(tiled_images, "kernels_serve", lambda *_: False)
            assert torch.equal(problem.sequences(chosen, angles), fast)


@needs_kernels
def test_auto_leaves_to_eager_what_kernels_cannot() -> None:
    weights = RNNWeights(
        torch.rand(2, RNNSpec("gru", 3, 4, 1, 2).num_parameters), RNNSpec("gru", 3, 4, 1, 2)
    )
    assert backends.choose_backend("auto", weights) == "cpu"
    assert backends.choose_backend("auto", weights.to(torch.float64)) == "eager"
    with torch.autocast("cpu"):
        assert backends.choose_backend("auto", weights) == "eager"
    with pytest.raises(ValueError, match=r"cannot be used here: a tensor is torch\.float64"):
        backends.choose_backend("cpu", weights.to(torch.float64))
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(weights.flat, weights.flat)
        assert backends.choose_backend("auto", RNNWeights(dual, weights.spec)) == "eager"
    inputs = torch.randn(2, 3, 4, 3)
    jacobian = torch.func.jacrev(lambda x: run_population(weights, x)[0].sum((1, 2)))(inputs)
    assert jacobian.shape == (2, 2, 2, 3, 4, 3)


def test_unknown_backends_and_wrong_data_are_named(tmp_path: Path) -> None:
    spec = RNNSpec("gru", 3, 4, 1, 2)
    weights = RNNWeights(torch.rand(2, spec.num_parameters), spec)
    inputs, targets = torch.randn(2, 5, 6, 3), torch.zeros(2, 5, 6, dtype=torch.long)
    with pytest.raises(
        ValueError, match="unknown backend 'quick'; choose auto, eager, cpu, triton"
    ):
        run_population(weights, inputs, backend="quick")
    with pytest.raises(ValueError, match=r"targets must be classes 0\.\.1, found 0 and 2"):
        population_cross_entropy(
            weights, inputs, targets.index_fill(2, torch.tensor([3]), 2), torch.ones(2, 5)
        )
    with pytest.raises(ValueError, match=r"sequence_weights \(P, S\) = \(2, 5\)"):
        population_cross_entropy(weights, inputs, targets, torch.ones(2, 4))
    with pytest.raises(ValueError, match=r"inputs must be \(B, S, T, I\) = \(2, S, T, 3\)"):
        population_cross_entropy(weights, inputs[0], targets, torch.ones(2, 5))
    problem = FormalLanguages(num_tokens=2, length=10)
    with pytest.raises(ValueError, match="unknown backend"):
        build_zoo(tmp_path / "zoo", problem, BuildSettings(), backend="quick")
    assert not (tmp_path / "zoo").exists()


@pytest.fixture
def forgetful() -> Iterator[None]:
    """Let the kernels be looked for anew, here and afterwards."""
    kept = (compilation.library, compilation.log_once, cpu._function)
    for function in kept:
        function.cache_clear()
    yield
    for function in kept:
        function.cache_clear()


@pytest.mark.parametrize("variable", ["CXX", "PATH"])
@pytest.mark.usefixtures("forgetful")
def test_without_a_compiler_eager_does_it_and_says_so_once(
    variable: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("WSRL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(variable, str(tmp_path / "missing"))
    spec = RNNSpec("gru", 3, 4, 1, 2)
    weights, inputs = RNNWeights(torch.rand(2, spec.num_parameters), spec), torch.randn(2, 3, 4, 3)
    for name in ("auto", "eager"):
        wanted = run_population(weights.to(torch.float64), inputs.double())[0]
        assert_close(run_population(weights, inputs, backend=name)[0], wanted)
    reader, values = SequenceReader(ReaderOptions(9, 2)), torch.randn(3, 5, 9)
    truth = copy.deepcopy(reader).double()(values.double())
    assert_close(reader(values), truth)
    weight_statistics(weights)
    assert caplog.text.count("no C++ compiler") == 1
    assert "install g++" in caplog.text
    with pytest.raises(ValueError, match="backend 'cpu' cannot be used here: no C"):
        run_population(weights, inputs, backend="cpu")
    assert not (tmp_path / "cache").exists()
