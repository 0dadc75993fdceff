"""Jobs on several processes of this machine: one process a job."""

import contextlib
import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from wsrl.jobs.report import Listener, listener, listening
from wsrl.jobs.run import ProcessDiedError, ProcessToldError

STOPPING_SECONDS = 25.0
"""How long processes that were told to end may take to save; clusters kill after thirty."""

_REPORT_SECONDS, _LOOK_SECONDS = 0.5, 0.02
TOLD = (signal.SIGTERM, signal.SIGUSR1)
"""Signals that tell a job to end."""

_ENDS = {status for number in TOLD for status in (-number, 128 + number)}


class LocalPool(Executor):
    """Runs every job in a process of its own; one that dies takes no other with it.

    Leaving the context tells running jobs to end by SIGTERM, waits until they have saved their
    work, and kills those that take more than ``STOPPING_SECONDS``. Where this process is killed,
    the processes of its jobs save and end by themselves.

    Args:
        workers: jobs that run at once.
        devices: numbers of GPUs to deal out, as ``CUDA_VISIBLE_DEVICES`` names them; none for CPUs.
        threads: PyTorch's threads in every process; by default as many as it takes by itself.
        preload: modules that the process from which the others are forked imports once. Python has
            one such process for each of its own, so only the first pool's modules count.
        hear: called with what jobs report; by default the function given to ``listening``.
    """

    def __init__(
        self,
        workers: int,
        devices: Sequence[str] = (),
        threads: int | None = None,
        preload: Sequence[str] = (),
        hear: Listener | None = None,
    ) -> None:
        self.workers = workers
        self._threads, self._hear = threads, hear
        self._places: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        for place in range(workers):
            self._places.put(devices[place % len(devices)] if devices else None)
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["wsrl.jobs.preload", *preload])
        self._processes: set[ForkServerProcess] = set()
        self._closed = False
        self._starting = threading.Lock()  # no process starts unseen while the pool is shut down

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run a job; a process that ends without a result is a ``ProcessDiedError``."""
        future: Future[Any] = Future()

        def run() -> None:
            try:
                future.set_result(self._run(function, args, kwargs))
            except Exception as error:
                future.set_exception(error)

        threading.Thread(target=run, daemon=True).start()  # no thread keeps this process alive
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Tell running jobs to end, and wait until they have."""
        with self._starting:
            self._closed = True
            for process in self._processes:
                process.terminate()
        try:
            self._wait(STOPPING_SECONDS)
        finally:  # also where a second interruption asks for no more patience
            for process in list(self._processes):
                process.kill()
            self._wait(STOPPING_SECONDS)

    def _wait(self, seconds: float) -> None:
        """Wait until all processes have ended; the thread that started one takes it off the list.

        No other may join it: the first to do so learns how it ended, and only that one.
        """
        end = time.monotonic() + seconds
        while self._processes and time.monotonic() < end:
            time.sleep(_LOOK_SECONDS)

    def _run(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        device = self._places.get()
        try:
            receive, send = self._context.Pipe(duplex=False)
            process = self._context.Process(
                target=_work, args=(send, device, self._threads, function, args, kwargs)
            )
            with self._starting:
                if self._closed:
                    raise ProcessToldError("the pool was shut down before it began")
                process.start()
                self._processes.add(process)
            send.close()
            try:
                return self._result(process, receive)
            finally:
                process.join()
                with self._starting:
                    self._processes.discard(process)
        finally:
            self._places.put(device)

    def _result(self, process: ForkServerProcess, receive: Connection) -> Any:
        try:
            while (message := receive.recv())[0] == "report":
                (self._hear or listener())(message[1])
        except (EOFError, OSError):
            process.join()
            kind = ProcessToldError if process.exitcode in _ENDS else ProcessDiedError
            raise kind(f"its process {_how_it_ended(process.exitcode)}") from None
        _, result, error = message
        if error is not None:
            raise error
        return result


def run_in(folder: Path, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Run a function in a folder, from which its relative paths start."""
    os.chdir(folder)
    return function(*args, **kwargs)


def _work(
    send: Connection,
    device: str | None,
    threads: int | None,
    function: Callable[..., Any],
    args: Any,
    kwargs: Any,
) -> None:
    """Run a job in this process, and send what it returns or raises."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a whole terminal: the command tells its jobs
    for number in TOLD:
        signal.signal(number, signal.SIG_DFL)  # whatever was inherited
    signal.pthread_sigmask(signal.SIG_UNBLOCK, TOLD)
    threading.Thread(target=_end_with_the_command, daemon=True).start()
    if device is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = device
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    try:
        with listening(_reporter(send)):
            result, failure = function(*args, **kwargs), None
    except Exception as error:
        result, failure = None, error
    try:
        send.send(("end", result, failure))
    except Exception as error:  # what cannot be pickled
        send.send(("end", None, RuntimeError(str(failure or error))))


def _reporter(send: Connection) -> Listener:
    """Return what sends the reports of a job, a few times a second at most."""
    last = 0.0

    def send_report(value: Any) -> None:
        nonlocal last
        if time.monotonic() - last > _REPORT_SECONDS:
            last = time.monotonic()
            with contextlib.suppress(OSError):  # the command has died: this process will be told
                send.send(("report", value))

    return send_report


def _end_with_the_command() -> None:
    """Have this process save and end when the command dies; its forkserver would let it live."""
    command = multiprocessing.parent_process()
    if command is not None:
        command.join()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(STOPPING_SECONDS)
        os.kill(os.getpid(), signal.SIGKILL)


def _how_it_ended(status: int | None) -> str:
    if status is not None and status < 0:
        hint = " (out of memory?)" if -status == signal.SIGKILL else ""
        return f"was ended by {signal.Signals(-status).name}{hint}"
    return f"ended with status {status}"
