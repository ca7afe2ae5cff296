"""Runs one measurement. A contender ingests the history and then the feed. The table reader polls the output."""

import json
import multiprocessing
import shutil
import statistics
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import feed as feeding
import table_reader
import contender_process
import dashboard_load

HERE = Path(__file__).resolve().parent
# After the end of the feed, a contender has this time in seconds to publish the last rows.
GRACE = 45
TABLES = {"a song": "avg_listen_time_per_song", "a user": "user_favorite_genres"}
# All probes are in this number of bytes at the start of a table.
HEAD = 256 * 1024


@dataclass(frozen=True)
class Scenario:
    key: str
    contender: str  # ours, spark, or pathway
    label: str
    feed: feeding.Feed
    history: int  # number of rows before the feed
    warm_up: int  # seconds at the start of the feed that are not measured
    variant: tuple = ()
    dashboard: str = "off"  # off (not served), idle (served, no readers), clients, browsers or abuse


def at_rate(scenario, rate, seconds):
    feed = replace(scenario.feed, rate=rate, seconds=seconds + scenario.warm_up)
    return replace(scenario, key=f"{scenario.key}-at-{rate}", feed=feed)


class Bench:
    def __init__(self, folder, binary, python):
        self.folder, self.binary, self.python = folder, binary, python
        self.port = dashboard_load.free_port()

    def command(self, scenario, root):
        songs, incoming, output = root / "data/songs_metadata.csv", root / "data/incoming", root / "output"
        if scenario.contender == "ours":
            http = "off" if scenario.dashboard == "off" else f"127.0.0.1:{self.port}"
            return [self.binary, "watch", "--http", http, "--flush-interval", "250ms"], table_reader.Snapshot, HEAD
        script = HERE / f"{scenario.contender}_insights.py"
        command = [self.python, script, incoming, songs, output]
        if scenario.contender == "spark":
            return command + [root / "scratch", *scenario.variant], table_reader.Snapshot, None
        return command + [*scenario.variant], table_reader.Changes if scenario.variant[0] == "changes" else table_reader.Snapshot, None

    def measure(self, scenario):
        """Runs a scenario, and returns its figures."""
        root = self.folder / "run"
        shutil.rmtree(root, ignore_errors=True)
        try:
            return self.measure_in(root, scenario)
        finally:
            shutil.rmtree(root, ignore_errors=True)

    def measure_in(self, root, scenario):
        feed = scenario.feed
        for folder in ("data", "output", "scratch"):
            (root / folder).mkdir(parents=True)
        incoming = root / "data/incoming"
        feeding.history(self.binary, root / "data", scenario.history, feed.users, feed.songs, feed.ticks)
        staging = feeding.blocks(self.binary, feed, root)
        command, kind, head = self.command(scenario, root)
        say(f"{scenario.key}: {scenario.label}, {feed.rate} rows/s for {feed.seconds} s")
        # Pathway uses both cores only with this variable. The other contenders use both cores by default.
        contender = contender_process.Contender(command, root, {"PATHWAY_THREADS": "2"})
        helpers = []
        load = None
        try:
            began = time.monotonic()
            contender.wait_until(lambda: ingested(scenario, root), 180)
            intake = time.monotonic() - began
            load = dashboard_load.DashboardLoad(scenario.dashboard, self.port, root)
            # Browsers need some time to start.
            time.sleep(20 if scenario.dashboard == "browsers" else 1)
            begin = time.monotonic() + 0.5
            paths = {name: str(root / "output" / table / "part-00000.csv") for name, table in TABLES.items()}
            feeder = helper(feeding.run, feed, staging, incoming, begin, root / "feed.json")
            reader = helper(table_reader.run, kind, paths, feed.ticks, head, begin + feed.seconds + GRACE, root / "reader.json")
            helpers = [feeder, reader]
            pause_until(begin + scenario.warm_up)
            start, cpu, busy = time.monotonic(), contender.cpu(), contender_process.busy()
            pause_until(begin + feed.seconds)
            took = time.monotonic() - start
            cpu, busy = (contender.cpu() - cpu) / took, (contender_process.busy() - busy) / took
            connections = dashboard_load.connections(self.port) if scenario.dashboard in ("idle", "clients", "browsers") else None
            for child, limit in ((feeder, GRACE), (reader, GRACE + 10)):
                child.join(limit)
                if child.exitcode != 0:
                    raise RuntimeError(f"{scenario.key}: the feeder or the table reader exited with {child.exitcode}")
            if contender.process.poll() is not None:
                raise RuntimeError(f"{scenario.key}: the contender exited with these messages:\n" + (root / "contender.log").read_text()[-3000:])
            result = figures(scenario, *(json.loads((root / name).read_text()) for name in ("feed.json", "reader.json")))
            result |= {"cpu_cores": round(cpu, 2), "machine_busy_cores": round(busy, 2), "intake_seconds": round(intake, 1),
                       "peak_megabytes": round(contender.peak())}
            if connections is not None:
                result["connections"] = connections
            return result
        finally:
            for child in helpers:
                child.kill()
            if load:
                load.stop()
            contender.stop()


def helper(target, *arguments):
    child = multiprocessing.Process(target=target, args=arguments, daemon=True)
    child.start()
    return child


def pause_until(moment):
    time.sleep(max(0.0, moment - time.monotonic()))


def ingested(scenario, root):
    """Returns whether the published tables contain the whole history."""
    if scenario.contender == "ours":
        try:
            return json.loads((root / "output/_manifest.json").read_text())["totals"]["rows"] >= scenario.history
        except (OSError, ValueError, KeyError):
            return False
    # The history is a single file. A peer publishes a table only after it has read the whole file.
    sizes = [root / "output" / table / "part-00000.csv" for table in TABLES.values()]
    return all(path.exists() and path.stat().st_size > 1000 for path in sizes)


def figures(scenario, fed, read):
    feed = scenario.feed
    skip = round(scenario.warm_up / feed.period)
    counted = range(skip, feed.ticks)
    result = {
        "scenario": scenario.key,
        "contender": scenario.contender,
        "label": scenario.label,
        "users": feed.users,
        "songs": feed.songs,
        "history_rows": scenario.history,
        "feed": "appended" if feed.append else "dropped files",
        "tick_ms": round(feed.period * 1000),
        "rate_wanted": feed.rate,
        "rate_fed": round(feed.rows * (feed.ticks - 1) / ((fed["times"][-1] - fed["times"][0]) / 1e9)),
        "seconds": feed.seconds - scenario.warm_up,
        "variant": list(scenario.variant),
        "freshness": {},
    }
    for name in TABLES:
        seen = {int(number): moment for number, moment in read["seen"][name].items()}
        ages = [(seen[number] - fed["times"][number]) / 1e6 for number in counted if number in seen]
        result["freshness"][name] = summary(ages, len(counted), feed.seconds * 1000)
        within = [moment for moment in read["changes"][name] if fed["times"][skip] <= moment <= fed["times"][-1]]
        if len(within) > 2:
            gaps = [(b - a) / 1e6 for a, b in zip(within, within[1:])]
            result["freshness"][name]["published_every_ms"] = round(statistics.median(gaps))
    result["keeps_up"] = all(not table["grows"] and table["lost"] == 0 for table in result["freshness"].values())
    return result


def summary(ages, wanted, fed):
    """Returns percentiles of the ages in milliseconds, and whether the backlog grew during the feed.

    If the final backlog is larger than a quarter of the feed, it also counts as growing, because it grew during the
    warm-up.
    """
    found = {"probes": len(ages), "lost": wanted - len(ages), "grows": True}
    if len(ages) < 6:
        return found
    third = len(ages) // 3
    first, last = statistics.median(ages[:third]), statistics.median(ages[-third:])
    ordered = sorted(ages)
    at = lambda percent: round(ordered[(len(ordered) - 1) * percent // 100])
    return found | {"p50": at(50), "p90": at(90), "p99": at(99), "longest": at(100),
                    "first_third": round(first), "last_third": round(last), "grows": last > min(1.5 * first + 50, fed / 4)}


def say(text):
    print(text, file=sys.stderr, flush=True)
