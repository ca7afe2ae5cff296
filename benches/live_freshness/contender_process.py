"""Starts a contender, measures it including its child processes, and stops it."""

import os
import signal
import subprocess
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


class Contender:
    def __init__(self, command, folder, environment=()):
        self.log = open(folder / "contender.log", "wb")
        self.process = subprocess.Popen([str(word) for word in command], cwd=folder, stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log, env={**os.environ, **dict(environment)})

    def family(self):
        """Returns the ids of the process and all its descendants. Spark runs a JVM as a child of Python."""
        children = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and (stat := fields(entry.name)):
                children.setdefault(int(stat[1]), []).append(int(entry.name))
        pids = [self.process.pid]
        for pid in pids:
            pids.extend(children.get(pid, ()))
        return pids

    def cpu(self):
        """Returns the CPU seconds so far. The figures of a process include its children that have ended."""
        stats = filter(None, map(fields, self.family()))
        return sum(sum(map(int, stat[11:15])) for stat in stats) / TICKS

    def peak(self):
        """Returns the peak memory in megabytes."""
        total = 0
        for pid in self.family():
            try:
                status = Path(f"/proc/{pid}/status").read_text()
            except OSError:
                continue
            total += sum(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
        return total / 1024

    def wait_until(self, ready, seconds):
        deadline = time.monotonic() + seconds
        while not ready():
            if self.process.poll() is not None:
                raise RuntimeError(f"the contender exited with {self.process.returncode}; see {self.log.name}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"the contender was not ready within {seconds} s; see {self.log.name}")
            time.sleep(0.05)

    def stop(self):
        family = self.family()
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            # Kill only the processes that were descendants before the wait.
            for pid in family:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.process.wait(10)
        self.log.close()


def fields(pid):
    """Returns the fields of /proc/PID/stat after the name, or None if the process has ended.

    The name is left out because it may contain spaces.
    """
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def busy():
    """Returns the busy time of the machine in seconds: the sum over all cores, for all processes."""
    values = list(map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]))
    return (sum(values) - values[3] - values[4]) / TICKS
