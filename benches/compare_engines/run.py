#!/usr/bin/env python3
"""Compares music-insights with four engines on the same files. Each engine runs with its best settings.

Usage: benches/compare_engines/run.py [--cases uniform,zipf] [--peers duckdb,chdb] [--rows N] [--rounds N] ...

The script installs the engines in requirements.txt, generates the data with `music-insights generate`, and runs all
contenders in turns. It compares every table of each engine with the same table of music-insights. It writes
results.json, table.md and replay.svg. Data and output are in --folder. This folder should be in memory, and the script
removes it at the end. The script takes about 25 minutes.
"""

import argparse
import datetime
import math
import os
import resource
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

sys.dont_write_bytecode = True

import cost_of_commits
import describe_machine
import report
from cases import CASES, NAMES
from case_runner import CaseRunner
from generate_data import DataStore
from measure_process import median, peak

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PEERS = ["duckdb", "chdb", "polars", "datafusion"]
SCALE_GIGABYTES_PER_MILLION_ROWS = 0.07  # The input takes 0.05. The rest is the memory of music-insights.


def names(known):
    def parse(text):
        chosen = text.split(",")
        for name in chosen:
            if name not in known:
                raise argparse.ArgumentTypeError(f"unknown name {name}; choose from {', '.join(known)}")
        return chosen
    return parse


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=names(NAMES), default=NAMES, help=f"cases to run: {', '.join(NAMES)} (default: all)")
    parser.add_argument("--peers", type=names(PEERS), default=PEERS, help=f"engines to compare with: {', '.join(PEERS)} (default: all)")
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--users", type=int, default=200_000)
    parser.add_argument("--songs", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side-rounds", type=int, default=3,
                        help="rounds of all cases except the first two; after the first round, only the two fastest peers run")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm/music-insights-compare-engines"))
    parser.add_argument("--disk", type=Path, default=ROOT / "target", help="folder on a disk, used by the case watch")
    parser.add_argument("--results", type=Path, default=HERE / "results",
                        help="folder for the results; overwrites existing results")
    parser.add_argument("--binary", type=Path, help="path of the music-insights to measure (default: build it with cargo)")
    parser.add_argument("--venv", type=Path, default=ROOT / "target/compare-engines-venv", help="folder for the Python environment with the engines")
    return parser.parse_args()


def build():
    subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=ROOT, check=True)
    return ROOT / "target/release/music-insights"


def install(venv):
    python = venv / "bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True, timeout=120)
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", HERE / "requirements.txt"],
                   check=True, timeout=900)
    return python


def by_threads(runner, case, rounds, logs, songs, most):
    """Runs music-insights with different numbers of threads and cores.

    The variants are one thread on one core, one thread on all cores, and all threads. Each variant runs with and
    without enriched_logs.
    """
    kinds = {(threads, cores, enriched): [] for threads, cores in dict.fromkeys([(1, 1), (1, most), (most, most)])
             for enriched in (True, False)}
    for _ in range(rounds):
        for (threads, cores, enriched), runs in kinds.items():
            runs.append(runner.once("ours", replace(case, enriched=enriched), logs, songs, threads, cores))
            runner.clear("ours")
    return [{"threads": threads, "cores": cores, "enriched": enriched, "runs": runs}
            for (threads, cores, enriched), runs in kinds.items()]


def at_scale(runner, case, rounds, store, args, results):
    rows, users, songs_count = (number * case.data.scale for number in (args.rows, args.users, args.songs))
    needed = rows / 1e6 * SCALE_GIGABYTES_PER_MILLION_ROWS
    store.drop()
    if describe_machine.available_gigabytes() < needed:
        return {"failure": f"needs {needed:.0f} GB of available memory"}
    logs, songs = store.logs(case.data)
    runs = []
    for _ in range(rounds):
        runs.append(runner.once("ours", case, logs, songs))
        runner.clear("ours")
    # The number of pairs is an estimate. If N pairs of listener and song are equally likely, n plays contain
    # N (1 - e^(-n/N)) different pairs. Listeners prefer some genres, which has the same effect as up to ten times fewer
    # pairs. With n/N = 1/5000, this effect changes the result by at most 0.1 %.
    cells = users * songs_count
    pairs = cells * -math.expm1(-rows / cells)
    found = {"rows": rows, "users": users, "songs": songs_count, "runs": runs, "pairs": pairs,
             "bytes_per_pair": peak(runs) * 2**20 / pairs}
    if "no-enriched" in results["cases"]:
        usual = results["cases"]["no-enriched"]
        found["rate_to_no_enriched"] = (rows / median(runs)) / (usual["rows"] / median(usual["runs"]["ours"]))
    return found


def main():
    args = arguments()
    binary = (args.binary or build()).resolve()
    python = install(args.venv)
    args.folder.mkdir(parents=True, exist_ok=True)
    args.disk.mkdir(parents=True, exist_ok=True)
    store = DataStore(args.folder, binary, args)
    runner = CaseRunner(args.folder, binary, python, args.threads)
    results = {
        "date": datetime.date.today().isoformat(), "machine": describe_machine.description(args.threads),
        "versions": describe_machine.versions(python, binary), "threads": args.threads, "rows": args.rows, "users": args.users,
        "songs": args.songs, "cases": {}, "threads_case": None, "scale": None, "watch": None,
    }
    try:
        for case in (case for case in CASES if case.name in args.cases):
            rounds = args.rounds if case.main else args.side_rounds
            if case.name == "scale":
                results["scale"] = at_scale(runner, case, rounds, store, args, results)
            else:
                logs, songs = store.logs(case.data)
                if case.name == "threads":
                    results["threads_case"] = by_threads(runner, case, rounds, logs, songs, args.threads)
                elif case.name == "watch":
                    results["watch"] = cost_of_commits.compare_with_replay(
                        binary, logs, songs, args.folder / "watch", args.disk, args.threads, rounds)
                else:
                    runs = runner.all(case, ["ours", *args.peers], rounds, logs, songs)
                    results["cases"][case.name] = {"rows": store.rows(case.data), "runs": runs}
                    store.forget_packed(case.data)
            report.write(args.results, results)  # Written after every case, so that an interrupted run keeps its results.
    finally:
        shutil.rmtree(args.folder, ignore_errors=True)
    print((args.results / "table.md").read_text())


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    main()
