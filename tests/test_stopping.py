"""Signals are noted, and obeyed by whoever asks."""

import os
import signal
import threading

import pytest

from wsrl.stopping import SIGNALS, StopRequests


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_waits_until_it_is_asked_for(number: signal.Signals) -> None:
    before = [signal.getsignal(each) for each in SIGNALS]
    with StopRequests() as stop:
        stop.raise_if_any()  # none yet
        os.kill(os.getpid(), number)
        assert stop.signal is number
        ends = KeyboardInterrupt if number is signal.SIGINT else SystemExit
        with pytest.raises(ends) as caught:
            stop.raise_if_any()
        assert ends is KeyboardInterrupt or caught.value.code == 128 + number
    assert [signal.getsignal(each) for each in SIGNALS] == before


def test_the_first_signal_counts_and_a_second_interruption_is_obeyed_at_once() -> None:
    with StopRequests() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGUSR1)
        assert stop.signal is signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_told_again_what_is_ending_is_left_to_end() -> None:
    with StopRequests(at_once=True) as stop:
        with pytest.raises(SystemExit):
            os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGTERM)  # the time is up, while jobs save their work
        assert stop.signal is signal.SIGUSR1
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_what_is_ignored_stays_so_and_threads_catch_nothing() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN), signal.getsignal(signal.SIGTERM)
    found = []

    def look() -> None:
        with StopRequests():
            found.append(signal.getsignal(signal.SIGTERM))

    try:
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
        assert found == [before[1]]
        with StopRequests() as stop:
            os.kill(os.getpid(), signal.SIGINT)
            assert stop.signal is None
    finally:
        signal.signal(signal.SIGINT, before[0])
