"""The Dockerfile and the compose files fit the project and the command."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from tensorboard.program import TensorBoard

from wsrl.cli import main

ROOT = Path(__file__).parent.parent
DOCKER = ROOT / "docker"
VARIABLE = re.compile(r"\$\{?(\w+)\}?")


class Step(NamedTuple):
    stage: str
    word: str
    rest: str


@cache
def steps() -> list[Step]:
    """The instructions of the Dockerfile with the stage each is in; "" before the first."""
    text = re.sub(r"^\s*#.*\n", "", (DOCKER / "Dockerfile").read_text(), flags=re.MULTILINE)
    stage, found = "", []
    for line in text.replace("\\\n", " ").splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            stage = rest.split(" AS ")[1]
        if word:
            found.append(Step(stage, word, rest))
    return found


def lineage(stage: str) -> list[str]:
    """A stage and those it is made from, the first of them first."""
    (base,) = [s.rest.split()[0] for s in steps() if (s.stage, s.word) == (stage, "FROM")]
    return [*(lineage(base) if base in {s.stage for s in steps()} else []), stage]


def inside(stage: str) -> list[Step]:
    """All instructions that make a stage, in order."""
    return [step for name in lineage(stage) for step in steps() if step.stage == name]


STAGES = list(dict.fromkeys(step.stage for step in steps() if step.stage))


def words(step: Step, stage: str) -> tuple[list[str], list[str]]:
    """Options and other words of a COPY."""
    assert step.stage == stage
    given = step.rest.split()
    return [w for w in given if w.startswith("--")], [w for w in given if not w.startswith("--")]


def test_what_is_copied_exists_and_is_not_left_out() -> None:
    copied = [words(step, step.stage) for step in steps() if step.word == "COPY"]
    assert len(copied) >= 5
    for options, names in copied:
        if any(option.startswith("--from=") for option in options):
            continue
        for name in names[:-1]:
            assert (ROOT / name).exists(), name
            assert not left_out(name), name


def test_stages_come_before_they_are_used() -> None:
    for step in steps():
        known = STAGES[: STAGES.index(step.stage)] if step.stage else []
        for name in re.findall(r"--from=(\S+)", step.rest):
            assert name in known, name
        if step.word == "FROM":
            base = step.rest.split()[0]
            assert base in known or VARIABLE.fullmatch(base), base


@pytest.mark.parametrize("stage", STAGES)
def test_variables_are_set_before_they_are_used(stage: str) -> None:
    outside = {step.rest.split("=")[0] for step in steps() if not step.stage and step.word == "ARG"}
    known = {"PATH"}
    for step in inside(stage):
        if step.word == "FROM":
            assert set(VARIABLE.findall(step.rest)) <= outside
            continue
        if step.stage == stage:
            # A stage has the ARGs that it names itself; those without a value are set outside.
            assert set(VARIABLE.findall(step.rest)) <= known, step
        if step.word == "ARG" and step.stage == stage:
            name, given, _ = step.rest.partition("=")
            assert given or name in outside, name
            known.add(name)
        if step.word == "ENV":
            known |= set(re.findall(r"(\w+)=", step.rest))


@pytest.mark.parametrize("stage", ["test", "wsrl"])
def test_nobody_is_root_in_the_end(stage: str) -> None:
    defaults = dict(s.rest.split("=") for s in steps() if not s.stage and s.word == "ARG")
    users = [step.rest for step in inside(stage) if step.word == "USER"]
    user, group = VARIABLE.sub(lambda found: defaults[found[1]], users[-1]).split(":")
    assert int(user) >= 1000
    assert int(group) >= 1000


def test_the_last_stage_is_the_command() -> None:
    last = {step.word: step.rest for step in steps() if step.stage == STAGES[-1]}
    assert last["ENTRYPOINT"] == '["wsrl"]'
    assert yaml.safe_load(last["VOLUME"]) == ["/work/zoos", "/work/runs"]


def test_every_installation_is_pinned() -> None:
    commands = [part for s in steps() if s.word == "RUN" for part in s.rest.split("&&")]
    installations = [part for part in commands if re.search(r"\bpip\b", part)]
    assert len(installations) >= 5
    for command in installations:
        assert "--constraint constraints.txt" in command, command


def test_changed_code_does_not_install_torch_again() -> None:
    made = inside("wsrl")
    torch = next(n for n, step in enumerate(made) if "TORCH_INDEX}" in step.rest)
    before = [step.rest for step in made[:torch] if step.word == "COPY"]
    assert before == ["constraints.txt ./"]
    after = next(n for n, step in enumerate(made) if "requirements.txt" in step.rest)
    before = [step.rest for step in made[:after] if step.word == "COPY"]
    assert before == ["constraints.txt ./", "pyproject.toml docker/requirements.py ./"]


def test_the_requirements_are_those_of_the_project() -> None:
    tomllib = pytest.importorskip("tomllib", reason="the image has Python 3.11")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    expected = {(): project["dependencies"], ("dev",): project["optional-dependencies"]["dev"]}
    for extras, lines in expected.items():
        command = [sys.executable, str(DOCKER / "requirements.py"), *extras]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        assert done.stdout.splitlines() == lines


def left_out(path: str) -> bool:
    """Whether .dockerignore keeps a path out; its patterns start at the top, unlike git's."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    for parent in (Path(path), *Path(path).parents):
        for pattern in patterns:
            deep, name = pattern.startswith("**/"), pattern.removeprefix("**/")
            if fnmatch(parent.name if deep else str(parent), name):
                return deep or "/" in pattern or "/" not in str(parent)
    return False


def test_only_what_git_keeps_goes_into_the_image() -> None:
    for path in (".git/HEAD", ".venv/bin/python", "zoos/small/manifest.json", "runs/x/logs"):
        assert left_out(path), path
    assert left_out("wsrl/rnn/__pycache__/spec.pyc")
    for path in (
        "wsrl/zoos/build.py",
        "wsrl/studies/training/runs.py",
        "tests/test_docker.py",
        "Makefile",
    ):
        assert not left_out(path), path


def accepted(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Have the real parser read a command's words, configs included, and do nothing."""
    assert command[0] == "wsrl"
    assert main([*command[1:], "--print_config"]) == 0, (command, capsys.readouterr().err)


def compose(*names: str) -> list[dict[str, Any]]:
    return [yaml.safe_load((DOCKER / name).read_text())["services"] for name in names]


def test_the_compose_files_fit_the_dockerfile() -> None:
    box, gpu = compose("compose.yaml", "compose.cuda.yaml")
    build = box["wsrl"]["build"]
    assert (DOCKER / build["context"]).resolve() == ROOT
    assert (ROOT / build["dockerfile"]).is_file()
    arguments = {step.rest.split("=")[0] for step in steps() if step.word == "ARG"}
    assert {*build["args"], *gpu["wsrl"]["build"]["args"]} <= arguments
    assert set(gpu) == set(box)
    for services in (box, gpu):
        assert services["tensorboard"]["image"] == services["wsrl"]["image"]
    made = " ".join(step.rest for step in inside("wsrl"))
    for volume in box["wsrl"]["volumes"]:
        assert volume.split(":")[1].removeprefix("/work/") in made, volume


def test_tensorboard_reads_the_runs() -> None:
    (box,) = compose("compose.yaml")
    board = TensorBoard()
    board.configure(box["tensorboard"]["entrypoint"])
    assert board.flags.logdir == "runs"
    assert f"127.0.0.1:{board.flags.port}:{board.flags.port}" in box["tensorboard"]["ports"]


@pytest.mark.parametrize("name", ["compose.yaml", "Dockerfile"])
def test_the_commands_in_the_comments_are_right(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    comments = re.findall(r"^#(.*)$", (DOCKER / name).read_text(), re.MULTILINE)
    lines = "\n".join(comments).replace("\\\n", " ").splitlines()
    found = [shlex.split(line.partition(" wsrl ")[2]) for line in lines if " run " in line]
    found = [options for options in found if options]
    assert found
    for options in found:
        accepted(["wsrl", *options], capsys)
