"""``wsrl zoo build`` in several processes: who starts them, who speaks, how they end together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from tests.zoos.building import contents, kept_open, until
from wsrl.cli import main
from wsrl.zoos import Manifest, verify_zoo
from wsrl.zoos.leases import Leases

ZOO = [
    *("--problem", "formal_languages", "--num_tokens", "3", "--length", "16", "--max_n", "4"),
    *("--evaluated_strings", "40", "--stored_strings", "8", "--hidden_size", "4"),
    *("--runs", "12", "--group_size", "2", "--snapshots", "[0,800]", "--quiet", "true"),
]
Started = subprocess.Popen[str]
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m")


@contextmanager
def started(*words: str, by: tuple[str, ...] = (sys.executable, "-m")) -> Iterator[Started]:
    """Run the command; whatever becomes of the test, nothing of it stays."""
    inherited = {k: v for k, v in os.environ.items() if k not in ("LOCAL_RANK", "WORLD_SIZE")}
    process = subprocess.Popen(
        [*by, "wsrl.cli", "zoo", "build", *ZOO, *words],
        env=inherited | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def holders(zoo: Path) -> list[int]:
    """Return the processes that hold leases on shards."""
    leases = Leases(zoo / "progress")
    standings = leases.survey(leases.names()).values()
    return [s.holder.pid for s in standings if s.alive and s.holder is not None]


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zoo by one process."""
    zoo = tmp_path_factory.mktemp("launch") / "zoo"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    assert main(["zoo", "build", *ZOO, "--out", str(zoo)]) == 0
    torch.set_num_threads(threads)
    return zoo


@pytest.mark.timeout(600)  # seven starts, where other work may keep the cores
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc here")
def test_killed_stopped_and_interrupted_it_goes_on(whole: Path, tmp_path: Path) -> None:
    """One zoo by four starts, of which the last is torchrun's."""
    zoo = tmp_path / "zoo"
    command = ["--out", str(zoo), "--devices", "2", "--checkpoint_seconds", "0.05"]
    with started(*command) as process:
        other = both_work(zoo, process)
        process.kill()
        process.wait()
        until(lambda: not runs(other), 30)  # nobody told it
    with started(*command) as process:
        both_work(zoo, process)
        began = time.monotonic()
        process.terminate()
        process.send_signal(signal.SIGCONT)
        out, err = process.communicate()
        assert time.monotonic() - began < 30
        assert process.returncode == 128 + signal.SIGTERM
        assert err == "wsrl zoo build: stopped by SIGTERM; run the same command again to go on\n"
        assert out == ""
        assert holders(zoo) == []
    with started(*command) as process:
        until(lambda: holders(zoo) == [process.pid])  # the other one has not begun
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
        assert process.returncode == 128 + signal.SIGINT
        assert err == "wsrl zoo build: interrupted; run the same command again to go on\n"
        assert holders(zoo) == []
        assert not Manifest.read(zoo).complete
    with started("--out", str(zoo), by=TORCHRUN) as process:
        out, _ = process.communicate()
        assert process.returncode == 0
        assert out.count("runs ") == 1  # one speaks for both
    assert contents(zoo) == contents(whole)
    verify_zoo(zoo)


@pytest.mark.timeout(600)
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc here")
def test_a_process_that_is_killed_takes_no_other_with_it(whole: Path, tmp_path: Path) -> None:
    zoo = tmp_path / "zoo"
    with started("--out", str(zoo), "--devices", "2") as process:
        os.kill(both_work(zoo, process), signal.SIGKILL)
        with kept_open(zoo):
            process.send_signal(signal.SIGCONT)
            time.sleep(6)  # Lightning looks every five seconds, and would kill all
            assert process.poll() is None
        _, err = process.communicate()
        assert (process.returncode, err) == (0, "")
    assert contents(zoo) == contents(whole)


def both_work(zoo: Path, process: Started) -> int:
    """Wait until a process and the one it starts both work, and pause the first; return the other.

    It is paused meanwhile, or would be through before the other one has begun.
    """
    until(lambda: process.pid in holders(zoo))
    process.send_signal(signal.SIGSTOP)
    found: list[int] = []

    def another_holds() -> bool:
        found[:] = [pid for pid in holders(zoo) if pid != process.pid]
        return bool(found)

    until(another_holds)
    return found[0]


SLURM = {
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NUM_TASKS": "5",
    "SLURM_STEP_NUM_NODES": "3",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2),1",
}


@pytest.mark.parametrize(("rank", "speaks"), [(0, True), (1, False), (4, False)])
def test_each_process_of_srun_builds(
    rank: int,
    speaks: bool,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    place = {"SLURM_PROCID": rank, "SLURM_LOCALID": rank % 2, "SLURM_NODEID": rank // 2}
    for name, value in (SLURM | place).items():
        monkeypatch.setenv(name, str(value))
    assert main(["zoo", "build", *ZOO, "--snapshots", "[0]", "--out", str(tmp_path / "zoo")]) == 0
    assert ("runs " in capsys.readouterr().out) is speaks
    verify_zoo(tmp_path / "zoo")
    per_node = "1" if rank == 4 else "2"
    assert main(["zoo", "build", *ZOO, "--out", str(whole), "--devices", per_node]) == 0
    assert main(["zoo", "build", *ZOO, "--out", str(whole), "--devices", "3"]) == 1
    wanted = f"--devices 3, but srun started this for {per_node}: leave --devices out"
    assert wanted in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--devices", "2", "--device", "cuda:1"], "expected auto, cpu or cuda"),
        (["--devices", "0"], "devices and nodes must be at least 1"),
        (["--nodes", "-1"], "devices and nodes must be at least 1"),
        (["--devices", "2", "--device", "cpu"], "needs it to be a command of the shell"),
        (["--devices", "64", "--device", "cuda"], "--devices 64 on cuda, but there are"),
        (["--part", "3/2"], "expected i/n with i from 1 to n"),
    ],
)
def test_processes_that_cannot_be_had(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["zoo", "build", *ZOO, "--out", str(tmp_path / "zoo"), *options]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "zoo").exists()


def test_a_part_says_what_is_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build = ["zoo", "build", *ZOO, "--snapshots", "[0]", "--out", str(tmp_path / "zoo")]
    assert main([*build, "--part", "2/3"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"part 2/3 of {tmp_path / 'zoo'} is through",
        "  4 of 6 shards are missing",
        "  2 of part 1/3",
        "  2 of part 3/3",
    ]
    assert main([*build, "--part", "2-3"]) == 2
    assert "expected i/n, as 1/4" in capsys.readouterr().err
    assert main([*build, "--part", "1/3"]) == main([*build, "--part", "3/3"]) == 0
    assert "runs " in capsys.readouterr().out
    verify_zoo(tmp_path / "zoo")
