"""Compile the C++ kernels for the machine this runs on, once, and load them.

There are several small libraries. Each is compiled when it is first used. Its name in the cache
folder is a hash of all that it depends on: machines that share a home folder have their own
libraries, and a changed source is compiled again.

A library is code that this process runs. It is loaded only from folders that nobody but the user
and root can write to.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import platform
import secrets
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
}
"""The class in ``cells.h`` of each cell that has kernels."""

POPULATION = ("population.cpp", "products.cpp")
LIBRARIES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    **{name: (POPULATION, (f"-DCELL={made}",)) for name, made in CELLS.items()},
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
"""A library in the cache ends with its hash, so many bytes. The hash detects a library that was
written in part. It is no protection from others, who can compute it too."""

LARGEST = 1 << 26
"""Bytes of the largest library that is loaded; ours have less than a megabyte."""

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
def warn_once(reason: str) -> None:
    """Log why there are no kernels and what that means, once for each reason."""
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

    Where others can write the folder, the library is compiled for this process alone.

    Args:
        folder: the cache folder; made if need be, for the user alone.
        name: one of ``LIBRARIES``.

    Raises:
        CompilationError: without a compiler, or when it fails, or where nothing can be written.
    """
    compiler = find_compiler()
    file = f"{name}-{_key(compiler, name)}.so"
    try:
        for level in reversed((folder, *folder.parents)):
            level.mkdir(mode=0o700, exist_ok=True)
        place = folder.resolve()
        shared = who_else_writes(place)
        if shared:
            _warn_of_others(place, shared)
        elif _is_usable(place / file):
            return ctypes.CDLL(str(place / file))
        else:
            _log.warning(
                "Compiling the %s kernels for this machine into %s (seconds; once).", name, place
            )
        kept_in = None if shared else place
        # Its mode is 0700.
        with tempfile.TemporaryDirectory(prefix="wsrl-", dir=kept_in) as scratch:
            private = Path(scratch).resolve()
            if reason := who_else_writes(private):
                raise CompilationError(
                    f"there is no safe folder to compile the kernels in: {reason}"
                )
            made = _compile(compiler, name, private / file)
            if not shared:
                made = _keep(made, place / file)
            return ctypes.CDLL(str(made))  # once it is loaded, its file may go
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


@cache
def _warn_of_others(folder: Path, reason: str) -> None:
    _log.warning(
        "Kernels in %s are not used: %s, and they are code that is run. They are compiled for this "
        "process alone (seconds, every time). To keep them, take the others' right away (chmod "
        "go-w), or name a folder of your own (variable WSRL_CACHE).",
        folder,
        reason,
    )


def _is_usable(path: Path) -> bool:
    """Say whether a library is there (no link), the user's alone, and whole as it was written.

    Loading half of one would end the process.
    """
    try:
        if who_else_writes(path):
            return False
        code = read_regular(path, LARGEST)
    except (FileNotFoundError, ValueError):
        return False
    return hashlib.sha256(code[:-DIGEST]).digest() == code[-DIGEST:]


def _keep(made: Path, path: Path) -> Path:
    """Copy a library to its place in the cache: others see all of it or nothing."""
    code = made.read_bytes()
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}.partial")
    try:
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(code + hashlib.sha256(code).digest())  # loaders do not mind what comes after
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def _compile(compiler: list[str], name: str, path: Path) -> Path:
    """Compile a library in the folder of this process's own in which it is to lie."""
    sources, options = LIBRARIES[name]
    objects = [str(path.with_name(f"{source}.o")) for source in sources]
    commands = [
        [*compiler, *OPTIONS, *options, "-c", str(SOURCES / source), "-o", made]
        for source, made in zip(sources, objects, strict=True)
    ]
    with ThreadPoolExecutor() as pool:
        list(pool.map(_output, commands))
    _output([*compiler, *OPTIONS, "-shared", "-o", str(path), *objects])
    return path


def _output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        errors = [line for line in lines if "error" in line] or lines
        raise CompilationError(f"{command[0]} could not compile the kernels ({errors[0]})")
    return done.stdout
