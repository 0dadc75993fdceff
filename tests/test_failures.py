"""What an exception is to who runs a command."""

from __future__ import annotations

import argparse
import signal

import numpy as np
import pytest
import torch

from wsrl.failures import attempt, describe, status_with_threads
from wsrl.terminal import ThreadErrors


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
        (RuntimeError("one\ntwo"), 70, "RuntimeError: one (unexpected"),
        (RecursionError("maximum recursion depth exceeded"), 70, "RecursionError: maximum"),
        (RuntimeError("x" * 5000), 70, "xxx... (unexpected"),
        (
            RuntimeError("\nProcess 1:\nTraceback (most recent call last):\n  File\nOops: 3"),
            70,
            "RuntimeError: Oops: 3 (unexpected",
        ),
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
    failure = describe(error.value)
    assert failure.message.startswith("not enough memory")
    assert failure.status == 1
    if not isinstance(error.value, MemoryError):
        outer = describe(ValueError(f"x.ckpt cannot be read: {error.value}"))
        assert outer.message.startswith("not enough memory (x.ckpt cannot be read")
    assert describe(RuntimeError("shapes differ")).status == 70


def test_numbers_that_no_machine_holds_are_said_to_be_too_large() -> None:
    for use in (lambda: np.zeros(1).__setitem__(10**30, 1), lambda: range(10**30).__len__()):
        with pytest.raises((OverflowError, IndexError)) as error:
            use()
        if isinstance(error.value, OverflowError):
            assert describe(error.value).message.startswith("a number is too large")
    assert describe(OverflowError("math range error")).status == 70


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


def test_what_threads_had_to_do_is_not_lost_without_a_word(
    capsys: pytest.CaptureFixture[str],
) -> None:
    errors = ThreadErrors([("writer", OSError("the disk is full"))])
    assert status_with_threads(0, errors) == 1
    assert "error in thread writer: the disk is full" in capsys.readouterr().err
    assert status_with_threads(1, errors) == 1  # the command has said it
    assert capsys.readouterr().err == ""
    assert status_with_threads(0, ThreadErrors()) == 0
