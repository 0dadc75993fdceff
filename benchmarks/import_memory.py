"""Peak memory and time of importing a published zoo of full size, and of exporting it again.

Writes a zoo of the published MNIST layout (1000 runs x 9 snapshots). Its RNNs have zeros for
weights, whose outputs are zeros, so that its files are sparse and pass the check of outputs. Peak
memory is the process's own and all mapped pages together (``ru_maxrss``).

    python benchmarks/import_memory.py --runs 1000
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from wsrl.rnn import RNNSpec
from wsrl.zoos import export_published, import_published
from wsrl.zoos.published.npy import Header

STEPS = (0, 100, 200, 500, 1000, 2000, 5000, 10000, 20000)
SPEC = RNNSpec("lstm", 16, 32, 2, 10)


def write_sparse(folder: Path, runs: int) -> int:
    """Write the zoo; return the bytes that its files pretend to have."""
    rows, folder_size = runs * len(STEPS), 0
    shapes = {
        "parameters": ("f4", (rows, SPEC.num_parameters)),
        "sequences": ("f2", (rows, 100, 50, SPEC.input_size)),
        "logits": ("f2", (rows, 100, 50, SPEC.output_size)),
    }
    for name, (dtype, shape) in shapes.items():
        header = Header.of(np.dtype(dtype), shape).text.encode("latin-1")
        size = len(header) + int(np.prod(shape)) * np.dtype(dtype).itemsize
        with (folder / f"{name}.npy").open("wb") as file:
            file.write(header)
            file.truncate(size)
        folder_size += size
    run = np.repeat(np.arange(runs), len(STEPS))
    np.save(folder / "num_step.npy", np.stack([run, np.tile(STEPS, runs)], 1))
    np.save(folder / "tasks.npy", run[:, None] * (360 / runs))
    np.save(folder / "accuracy_losses.npy", np.zeros((rows, 4)))
    return folder_size


def measured(what: str, source: str, out: str) -> None:
    """Import or export in this process, and print what it took."""
    start = time.perf_counter()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if what == "import":
        import_published(source, out, quiet=True)
    else:
        export_published(source, out)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{what}: {seconds:.1f} s, peak {peak / 1024:.0f} MB ({before / 1024:.0f} at the start)")


def main() -> None:
    """Measure each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000, help="of 9 snapshots each")
    parser.add_argument("--only", nargs=3, help="import or export, from, to: only this")
    arguments = parser.parse_args()
    if arguments.only:
        measured(*arguments.only)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folders = [Path(scratch) / name for name in ("published", "imported", "exported")]
        folders[0].mkdir()
        size = write_sparse(folders[0], arguments.runs)
        free = shutil.disk_usage(scratch).free
        if free < 3 * size:
            sys.exit(f"{3 * size / 1e9:.1f} GB are needed at {scratch}, {free / 1e9:.1f} are free")
        print(f"{arguments.runs * len(STEPS)} snapshots, {size / 1e9:.2f} GB")
        for what, source, out in zip(("import", "export"), folders, folders[1:], strict=False):
            command = [sys.executable, __file__, "--only", what, str(source), str(out)]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
