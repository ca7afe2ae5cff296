#!/usr/bin/env python3
"""Measures how a cluster scales. All executors run on this machine, with one core each. The baseline is `replay`.

    benches/cluster/run.py [--rows 20000000] [--users 200000] [--songs 50000] [--files 16] [--executors 1,2] [--bin DIR]

`--bin` is the folder with the programs `music-insights` and `ballista-scheduler`. Build them with
`cargo build --release --features cluster -p music-insights -p ballista-scheduler --bins`. All processes use the
loopback address. The script stops all processes at the end. Each cluster runs twice: first without any earlier
results, then without new logs. The script compares every output file with the output of `replay`, and prints the
results.
"""

import argparse
import filecmp
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PORT = 50850
ADDRESS = f"df://127.0.0.1:{PORT}"
LIMIT = 1800  # time limit for one run in seconds


def peak(pid):
    """Returns the peak resident memory of a process so far, in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1000
    return 0


def timed(command):
    """Runs a command. Returns its duration in seconds and its peak memory in MB."""
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    memory = [0]

    def watch():
        while process.poll() is None:
            try:
                memory[0] = max(memory[0], peak(process.pid))
            except (FileNotFoundError, ProcessLookupError):
                pass
            time.sleep(0.05)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        code = process.wait(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        sys.exit(f"`{' '.join(map(str, command))}` took longer than {LIMIT} s")
    finally:
        watcher.join()
    if code != 0:
        sys.exit(f"`{' '.join(map(str, command))}` failed with exit code {code}")
    return time.monotonic() - began, memory[0]


def compare(expected, found):
    for path in sorted(expected.rglob("*.csv")):
        if not filecmp.cmp(path, found / path.relative_to(expected), shallow=False):
            sys.exit(f"{path.relative_to(expected)} differs from the output of replay")


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
                programs / "music-insights", "executor", "--scheduler", ADDRESS, "--cores", "1", "--memory", "4GiB",
                "--port", str(PORT + 2 * n), "--task-port", str(PORT + 2 * n + 1), "--work-dir", folder / f"work-{n}"]))
        time.sleep(2)

    def stop(self):
        """Stops all processes. Returns the peak memory of the largest executor in MB."""
        memory = max((peak(executor.pid) for executor in self.executors), default=0)
        for process in [*self.executors, self.scheduler]:
            process.kill()
            process.wait()
        return memory


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="20000000")
    parser.add_argument("--users", default="200000")
    parser.add_argument("--songs", default="50000")
    parser.add_argument("--files", default="16")
    parser.add_argument("--executors", default="1,2", help="comma-separated numbers of executors to measure")
    parser.add_argument("--bin", type=Path, default=ROOT / "target/release",
                        help="folder with the programs music-insights and ballista-scheduler (default: target/release)")
    args = parser.parse_args()
    program = args.bin / "music-insights"
    with tempfile.TemporaryDirectory(prefix="cluster-", dir=os.environ.get("TMPDIR")) as name:
        folder = Path(name)
        subprocess.run([program, "generate", "--out", folder, "--rows", args.rows, "--users", args.users, "--songs",
                        args.songs, "--files", args.files], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       timeout=LIMIT)
        replay = [program, "replay", folder / "incoming", "--songs", folder / "songs_metadata.csv"]
        print(f"{args.rows} rows in {args.files} files")
        rows = int(args.rows)
        for threads in (1, 2):
            cores = ["taskset", "-c", "0" if threads == 1 else "0,1"] if shutil.which("taskset") else []
            took, memory = timed([*cores, *replay, "--threads", str(threads), "--output", folder / "expected"])
            print(f"replay, {threads} core(s): {took:.1f} s, {rows / took / 1e6:.2f} M rows/s, {memory:.0f} MB", flush=True)
        for executors in map(int, args.executors.split(",")):
            cluster = Cluster(args.bin, executors, folder)
            try:
                found = folder / f"found-{executors}"
                on_cluster = [*replay, "--cluster", ADDRESS, "--output", found]
                first, memory = timed(on_cluster)
                compare(folder / "expected", found)
                again, _ = timed(on_cluster)
                compare(folder / "expected", found)
                tables = sum(path.stat().st_size for path in (found / "_tables").rglob("*.parquet")) / 1e6
            finally:
                largest = cluster.stop()
            print(f"cluster, {executors} executor(s) of one core: first run {first:.1f} s, {rows / first / 1e6:.2f} M rows/s; "
                  f"second run {again:.1f} s; executor {largest:.0f} MB, client {memory:.0f} MB, tables {tables:.0f} MB", flush=True)
            shutil.rmtree(found)


if __name__ == "__main__":
    main()
