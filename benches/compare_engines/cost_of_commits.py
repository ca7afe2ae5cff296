"""Compares `watch --once`, which commits and syncs, with `replay`, which does neither."""

import os
import shutil
import sys
import time
from statistics import median

from measure_process import measure

BLOCK = bytes(4 << 20)


def clear(*folders):
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def once(command, threads):
    run = measure(command, threads)
    if run.failure:
        sys.exit(f"case watch: `{command[1]}` failed: {run.failure}")
    return run.seconds


def bytes_in(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def write_alone(folder, size):
    """Writes and syncs `size` bytes. Returns the time in seconds."""
    path = folder / "alone"
    began = time.monotonic()
    with open(path, "wb", buffering=0) as file:
        left = size
        while left > 0:
            left -= file.write(BLOCK[:left])
        os.fsync(file.fileno())
    seconds = time.monotonic() - began
    path.unlink()
    return seconds


def compare_with_replay(binary, logs, songs, place, disk, threads, rounds):
    """Measures all variants.

    Returns all runs, their medians, the rows/s of `watch` divided by the rows/s of `replay`, and the write rate of
    `watch` divided by the write rate of the disk alone.
    """
    common = ["--songs", songs, "--threads", threads]
    runs = {"replay": [], "watch": [], "watch on disk": [], "disk alone": []}
    disk = disk / "music-insights-compare-engines"
    disk.mkdir(parents=True, exist_ok=True)
    size = 0

    def watch(root):
        # The input stays in memory. Only state and output are in the measured folder.
        return once([binary, "watch", "--once", "--http", "off", "--flush-interval", "1s", "--incoming", logs.parent,
                     "--state", root / "state", "--output", root / "output", *common], threads)

    try:
        for _ in range(rounds):
            runs["replay"].append(once([binary, "replay", logs, "--output", place / "output", *common], threads))
            clear(place)
            runs["watch"].append(watch(place))
            clear(place)
            os.sync()
            runs["watch on disk"].append(watch(disk))
            size = bytes_in(disk)
            clear(disk / "state", disk / "output")
            os.sync()
            runs["disk alone"].append(write_alone(disk, size))
    finally:
        clear(place, disk)
    medians = {name: median(seconds) for name, seconds in runs.items()}
    return {
        "runs": runs,
        "medians": medians,
        "bytes": size,
        "watch_to_replay": medians["replay"] / medians["watch"],
        "share_of_disk": medians["disk alone"] / medians["watch on disk"],
    }
