"""Text that can only be read, on streams that are there."""

import logging
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
    assert printable("a\nb\tc\x1b", keep="\n\t") == "a\nb\tc\\x1b"


def test_all_that_is_printed_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    say(HOSTILE)
    note([HOSTILE])
    complain(HOSTILE)
    for text in capsys.readouterr():
        assert text.replace("\n", "").isprintable()
        assert r"\x1b[2J" in text
        assert r"\ud800" in text
    complain("error: no zoo at x\nwsrl: all is well\n  already set in")
    lines = capsys.readouterr().err.splitlines()  # no line looks like another message
    assert lines == ["error: no zoo at x", "  wsrl: all is well", "  already set in"]


def test_what_others_print_is_escaped_too(capsys: pytest.CaptureFixture[str]) -> None:
    before = warnings.showwarning, logging.getLogRecordFactory(), threading.excepthook
    plain, log = UserWarning("plain"), logging.getLogger("somebodys")
    with warnings.catch_warnings(record=True) as found, guarded():
        warnings.simplefilter("always")
        log.addHandler(handler := logging.StreamHandler(sys.stderr))
        warnings.warn(HOSTILE, DeprecationWarning, stacklevel=1)
        warnings.warn(plain, stacklevel=1)
        log.warning("restored %s", HOSTILE)
        log.removeHandler(handler)
    shown = capsys.readouterr().err
    assert shown.count(r"\x1b[2J") == 1
    assert "\x1b" not in shown
    assert [str(each.message) for each in found] == [printable(HOSTILE), "plain"]
    assert found[1].message is plain
    assert (warnings.showwarning, logging.getLogRecordFactory(), threading.excepthook) == before


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
    assert [(name, str(error)) for name, error in errors] == [("writer", "the disk is full")]
    assert capsys.readouterr().err == ""


def shell(command: str, *words: str) -> subprocess.CompletedProcess[str]:
    line = ["sh", "-c", command, sys.executable, *words]
    return subprocess.run(line, cwd=Path(__file__).parents[1], capture_output=True, text=True)


@pytest.mark.parametrize("closed", ["2>&-", "2>&- >&-"])
def test_an_error_is_said_where_a_stream_is_left(closed: str, tmp_path: Path) -> None:
    done = shell(f'"$0" -m wsrl.cli zoo info "$1" {closed}', str(tmp_path / "no zoo"))
    assert done.returncode == 1
    shown = done.stderr + done.stdout
    assert shown.count("error: no zoo at") == (0 if closed == "2>&- >&-" else 1)
    assert "Traceback" not in shown


def test_files_do_not_take_the_numbers_of_closed_streams(tmp_path: Path) -> None:
    code = (
        "import os, sys; from wsrl.terminal import guarded\n"
        "with guarded():\n"
        "    file = open(sys.argv[1], 'wb')\n"
        "    assert file.fileno() > 2\n"
        "    os.write(2, b'of a library'); os.write(1, b'of a library')\n"
    )
    done = shell('"$0" -c "$1" "$2" 2>&- >&-', code, str(tmp_path / "file"))
    assert done.returncode == 0
    assert (tmp_path / "file").read_bytes() == b""
