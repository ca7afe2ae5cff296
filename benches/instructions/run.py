#!/usr/bin/env python3
"""Counts the instructions per row of every stage with callgrind, and compares the counts with expected.toml.

    benches/instructions/run.py [--update] [STAGE]...

Each stage runs twice, with different numbers of rows. The difference between the two runs gives the cost of one row,
without the start of the program and the preparation of the input. The script fails if a count is more than 30 % above
the record in expected.toml. `--update` writes the record.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent.parent
RECORD = Path(__file__).resolve().parent / "expected.toml"
ROWS = (50_000, 250_000)
# The limit is high because of random hash seeds: two stages vary by more than 10 % between runs of the same program.
TOLERANCE = 0.30
TIMEOUT = 600  # time limit for one run under callgrind in seconds


def build():
    """Builds the bench in the release profile and returns its path."""
    command = ["cargo", "bench", "--locked", "--bench", "instructions", "--no-run", "--message-format=json"]
    built = subprocess.run(command, cwd=PROJECT, stdout=subprocess.PIPE, check=True, text=True)
    for line in built.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == "instructions":
            return message["executable"]
    sys.exit("cargo built no bench named `instructions`; check Cargo.toml")


def count(program, stage, rows):
    """Runs a stage. Returns the number of processed items and the number of instructions of the whole run."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "callgrind.out")
        tool = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", program, stage, str(rows)]
        ran = subprocess.run(tool, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=TIMEOUT)
        if ran.returncode != 0:
            sys.exit(f"{stage} failed:\n{ran.stderr}")
        totals = re.search(r"^(?:summary|totals): (\d+)", out.read_text(), re.MULTILINE)
        return int(ran.stdout.split()[1]), int(totals[1])


def per_item(program, stage):
    """Returns the number of instructions per item of a stage."""
    (few, little), (many, much) = (count(program, stage, rows) for rows in ROWS)
    return (much - little) / (many - few)


def read_record():
    """Reads the record, a file with comments and lines `name = number`."""
    text = RECORD.read_text() if RECORD.exists() else ""
    return {name: float(number) for name, number in re.findall(r"^(\w+) = ([\d.]+)", text, re.MULTILINE)}


def write_record(units, counted):
    lines = [
        "# Instructions per row, id, listener, line or play of each stage, counted by benches/instructions/run.py --update",
        "# (x86-64 with AVX2, release profile). A count above the budget, 30 % more, fails.",
    ]
    lines += [f"{stage} = {number:.1f} # per {units[stage]}, budget {number * (1 + TOLERANCE):.0f}"
              for stage, number in counted.items()]
    RECORD.write_text("\n".join(lines) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="*", metavar="STAGE", help="stages to count (default: all)")
    parser.add_argument("--update", action="store_true", help="write the counts to expected.toml")
    args = parser.parse_args()
    if shutil.which("valgrind") is None:
        print("skipped: valgrind is not installed")
        return
    program = build()
    listed = subprocess.run([program, "list"], stdout=subprocess.PIPE, check=True, text=True).stdout
    units = dict(line.split() for line in listed.splitlines())
    unknown = set(args.stages) - set(units)
    if unknown:
        sys.exit(f"unknown stage {', '.join(sorted(unknown))}; choose from {', '.join(units)}")
    stages = args.stages or list(units)
    expected = read_record()
    # Counts do not depend on the load of the machine, so two stages can run at the same time.
    with ThreadPoolExecutor(max_workers=2) as pool:
        counted = dict(zip(stages, pool.map(lambda stage: per_item(program, stage), stages)))

    slower, faster = [], []
    print(f"{'stage':<18} {'per':<9} {'expected':>9} {'counted':>9} {'change':>8}")
    for stage, number in counted.items():
        before = expected.get(stage)
        change = None if before is None else number / before - 1
        if change is not None and change > TOLERANCE:
            slower.append(stage)
        if change is not None and change < -TOLERANCE:
            faster.append(stage)
        mark = "  too many" if stage in slower else "  fewer" if stage in faster else ""
        before = "-" if before is None else f"{before:.1f}"
        change = "new" if change is None else f"{change:+.1%}"
        print(f"{stage:<18} {units[stage]:<9} {before:>9} {number:>9.1f} {change:>8}{mark}")

    if args.update:
        kept = {stage: counted.get(stage, expected.get(stage)) for stage in units}
        write_record(units, {stage: number for stage, number in kept.items() if number is not None})
        print(f"written to {RECORD.relative_to(PROJECT)}")
        return
    missing = [stage for stage in counted if stage not in expected]
    if missing:
        sys.exit(f"stages without a recorded count: {', '.join(missing)}; run benches/instructions/run.py --update")
    if faster:
        print(f"more than 30 % below the record: {', '.join(faster)}; run benches/instructions/run.py --update to record the lower counts")
    if slower:
        sys.exit(f"more than 30 % above the record: {', '.join(slower)}")


if __name__ == "__main__":
    main()
