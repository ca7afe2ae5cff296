#!/usr/bin/env python3
"""Measures `replay` of the same plays in several dialects, in turns, without enriched_logs.

    benches/dialects/run.py [--rows N] [--rounds N] [--binary PATH] [--folder DIR] [--venv DIR]

Prints the rows per second of each dialect, and the ratio to plain CSV. DuckDB and Polars compute the same insights from
the JSON Lines. The output of every dialect and peer is compared with the output for plain CSV. Takes about 5 minutes.
"""

import sys

sys.dont_write_bytecode = True  # Keeps bytecode out of the source tree.

import argparse
import filecmp
import shutil
import subprocess
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
ENGINES = ROOT / "benches/compare_engines"
sys.path.insert(0, str(ENGINES))

import describe_machine  # noqa: E402
from measure_process import measure, median  # noqa: E402
from run import build, install  # noqa: E402

INSIGHTS = ("user_favorite_genres", "avg_listen_time_per_song", "top_songs_this_week", "happy_recommendations",
            "genre_loyalty_scores", "night_owl_users")


def columns(**names):
    return [f"input.columns.{field}={name}" for field, name in names.items()]


def dialects():
    """Returns the ending of each dialect's file, its header, the function that writes a row, and its settings."""
    def seconds(time):
        return int(datetime.fromisoformat(time).replace(tzinfo=UTC).timestamp())

    def millis(duration):
        return int(Decimal(duration) * 1000)

    mapped = columns(user_id="listener", song_id="track", timestamp="at", duration_sec="played")
    plain = "user_id,song_id,timestamp,duration_sec"
    return {
        "plain": ("csv", plain, lambda u, s, t, d: f"{u},{s},{t},{d}", []),
        "mapped": ("csv", "at,listener,played,device,track", lambda u, s, t, d: f"{t},{u},{d},phone,{s}", mapped),
        "tsv": ("tsv", plain.replace(",", "\t"), lambda u, s, t, d: f"{u}\t{s}\t{t}\t{d}", []),
        "unix": ("csv", plain, lambda u, s, t, d: f"{u},{s},{seconds(t)},{d}", ["input.timestamp=unix_s"]),
        "unix_ms": ("csv", plain, lambda u, s, t, d: f"{u},{s},{seconds(t)}000,{millis(d)}",
                    ["input.timestamp=unix_ms", "input.duration=ms"]),
        "iso_z": ("csv", plain, lambda u, s, t, d: f"{u},{s},{t.replace(' ', 'T')}.000Z,{d}", []),
        "pattern": ("csv", plain, lambda u, s, t, d: f"{u},{s},{t[8:10]}.{t[5:7]}.{t[:4]} {t[11:]},{d}",
                    ["input.timestamp=%d.%m.%Y %H:%M:%S"]),
        "jsonl": ("jsonl", "", lambda u, s, t, d:
                  f'{{"user_id":"{u}","song_id":"{s}","timestamp":"{t}","duration_sec":{d}}}', []),
        "nested": ("jsonl", "", lambda u, s, t, d:
                   f'{{"user_name":"{u}","listened_at":{seconds(t)},"track_metadata":{{"additional_info":'
                   f'{{"recording_mbid":"{s}","duration_ms":{millis(d)}}},"track_name":"Some Track"}}}}',
                   ["input.timestamp=unix_s", "input.duration=ms"] + columns(
                       user_id="user_name", timestamp="listened_at",
                       song_id="track_metadata.additional_info.recording_mbid",
                       duration_sec="track_metadata.additional_info.duration_ms")),
    }


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--binary", type=Path, help="path of the music-insights to measure (default: build it with cargo)")
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm/music-insights-dialects"))
    parser.add_argument("--venv", type=Path, default=ROOT / "target/compare-engines-venv", help="folder for the Python environment with the peers")
    return parser.parse_args()


def write_logs(folder, binary, rows):
    """Generates the plays, and writes them in every dialect. Returns the path of each log."""
    generate = [binary, "generate", "--rows", rows, "--users", 200_000, "--songs", 50_000, "--days", 30, "--out", folder]
    subprocess.run(list(map(str, generate)), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=600)
    logs = {name: folder / f"{name}.{ending}" for name, (ending, *_) in dialects().items()}
    files = {name: open(path, "w", buffering=1 << 20) for name, path in logs.items()}
    for name, (_, header, *_) in dialects().items():
        files[name].write(f"{header}\n" if header else "")
    writers = [(files[name], write) for name, (_, _, write, _) in dialects().items()]
    for log in sorted((folder / "incoming").glob("*.csv")):
        with open(log) as lines:
            next(lines)
            for line in lines:
                cells = line.rstrip("\n").split(",")
                for file, write in writers:
                    file.write(write(*cells) + "\n")
    for file in files.values():
        file.close()
    shutil.rmtree(folder / "incoming")
    return logs


def differing(first, second):
    """Returns the insights whose tables differ."""
    part = "part-00000.csv"
    return [name for name in INSIGHTS if not filecmp.cmp(first / name / part, second / name / part, shallow=False)]


def main():
    args = arguments()
    binary = (args.binary or build()).resolve()
    python = install(args.venv)
    shutil.rmtree(args.folder, ignore_errors=True)
    try:
        report(args, binary, python, write_logs(args.folder, binary, args.rows))
    finally:
        shutil.rmtree(args.folder, ignore_errors=True)


def report(args, binary, python, logs):
    songs = args.folder / "songs_metadata.csv"
    output = {name: args.folder / f"output-{name}" for name in [*logs, "duckdb", "polars"]}
    commands = {}
    for name, (_, _, _, settings) in dialects().items():
        flags = [flag for setting in settings for flag in ("--set", setting)]
        commands[name] = [binary, "replay", logs[name], "--songs", songs, "--output", output[name], "--threads",
                          args.threads, "--set", "insights.enriched_logs.enabled=false", *flags]
    for peer in ("duckdb", "polars"):
        script = ENGINES / f"{peer}_insights.py"
        commands[peer] = [python, script, logs["jsonl"], songs, output[peer], args.threads, "--without-enriched-logs"]
    runs = {name: [] for name in commands}
    for number in range(args.rounds):
        for name, command in commands.items():
            run = measure(command, args.threads)
            if run.failure:
                sys.exit(f"{name} failed: {run.failure}")
            runs[name].append(run)
            if number == 0 and name in logs and differing(output["plain"], output[name]):
                sys.exit(f"{name}: the tables differ from those of plain CSV: {differing(output['plain'], output[name])}")
            if number == 0 and name not in logs:
                compare = [python, ENGINES / "compare_tables.py", output["plain"], output[name], "--without-enriched-logs"]
                subprocess.run(list(map(str, compare)), check=True, stdout=subprocess.DEVNULL, timeout=600)
    plain = median(runs["plain"])
    print(f"{describe_machine.description(args.threads)}, {date.today()}, {args.rows:,} rows, median of {args.rounds} rounds\n")
    print("| log | s | million rows/s | compared with plain CSV |\n|---|---|---|---|")
    for name, had in runs.items():
        seconds = median(had)
        print(f"| {name} | {seconds:.2f} | {args.rows / seconds / 1e6:.2f} | {plain / seconds:.0%} |")


if __name__ == "__main__":
    main()
