"""Describes the machine of a run and the versions of the contenders."""

import os
import platform
import re
import subprocess
from pathlib import Path

VERSIONS = """
from importlib.metadata import version
import chdb
clickhouse = str(chdb.query("SELECT version()", "TSV")).strip()
print("duckdb", "DuckDB", version("duckdb"), sep="|")
print("chdb", "chDB", version("chdb") + f" (ClickHouse {clickhouse})", sep="|")
print("polars", "Polars", version("polars"), sep="|")
print("datafusion", "DataFusion", version("datafusion"), sep="|")
"""


def description(cores):
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    total = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    name = model[1].strip() if model else platform.machine()
    cores = min(cores, len(os.sched_getaffinity(0)))
    return f"{cores} core{'s' * (cores > 1)} of an {name}, {int(total[1]) / 2**20:.0f} GB, Linux {platform.release().split('-')[0]}"


def available_gigabytes():
    return int(re.search(r"MemAvailable:\s*(\d+)", Path("/proc/meminfo").read_text())[1]) / 2**20


def versions(python, binary):
    """Returns the name and version of each contender."""
    lines = subprocess.run([python, "-c", VERSIONS], check=True, capture_output=True, text=True).stdout.splitlines()
    ours = subprocess.run([binary, "--version"], check=True, capture_output=True, text=True).stdout.split()[-1]
    return {"ours": f"music-insights {ours}"} | {name: f"{title} {version}" for name, title, version in
                                                 (line.split("|") for line in lines)}
