"""Compile the C++ kernels for the machine this runs on, when they are first used, and load them.

A library's name in the cache folder is a hash of all that it depends on: machines that share a home
folder have their own. It is code that this process runs, and loaded only from folders that nobody
but the user and root can write to.
"""

import ctypes
import hashlib
import logging
import os
import platform
import re
import shlex
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from wsrl.safe_files import read_regular, who_else_writes

SOURCES = Path(__file__).parent / "source"
CELLS = {
    "lstm": "LSTM",
    "gru": "GRU",
    "tanh": "Elman<Tanh>",
    "linear": "Elman<Identity>",
    "relu": "Elman<ReLU>",
    "softplus": "Elman<Softplus>",
    "min_gru": "MinGRU",
    "leaky(leak='neuron')": "LeakyRate<Tanh>",
    "leaky(nonlinearity='relu', leak='neuron')": "LeakyRate<ReLU>",
    "leaky(nonlinearity='softplus', leak='neuron')": "LeakyRate<Softplus>",
    "leaky(form='state', leak='neuron')": "LeakyState<Tanh>",
    "leaky(form='state', nonlinearity='relu', leak='neuron')": "LeakyState<ReLU>",
    "leaky(form='state', nonlinearity='softplus', leak='neuron')": "LeakyState<Softplus>",
}
"""The class in ``cells.h`` of each cell that has kernels."""

LIBRARIES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = (
    {name: ((f"{name}.cpp",), ()) for name in ("elementwise", "lstm_cell", "statistics")}
    | {"matrices": (("matrices.cpp", "products.cpp"), ())}
    | {
        name: (("population.cpp", "products.cpp"), (f"-DCELL={made}",))
        for name, made in CELLS.items()
    }
)
"""Sources and own options of each library; those of cells have the cells' names."""

# No -ffast-math: a member whose numbers are not finite must be seen to be so. -O3 would compile
# half as long again and gain less than 5 %; what must be unrolled says so in the source.
OPTIONS = (
    *("-std=c++17", "-O2", "-march=native", "-fopenmp", "-fPIC"),
    *("-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"),
)

# Bytes of the hash that a library in the cache ends with. It detects a library that was written in
# part; it is no protection from others, who can compute it too.
DIGEST = hashlib.sha256().digest_size
LARGEST = 1 << 26  # bytes of a library that is loaded; ours have less than a megabyte

_log = logging.getLogger("wsrl")


class CompilationError(RuntimeError):
    """The kernels cannot be compiled or loaded here; says why."""


@cache
def library(name: str) -> ctypes.CDLL | CompilationError:
    """Return a loaded library, or the error; a library that failed is not tried again."""
    try:
        return load(cache_folder(), name)
    except CompilationError as error:
        return error


@cache
def log_once(message: str) -> None:
    """Log a warning; a process logs each once."""
    _log.warning(message)


def cache_folder() -> Path:
    """Where compiled kernels lie: ``WSRL_CACHE``, or ``~/.cache/wsrl/kernels``."""
    return Path(os.environ.get("WSRL_CACHE") or "~/.cache/wsrl/kernels").expanduser()


def load(folder: Path, name: str) -> ctypes.CDLL:
    """Load one of ``LIBRARIES`` from a cache folder, compiled first if it is not there and whole.

    The folder is made for the user alone. Where others can write it, the library is compiled for
    this process alone. What cannot be compiled or written is a ``CompilationError``.
    """
    compiler = find_compiler()
    file = f"{re.sub('[^a-z_]+', '-', name)}-{_key(compiler, name)}.so"
    try:
        for level in reversed((folder, *folder.parents)):
            level.mkdir(mode=0o700, exist_ok=True)
        place = folder.resolve()
        shared = who_else_writes(place)
        if shared:
            log_once(
                f"Kernels in {place} are not used: {shared}, and they are code that is run. They "
                "are compiled for this process alone (seconds, every time). To keep them, take the "
                "others' right away (chmod go-w), or name a folder of your own (variable "
                "WSRL_CACHE)."
            )
        elif _is_usable(place / file):
            return ctypes.CDLL(str(place / file))
        else:
            _log.warning(
                "Compiling the %s kernels for this machine into %s (seconds; once).", name, place
            )
        # Its mode is 0700.
        with tempfile.TemporaryDirectory(prefix="wsrl-", dir=None if shared else place) as scratch:
            made = Path(scratch).resolve() / file
            if reason := who_else_writes(made.parent):
                raise CompilationError(
                    f"there is no safe folder to compile the kernels in: {reason}"
                )
            _compile(compiler, name, made)
            if not shared:
                with made.open("ab") as end:  # loaders do not mind what comes after
                    end.write(hashlib.sha256(made.read_bytes()).digest())
                made.chmod(0o600)
                made = made.replace(place / file)  # others see all of it or nothing
            return ctypes.CDLL(str(made))  # once it is loaded, its file may go
    except OSError as error:
        raise CompilationError(f"the kernels cannot be written or loaded ({error})") from error


def find_compiler() -> list[str]:
    """Return the C++ compiler and its first options: ``CXX``, or g++, clang++ or c++."""
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


def _is_usable(path: Path) -> bool:
    """Say whether a library is there (no link), the user's alone, and whole (or it would crash)."""
    try:
        if who_else_writes(path):
            return False
        code = read_regular(path, LARGEST)
    except (FileNotFoundError, ValueError):
        return False
    return hashlib.sha256(code[:-DIGEST]).digest() == code[-DIGEST:]


def _compile(compiler: list[str], name: str, path: Path) -> None:
    sources, options = LIBRARIES[name]
    objects = [str(path.with_name(f"{source}.o")) for source in sources]
    commands = [
        [*compiler, *OPTIONS, *options, "-c", str(SOURCES / source), "-o", made]
        for source, made in zip(sources, objects, strict=True)
    ]
    with ThreadPoolExecutor() as pool:
        list(pool.map(_output, commands))
    _output([*compiler, *OPTIONS, "-shared", "-o", str(path), *objects])


def _output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        errors = [line for line in lines if "error" in line] or lines
        raise CompilationError(f"{command[0]} could not compile the kernels ({errors[0]})")
    return done.stdout
