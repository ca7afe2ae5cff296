"""Feeds a contender: writes rows at an even pace. The rows are generated before the measurement.

The last two rows of every tick are *probes*: a play of a new song, and a play by a new user. The feeder records the
time of every write. This time gives the age of a probe when the probe appears in a table.
"""

import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

PROBE_SONG = "probe_song_%06d"
PROBE_USER = "probe_user_%06d"
HEADER = b"user_id,song_id,timestamp,duration_sec\n"


@dataclass(frozen=True)
class Feed:
    rate: int  # rows per second
    seconds: int
    period: float  # seconds between two ticks
    append: bool  # if true, every tick appends to the same log; otherwise every tick adds a file by rename
    users: int
    songs: int

    @property
    def ticks(self):
        return round(self.seconds / self.period)

    @property
    def rows(self):
        """Returns the number of rows per tick, including the probes."""
        return round(self.rate * self.period)


def generate(binary, out, rows, users, songs, seed, start, files=1):
    shutil.rmtree(out, ignore_errors=True)
    command = [binary, "generate", "--rows", rows, "--users", users, "--songs", songs, "--popularity", "uniform",
               "--seed", seed, "--start", start, "--files", files, "--out", out]
    subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, timeout=300)


def history(binary, data, rows, users, songs, probes):
    """Generates the plays before the feed, and a catalog that includes the probe songs."""
    generate(binary, data, rows, users, songs, 1, "2025-03-20")
    with open(data / "songs_metadata.csv", "a") as catalog:
        for number in range(probes):
            catalog.write(PROBE_SONG % number + ",Probe,Artist,Pop,Chill\n")


def blocks(binary, feed, folder):
    """Generates one file for each tick: `000000.csv` and so on. Each file has a header."""
    raw = folder / "raw"
    generate(binary, raw, (feed.rows - 2) * feed.ticks, feed.users, feed.songs, 2, "2025-03-27", feed.ticks)
    staging = folder / "staging"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    # The new user plays a song with a genre, so the user gets a favourite genre.
    known = (PROBE_SONG % 0).encode()
    for number, path in enumerate(sorted((raw / "incoming").iterdir())):
        with open(path, "ab") as file:
            file.write((PROBE_SONG % number).join(["user_1,", ",2025-03-28 12:00:00,100\n"]).encode())
            file.write((PROBE_USER % number).encode() + b"," + known + b",2025-03-28 12:00:00,100\n")
        os.rename(path, staging / f"{number:06}.csv")
    shutil.rmtree(raw)
    return staging


def run(feed, staging, incoming, begin, log):
    """Runs the feed. `begin` is the time of the first tick. Records the time of every write in nanoseconds."""
    staging, incoming = Path(staging), Path(incoming)
    target = None
    if feed.append:
        target = os.open(incoming / "live.csv", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(target, HEADER)
    times = []
    size = 0
    for number in range(feed.ticks):
        path = staging / f"{number:06}.csv"
        # Read the rows before the tick, so that the tick itself is a single system call.
        block = path.read_bytes()[len(HEADER):] if feed.append else None
        size += path.stat().st_size
        time.sleep(max(0.0, begin + number * feed.period - time.monotonic()))
        before = time.monotonic_ns()
        if feed.append:
            if os.write(target, block) != len(block):
                raise OSError("the system wrote only a part of a block")
            path.unlink()
        else:
            os.rename(path, incoming / f"drop-{number:06}.csv")
        times.append(before)
    took = time.monotonic() - begin
    Path(log).write_text(json.dumps({"times": times, "seconds": took, "bytes": size}))
