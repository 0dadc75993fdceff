"""``wsrl zoo build`` in several processes: who starts them, who speaks, how they end together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from tests.gated_cli import LOOKS
from tests.waiting import Gate, runs, until
from tests.zoos.building import contents
from wsrl.cli import main
from wsrl.studies import launch
from wsrl.zoos import Manifest, verify_zoo
from wsrl.zoos.leases import Leases

ROOT = Path(__file__).parents[2]

ZOO = [
    *("--problem", "formal_languages", "--num_tokens", "3", "--length", "16", "--max_n", "4"),
    *("--evaluated_strings", "40", "--stored_strings", "8", "--hidden_size", "4"),
    *("--runs", "12", "--group_size", "2", "--snapshots", "[0,40]", "--quiet", "true"),
]
Started = subprocess.Popen[str]
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m")


@contextmanager
def started(
    zoo: Path, gates: Path, *words: str, by: tuple[str, ...] = (sys.executable, "-m")
) -> Iterator[Started]:
    """Run the command, with gates; whatever becomes of the test, nothing of it stays."""
    inherited = {k: v for k, v in os.environ.items() if k not in ("LOCAL_RANK", "WORLD_SIZE")}
    process = subprocess.Popen(
        [*by, "tests.gated_cli", "zoo", "build", *ZOO, "--out", str(zoo), *words],
        cwd=ROOT,
        env=inherited | {"OMP_NUM_THREADS": "1", "GATES": str(gates)},
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


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zoo by one process."""
    zoo = tmp_path_factory.mktemp("launch") / "zoo"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    assert main(["zoo", "build", *ZOO, "--out", str(zoo)]) == 0
    torch.set_num_threads(threads)
    return zoo


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc here")
def test_killed_stopped_and_interrupted_it_goes_on(whole: Path, tmp_path: Path) -> None:
    """One zoo by four starts, of which the last is torchrun's."""
    zoo, gates = tmp_path / "zoo", tmp_path / "gates"
    two = ["--devices", "2"]
    with started(zoo, gates, *two) as process:
        other = both_work(zoo, gates, process)
        process.kill()
        process.wait()
        until(lambda: not runs(other))  # nobody told it
    with started(zoo, gates, *two) as process:
        both_work(zoo, gates, process)
        process.terminate()
        out, err = process.communicate()
        assert process.returncode == 128 + signal.SIGTERM
        assert err == "wsrl zoo build: stopped by SIGTERM; run the same command again to go on\n"
        assert out == ""
        assert holders(zoo) == []
    gates = tmp_path / "other gates"
    with started(zoo, gates, *two) as process:  # the other one has not begun
        until(lambda: Gate(gates / "work").waiting() == [process.pid])
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
        assert process.returncode == 128 + signal.SIGINT
        assert err == "wsrl zoo build: interrupted; run the same command again to go on\n"
        assert holders(zoo) == []
        assert not Manifest.read(zoo).complete
    Gate(gates / "second").open()
    Gate(gates / "work").open()
    with started(zoo, gates, by=TORCHRUN) as process:
        out, _ = process.communicate()
        assert process.returncode == 0
        assert out.count("runs ") == 1  # one speaks for both
    assert contents(zoo) == contents(whole)
    verify_zoo(zoo)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc here")
def test_a_process_that_is_killed_takes_no_other_with_it(whole: Path, tmp_path: Path) -> None:
    zoo, gates = tmp_path / "zoo", tmp_path / "gates"
    gates.mkdir()
    (gates / LOOKS).touch()
    with started(zoo, gates, "--devices", "2") as process:
        other = both_work(zoo, gates, process)
        os.kill(other, signal.SIGKILL)
        until(lambda: not runs(other))
        before = len(looks_of(gates))
        until(lambda: lightning_looked(gates, before) or process.poll() is not None)
        Gate(gates / "work").open()
        _, err = process.communicate()
        assert (process.returncode, err) == (0, "")
    assert contents(zoo) == contents(whole)


def both_work(zoo: Path, gates: Path, process: Started) -> int:
    """Wait until a process and the one it starts have each begun with a shard; return the other."""
    Gate(gates / "second").open()
    until(lambda: len(Gate(gates / "work").waiting()) == 2)
    assert process.pid in holders(zoo)
    (other,) = set(holders(zoo)) - {process.pid}
    return other


def lightning_looked(gates: Path, before: int) -> bool:
    """Say whether Lightning has looked in full since it had ``before`` times, or never will."""
    lines = looks_of(gates)
    return "for the last time" in lines or len(lines) > before + 1


def looks_of(gates: Path) -> list[str]:
    return (gates / LOOKS).read_text().splitlines()


def test_a_process_that_does_not_end_when_told_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True);"
    with subprocess.Popen(
        [sys.executable, "-c", f"{deaf} [signal.pause() for _ in iter(int, 1)]"],
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        monkeypatch.setattr(launch, "STOPPING_SECONDS", 0.1)
        launch._end([child])
        assert child.wait() == -signal.SIGKILL


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
