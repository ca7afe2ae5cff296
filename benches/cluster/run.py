#!/usr/bin/env python3
"""Measures what a cluster costs and how it scales. All executors run on this machine, with one core each. The baseline
is `replay` on one core.

    benches/cluster/run.py [--rows 20000000] [--users 200000] [--songs 50000] [--files 16] [--executors 1,2] [--bin DIR]
        [--spark PYTHON]

`--bin` is the folder with the programs `music-insights` and `ballista-scheduler`. Build them with
`cargo build --release --features cluster -p music-insights -p ballista-scheduler --bins`. All processes use the
loopback address. The script stops all processes at the end. It measures a first run, a second run with nothing new, a
run with one new log of 1 % whose name sorts last, and a first run of the same rows in one file. The script compares
every output file with the output of `replay`, and prints the results.

`--spark` is a Python with `pyspark==4.3.0`; Spark needs Java 17. The script then runs `spark_insights.py` once on the
logs of the first run, with two cores, and compares all rows of its seven tables with the output of `replay`. Its time
includes the start of the JVM.
"""

import argparse
import filecmp
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from itertools import zip_longest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PORT = 50850
ADDRESS = f"df://127.0.0.1:{PORT}"
LIMIT = 1800  # time limit for one run in seconds
SPARK_CORES = 2
INSTALL_SPARK = "python3 -m venv VENV && VENV/bin/pip install pyspark==4.3.0"


def peak(pid):
    """Returns the peak resident memory of a process so far, in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1000
    return 0


def family(pid):
    """Returns a process and all its descendants."""
    children = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            children += family(child)
    return [pid, *children]


def timed(command, output=subprocess.DEVNULL):
    """Runs a command. Returns its duration in seconds, and the peak memory of it and its descendants in MB."""
    began = time.monotonic()
    # A session of its own, so that the descendants can be stopped, too.
    process = subprocess.Popen(command, stdout=output, start_new_session=True)
    peaks = {}

    def watch():
        while process.poll() is None:
            try:
                peaks.update({pid: peak(pid) for pid in family(process.pid)})
            except (FileNotFoundError, ProcessLookupError):
                pass
            time.sleep(0.05)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        code = process.wait(timeout=LIMIT)
        took = time.monotonic() - began
    except subprocess.TimeoutExpired:
        sys.exit(f"`{' '.join(map(str, command))}` took longer than {LIMIT} s")
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        watcher.join()
    if code != 0:
        sys.exit(f"`{' '.join(map(str, command))}` failed with exit code {code}")
    return took, sum(peaks.values())


def compare(expected, found):
    for path in sorted(expected.rglob("*.csv")):
        if not filecmp.cmp(path, found / path.relative_to(expected), shallow=False):
            sys.exit(f"{path.relative_to(expected)} differs from the output of replay")


def rows_of(table):
    """Yields the lines of all parts of a table, without their headers."""
    for part in sorted(table.glob("part-*.csv")):
        with open(part, "rb") as file:
            next(file, None)
            yield from file


def compare_rows(expected, found):
    """Compares tables whose parts are cut differently. The rows of `enriched_logs` may have any order."""
    tables = sorted(table.name for table in expected.iterdir() if table.is_dir() and not table.name.startswith("_"))
    for name in tables:
        sides = [expected / name, found / name]
        if not any(sides[1].glob("part-*.csv")):
            sys.exit(f"Spark wrote no {name}")
        if name == "enriched_logs":
            # A sum of hashes needs no memory, and counts repeated rows.
            sums = []
            for side in sides:
                count = total = 0
                for row in rows_of(side):
                    count += 1
                    total += hash(row)
                sums.append((count, total))
            if sums[0] != sums[1]:
                sys.exit(f"{name} of Spark differs from the output of replay: {sums[1][0]} rows, {sums[0][0]} expected")
        else:
            for number, (row, other) in enumerate(zip_longest(*map(rows_of, sides)), 1):
                if row != other:
                    sys.exit(f"row {number} of {name} of Spark is {other}, but {row} in the output of replay")


def measure_spark(python, folder, songs):
    """Runs Spark on the logs of the first run, and compares its tables. Returns its duration in seconds."""
    found, printed = folder / "found-spark", folder / "spark.out"
    (folder / "spark").mkdir()
    with open(printed, "wb") as output:
        took, memory = timed(
            [python, Path(__file__).with_name("spark_insights.py"), folder / "many/incoming", songs, found,
             "--cores", str(SPARK_CORES), "--local-dir", folder / "spark"], output)
    compare_rows(folder / "expected", found)
    shutil.rmtree(found)
    return took, memory, printed.read_text().strip()


class Cluster:
    """The processes of a scheduler and its executors."""

    def __init__(self, programs, executors, folder):
        environment = os.environ | {"RUST_MIN_STACK": str(32 << 20)}
        self.log = open(folder / "cluster.log", "w")
        start = lambda command: subprocess.Popen(command, stdout=self.log, stderr=self.log, env=environment)
        self.executors = []
        self.scheduler = start([programs / "ballista-scheduler", "--bind-host", "127.0.0.1", "--bind-port", str(PORT),
                                "--scheduler-policy", "pull-staged"])
        time.sleep(1)
        for n in range(1, executors + 1):
            self.executors.append(start([
                programs / "music-insights", "executor", "--scheduler", ADDRESS, "--cores", "1",
                "--port", str(PORT + 2 * n), "--task-port", str(PORT + 2 * n + 1), "--work-dir", folder / f"work-{n}"]))
        time.sleep(2)

    def stop(self):
        """Stops all processes. Returns the peak memory of the largest executor in MB."""
        memory = max((peak(executor.pid) for executor in self.executors), default=0)
        for process in [*self.executors, self.scheduler]:
            process.kill()
            process.wait()
        return memory


def generate(program, args, folder, rows, files, seed):
    """Generates logs and a catalog in a folder."""
    subprocess.run([program, "generate", "--out", folder, "--rows", str(rows), "--users", args.users, "--songs",
                    args.songs, "--files", str(files), "--seed", str(seed)], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, timeout=LIMIT)


def on_one_core(command):
    return ["taskset", "-c", "0", *command] if shutil.which("taskset") else command


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="20000000")
    parser.add_argument("--users", default="200000")
    parser.add_argument("--songs", default="50000")
    parser.add_argument("--files", default="16")
    parser.add_argument("--executors", default="1,2", help="comma-separated numbers of executors to measure")
    parser.add_argument("--bin", type=Path, default=ROOT / "target/release",
                        help="folder with the programs music-insights and ballista-scheduler (default: target/release)")
    parser.add_argument("--spark", metavar="PYTHON", help="a Python with pyspark 4.3.0 (default: do not measure Spark)")
    args = parser.parse_args()
    program = args.bin / "music-insights"
    rows = int(args.rows)
    with tempfile.TemporaryDirectory(prefix="cluster-", dir=os.environ.get("TMPDIR")) as name:
        folder = Path(name)
        generate(program, args, folder / "many", rows, args.files, 1)
        generate(program, args, folder / "new", rows // 100, 1, 2)
        songs = folder / "many/songs_metadata.csv"
        new_log = next((folder / "new/incoming").iterdir())
        # The one log has the same rows in the same order, with one header.
        (folder / "one/incoming").mkdir(parents=True)
        with open(folder / "one/incoming/all.csv", "wb") as one:
            for number, log in enumerate(sorted((folder / "many/incoming").iterdir())):
                with open(log, "rb") as source:
                    header = source.readline()
                    one.write(header if number == 0 else b"")
                    shutil.copyfileobj(source, one, 1 << 20)
        replay = lambda logs, output: [program, "replay", folder / logs / "incoming", "--songs", songs, "--output", output]
        print(f"{args.rows} rows in {args.files} files")
        base, memory = timed(on_one_core([*replay("many", folder / "expected"), "--threads", "1"]))
        print(f"replay, one core: {base:.1f} s, {rows / base / 1e6:.2f} M rows/s, {memory:.0f} MB", flush=True)
        both, memory = timed([*replay("many", folder / "expected"), "--threads", "2"])
        print(f"replay, two cores: {both:.1f} s, {rows / both / 1e6:.2f} M rows/s, {memory:.0f} MB", flush=True)
        first_runs = {}
        for executors in map(int, args.executors.split(",")):
            cluster = Cluster(args.bin, executors, folder)
            found = folder / f"found-{executors}"
            say = lambda what, took: print(f"cluster of {executors}, {what}: {took:.1f} s, x {took / base:.2f}", flush=True)
            try:
                on_cluster = lambda logs, output: [*replay(logs, output), "--cluster", ADDRESS]
                first, client = timed(on_cluster("many", found))
                first_runs[executors] = first
                compare(folder / "expected", found)
                say("first run", first)
                again, _ = timed(on_cluster("many", found))
                compare(folder / "expected", found)
                say("again, nothing new", again)
                shutil.copy(new_log, folder / "many/incoming/zz.csv")
                added, _ = timed(on_cluster("many", found))
                subprocess.run(replay("many", folder / "more"), check=True, stdout=subprocess.DEVNULL)
                compare(folder / "more", found)
                say("one new log of 1 %", added)
                (folder / "many/incoming/zz.csv").unlink()
                one, _ = timed(on_cluster("one", folder / "found-one"))
                compare(folder / "expected", folder / "found-one")
                say("all rows in one file", one)
                print(f"one file against {args.files} files: x {one / first:.2f}")
                tables = sum(path.stat().st_size for path in (found / "_tables").rglob("*") if path.is_file()) / rows
            finally:
                largest = cluster.stop()
            print(f"executor {largest:.0f} MB, client {client:.0f} MB, {tables:.0f} bytes of files per row", flush=True)
            shutil.rmtree(found)
            shutil.rmtree(folder / "found-one")
        if len(first_runs) > 1:
            few, many = min(first_runs), max(first_runs)
            # With n executors, a run takes fixed + work / n.
            work = (first_runs[few] - first_runs[many]) / (1 / few - 1 / many)
            fixed = max(0, first_runs[few] - work / few)
            beats = [executors for executors in first_runs if first_runs[executors] < base]
            cost = f"{min(beats)} (measured)" if beats else "none" if fixed >= base else f"{work / (base - fixed):.1f}"
            print(f"COST: {cost} cores beat replay on one core", flush=True)
        if args.spark is None:
            print(f"skipped Spark: install it with `{INSTALL_SPARK}`, and pass --spark VENV/bin/python")
            return
        took, memory, session = measure_spark(args.spark, folder, songs)
        cluster = first_runs.get(SPARK_CORES)
        against = f", cluster of {SPARK_CORES}: x {took / cluster:.1f}" if cluster else ""
        print(f"Spark 4.3, local[{SPARK_CORES}]: {took:.1f} s, {memory:.0f} MB{against} ({session})")


if __name__ == "__main__":
    main()
