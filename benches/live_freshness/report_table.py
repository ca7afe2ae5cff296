"""Formats the results as a Markdown table."""

from scenario import TABLES

# If other processes use more than this number of cores, a figure is unreliable. The feeder and the reader are such
# processes too.
DISTURBED = 0.3


def disturbed(result):
    return result["machine_busy_cores"] - result["cpu_cores"] > DISTURBED


def baseline(report):
    """Returns the median of music-insights with the feed of the peers. The ratios of the peers refer to this median."""
    for result in report["results"]:
        if result["scenario"] == "small-drop" and not disturbed(result):
            return result["freshness"]["a song"].get("p50")
    return None


def ratio(report, result):
    """Returns the median age of a row divided by the median age with music-insights on the same files, or None.

    A disturbed run has no ratio, because a peer without enough processor time looks slower than it is.
    """
    if disturbed(result):
        return None
    ours, theirs = baseline(report), result["freshness"]["a song"].get("p50")
    return theirs / ours if ours and theirs and result["contender"] != "ours" else None


def verdict(result):
    note = " (disturbed)" if disturbed(result) else ""
    return keeping_up(result) + note


def keeping_up(result):
    if result["keeps_up"]:
        return "yes"
    lost = max(table["lost"] for table in result["freshness"].values())
    return "no, the backlog grows" + (f"; {lost} of {result['freshness']['a song']['probes'] + lost} probes not seen in time" if lost else "")


def name(result):
    who = "music-insights, " if result["contender"] == "ours" else ""
    return who + result["label"]


def markdown(report):
    versions = ", ".join(f"{key} {value}" for key, value in report["versions"].items())
    lines = [
        f"{report['date']}, {report['machine']}; {versions}. Time from the write of a row until it is readable in the"
        " published table, in ms. *Song*: a new row of `avg_listen_time_per_song`; *user*: of `user_favorite_genres`."
        " *CPU*: cores used by the contender; *busy*: cores used by the whole machine."
        f" If other processes used more than {DISTURBED} cores, the row is marked *disturbed* and has no ratio.",
        "",
        "| | users | rows/s | keeps up | table | p50 | p90 | p99 | longest | first third → last | probes | published every | CPU (busy) | memory | × music-insights |",
        "|" + "---|" * 15,
    ]
    for result in report["results"]:
        for what in TABLES:
            table = result["freshness"][what]
            cell = lambda key: format(table[key], ",") if key in table else "–"
            factor = ratio(report, result)
            lines.append("| " + " | ".join([
                name(result), format(result["users"], ","), format(result["rate_fed"], ","), verdict(result), what.split()[1],
                cell("p50"), cell("p90"), cell("p99"), cell("longest"),
                f"{cell('first_third')} → {cell('last_third')}", cell("probes"),
                f"{cell('published_every_ms')} ms",
                f"{result['cpu_cores']} ({result['machine_busy_cores']})", f"{result['peak_megabytes']:,} MB",
                f"{factor:.1f}" if factor and what == "a song" else "",
            ]) + " |")
    return "\n".join(lines) + "\n"
