"""Draws a chart with the medians as bars on a logarithmic scale."""

from html import escape
from math import ceil, floor, log10

from report_table import disturbed, name, ratio

LEFT, WIDTH, ROW, TOP = 500, 400, 30, 58

STYLE = """text { font: 13px system-ui, sans-serif; fill: #222 } .faint { fill: #555; font-size: 11px }
.grid { stroke: #ccc } .ours { fill: #1769aa } .peer { fill: #a8662a } .whisker { stroke: #222 }
@media (prefers-color-scheme: dark) { text { fill: #eee } .faint { fill: #aaa } .grid { stroke: #444 }
.ours { fill: #5aa9e6 } .peer { fill: #e0a15e } .whisker { stroke: #eee } }"""


def duration(milliseconds):
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.3g} s"


def svg(report):
    shown = [one for one in report["results"] if "p50" in one["freshness"]["a song"]]
    times = [one["freshness"]["a song"] for one in shown]
    low = floor(log10(min((one["p50"] for one in times), default=100)))
    high = max(low + 1, ceil(log10(max((one["p99"] for one in times), default=1000))))
    place = lambda value: LEFT + (log10(value) - low) / (high - low) * WIDTH
    bottom = TOP + ROW * len(shown)
    parts = [f'<text x="10" y="20">Age of a row when it becomes readable: bar to the median, line to p99; logarithmic</text>']
    for power in range(low, high + 1):
        x = place(10**power)
        parts.append(f'<line class="grid" x1="{x:.0f}" x2="{x:.0f}" y1="{TOP - 8}" y2="{bottom}"/>'
                     f'<text class="faint" x="{x:.0f}" y="{TOP - 14}" text-anchor="middle">{duration(10**power)}</text>')
    for row, (result, table) in enumerate(zip(shown, times)):
        y = TOP + row * ROW
        middle, end, p99 = y + 9, place(table["p50"]), place(table["p99"])
        factor = ratio(report, result)
        value = duration(table["p50"]) + (f", {factor:.1f} × music-insights" if factor else "") + ("" if result["keeps_up"] else ", backlog grows") + (", disturbed" if disturbed(result) else "")
        parts.append(
            f'<text x="{LEFT - 8}" y="{y + 8}" text-anchor="end">{escape(name(result))}</text>'
            f'<text class="faint" x="{LEFT - 8}" y="{y + 21}" text-anchor="end">{result["rate_wanted"]:,} rows/s, {result["users"]:,} users</text>'
            f'<rect class="{"ours" if result["contender"] == "ours" else "peer"}" x="{LEFT}" y="{y}" width="{end - LEFT:.0f}" height="18"/>'
            f'<line class="whisker" x1="{end:.0f}" x2="{p99:.0f}" y1="{middle}" y2="{middle}"/>'
            f'<text x="{max(end, p99) + 6:.0f}" y="{y + 14}">{value}</text>'
        )
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + 260} {bottom + 10}" role="img">'
            f"<style>{STYLE}</style>\n" + "\n".join(parts) + "\n</svg>\n")
