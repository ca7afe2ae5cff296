"""Measures the duration, processor time and peak memory of a process."""

import os
import statistics
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass

TIMEOUT = 600


@dataclass
class Run:
    seconds: float = 0.0
    megabytes: float = 0.0
    processor: float = 0.0  # seconds on all cores; shows whether a long run was slow or disturbed by other processes
    failure: str = ""


def measure(command, cores):
    """Runs a command on the first `cores` cores.

    The peak memory comes from wait4, and refers to the started process. On Linux, a new process starts with the
    peak of its parent. This script therefore stays small, and runs memory-intensive work in separate processes.
    """
    allowed = os.sched_getaffinity(0)
    with tempfile.TemporaryFile() as errors:
        os.sched_setaffinity(0, sorted(allowed)[:cores])
        try:
            began = time.monotonic()
            process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL, stderr=errors)
        finally:
            os.sched_setaffinity(0, allowed)
        timer = threading.Timer(TIMEOUT, process.kill)
        timer.start()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        timer.cancel()
        errors.seek(0)
        failure = "" if process.returncode == 0 else cause(process.returncode, seconds, errors.read().decode(errors="replace"))
    return Run(seconds, usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime, failure)


def cause(code, seconds, message):
    if seconds >= TIMEOUT:
        return f"took longer than {TIMEOUT // 60} minutes"
    if code == -9:
        return "killed, probably out of memory"
    lines = [line for line in message.splitlines() if line.strip()]
    return lines[-1][:200] if lines else f"exit code {code}"


def median(runs):
    return statistics.median(run.seconds for run in runs)


def peak(runs):
    return max(run.megabytes for run in runs)
