"""Compile the C++ kernels for the machine this runs on, once, and load them.

There are several small libraries, each compiled when it is first used: nobody waits for cells they
do not train. A library lies in a cache folder under a name made of everything it depends on, so
that a home folder shared by unlike machines stays right, and a changed source is compiled anew.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

SOURCES = Path(__file__).parent / "source"
POPULATION = ("population.cpp", "products.cpp")
LIBRARIES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "lstm": (POPULATION, ("-DCELL=LSTM",)),
    "gru": (POPULATION, ("-DCELL=GRU",)),
    "tanh": (POPULATION, ("-DCELL=Tanh",)),
    "linear": (POPULATION, ("-DCELL=Linear",)),
    "elementwise": (("elementwise.cpp",), ()),
    "lstm_cell": (("lstm_cell.cpp",), ()),
    "statistics": (("statistics.cpp",), ()),
}
"""Sources and own options of each library; those of cells have the cells' names."""

# No -ffast-math: a member whose numbers are not finite must be seen to be so. -O3 would compile
# half as long again and gain less than 5 %; what must be unrolled says so in the source.
OPTIONS = (
    *("-std=c++17", "-O2", "-march=native", "-fopenmp", "-fPIC"),
    *("-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"),
)

DIGEST = hashlib.sha256().digest_size
"""A library in the cache ends with so many bytes, the hash of those before."""

_log = logging.getLogger("wsrl")


class CompilationError(RuntimeError):
    """The kernels cannot be compiled or loaded here; says why."""


@cache
def library(name: str) -> ctypes.CDLL | CompilationError:
    """Return a loaded library, or why there is none; what failed once is not tried again."""
    try:
        return load(cache_folder(), name)
    except CompilationError as error:
        return error


@cache
def warn_once(reason: str) -> None:
    """Say why there are no kernels and what that means; a process says so once for a reason."""
    _log.warning(
        "%s. PyTorch does the kernels' work instead, slower (populations of RNNs about five "
        "times); install g++ to change that.",
        reason,
    )


def cache_folder() -> Path:
    """Where compiled kernels lie: ``WSRL_CACHE``, or ``~/.cache/wsrl/kernels``."""
    return Path(os.environ.get("WSRL_CACHE") or "~/.cache/wsrl/kernels").expanduser()


def load(folder: Path, name: str) -> ctypes.CDLL:
    """Load a library from a cache folder, compiled into it first where it is not there and whole.

    Args:
        folder: the cache folder.
        name: one of ``LIBRARIES``.

    Raises:
        CompilationError: without a compiler, or when it fails, or where nothing can be written.
    """
    compiler = find_compiler()
    path = folder / f"{name}-{_key(compiler, name)}.so"
    try:
        if not _is_whole(path):
            folder.mkdir(parents=True, exist_ok=True)
            _compile(compiler, name, path)
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise CompilationError(f"the kernels cannot be written or loaded ({error})") from error


def find_compiler() -> list[str]:
    """Return the C++ compiler: ``CXX``, or the first of g++, clang++ and c++ there is.

    Returns:
        Its path and, as of ``CXX="g++ -O2"``, the options to start with.

    Raises:
        CompilationError: where there is none.
    """
    wanted = os.environ.get("CXX") or ""
    try:
        words = shlex.split(wanted)
    except ValueError as error:
        raise CompilationError(f"CXX is no command: {wanted} ({error})") from error
    for name in words[:1] or ["g++", "clang++", "c++"]:
        if found := shutil.which(name):
            return [found, *words[1:]]
    raise CompilationError(f"no C++ compiler ({wanted or 'g++, clang++ or c++'}) was found")


def _key(compiler: list[str], name: str) -> str:
    """Hash what a library depends on."""
    parts = [_output([*compiler, "--version"]), *compiler[1:], _processor(), *OPTIONS]
    parts.append(str(LIBRARIES[name]))
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


def _is_whole(path: Path) -> bool:
    """Say whether a library is there as it was written: loading half of one ends the process."""
    if not path.exists():
        return False
    code = path.read_bytes()
    return hashlib.sha256(code[:-DIGEST]).digest() == code[-DIGEST:]


def _compile(compiler: list[str], name: str, path: Path) -> None:
    """Compile in a folder of this process's own and move: others see all of it or nothing."""
    _log.warning(
        "Compiling the %s kernels for this machine into %s (seconds; once).", name, path.parent
    )
    sources, options = LIBRARIES[name]
    with tempfile.TemporaryDirectory(dir=path.parent) as folder, ThreadPoolExecutor() as pool:
        objects = [str(Path(folder) / f"{source}.o") for source in sources]
        commands = [
            [*compiler, *OPTIONS, *options, "-c", str(SOURCES / source), "-o", made]
            for source, made in zip(sources, objects, strict=True)
        ]
        list(pool.map(_output, commands))
        partial = Path(folder) / path.name
        _output([*compiler, *OPTIONS, "-shared", "-o", str(partial), *objects])
        with partial.open("ab") as file:  # loaders do not mind what comes after the code
            file.write(hashlib.sha256(partial.read_bytes()).digest())
        os.replace(partial, path)


def _output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        errors = [line for line in lines if "error" in line] or lines
        raise CompilationError(f"{command[0]} could not compile the kernels ({errors[0]})")
    return done.stdout
