"""Compile the C++ kernels for the machine this runs on, once, and load them.

The library lies in a cache folder under a name made of everything it depends on, so that a home
folder shared by unlike machines stays right, and a changed source is compiled anew.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

SOURCES = Path(__file__).parent / "source"
MAIN = "population.cpp"

# No -ffast-math: a member whose numbers are not finite must be seen to be so.
OPTIONS = (
    *("-std=c++17", "-O3", "-march=native", "-fopenmp", "-fPIC", "-shared"),
    *("-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"),
)

_log = logging.getLogger("wsrl")


class CompilationError(RuntimeError):
    """The kernels cannot be compiled or loaded here; says why."""


@cache
def library() -> ctypes.CDLL | CompilationError:
    """Return the loaded kernels, or why there are none; what failed once is not tried again."""
    try:
        return load(cache_folder())
    except CompilationError as error:
        return error


@cache
def warn_once() -> None:
    """Say that there are no kernels and what that means; a process says so once."""
    _log.warning(
        "%s. Populations of RNNs run in PyTorch instead, about five times slower; install g++ to "
        "change that.",
        library(),
    )


def cache_folder() -> Path:
    """Where compiled kernels lie: ``WSRL_CACHE``, or ``~/.cache/wsrl/kernels``."""
    return Path(os.environ.get("WSRL_CACHE") or "~/.cache/wsrl/kernels").expanduser()


def load(folder: Path) -> ctypes.CDLL:
    """Load the kernels from a cache folder, compiled into it first where they are not there.

    Raises:
        CompilationError: without a compiler, or when it fails, or where nothing can be written.
    """
    compiler = find_compiler()
    path = folder / f"population-{_key(compiler)}.so"
    try:
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            _compile(compiler, path)
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise CompilationError(f"the kernels cannot be written or loaded ({error})") from error


def find_compiler() -> str:
    """Return the C++ compiler: ``CXX``, or the first of g++, clang++ and c++ there is.

    Raises:
        CompilationError: where there is none.
    """
    wanted = os.environ.get("CXX")
    for name in [wanted] if wanted else ["g++", "clang++", "c++"]:
        if found := shutil.which(name):
            return found
    raise CompilationError(f"no C++ compiler ({wanted or 'g++, clang++ or c++'}) was found")


def _key(compiler: str) -> str:
    """Hash what the library depends on."""
    parts = [_output([compiler, "--version"]), _processor(), *OPTIONS]
    parts += [path.name + path.read_text() for path in sorted(SOURCES.iterdir())]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]


def _processor() -> str:
    """Return the processor's kind and the instructions it knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    known = {line for line in lines if line.split("\t")[0].strip() in ("flags", "Features")}
    return "\n".join([platform.system(), platform.machine(), platform.processor(), *sorted(known)])


def _compile(compiler: str, path: Path) -> None:
    """Compile to a name of this process's own and rename: others see all of it or nothing."""
    _log.warning("Compiling the kernels for this machine into %s (seconds; once).", path.parent)
    handle, partial = tempfile.mkstemp(dir=path.parent, suffix=".partial")
    os.close(handle)
    try:
        _output([compiler, *OPTIONS, "-o", partial, str(SOURCES / MAIN)])
        os.replace(partial, path)
    finally:
        Path(partial).unlink(missing_ok=True)


def _output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        errors = [line for line in lines if "error" in line] or lines
        raise CompilationError(f"{command[0]} could not compile the kernels ({errors[0]})")
    return done.stdout
