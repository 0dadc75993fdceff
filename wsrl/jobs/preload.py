"""Imported once by the process from which the processes of jobs are forked."""

import signal

# Told to end together with its group, it must live on until the jobs have saved their work.
for _number in (signal.SIGTERM, signal.SIGUSR1):
    signal.signal(_number, signal.SIG_IGN)
