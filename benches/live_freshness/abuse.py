#!/usr/bin/env python3
"""Measures how much the abuse of the dashboard slows down `watch` while it ingests a log of 10 million rows.

Usage: benches/live_freshness/abuse.py [--rows N] [--rounds N] [--niceness N] [--binary PATH] [--folder DIR]

The abuse consists of 300 connections that never finish a request, and one client that sends the most expensive
requests as fast as possible. In production, the abuse would come from other machines. Here it runs on the measured
machine, so by default it has the lowest priority. Pass `--niceness 0` to give it a full share of the processors.
Rounds with and without abuse alternate. The script prints the seconds of each round, and writes
results/abuse-<niceness>.json. It takes about two minutes.
"""

import sys

sys.dont_write_bytecode = True

import argparse
import json
import shutil
import statistics
import subprocess
import time
from pathlib import Path

import contender_process
import dashboard_load

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PATIENCE = 120


def manifest_rows(root):
    try:
        return json.loads((root / "output/_manifest.json").read_text())["totals"]["rows"]
    except (OSError, ValueError, KeyError):
        return -1


def ingest(args, root, log, kind):
    """Returns the time in seconds from the appearance of the log to the publication of its rows."""
    for folder in ("data/incoming", "output"):
        (root / folder).mkdir(parents=True)
    (root / "data/songs_metadata.csv").symlink_to(args.folder / "world/songs_metadata.csv")
    port = dashboard_load.free_port()
    contender = contender_process.Contender([args.binary, "watch", "--http", f"127.0.0.1:{port}", "--flush-interval", "100ms"], root)
    load = None
    try:
        contender.wait_until(lambda: manifest_rows(root) == 0, PATIENCE)
        load = dashboard_load.DashboardLoad(kind, port, root, args.niceness)
        time.sleep(3)
        (root / "data/incoming/a.csv").hardlink_to(log)
        began = time.monotonic()
        contender.wait_until(lambda: manifest_rows(root) == args.rows, PATIENCE)
        return time.monotonic() - began
    finally:
        if load:
            load.stop()
        contender.stop()
        shutil.rmtree(root)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--niceness", type=int, default=19)
    parser.add_argument("--binary", type=Path, help="path of the music-insights to measure (default: build it with cargo)")
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm/music-insights-abuse"))
    args = parser.parse_args()
    if args.binary is None:
        subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=ROOT, check=True)
        args.binary = ROOT / "target/release/music-insights"
    args.binary = args.binary.resolve()
    shutil.rmtree(args.folder, ignore_errors=True)
    args.folder.mkdir(parents=True)
    try:
        subprocess.run([args.binary, "generate", "--rows", str(args.rows), "--users", "200000", "--songs", "50000",
                        "--popularity", "uniform", "--out", args.folder / "world"], check=True, timeout=300)
        log = next((args.folder / "world/incoming").iterdir())
        seconds = {"undisturbed": [], "abuse": []}
        for turn in range(args.rounds):
            for kind, found in seconds.items():
                found.append(rounded(ingest(args, args.folder / f"run-{kind}-{turn}", log, kind)))
                print(f"{kind}: {found[-1]} s", flush=True)
        medians = {kind: statistics.median(found) for kind, found in seconds.items()}
        result = {"rows": args.rows, "niceness": args.niceness, "seconds": seconds,
                  "slower_percent": rounded(100 * (medians["abuse"] / medians["undisturbed"] - 1))}
        print(json.dumps(result))
        place = HERE / "results" / f"abuse-{args.niceness}.json"
        place.write_text(json.dumps(result, indent=1) + "\n")
    finally:
        shutil.rmtree(args.folder, ignore_errors=True)


def rounded(number):
    return round(number, 2)


if __name__ == "__main__":
    main()
