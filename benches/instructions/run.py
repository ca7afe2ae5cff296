#!/usr/bin/env python3
"""Counts the instructions of every stage per row under callgrind, and compares them with expected.toml.

    benches/instructions/run.py [--update] [STAGE]...

A stage runs on two numbers of rows; the slope between them is what one row costs, without the start of the
program and without preparing the input. More than 30 % above the record fails; `--update` writes the record.
"""

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
# By how the random hashes fall, two stages vary by more than a tenth between runs of the same program.
TOLERANCE = 0.30


def build():
    """Builds the bench as it is released, and returns its path."""
    command = ["cargo", "bench", "--locked", "--bench", "instructions", "--no-run", "--message-format=json"]
    built = subprocess.run(command, cwd=PROJECT, stdout=subprocess.PIPE, check=True, text=True)
    for line in built.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == "instructions":
            return message["executable"]
    sys.exit("cargo has built no bench of this name")


def count(program, stage, rows):
    """Runs a stage; returns how many things it did, and the instructions of the whole run."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "callgrind.out")
        tool = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", program, stage, str(rows)]
        ran = subprocess.run(tool, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if ran.returncode != 0:
            sys.exit(f"{stage} failed:\n{ran.stderr}")
        totals = re.search(r"^(?:summary|totals): (\d+)", out.read_text(), re.MULTILINE)
        return int(ran.stdout.split()[1]), int(totals[1])


def per_thing(program, stage):
    (few, little), (many, much) = (count(program, stage, rows) for rows in ROWS)
    return (much - little) / (many - few)


def read_record():
    """The numbers of the record; nothing more than `name = number` is in it."""
    text = RECORD.read_text() if RECORD.exists() else ""
    return {name: float(number) for name, number in re.findall(r"^(\w+) = ([\d.]+)", text, re.MULTILINE)}


def write_record(units, counted):
    lines = [
        "# Instructions per row, id, listener, line or play of each stage, counted by benches/instructions/run.py --update",
        "# (x86-64, release profile). More than 30 % above these fails.",
    ]
    lines += [f"{stage} = {number:.1f} # per {units[stage]}" for stage, number in counted.items()]
    RECORD.write_text("\n".join(lines) + "\n")


def main():
    update = "--update" in sys.argv[1:]
    wanted = [word for word in sys.argv[1:] if not word.startswith("-")]
    if shutil.which("valgrind") is None:
        print("valgrind is not installed: instruction counts skipped")
        return
    program = build()
    listed = subprocess.run([program, "list"], stdout=subprocess.PIPE, check=True, text=True).stdout
    units = dict(line.split() for line in listed.splitlines())
    unknown = set(wanted) - set(units)
    if unknown:
        sys.exit(f"there is no stage {', '.join(sorted(unknown))}; there are {', '.join(units)}")
    stages = wanted or list(units)
    expected = read_record()
    # What is counted does not depend on what else the machine does.
    with ThreadPoolExecutor(max_workers=2) as pool:
        counted = dict(zip(stages, pool.map(lambda stage: per_thing(program, stage), stages)))

    slower, faster = [], []
    print(f"{'stage':<18} {'per':<9} {'expected':>9} {'counted':>9} {'change':>8}")
    for stage, number in counted.items():
        before = expected.get(stage)
        change = None if before is None else number / before - 1
        if change is not None and change > TOLERANCE:
            slower.append(stage)
        if change is not None and change < -TOLERANCE:
            faster.append(stage)
        mark = "  TOO MANY" if stage in slower else "  fewer" if stage in faster else ""
        before = "-" if before is None else f"{before:.1f}"
        change = "new" if change is None else f"{change:+.1%}"
        print(f"{stage:<18} {units[stage]:<9} {before:>9} {number:>9.1f} {change:>8}{mark}")

    if update:
        kept = {stage: counted.get(stage, expected.get(stage)) for stage in units}
        write_record(units, {stage: number for stage, number in kept.items() if number is not None})
        print(f"written to {RECORD.relative_to(PROJECT)}")
        return
    missing = [stage for stage in counted if stage not in expected]
    if missing:
        sys.exit(f"not in the record: {', '.join(missing)}; benches/instructions/run.py --update writes it")
    if faster:
        print(f"more than 30 % fewer: {', '.join(faster)}; benches/instructions/run.py --update keeps it so")
    if slower:
        sys.exit(f"more than 30 % above the record: {', '.join(slower)}")


main()
