"""Text that can only be read, on streams that are there."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import unicodedata
import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsrl.terminal import complain, guarded, note, printable, say

HOSTILE = "\x1b[2J\x1b]0;title\x07a\rb\x00\x85\u202e\u2066\ud800"


@given(st.text(st.characters()))
def test_only_what_is_seen_is_left(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert not any(unicodedata.category(c).startswith(("C", "Zl", "Zp")) for c in shown)
    if text.isprintable():
        assert shown == text  # letters, accents and signs of all languages stay


def test_new_lines_stay_only_where_they_are_wanted() -> None:
    assert printable("a\nb\tc") == r"a\nb\tc"
    assert printable("a\nb\tc\x1b", keep="\n\t") == "a\nb\tc\\x1b"


def test_all_that_is_printed_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    say(HOSTILE)
    note([HOSTILE])
    complain(HOSTILE)
    shown = capsys.readouterr()
    for text in (shown.out, shown.err):
        assert text.replace("\n", "").isprintable()
        assert r"\x1b[2J" in text
        assert r"\ud800" in text


def test_a_message_cannot_look_like_another_one(capsys: pytest.CaptureFixture[str]) -> None:
    complain("error: no zoo at x\nwsrl: all is well\n  already set in")
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["error: no zoo at x", "  wsrl: all is well", "  already set in"]


def test_warnings_of_others_are_escaped() -> None:
    plain = UserWarning("plain")
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        with guarded():
            warnings.warn(HOSTILE, DeprecationWarning, stacklevel=1)
            warnings.warn(plain, stacklevel=1)
    assert [str(each.message) for each in found] == [printable(HOSTILE), "plain"]
    assert [each.category for each in found] == [DeprecationWarning, UserWarning]
    assert found[1].message is plain


def test_logs_of_others_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    log = logging.getLogger("somebodys")
    with guarded():
        handler = logging.StreamHandler(sys.stderr)
        log.addHandler(handler)
        try:
            log.warning("restored %s", HOSTILE)
        finally:
            log.removeHandler(handler)
    shown = capsys.readouterr().err
    assert shown.count(r"\x1b[2J") == 1
    assert "\x1b" not in shown


def test_a_thread_that_fails_is_noted_and_prints_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WSRL_TRACEBACK", raising=False)

    def fail() -> None:
        raise OSError("the disk is full")

    with guarded() as errors:
        thread = threading.Thread(target=fail, name="writer")
        thread.start()
        thread.join()
    assert [(name, str(error)) for name, error in errors.found] == [("writer", "the disk is full")]
    assert capsys.readouterr().err == ""


def test_what_others_set_is_there_again_afterwards() -> None:
    before = warnings.showwarning, logging.getLogRecordFactory(), threading.excepthook
    with guarded():
        assert logging.getLogRecordFactory() is not before[1]
    assert (warnings.showwarning, logging.getLogRecordFactory(), threading.excepthook) == before


def run(redirected: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Run a command that fails, with streams as a shell has them."""
    command = f'"{sys.executable}" -m wsrl.cli zoo info "$0" {redirected}'
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        ["sh", "-c", command, str(tmp_path / "no zoo")],
        capture_output=True,
        text=True,
        env=environment,
    )


@pytest.mark.parametrize("closed", ["", "2>&-", ">&-", "<&-", "2>&- >&-"])
def test_an_error_is_said_where_a_stream_is_left(closed: str, tmp_path: Path) -> None:
    done = run(closed, tmp_path)
    assert done.returncode == 1
    shown = done.stderr + done.stdout
    assert shown.count("error: no zoo at") == (0 if closed == "2>&- >&-" else 1)
    assert "Traceback" not in shown


def test_files_do_not_take_the_numbers_of_closed_streams(tmp_path: Path) -> None:
    code = (
        "from wsrl.terminal import guarded\n"
        "with guarded():\n"
        "    file = open('file', 'wb')\n"
        "    assert file.fileno() > 2\n"
        "    import os; os.write(2, b'of a library'); os.write(1, b'of a library')\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = ["sh", "-c", f'"{sys.executable}" -c "$0" 2>&- >&-', code]
    assert subprocess.run(command, cwd=tmp_path, env=environment).returncode == 0
    assert (tmp_path / "file").read_bytes() == b""
