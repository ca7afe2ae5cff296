#!/usr/bin/env python3
"""Measures the age of a row at the moment when its effect is readable in the published tables, at 100,000 rows/s.

Usage: benches/live_freshness/run.py [--contenders ours,spark,pathway] [--seconds N] [--rate N] [--users N]
                        [--binary PATH] [--folder DIR]

The script feeds music-insights, Spark Structured Streaming and Pathway on this machine, one after the other. It writes
results.json, table.md and freshness.svg to the folder `results` next to this script. Spark needs Java 17 (Debian
package `default-jre-headless`). The scenario with browsers needs Chromium. The script installs the peers into --folder.
This folder should be in memory (/dev/shm), with 8 GB free. The script takes about 15 minutes.
"""

import sys

sys.dont_write_bytecode = True  # Keeps bytecode out of the source tree.

import argparse
import fcntl
import json
import os
import platform
import shutil
import signal
import subprocess
from dataclasses import replace
from datetime import date
from pathlib import Path

import chart
import report_table
from feed import Feed
from scenario import Bench, Scenario, at_rate, say

PYSPARK = "4.3.0"
PATHWAY = "0.33.0"
HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
# If a peer does not keep up, the script tries these rates in this order.
LADDER = (50_000, 20_000, 10_000, 5_000)
LADDER_SECONDS = 20
# Slower configurations of the peers. They run only if --only names them.
VARIANTS = ("spark-rocksdb", "spark-seconds", "pathway-seconds", "pathway-snapshots")


def scenarios(args):
    """Returns all scenarios. The peers run only with the small feed, because this feed is the easiest."""
    def feed(append, users, songs, warm_up):
        return Feed(args.rate, args.seconds + warm_up, 0.1, append, users, songs)

    users = args.users
    # The small feed has a tenth of the users, songs and history, because the peers keep whole tables in memory.
    small = (users // 10, 5_000)
    return [
        Scenario("main-append", "ours", "log appended", feed(True, users, 50_000, 5), 10 * users, 5),
        Scenario("main-drop", "ours", "files dropped", feed(False, users, 50_000, 5), 10 * users, 5),
        Scenario("large-append", "ours", "log appended, ten times the users", feed(True, 10 * users, 50_000, 5), 100 * users, 5),
        Scenario("small-drop", "ours", "files dropped, the peers' feed", feed(False, *small, 5), users, 5),
        Scenario("dashboard-idle", "ours", "log appended, dashboard served, no readers", feed(True, users, 50_000, 5), 10 * users, 5, dashboard="idle"),
        Scenario("dashboard-clients", "ours", "log appended, requests of ten dashboards", feed(True, users, 50_000, 5), 10 * users, 5, dashboard="clients"),
        Scenario("dashboard-browsers", "ours", "log appended, dashboard open in ten browsers", feed(True, users, 50_000, 5), 10 * users, 5, dashboard="browsers"),
        Scenario("dashboard-abuse", "ours", "log appended, 300 slow connections, expensive requests", feed(True, users, 50_000, 5), 10 * users, 5, dashboard="abuse"),
        # The warm-up is longer, because a JVM has to warm up.
        Scenario("spark", "spark", f"Spark {PYSPARK}, two insights", feed(False, *small, 15), users, 15, ("memory",)),
        Scenario("pathway", "pathway", f"Pathway {PATHWAY}, two insights, changes only", feed(False, *small, 5), users, 5, ("changes", "100")),
    ] + [
        Scenario("spark-rocksdb", "spark", f"Spark {PYSPARK}, two insights, RocksDB", feed(False, *small, 15), users, 15, ("rocksdb",)),
        Scenario("spark-seconds", "spark", f"Spark {PYSPARK}, two insights, a file per second",
                 replace(feed(False, *small, 15), period=1.0), users, 15, ("memory",)),
        Scenario("pathway-seconds", "pathway", f"Pathway {PATHWAY}, two insights, changes only, a file per second",
                 replace(feed(False, *small, 5), period=1.0), users, 5, ("changes", "100")),
        Scenario("pathway-snapshots", "pathway", f"Pathway {PATHWAY}, two insights, whole tables",
                 feed(False, *small, 5), users, 5, ("snapshots", "100")),
    ]


def install(folder, contenders):
    """Installs the peers into a virtual environment. Returns the path of its Python."""
    wanted = {"spark": f"pyspark=={PYSPARK}", "pathway": f"pathway=={PATHWAY}"}
    packages = [wanted[name] for name in contenders if name in wanted]
    python = folder / "venv/bin/python"
    if not packages:
        return python
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True, timeout=120)
    subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True, timeout=900)
    return python


def machine():
    names = [line.partition(":")[2].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return f"{os.cpu_count()} cores ({names[0] if names else platform.machine()}), {memory:.0f} GB of memory, all files in memory"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contenders", default="ours,spark,pathway", help="comma-separated contenders; ours stands for music-insights")
    parser.add_argument("--seconds", type=int, default=60, help="measured seconds per scenario")
    parser.add_argument("--rate", type=int, default=100_000, help="rows per second")
    parser.add_argument("--users", type=int, default=200_000, help="number of users in the main scenarios")
    parser.add_argument("--only", help="comma-separated scenarios to run, also " + ", ".join(VARIANTS) + "; keeps the results of all other scenarios")
    parser.add_argument("--binary", type=Path, help="path of the music-insights to measure (default: build it with cargo)")
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm/music-insights-live-freshness"))
    args = parser.parse_args()

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # The exit stops contenders and removes folders.
    args.folder.mkdir(parents=True, exist_ok=True)
    lock = open(args.folder / ".lock", "w")
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    contenders = args.contenders.split(",")
    if args.binary is None:
        subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=ROOT, check=True)
        args.binary = ROOT / "target/release/music-insights"
    bench = Bench(args.folder, args.binary.resolve(), install(args.folder, contenders))

    chosen = [one for one in scenarios(args) if one.contender in contenders]
    chosen = [one for one in chosen if (one.key in args.only.split(",") if args.only else one.key not in VARIANTS)]
    place = HERE / "results/results.json"
    results = json.loads(place.read_text())["results"] if args.only and place.exists() else []
    try:
        for scenario in chosen:
            results = [one for one in results if one["scenario"] != scenario.key and not one["scenario"].startswith(scenario.key + "-at-")]
            for attempt in attempts(scenario):
                result = bench.measure(attempt)
                say(json.dumps(result["freshness"]))
                results.append(result)
                if result["keeps_up"]:
                    break
            order = [one.key for one in scenarios(args)]
            results.sort(key=lambda one: order.index(one["scenario"].partition("-at-")[0]))
            save(place, results, args.binary)
    finally:
        shutil.rmtree(args.folder / "run", ignore_errors=True)


def attempts(scenario):
    """Yields the scenario. For a peer, then yields the same scenario at lower rates."""
    yield scenario
    if scenario.contender != "ours":
        for rate in LADDER:
            if rate < scenario.feed.rate:
                yield at_rate(scenario, rate, LADDER_SECONDS)


def save(place, results, binary):
    version = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]
    report = {"date": date.today().isoformat(), "machine": machine(),
              "versions": {"music-insights": version, "pyspark": PYSPARK, "pathway": PATHWAY, "python": platform.python_version()},
              "results": results}
    place.parent.mkdir(exist_ok=True)
    place.write_text(json.dumps(report, indent=1) + "\n")
    (place.parent / "table.md").write_text(report_table.markdown(report))
    (place.parent / "freshness.svg").write_text(chart.svg(report))


if __name__ == "__main__":
    main()
