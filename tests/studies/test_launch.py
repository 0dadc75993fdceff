"""``wsrl zoo build`` in several processes: which share each has, how they end together."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.waiting import until
from tests.zoos.building import contents, names
from wsrl.cli import main
from wsrl.environment import Place, find_place
from wsrl.zoos import Manifest, verify_zoo

ROOT = Path(__file__).parents[2]
ZOO = [
    *("--problem", "formal_languages", "--num_tokens", "3", "--length", "16", "--max_n", "4"),
    *("--evaluated_strings", "40", "--stored_strings", "8", "--hidden_size", "4"),
    *("--runs", "12", "--group_size", "2", "--snapshots", "[0,40]", "--quiet", "true"),
]


def command(zoo: Path, *words: str) -> list[str]:
    return ["zoo", "build", *ZOO, "--out", str(zoo), *words]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zoo by one process on one thread."""
    zoo = tmp_path_factory.mktemp("launch") / "zoo"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    assert main(command(zoo)) == 0
    torch.set_num_threads(threads)
    return zoo


def test_stopped_in_two_processes_it_goes_on_under_torchrun(whole: Path, tmp_path: Path) -> None:
    zoo = tmp_path / "zoo"
    words = command(zoo, "--workers", "2", "--checkpoint_seconds", "0")
    build = [sys.executable, "-m", "wsrl.cli", *words]
    with subprocess.Popen(build, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        until(lambda: names(zoo, "*.safetensors") != [])  # a group has begun
        process.terminate()
        _, err = process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    assert err == "wsrl zoo build: stopped by SIGTERM; run the same command again to go on\n"
    assert not Manifest.read(zoo).complete
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m"]
    subprocess.run([*torchrun, "wsrl.cli", *command(zoo)], cwd=ROOT, check=True)
    assert contents(zoo) == contents(whole)
    verify_zoo(zoo)


SLURM = {"SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "5", "SLURM_LOCALID": "1"}


def test_each_process_of_srun_has_a_share(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    shares = []
    for rank in range(5):
        monkeypatch.setenv("SLURM_PROCID", str(rank))
        shares.append(find_place("cpu"))
    assert shares == [Place("cpu", 1, (rank + 1, 5)) for rank in range(5)]
    with pytest.raises(ValueError, match="srun starts the processes"):
        find_place("cpu", workers=2)


def test_each_node_has_a_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODE_RANK", "2")
    assert find_place("cpu", workers=4, nodes=3) == Place("cpu", 4, (3, 3))
    assert find_place("cpu") == Place("cpu", 1, None)
    assert find_place("cpu", part=(1, 4)) == Place("cpu", 1, (1, 4))
    with pytest.raises(ValueError, match="leave --part"):
        find_place("cpu", nodes=3, part=(1, 4))
    with pytest.raises(ValueError, match="--cluster"):
        find_place("cpu", part=(1, 4), cluster="tls://host:8786")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--workers", "2", "--device", "cuda:1"], "expected auto, cpu or cuda"),
        (["--workers", "0"], "workers and nodes must be at least 1"),
        (["--nodes", "-1"], "workers and nodes must be at least 1"),
        (["--workers", "64", "--device", "cuda"], "--workers 64 on cuda, but there are"),
        (["--part", "3/2"], "expected i/n with i from 1 to n"),
    ],
)
def test_processes_that_cannot_be_had(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(tmp_path / "zoo", *options)) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "zoo").exists()


def test_a_part_says_what_is_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build = command(tmp_path / "zoo", "--snapshots", "[0]")
    assert main([*build, "--part", "2/3"]) == 0
    first, *left = capsys.readouterr().out.splitlines()
    assert first == f"part 2/3 of {tmp_path / 'zoo'} is through"
    assert left == ["  4 of 6 shards are missing", "  2 of part 1/3", "  2 of part 3/3"]
    assert main([*build, "--part", "2-3"]) == 2
    assert "expected i/n, as 1/4" in capsys.readouterr().err
    assert main([*build, "--part", "1/3"]) == main([*build, "--part", "3/3"]) == 0
    assert "runs " in capsys.readouterr().out
    verify_zoo(tmp_path / "zoo")
