#!/usr/bin/env python3
"""What do periods cost? Compares runs with periods with the same runs without them.

All runs read the same logs. Each time is the median of the rounds, which run in turns. Needs 8 GB in the folder.
"""

import argparse
import json
import os
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time
import urllib.request
from datetime import date
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).resolve().parent / "results"
SONGS = 50_000
USERS = 200_000
NONE = []
MONTHS = ["--set", "periods.month=all"]
MIXED = [*MONTHS, "--set", "periods.week=8", "--set", "periods.year=all"]
DAYS = ["--set", "periods.day=all"]
HEADER = "user_id,song_id,timestamp,duration_sec\n"


def timed(command, limit=600):
    """Seconds and peak memory in MB of a command."""
    began = time.monotonic()
    output = subprocess.run(
        ["/usr/bin/env", "time", "-f", "%M", *command], capture_output=True, text=True, timeout=limit, check=True
    )
    return time.monotonic() - began, int(output.stderr.split()[-1]) / 1024


def median_of(rounds, commands):
    """The median times and memory of several commands, which run in turns. Each starts without an output."""
    found = [[] for _ in commands]
    for _ in range(rounds):
        for command, results in zip(commands, found):
            shutil.rmtree("out", ignore_errors=True)
            results.append(timed(command))
    return [tuple(statistics.median(values) for values in zip(*results)) for results in found]


class Watch:
    """A running `watch` with its own state, output and logs."""

    def __init__(self, args, name, options, port):
        self.args, self.name, self.options, self.port = args, name, options, port
        self.logs, self.songs = Path(f"{name}-logs"), Path(f"{name}-songs.csv")
        self.output = Path(f"{name}-output")
        self.process = None

    def command(self, *more):
        return [
            str(self.args.binary), "watch", "--incoming", str(self.logs), "--songs", str(self.songs), "--output",
            str(self.output), "--state", f"{self.name}-state", "--flush-interval", "250ms", *self.options, *more,
        ]

    def build(self, source):
        """Reads all logs once."""
        self.logs.mkdir()
        for log in sorted((source / "incoming").iterdir()):
            (self.logs / log.name).hardlink_to(log)
        shutil.copy(source / "songs_metadata.csv", self.songs)
        timed(self.command("--once", "--http", "off"))

    def start(self):
        """Starts the process. Returns the seconds until it is ready."""
        began = time.monotonic()
        command = self.command("--http", f"127.0.0.1:{self.port}")
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.wait(lambda: self.get("/health/readyz") is not None)
        return time.monotonic() - began

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=60)

    def get(self, address):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{address}", timeout=10) as response:
                return response.read().decode()
        except OSError:
            return None

    def wait(self, found, limit=120):
        began = time.monotonic()
        while not found():
            if time.monotonic() - began > limit:
                sys.exit(f"{self.name}: waited longer than {limit} s")
            time.sleep(0.002)
        return time.monotonic() - began

    def flushes(self):
        """Number and total seconds of all flushes."""
        text = self.get("/metrics") or ""
        value = lambda what: float(re.search(rf"flush_duration_seconds_{what} (\S+)", text)[1])
        return value("count"), value("sum")

    def manifest(self):
        return json.loads((self.output / "_manifest.json").read_text())

    def flush_of(self, rows, rounds):
        """Median seconds of a flush after some new rows."""
        durations = []
        for number in range(rounds):
            count, seconds = self.flushes()
            epoch = self.manifest()["epoch"]
            staged = Path(f"{self.name}-new")
            staged.write_text(HEADER + rows)
            staged.rename(self.logs / f"new-{number}-{epoch}.csv")
            self.wait(lambda: self.manifest()["epoch"] > epoch)
            time.sleep(0.5)
            after, total = self.flushes()
            durations.append((total - seconds) / max(after - count, 1))
        return statistics.median(durations)


def generate(args, name, days, start):
    command = [
        str(args.binary), "generate", "--rows", str(args.rows), "--users", str(USERS), "--songs", str(SONGS), "--days",
        str(days), "--start", start, "--files", "16", "--out", name,
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def shuffle(source, target):
    """The same rows in random order, in files of the same number."""
    (target / "incoming").mkdir(parents=True)
    shutil.copy(source / "songs_metadata.csv", target)
    shuffled = f"tail -q -n +2 {source}/incoming/*.csv | shuf | split -n r/16 - {target}/incoming/part-"
    subprocess.run(["bash", "-o", "pipefail", "-c", shuffled], check=True)
    for part in (target / "incoming").iterdir():
        log = part.with_name(part.name + ".csv")
        with log.open("wb") as file:
            file.write(HEADER.encode())
            with part.open("rb") as rows:
                shutil.copyfileobj(rows, file, 1 << 20)
        part.unlink()


def replays(args, rows):
    generate(args, "two", 730, "2024-01-01")
    replay = lambda folder, options: [
        str(args.binary), "replay", f"{folder}/incoming", "--songs", f"{folder}/songs_metadata.csv", "--output", "out",
        *options,
    ]
    commands = [replay("two", options) for options in (NONE, MONTHS, MIXED)]
    none, months, mixed = median_of(args.rounds, commands)
    ratio = lambda one, other: f"{one[0]:.1f} s against {other[0]:.1f} s: × {one[0] / other[0]:.2f}"
    memory = lambda one, other: f"{one[1]:.0f} MB against {other[1]:.0f} MB: × {one[1] / other[1]:.2f}"
    rows.append(("`replay`, 2 years in order, `month = \"all\"`", "≤ × 1.3", ratio(months, none)))
    rows.append(("memory of this run", "≤ × 1.5", memory(months, none)))
    rows.append(("with `month = \"all\", week = 8, year = \"all\"`", "≤ × 1.7", ratio(mixed, none)))
    shuffle(Path("two"), Path("mixed"))
    none, months = median_of(args.rounds, [replay("mixed", options) for options in (NONE, MONTHS)])
    rows.append(("the same rows in random order, `month = \"all\"`", "≤ × 2", ratio(months, none)))
    rows.append(("memory of this run", "≤ × 2", memory(months, none)))
    shutil.rmtree("two")
    shutil.rmtree("mixed")


def watches(args, rows):
    generate(args, "ten", 3650, "2016-11-01")
    last = sorted(Path("ten/incoming").iterdir())[-1].read_text().splitlines()[-10_000:]
    today = last[-1].split(",")[2][:10]
    new = "".join(f"{','.join(row.split(',')[:2])},{today} 12:00:00,60\n" for row in last)
    runs = {name: Watch(args, name, options, 18_500 + index)
            for index, (name, options) in enumerate((("none", NONE), ("months", MONTHS), ("days", DAYS)))}
    for watch in runs.values():
        watch.build(Path("ten"))
    flush, restarts = {}, {}
    for name, watch in runs.items():
        restarts[name] = statistics.median(restart(watch) for _ in range(args.rounds))
        watch.start()
        # Merging of segments would disturb the first flush.
        time.sleep(5)
        flush[name] = watch.flush_of(new, args.rounds)
        if name == "months":
            late, catalog = changes(watch)
        watch.stop()
    against = lambda values, name: f"{values[name]:.2f} s against {values['none']:.2f} s: × {values[name] / values['none']:.2f}"
    rows.append(("flush after 10,000 rows of today, `day = \"all\"` over ten years", "≤ × 1.5", against(flush, "days")))
    rows.append(("flush after 10,000 rows of today, `month = \"all\"` over ten years", "≤ × 1.5", against(flush, "months")))
    rows.append(("a late play in a closed month, until it is published (interval 250 ms)", "≤ 450 ms", f"{late * 1000:.0f} ms"))
    rows.append(("a corrected genre over 120 months, until it is published", "≤ 5 s", f"{catalog:.1f} s"))
    rows.append(("restart with 120 months, until it is ready", "≤ × 1.2", against(restarts, "months")))


def restart(watch):
    seconds = watch.start()
    watch.stop()
    return seconds


def changes(watch):
    """Seconds until a late play is published, and until a corrected genre is."""
    index = watch.output / "periods/month/2024-05/_index.json"
    plays = json.loads(index.read_text())["plays"]
    staged = Path(f"{watch.name}-late")
    staged.write_text(HEADER + "user_1,song_1,2024-05-05 12:00:00,60\n")
    staged.rename(watch.logs / "late.csv")
    late = watch.wait(lambda: json.loads(index.read_text())["plays"] > plays)
    time.sleep(1)
    before = watch.manifest()["catalog"]["fingerprint"]
    staged.write_text(watch.songs.read_text().replace(",Rock,", ",Polka,", 500))
    staged.rename(watch.songs)
    return late, watch.wait(lambda: watch.manifest()["catalog"]["fingerprint"] != before)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=Path, help="path of the music-insights to measure (default: build it with cargo)")
    parser.add_argument("--rows", type=int, default=20_000_000, help="number of rows")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each measurement")
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm/music-insights-periods"), help="folder for data; it is removed")
    args = parser.parse_args()
    if args.binary is None:
        subprocess.run(["cargo", "build", "--release"], cwd=PROJECT, check=True)
        args.binary = PROJECT / "target/release/music-insights"
    args.binary = args.binary.resolve()
    shutil.rmtree(args.folder, ignore_errors=True)
    args.folder.mkdir(parents=True)
    os.chdir(args.folder)
    rows = []
    try:
        replays(args, rows)
        watches(args, rows)
    finally:
        os.chdir("/")
        shutil.rmtree(args.folder, ignore_errors=True)
    head = f"{args.rows:,} rows, medians of {args.rounds} rounds, {date.today()}, {platform.machine()}, {os.cpu_count()} cores"
    table = f"{head}\n\n| work | target | found |\n|---|---|---|\n"
    table += "".join(f"| {work} | {target} | {found} |\n" for work, target, found in rows)
    print(table)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "table.md").write_text(table)


if __name__ == "__main__":
    main()
