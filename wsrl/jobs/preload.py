"""Imported once by the process from which the processes of jobs are forked."""

import signal

from wsrl.jobs.local import TOLD

# Told to end together with its group, this process must live on until the jobs have saved their
# work. What a job is told while its process is made waits until that can hear it.
for _number in TOLD:
    signal.signal(_number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, TOLD)
