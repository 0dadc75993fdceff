"""The backend ``triton``: right wherever it runs, and compiled for a GPU nobody needs to have."""

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from wsrl.problems import FormalLanguages
from wsrl.rnn import RNNSpec, RNNWeights, backends, run_population
from wsrl.zoos import BuildSettings, build_zoo

INSTALLED = importlib.util.find_spec("triton") is not None
GPU = torch.cuda.is_available()
CHECKS = Path(__file__).with_name("triton_checks.py")

needs_triton = pytest.mark.skipif(not INSTALLED, reason="Triton is not installed")


@needs_triton
@pytest.mark.parametrize(
    "where",
    [
        pytest.param("interpreter", marks=pytest.mark.skipif(GPU, reason="the GPU is used")),
        pytest.param("gpu", marks=pytest.mark.skipif(not GPU, reason="needs a CUDA GPU")),
    ],
)
def test_checks_pass(where: str) -> None:
    environment = os.environ | {"TRITON_INTERPRET": "1" if where == "interpreter" else "0"}
    quiet = ("-q", "-W", "ignore::RuntimeWarning:triton")  # NumPy on what is not finite
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *quiet, str(CHECKS)],
        cwd=CHECKS.parents[2],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\d+ passed|\.{20}", done.stdout), done.stdout


def compiled(kernel: Any, hidden: int, warps: int, options: Mapping[str, str]) -> Any:
    """Compile a kernel for an H100 or H200, with every tensor given."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    fixed = {
        "H": hidden, "SIZE": hidden, "ROWS": 16, "HAS_BIAS": True, "CLASSES": 6,
        "WITH_GRADIENT": True, **options,
    }  # fmt: skip
    numbers = {"beta1", "beta2", "epsilon", "rate", "correction"}
    kinds = {"targets": "*i64"} | dict.fromkeys(numbers, "fp32") | dict.fromkeys("NST", "i32")
    signature = {
        name: "constexpr"
        if name in fixed
        else kinds.get(name, "i32" if name.endswith("_at") else "*fp32")
        for name in kernel.arg_names
    }
    constants = {name: fixed[name] for name in kernel.arg_names if name in fixed}
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
    return triton.compile(source, GPUTarget("cuda", 90, 32), {"num_warps": warps})


def spilled(cubin: bytes, folder: Path) -> int:
    """Return the bytes of stack a thread takes: of registers that did not fit."""
    import triton

    path = folder / "kernel.cubin"
    path.write_bytes(cubin)
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    command = [str(tool), "--dump-resource-usage", str(path)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"STACK:(\d+)", printed)
    assert found, printed
    return int(found[1])


@needs_triton
@pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="kernels are interpreted")
def test_kernels_compile_for_hopper_within_its_registers_and_shared_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wsrl.rnn.kernels import gpu, triton_training

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    cases = [
        (kernel, 32, 4, 65536, cell.options)
        for cell in gpu.KERNELS.values()
        for kernel in (cell.forward, cell.backward)
    ]
    lstm = gpu.KERNELS["lstm"]
    cases += [(kernel, 64, 8, backends.SHARED_MEMORY, {}) for kernel in lstm[:2]]
    others = (triton_training.adamw, triton_training.cross_entropy)
    cases += [(kernel, 8, 4, 65536, {}) for kernel in others]
    for kernel, hidden, warps, memory, options in cases:
        result = compiled(kernel, hidden, warps, options)
        assert spilled(result.asm["cubin"], tmp_path) == 0, kernel
        assert result.metadata.shared <= memory, kernel
        assert "tf32" not in result.asm["ptx"], kernel  # right to three digits only


@pytest.mark.skipif(GPU, reason="there is a GPU")
def test_without_a_gpu_it_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    reason = "'triton' cannot be used here: " + (
        "PyTorch finds no CUDA GPU" if INSTALLED else "Triton cannot be imported"
    )
    spec = RNNSpec("gru", 3, 4, 1, 2)
    weights = RNNWeights(torch.rand(2, spec.num_parameters), spec)
    with pytest.raises(ValueError, match=reason):
        run_population(weights, torch.randn(2, 5, 6, 3), backend="triton")
    problem = FormalLanguages(num_tokens=2, length=10)
    with pytest.raises(ValueError, match=reason):
        build_zoo(tmp_path / "zoo", problem, BuildSettings(), backend="triton")
    assert not (tmp_path / "zoo").exists()


@needs_triton
def test_a_release_of_triton_that_crashes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from wsrl.rnn.kernels import gpu

    monkeypatch.setattr(gpu, "RELEASE", gpu.BROKEN_RELEASES[0])
    monkeypatch.setattr(gpu, "INTERPRETED", False)
    with pytest.raises(ImportError, match=r"Triton 3\.9\.0 crashes on the kernels"):
        raise backends.triton_kernels.__wrapped__()


WITHOUT = """
import sys
sys.modules["triton"] = None  # importing it fails
import torch
from wsrl.rnn import RNNSpec, RNNWeights, backends, run_population
spec = RNNSpec("gru", 3, 4, 1, 2)
device = "cuda" if torch.cuda.is_available() else "cpu"
weights = RNNWeights(torch.rand(2, spec.num_parameters, device=device), spec)
for _ in range(2):
    run_population(weights, torch.randn(2, 5, 6, 3, device=device))
backends.check_backend("triton")
"""


def test_without_triton_everything_else_works() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=False
    )
    assert "ValueError: backend 'triton' cannot be used here: Triton cannot be" in done.stderr
    assert done.stderr.count("run in PyTorch instead") == (1 if GPU else 0)
