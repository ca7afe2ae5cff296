"""Writes the results: all runs as JSON, a summary as Markdown, and a chart."""

import json
from dataclasses import asdict

from cases import CASES
from chart import draw
from measure_process import median, peak

TITLES = {case.name: case.title for case in CASES}


def write(folder, results):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(results, default=asdict, indent=1) + "\n")
    (folder / "table.md").write_text(table(results))
    bars = {name: summaries(case, results) for name, case in results["cases"].items() if len(case["runs"]) > 1}
    if bars:
        (folder / "replay.svg").write_text(draw(bars, results))


def summaries(case, results):
    """Returns a summary of each contender: name, seconds, peak memory, ratio to music-insights and number of runs.

    If a contender failed, its summary has the failure instead of the figures.
    """
    best = median(case["runs"]["ours"])
    rows = []
    for contender, runs in case["runs"].items():
        failed = [run.failure for run in runs if run.failure]
        row = {"contender": contender, "name": results["versions"][contender], "runs": len(runs)}
        if failed:
            row["failure"] = failed[0]
        else:
            row |= {"seconds": median(runs), "megabytes": peak(runs), "ratio": median(runs) / best}
        rows.append(row)
    return rows


def table(results):
    lines = [f"{results['date']}, {results['machine']}, {results['threads']} threads; input, output and page cache in memory;"
             f" {results['rows']:,} rows, {results['users']:,} listeners, {results['songs']:,} songs"
             " unless stated otherwise; medians. In a side case only the two fastest"
             " peers run after the first round; the other peers are marked (1 run). Every table of every peer was compared"
             " with the table of music-insights.", ""]
    for name, case in results["cases"].items():
        lines += [f"**{name}**: {TITLES[name]}", "", "| | time | rows/s | peak memory | × music-insights |", "|---|---|---|---|---|"]
        for row in summaries(case, results):
            once = " (1 run)" if row["runs"] == 1 and len(case["runs"]["ours"]) > 1 else ""
            if "failure" in row:
                lines.append(f"| {row['name']} | n/a: {row['failure'].replace('|', '/')} | | | |")
            else:
                rate = case["rows"] / row["seconds"] / 1e6
                lines.append(f"| {row['name']}{once} | {row['seconds']:.2f} s | {rate:.2f} M | {row['megabytes']:.0f} MB |"
                             f" {row['ratio']:.2f} |")
        lines.append("")
    lines += threads(results) + scale(results) + watch(results)
    return "\n".join(lines)


def threads(results):
    if not results["threads_case"]:
        return []
    lines = ["**threads**: music-insights by threads and cores", "", "| threads | cores | all tables | without enriched_logs |", "|---|---|---|---|"]
    kinds = {}
    for entry in results["threads_case"]:
        kinds.setdefault((entry["threads"], entry["cores"]), {})[entry["enriched"]] = median(entry["runs"])
    for (count, cores), times in kinds.items():
        lines.append(f"| {count} | {cores} | {times[True]:.2f} s | {times[False]:.2f} s |")
    return lines + [""]


def scale(results):
    found = results["scale"]
    if not found:
        return []
    if "failure" in found:
        return [f"**scale**: n/a: {found['failure']}", ""]
    lines = [f"**scale**: music-insights without enriched_logs, {found['rows']:,} rows, {found['users']:,} listeners,"
             f" {found['songs']:,} songs: {median(found['runs']):.1f} s, {found['rows'] / median(found['runs']) / 1e6:.2f} M rows/s,"
             f" peak {peak(found['runs']):.0f} MB, {found['bytes_per_pair']:.1f} bytes for each of about"
             f" {found['pairs'] / 1e6:.1f} M pairs of listener and song, everything included"]
    if found.get("rate_to_no_enriched"):
        lines[0] += f"; {100 * found['rate_to_no_enriched']:.0f} % of the rows/s of no-enriched"
    return [lines[0] + ".", ""]


def watch(results):
    found = results["watch"]
    if not found:
        return []
    rate = found["bytes"] / 1e6
    return [f"**watch**: `watch --once --flush-interval 1s` with commits reaches {100 * found['watch_to_replay']:.0f} % of the rows/s"
            f" of `replay` in memory ({found['medians']['watch']:.2f} s and {found['medians']['replay']:.2f} s). On disk it"
            f" writes and syncs {rate / found['medians']['watch on disk']:.0f} MB/s; writing and syncing the same bytes alone reaches"
            f" {rate / found['medians']['disk alone']:.0f} MB/s ({100 * found['share_of_disk']:.0f} %).", ""]
