"""What an exception is to who runs a command."""

import argparse
import signal

import numpy as np
import pytest
import torch

from wsrl.failures import attempt, describe, status_with_threads


def raising(error: BaseException) -> int:
    raise error


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (ValueError("say which"), 1, "say which"),
        (ValueError(), 1, "ValueError"),
        (FileNotFoundError(2, "No such file", "x"), 1, "[Errno 2] No such file: 'x'"),
        (argparse.ArgumentError(None, "no such option"), 2, "no such option"),
        (KeyError("name"), 70, "KeyError: 'name' (unexpected; set WSRL_TRACEBACK=1"),
        (RuntimeError("x" * 5000), 70, "xxx... (unexpected"),
        (
            RuntimeError("\nProcess 1:\nTraceback (most recent call last):\n  File\nOops: 3"),
            70,
            "RuntimeError: Oops: 3 (unexpected",
        ),
        (OverflowError("int too large to convert to float"), 1, "a number is too large"),
        (OverflowError("math range error"), 70, "OverflowError"),
    ],
)
def test_errors_are_one_message_with_a_status(
    error: Exception,
    status: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("WSRL_TRACEBACK", raising=False)
    assert attempt("wsrl x", lambda: raising(error)) == status
    shown = capsys.readouterr().err
    assert shown.startswith("wsrl x: error: ")
    assert message in shown
    assert len(shown.splitlines()) == 1
    assert len(shown) < 500
    monkeypatch.setenv("WSRL_TRACEBACK", "1")
    assert attempt("wsrl x", lambda: raising(error)) == status
    assert "Traceback (most recent call last)" in capsys.readouterr().err


TOO_MUCH = 1 << 60


@pytest.mark.parametrize(
    "allocate",
    [
        lambda: torch.empty(TOO_MUCH),
        lambda: torch.empty(1 << 62, 1 << 62),
        lambda: np.ones(TOO_MUCH),
        lambda: np.ones((1 << 40, 1 << 40)),
        lambda: bytearray(TOO_MUCH),
        lambda: raising(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")),
    ],
)
def test_a_lack_of_memory_is_said_to_be_one(allocate: object) -> None:
    assert callable(allocate)
    with pytest.raises((MemoryError, RuntimeError, ValueError)) as error:
        allocate()
    outer = ValueError(f"x.ckpt cannot be read: {error.value}")  # as it is wrapped elsewhere
    for each in (error.value, *([] if isinstance(error.value, MemoryError) else [outer])):
        failure = describe(each)
        assert failure.message.startswith("not enough memory")
        assert failure.status == 1


def test_a_command_ends_as_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert attempt("wsrl x", lambda: None) == 0
    assert attempt("wsrl x", lambda: 3) == 3
    assert attempt("wsrl x", lambda: raising(SystemExit(4))) == 4
    assert attempt("wsrl x", lambda: raising(SystemExit())) == 0
    assert capsys.readouterr().err == ""
    assert attempt("wsrl x", lambda: raising(SystemExit("no luck"))) == 1
    assert capsys.readouterr().err == "wsrl x: error: no luck\n"
    assert attempt("wsrl x", lambda: raising(KeyboardInterrupt())) == 128 + signal.SIGINT
    assert attempt("wsrl x", lambda: raising(SystemExit(143)), goes_on=True) == 143
    assert "stopped by SIGTERM; run the same command again to go on" in capsys.readouterr().err


def test_a_thread_that_failed_fails_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    errors: list[tuple[str, BaseException]] = [("writer", OSError("the disk is full"))]
    assert status_with_threads(0, errors) == 1
    assert "error in thread writer: the disk is full" in capsys.readouterr().err
    assert status_with_threads(1, errors) == 1  # the command has said why
    assert status_with_threads(0, []) == 0
    assert capsys.readouterr().err == ""
