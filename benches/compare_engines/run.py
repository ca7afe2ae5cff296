#!/usr/bin/env python3
"""Compares music-insights with its peers, each at its best, on the same files, and writes down how.

Usage: benches/compare_engines/run.py [--cases uniform,zipf] [--peers duckdb,chdb] [--rows N] [--rounds N] ...

Installs the peers of requirements.txt, makes the data with `music-insights generate`, runs all
contenders in turns, compares every table that they write with ours, and writes results.json,
table.md and replay.svg. Everything but the peers themselves happens in --folder, which should be in
memory and is empty afterwards.
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
SCALE_GIGABYTES_PER_MILLION_ROWS = 0.07  # the input 0.05, and our memory


def names(known):
    def parse(text):
        chosen = text.split(",")
        for name in chosen:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name} is none of {', '.join(known)}")
        return chosen
    return parse


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=names(NAMES), default=NAMES, help=f"of {', '.join(NAMES)}")
    parser.add_argument("--peers", type=names(PEERS), default=PEERS, help=f"of {', '.join(PEERS)}")
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--users", type=int, default=200_000)
    parser.add_argument("--songs", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side-rounds", type=int, default=3,
                        help="rounds of all cases but the first two; after the first, only the two fastest peers go on")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm/music-insights-compare-engines"))
    parser.add_argument("--disk", type=Path, default=ROOT / "target", help="a folder on a disk, for the case watch")
    parser.add_argument("--results", type=Path, default=HERE / "results",
                        help="where what is found is written, instead of what is there")
    parser.add_argument("--binary", type=Path, help="instead of building one")
    parser.add_argument("--venv", type=Path, default=ROOT / "target/compare-engines-venv", help="where the peers are installed")
    return parser.parse_args()


def build():
    subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=ROOT, check=True)
    return ROOT / "target/release/music-insights"


def install(venv):
    python = venv / "bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", HERE / "requirements.txt"],
                   check=True)
    return python


def by_threads(contest, case, rounds, logs, songs, most):
    """Ours with one thread, confined to one core and not, and with all, with enriched_logs and without."""
    kinds = {(threads, cores, enriched): [] for threads, cores in dict.fromkeys([(1, 1), (1, most), (most, most)])
             for enriched in (True, False)}
    for _ in range(rounds):
        for (threads, cores, enriched), runs in kinds.items():
            runs.append(contest.once("ours", replace(case, enriched=enriched), logs, songs, threads, cores))
            contest.clear("ours")
    return [{"threads": threads, "cores": cores, "enriched": enriched, "runs": runs}
            for (threads, cores, enriched), runs in kinds.items()]


def at_scale(contest, case, rounds, store, args, results):
    rows, users, songs_count = (number * case.data.scale for number in (args.rows, args.users, args.songs))
    needed = rows / 1e6 * SCALE_GIGABYTES_PER_MILLION_ROWS
    store.drop()
    if describe_machine.available_gigabytes() < needed:
        return {"failure": f"needs {needed:.0f} GB of free memory"}
    logs, songs = store.logs(case.data)
    runs = []
    for _ in range(rounds):
        runs.append(contest.once("ours", case, logs, songs))
        contest.clear("ours")
    # n plays over N equally likely pairs meet N (1 - e^(-n/N)) of them. Listeners prefer genres,
    # which acts like an N up to ten times smaller; with n/N of 1/5000 that is 0.1 % either way.
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
    contest = CaseRunner(args.folder, binary, python, args.threads)
    results = {
        "date": datetime.date.today().isoformat(), "machine": describe_machine.description(args.threads),
        "versions": describe_machine.versions(python, binary), "threads": args.threads, "rows": args.rows, "users": args.users,
        "songs": args.songs, "cases": {}, "threads_case": None, "scale": None, "watch": None,
    }
    try:
        for case in (case for case in CASES if case.name in args.cases):
            rounds = args.rounds if case.main else args.side_rounds
            if case.name == "scale":
                results["scale"] = at_scale(contest, case, rounds, store, args, results)
            else:
                logs, songs = store.logs(case.data)
                if case.name == "threads":
                    results["threads_case"] = by_threads(contest, case, rounds, logs, songs, args.threads)
                elif case.name == "watch":
                    results["watch"] = cost_of_commits.compare_with_replay(
                        binary, logs, songs, args.folder / "watch", args.disk, args.threads, rounds)
                else:
                    runs = contest.all(case, ["ours", *args.peers], rounds, logs, songs)
                    results["cases"][case.name] = {"rows": store.rows(case.data), "runs": runs}
                    store.forget_packed(case.data)
            report.write(args.results, results)  # after every case, so that an end half-way loses nothing
    finally:
        shutil.rmtree(args.folder, ignore_errors=True)
    print((args.results / "table.md").read_text())


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    main()
