"""Feeds a contender: writes rows that were generated in advance, at an even pace.

The last two rows of every tick are *probes*: a play of a new song and a play of a new user. The feeder records when
it writes them, so the age of a probe is known when it appears in a table.
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
    append: bool  # append to one log; otherwise every tick drops a file by rename
    users: int
    songs: int

    @property
    def ticks(self):
        return round(self.seconds / self.period)

    @property
    def rows(self):
        """Rows of one tick, including the probes."""
        return round(self.rate * self.period)


def generate(binary, out, rows, users, songs, seed, start, files=1):
    shutil.rmtree(out, ignore_errors=True)
    command = [binary, "generate", "--rows", rows, "--users", users, "--songs", songs, "--popularity", "uniform",
               "--seed", seed, "--start", start, "--files", files, "--out", out]
    subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, timeout=300)


def history(binary, data, rows, users, songs, probes):
    """Generates the plays from before the feed, and the catalog, which includes the probe songs."""
    generate(binary, data, rows, users, songs, 1, "2025-03-20")
    with open(data / "songs_metadata.csv", "a") as catalog:
        for number in range(probes):
            catalog.write(PROBE_SONG % number + ",Probe,Artist,Pop,Chill\n")


def blocks(binary, feed, folder):
    """Generates one file with a header for each tick: `000000.csv`, ..."""
    raw = folder / "raw"
    generate(binary, raw, (feed.rows - 2) * feed.ticks, feed.users, feed.songs, 2, "2025-03-27", feed.ticks)
    staging = folder / "staging"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    # The new user plays a song with a genre, which becomes the favourite genre.
    known = (PROBE_SONG % 0).encode()
    for number, path in enumerate(sorted((raw / "incoming").iterdir())):
        with open(path, "ab") as file:
            file.write((PROBE_SONG % number).join(["user_1,", ",2025-03-28 12:00:00,100\n"]).encode())
            file.write((PROBE_USER % number).encode() + b"," + known + b",2025-03-28 12:00:00,100\n")
        os.rename(path, staging / f"{number:06}.csv")
    shutil.rmtree(raw)
    return staging


def run(feed, staging, incoming, begin, log):
    """Runs the feed from `begin`, the time of the first tick, and logs the time of every write in nanoseconds."""
    staging, incoming = Path(staging), Path(incoming)
    target = None
    if feed.append:
        target = os.open(incoming / "live.csv", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(target, HEADER)
    times = []
    size = 0
    for number in range(feed.ticks):
        path = staging / f"{number:06}.csv"
        # Read before the tick, so that the tick itself is one system call.
        block = path.read_bytes()[len(HEADER):] if feed.append else None
        size += path.stat().st_size
        time.sleep(max(0.0, begin + number * feed.period - time.monotonic()))
        before = time.monotonic_ns()
        if feed.append:
            if os.write(target, block) != len(block):
                raise OSError("a block was only partly written")
            path.unlink()
        else:
            os.rename(path, incoming / f"drop-{number:06}.csv")
        times.append(before)
    took = time.monotonic() - begin
    Path(log).write_text(json.dumps({"times": times, "seconds": took, "bytes": size}))
